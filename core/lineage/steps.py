"""A step as a run of its own: it begins, names what it reads and writes, and ends."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from core.errors import masked, printable
from core.lineage.facts import Dataset, Facts, Job, Parent, State, model, table
from core.lineage.sending import Sending
from core.month import Month
from core.run import Run
from core.settings import settings

if TYPE_CHECKING:
    from core.transform import Refresh

PIPELINE = "taxi_pipeline"
"""What every orchestrator calls the pipeline that the steps belong to."""


@dataclass
class Step:
    """One attempt at a step. Without a `sending` it tells nobody."""

    run: Run
    task: str
    month: Month | None
    sending: Sending | None
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _reads: list[Dataset] = field(default_factory=list)
    _writes: list[Dataset] = field(default_factory=list)

    def reads(self, *datasets: Dataset) -> None:
        """Add what the step reads."""
        self._reads += datasets

    def writes(self, *datasets: Dataset) -> None:
        """Add what the step has written: call it after the commit, so that no event tells of rows that are not there.

        A table that the step leaves as it was is added too, without rows.
        """
        self._writes += datasets

    def tell(self, state: State, error: BaseException | None = None) -> None:
        """Send an event of the step."""
        message = printable(masked(str(error) or type(error).__name__)) if error else None
        self._send(
            Facts(
                state, _now(), self.run_id, Job(f"{self._pipeline}.{self.task}", "TASK"), self._parents(),
                reads=tuple(self._reads), writes=tuple(self._writes), error=message,
            )
        )  # fmt: skip

    def built(self, done: Refresh, names: Iterable[str]) -> None:
        """Add the models `names` as written; tell of each that dbt built, as a run below the step's own."""
        made = {
            each.model.name: model(self.run.schema, each.model, done.rows.get(each.model.name)) for each in done.models
        }
        self.writes(*(made.get(name) or table(self.run.schema, name) for name in names))
        parents = (Parent(f"{self._pipeline}.{self.task}", self.run_id), *self._parents())
        # One build is for all the months that landed
        span = _span(done.months)
        for each in done.models:
            job, run_id = Job(f"{self._pipeline}.{self.task}.{each.model.name}", "MODEL"), str(uuid.uuid4())
            reads = tuple(table(self.run.schema, name) for name in each.model.depends_on)
            writes = (made[each.model.name],)
            self._send(Facts("START", each.began_at, run_id, job, parents, span))
            self._send(Facts("COMPLETE", each.ended_at, run_id, job, parents, span, reads=reads, writes=writes))

    @property
    def _pipeline(self) -> str:
        return f"{self.run.loader}.{PIPELINE}"

    def _parents(self) -> tuple[Parent, ...]:
        """Return the orchestrator's run; none when it told no id."""
        return (Parent(self._pipeline, run_uuid(self.run.loader, self.run.run_id)),) if self.run.run_id else ()

    def _send(self, facts: Facts) -> None:
        if not self.sending:
            return
        months = [self.month.first_day] if self.month else []
        about = {"loader": self.run.loader, "run_id": self.run.run_id, "target": self.run.schema}
        self.sending.put(replace(facts, span=facts.span or _span(months), about=about))


@contextmanager
def step(run: Run, task: str, month: Month | None) -> Iterator[Step]:
    """Tell of a step: START now, and at the end of the block COMPLETE, FAIL, or ABORT if it was interrupted."""
    sending = Sending() if settings().lineage else None
    told = Step(run, task, month, sending)
    told.tell("START")
    try:
        yield told
    except BaseException as error:
        told.tell("FAIL" if isinstance(error, Exception) else "ABORT", error)
        raise
    else:
        told.tell("COMPLETE")
    finally:
        if sending:
            sending.close()


def run_uuid(loader: str, run_id: str) -> str:
    """Return an orchestrator's run id as OpenLineage wants it: a UUID, and always the same one for the same run."""
    try:
        return str(uuid.UUID(run_id))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"triptych:{loader}:{run_id}"))


def _span(months: Sequence[dt.date]) -> tuple[dt.date, dt.date] | None:
    """Return the first day of the earliest month, and of the month after the latest one."""
    if not months:
        return None
    last = max(months)
    return min(months), Month(last.year, last.month).next().first_day


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()
