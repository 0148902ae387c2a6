"""A range of months as one run: the record of each month, from the record of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    Progress,
    RunRecord,
    RunState,
    TaskRecord,
    TaskState,
    ranges,
    run_range,
)

MONTHS = ["2024-01", "2024-02"]
STEPS = ("ingest_month", "transform", "check")
LONG_AGO = "2024-01-01T00:00:00+00:00"


def step(name: str, state: TaskState = "success", **values: Any) -> TaskRecord:
    """Return the record of a step."""
    return TaskRecord(name, state, 1, LONG_AGO, LONG_AGO, **values)


def run(*tasks: TaskRecord, state: RunState = "success", error: str | None = None) -> RunRecord:
    """Return the record of a run of the range."""
    return RunRecord("one", "taxi_range", "1", state, "manual", tasks=list(tasks), error=error, url="the page")


def whole(label: str) -> list[TaskRecord]:
    """Return the steps of a month that ended well."""
    return [step(f"{name}[{label}]", returned={"rows": 3} if name == "ingest_month" else None) for name in STEPS]


def test_a_step_is_a_months_by_its_label_or_its_number_and_one_without_either_is_everybodys() -> None:
    found = ranges.months_of(run(step("ingest_zones"), *whole("2024-01"), *whole("1"), step("months")), MONTHS)
    assert [(month.month, month.state, month.rows) for month in found] == [(month, "success", 3) for month in MONTHS]
    assert [[task.task for task in month.tasks] for month in found] == [["ingest_zones", *STEPS]] * 2


def test_a_month_that_failed_holds_back_no_other() -> None:
    bad = [step("ingest_month[2024-02]", "failed"), step("transform[1]", "upstream failed")]
    zones = step("ingest_zones")
    good, failed = ranges.months_of(run(zones, *whole("2024-01"), *bad, state="failed", error="no file"), MONTHS)
    assert (good.state, good.error) == ("success", None)
    assert (failed.state, failed.error) == ("failed", "no file")


def test_of_several_months_that_failed_the_error_is_on_the_runs_page() -> None:
    bad = [step(f"ingest_month[{month}]", "failed") for month in MONTHS]
    found = ranges.months_of(run(step("ingest_zones"), *bad, state="failed", error="no file"), MONTHS)
    assert {month.error for month in found} == {"ingest_month ended failed: see the page"}


def test_a_run_that_failed_before_its_months_failed_all_of_them() -> None:
    found = ranges.months_of(run(step("months", "failed"), state="failed", error="no such month"), MONTHS)
    assert [(month.state, month.error) for month in found] == [("failed", "no such month")] * 2


def test_the_months_of_a_canceled_run_that_were_not_done_say_so() -> None:
    tasks = [step("ingest_zones"), *whole("2024-01"), step("ingest_month[1]", "canceled")]
    good, stopped = ranges.months_of(run(*tasks, state="canceled"), MONTHS)
    assert good.state == "success"
    assert stopped.error == "ingest_month ended canceled: see the page"


class Fake:
    """The single runs of an orchestrator: a run that is under way once, and then over."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.records = [run(step("ingest_month[0]", "running")), run(step("ingest_zones"), *whole("0"))]

    def start(self, _client: object, wanted: Any) -> str:
        self.asked.append(wanted)
        return "1"

    def observed(self, *_: object) -> RunRecord:
        return self.records.pop(0)


def test_it_is_started_by_hand_and_followed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "POLL_S", 0)
    fake, wanted = Fake(), BackfillRequest(MONTHS[:1], "sample", "s", mode="one-run")
    fake.records[0] = run(step("ingest_month[0]", "running"), state="running")
    (month,) = run_range(None, fake, wanted, Progress(tmp_path / "progress"))  # type: ignore[arg-type]
    assert month.state == "success"
    assert fake.asked[0].parameters == {"months": "2024-01", **wanted.parameters}
    states = [line.split('"state": "')[1].split('"')[0] for line in (tmp_path / "progress").read_text().splitlines()]
    assert states == ["running", "success"]


@pytest.mark.parametrize("other", [{"pipeline": "another"}, {"which": "failed"}])
def test_only_all_the_months_of_the_taxi_pipeline_run_as_one(tmp_path: Path, other: dict[str, Any]) -> None:
    wanted = BackfillRequest(MONTHS, "sample", "s", mode="one-run", **other)
    with pytest.raises(UsageError, match="only the taxi pipeline"):
        run_range(None, Fake(), wanted, Progress(tmp_path / "progress"))  # type: ignore[arg-type]


def test_an_orchestrator_without_it_says_why() -> None:
    plain = Description("plain", "Plain", "1", [], lacks={"one_run": "It is one process."})
    plain.check_mode("runs")
    with pytest.raises(UsageError, match=r"plain can't run a backfill as one run: It is one process\."):
        plain.check_mode("one-run")


def test_who_asks_for_no_mode_as_every_benchmark_does_gets_a_run_for_each_month() -> None:
    assert BackfillRequest(MONTHS, "sample", "s").mode == BackfillResult("success", "1", 1.0, []).mode == "runs"
