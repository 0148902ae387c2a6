"""The four steps of a month, as every orchestrator calls them. A step is safe to run again, at any time, anywhere.

Each returns a `Receipt`, small enough for an XCom, a result or metadata. An adapter calls these functions and little
else of `core`: `core.errors` (what to retry), `core.month`, `core.run`, and, to show the models and their tests as its
own, `core.transform.lineage` and `core.transform.results`.
"""

from __future__ import annotations

import logging

from core import transform as models
from core.errors import CheckFailed, printable
from core.month import Month
from core.run import Receipt, Run, counted

log = logging.getLogger(__name__)
"""Each orchestrator shows what is logged here on its own page of the task."""


def ingest_zones(run: Run) -> Receipt:
    """Extract and load the zone lookup, whole."""
    return ingest(run, "zones", None)


def ingest_month(run: Run, month: Month) -> Receipt:
    """Extract and load one month's file: ``unchanged`` when the ledger shows the same bytes loaded."""
    return ingest(run, "green", month)


def ingest(run: Run, dataset: str, month: Month | None) -> Receipt:
    """Extract and load `dataset`, a name in `core.datasets.DATASETS`: its file for `month`, or its one file.

    Raise `UsageError` when there is no such dataset, when a monthly one is called without a month, or another one with
    it.
    """
    # Here and not at the top: Arrow and HTTP cost 0.4 CPU s, and where an orchestrator runs each task in a fresh
    # process, `transform` and `check` would pay for what they do not use.
    from core import datasets, load
    from core.extract import extract

    # A wrong name fails before anything is fetched
    load.strategy(run.strategy)
    wanted = datasets.dataset(dataset, monthly=month is not None)
    fence = load.begin(run.schema, wanted)
    file = extract(wanted, run.source, month)
    order = load.Load(
        run.schema, wanted, month, file, run.strategy, run.loader, run.run_id, fence, run.force, run.accept_suspect,
        run.source,
    )  # fmt: skip
    done = load.load(order)
    entry = done.entry
    receipt = Receipt(
        task="ingest_month" if month else f"ingest_{dataset}",
        state=done.state,
        month=str(month) if month else None,
        rows=entry.row_count,
        bytes=entry.source_bytes,
        source_sha256=entry.source_sha256,
        digest=entry.content_digest,
        detail="a younger attempt was first" if done.superseded else None,
        warnings=done.warnings,
    )
    # `core.extract` and `core.load` have logged what they did.
    return _warned(receipt)


def transform(run: Run, month: Month) -> Receipt:
    """Bring the dbt models up to date with the ledger: one build for all months that landed since the last one.

    The state is ``unchanged`` when another month's build covered this one too. A failed data test holds back no month's
    models, and this step does not raise it: see `check`, and `core.transform` for why.
    """
    done = models.refresh(run.schema, month.first_day)
    built = "was up to date"
    if done.state == "success":
        built = f"built {counted(len(done.months), 'month')} in {done.seconds:.1f} s"
    rows = models.rows(run.schema, month.first_day)
    return _logged(Receipt("transform", done.state, str(month), rows=rows, detail=built, warnings=done.warnings))


def check(run: Run, month: Month) -> Receipt:
    """Report the data tests of the last build; raise `CheckFailed` naming those that rows of `month` broke.

    Nothing is run here: the build ran its tests. Failed tests of severity ``warn`` are the receipt's warnings; with
    `Run.strict` they fail the month too.
    """
    day = month.first_day
    found = models.results(run.schema, day)
    broken = [result for result in found if result.concerns(day)]
    trips = models.rows(run.schema, day) if broken else 0
    failed = [result.finding(day, trips) for result in broken if result.fails(run.strict)]
    warnings = tuple(result.warning(day, trips) for result in broken if not result.fails(run.strict))
    receipt = Receipt(
        "check",
        "failed" if failed else "success",
        str(month),
        detail=f"{len(found) - len(broken)} of {counted(len(found), 'test')} passed",
        warnings=warnings,
    )
    _logged(receipt)
    if failed:
        raise CheckFailed(
            f"{month}: {len(failed)} of {len(found)} tests failed: {'; '.join(failed)}; table test_results says more"
        )
    return receipt


def _logged(receipt: Receipt) -> Receipt:
    """Log what a step did, and each of its warnings; return its receipt."""
    rows = counted(receipt.rows, "row") if receipt.rows is not None else None
    facts = ", ".join(filter(None, (receipt.state, rows, receipt.detail)))
    log.info("%s: %s", _about(receipt), facts)
    return _warned(receipt)


def _warned(receipt: Receipt) -> Receipt:
    """Log each warning of a step; return its receipt."""
    for line in receipt.warnings:
        log.warning("%s: %s", _about(receipt), printable(line))
    return receipt


def _about(receipt: Receipt) -> str:
    return f"{receipt.task} {receipt.month}" if receipt.month else receipt.task
