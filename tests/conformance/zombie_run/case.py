"""The case: of several runs, one loses its process, and whatever would see it die hangs; the others are well."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil

from core.waiting import until
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, POLL_S, happens
from tests.conformance.zombie_run.pipelines import RUN, WATCH
from tests.questions.asking import Asking

WELL = ("well 1", "well 2", "well 3")

NOTICED_S = 200.0
"""How long it may take: twice the 90 s that the automation waits."""

LATER_S = {"airflow": 40.0, "dagster": 20.0, "prefect": 120.0}
"""How long the others are looked at after they have ended: longer than it takes to declare a run dead."""


def observe(asking: Asking) -> Observed:
    """Return whether the dead run has failed, after how many seconds, and what became of the others."""
    if asking.orchestrator != "prefect":
        return observed(asking)
    asking.run(WATCH, {})
    try:
        return {**observed(asking), "firings": firings(asking)}
    finally:
        # It crashes the runs of other cases too: they emit no heartbeat within 90 s.
        for automation in ask_prefect(asking, "POST", "automations/filter", {}):
            ask_prefect(asking, "DELETE", f"automations/{automation['id']}")


def observed(asking: Asking) -> Observed:
    """Kill the process of one run, and look at all of them."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        runs = {name: start(asking, here, name) for name in ("dead", *WELL)}
        until(lambda: all((here / f"{name}.began").exists() for name in runs) or None, PATIENCE_S, POLL_S, "the runs")
        with killed(asking, runs["dead"]):
            began = time.monotonic()
            is_noticed = happens(lambda: state(asking, runs["dead"]) == "failed", NOTICED_S, "the end of the dead run")
            seconds = round(time.monotonic() - began)
        (here / "open").touch()
        well = [asking.runs.observe(RUN, runs[name], PATIENCE_S).state for name in WELL]
        happens(
            lambda: {state(asking, runs[name]) for name in WELL} != set(well), LATER_S[asking.orchestrator], "a change"
        )
        later = [state(asking, runs[name]) for name in WELL]
    return {"dead": "failed" if is_noticed else "running", "s until noticed": seconds, "well": well, "later": later}


def start(asking: Asking, folder: Path, name: str) -> str:
    """Start a run, and return its id."""
    return asking.runs.start(RUN, {"folder": str(folder), "name": name})


def state(asking: Asking, run_id: str) -> str:
    """Return the state of a run."""
    return asking.runs.observe(RUN, run_id).state


@contextmanager
def killed(asking: Asking, run_id: str) -> Iterator[None]:
    """End the process of a run with SIGKILL, and stop the one above it until the block ends: it would see the end.

    In Dagster, that one is the code server, which run monitoring asks: it goes on.
    """
    (process,) = [psutil.Process(each.record.pid) for each in asking.runs.processes() if each.record.run_id == run_id]
    above = process.parent()
    assert above
    if asking.orchestrator != "dagster":
        above.suspend()
    try:
        process.kill()
        yield
    finally:
        if asking.orchestrator != "dagster":
            above.resume()


def firings(asking: Asking) -> int:
    """Return how often Prefect's automation has fired: it can't change the state of a run that has ended."""
    wanted = {"filter": {"event": {"name": ["prefect.automation.action.triggered"]}}}
    events = ask_prefect(asking, "POST", "events/filter", wanted)["events"]
    return sum(event["resource"]["prefect.resource.name"] == RUN for event in events)


def ask_prefect(asking: Asking, method: str, path: str, body: Any = None) -> Any:
    """Return the answer of Prefect's API."""
    port = asking.bench.lab.stack(asking.runs.orchestrator).start().ports["api"]
    sent = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"http://127.0.0.1:{port}/api/{path}", sent, headers, method=method), timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


CASE = Case(
    question="Is a run whose process is gone declared dead, and one that is well left alone?",
    theme="Cancellation",
    report="PrefectHQ/prefect#21932",
    right=lambda observed: (
        observed["dead"] == "failed"
        and set(observed["well"]) == set(observed["later"]) == {"success"}
        and observed.get("firings", 1) == 1
    ),
    right_answer=f"The dead run fails within {NOTICED_S:.0f} s; the others succeed, stay so, and make nothing fire.",
    expected={
        "airflow": Expected(
            "right", "A task whose heartbeats stay away has failed: after 300 s as shipped, 30 s here."
        ),
        "dagster": Expected(
            "right", "Run monitoring, which is off as shipped, asks the run launcher, here every 15 s."
        ),
        "prefect": Expected(
            "right", "The automation of Prefect's guide, with heartbeats turned on, crashes it after 90 s."
        ),
    },
    observe=observe,
    differs="The report is of runs that are well. The case has a dead one too: never to fire is not right.",
)
