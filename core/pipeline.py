"""The steps of a month, as every orchestrator calls them. A step is safe to run again, at any time, anywhere.

    ingest_zones ─┐
                  ├─► pending? ─┬─► transform ─► check ─┬─► report
    ingest_month ─┘             └───────────────────────┘

Each returns a `Receipt`, small enough for an XCom, a result or metadata, and all but `report` tell what they read and
wrote, where a user wants to know (`core.lineage`). `pending` is no step: it says whether the two steps in the middle
have anything to do. An adapter calls these functions and little else of `core`: `core.errors` (what to retry),
`core.month`, `core.run`, and, to show the models and their tests as its own, `core.transform.lineage` and
`core.transform.results`.
"""

from __future__ import annotations

import logging

from core import ledger, lineage
from core import transform as models
from core.database import connect
from core.datasets import TRIPS, ZONES
from core.errors import CheckFailed, UsageError, printable
from core.month import Month
from core.run import Receipt, Run, counted

log = logging.getLogger(__name__)
"""Each orchestrator shows what is logged here on its own page of the task."""


def ingest_zones(run: Run) -> Receipt:
    """Extract and load the zone lookup, whole."""
    return ingest(run, "zones", None)


def ingest_month(run: Run, month: Month) -> Receipt:
    """Extract and load one month's file: ``unchanged`` when the ledger shows the same bytes loaded."""
    return ingest(run, run.dataset, month)


def ingest(run: Run, dataset: str, month: Month | None) -> Receipt:
    """Extract and load `dataset`, a name in `core.datasets.DATASETS`: its file for `month`, or its one file.

    Raise `UsageError` when there is no such dataset, when a monthly one is called without a month, or another one with
    it, and when the schema holds another monthly dataset.
    """
    # Here and not at the top: Arrow and HTTP cost 0.4 CPU s, and where an orchestrator runs each task in a fresh
    # process, `transform` and `check` would pay for what they do not use.
    from core import datasets, load
    from core.extract import extract

    task = "ingest_month" if month else f"ingest_{dataset}"
    with lineage.step(run, task, month) as told:
        # A wrong name fails before anything is fetched
        load.strategy(run.strategy)
        wanted = datasets.dataset(dataset, monthly=month is not None)
        fence = load.begin(run.schema, wanted if wanted.monthly else datasets.dataset(run.dataset, monthly=True))
        file = extract(wanted, run.source, month)
        told.reads(lineage.file(file))
        order = load.Load(
            run.schema, wanted, month, file, run.strategy, run.loader, run.run_id, fence, run.force, run.accept_suspect,
            run.source,
        )  # fmt: skip
        done = load.load(order)
        told.writes(lineage.published(run.schema, wanted, done))
    entry = done.entry
    receipt = Receipt(
        task=task,
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


def pending(run: Run, month: Month) -> tuple[str, ...]:
    """Return why `transform` and `check` have to run for `month`, a phrase for each cause; nothing when they need not.

    They have to when a build would change something of the month, when this very run loaded it, or when its last check
    failed: a run that skipped the check would turn such a month green. The tables and ledgers are asked, never what
    this run's load did: "no rows came" is also true after a crash between load and build, and of an empty file that
    replaced a full one. What only other months have pending is left to their runs.
    """
    reasons = list(models.stale(run.schema, month.first_day))
    if not reasons and _loaded_by(run, _entry(run, month)):
        reasons.append("this run loaded it")
    if not reasons and (failed := _tests(run, month)[1]):
        reasons.append(f"its last check failed: {'; '.join(failed)}")
    log.info("pending %s: %s", month, "; ".join(reasons) or "nothing: transform and check are skipped")
    return tuple(reasons)


def transform(run: Run, month: Month) -> Receipt:
    """Bring the dbt models up to date with the ledger: one build for all months that landed since the last one.

    The state is ``unchanged`` when another month's build covered this one too. A failed data test holds back no month's
    models, and this step does not raise it: see `check`, and `core.transform` for why.
    """
    with lineage.step(run, "transform", month) as told:
        told.reads(*(lineage.table(run.schema, name) for name in (TRIPS, ZONES.table)))
        done = models.refresh(run.schema, month.first_day)
        told.built(done, models.model_names(run.dataset))
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
    with lineage.step(run, "check", month) as told:
        found, failed, warnings = _tests(run, month)
        told.reads(*lineage.tested(run.schema, found, month.first_day))
        passed = len(found) - len(failed) - len(warnings)
        state, detail = "failed" if failed else "success", f"{passed} of {counted(len(found), 'test')} passed"
        receipt = _logged(Receipt("check", state, str(month), detail=detail, warnings=warnings))
        if failed:
            raise CheckFailed(
                f"{month}: {len(failed)} of {len(found)} tests failed: {'; '.join(failed)}; "
                "table test_results says more"
            )
    return receipt


def report(run: Run, month: Month, built: bool) -> Receipt:
    """Report in one line on a month whose steps all ended well; `built` says whether `transform` and `check` ran.

    Where they were skipped, the warnings of the month's last check still stand, and are this receipt's.
    """
    entry = _entry(run, month)
    loaded = "loaded" if _loaded_by(run, entry) else "unchanged"
    done = "built" if built else "transform and check skipped"
    return _logged(
        Receipt(
            "report",
            "success",
            str(month),
            rows=entry.row_count,
            digest=entry.content_digest,
            detail=f"digest {entry.content_digest[:10]}, {loaded}, {done}",
            warnings=() if built else _tests(run, month)[2],
        )
    )


def _tests(run: Run, month: Month) -> tuple[list[models.Result], list[str], tuple[str, ...]]:
    """Return what the builds' tests found, which of them fail `month`, and which only warn of it, a line for each."""
    day = month.first_day
    found = models.results(run.schema, day)
    broken = [result for result in found if result.concerns(day)]
    trips = models.rows(run.schema, day) if broken else 0
    failed = [result.finding(day, trips) for result in broken if result.fails(run.strict)]
    return found, failed, tuple(result.warning(day, trips) for result in broken if not result.fails(run.strict))


def _entry(run: Run, month: Month) -> ledger.Entry:
    """Return what the ledger says of `month`; raise `UsageError` when it is not loaded."""
    with connect(f"ledger {run.schema}") as connection:
        entry = ledger.read(connection, run.schema, run.dataset, month)
    if entry is None:
        raise UsageError(f"schema {run.schema!r} has no {month} of {run.dataset}: run the month's ingest step first")
    return entry


def _loaded_by(run: Run, entry: ledger.Entry) -> bool:
    """Return whether this run loaded the month, in this attempt or in an earlier one; never of a run without an id."""
    return bool(run.run_id) and (entry.loader, entry.run_id) == (run.loader, run.run_id)


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
