"""One `dbt build`: the models, then their tests, in one process."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from core.errors import room
from core.run import DATASET, counted
from core.transform import dbt
from core.transform.dbt_errors import one_line, raise_if_stopped
from core.transform.manifest import Artifact, DbtTest, Model, models, tests

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a test ended. `failures` counts the rows that its query returned; `sql` is that query."""

    test: DbtTest
    passed: bool
    failures: int
    message: str
    sql: str


@dataclass(frozen=True)
class BuiltModel:
    """A model that a build made, and when: as dbt writes an instant, in UTC."""

    model: Model
    began_at: str
    ended_at: str


@dataclass(frozen=True)
class Build:
    """What one `dbt build` did: the models that it made, and how the tests ended."""

    models: list[BuiltModel]
    outcomes: list[Outcome]


def build_models(
    server: psycopg.ConnectionInfo, schema: str, months: Sequence[dt.date] | None,
    *, views: bool, unit_tests: bool, dataset: str = DATASET,
) -> Build:  # fmt: skip
    """Build the models of `dataset` in `schema`, then test them.

    The marts are built as `<mart>__unpublished`, with the rows of the source months `months` (None: all);
    `core.transform.marts` publishes them. Without months only views are made. Without `views` those stay as they are:
    what they show follows the raw tables by itself.

    A failed data test is an `Outcome`; it holds back no model. Raise `TransformFailed` naming the model that could not
    be built, `DatabaseUnavailable`, `DiskFull` or `Busy` when the server is the cause, `TransientError` when dbt was
    killed or interrupted.
    """
    folder = dbt.schema_folder(server, schema)
    artifact = folder / "run_results.json"
    with room(folder), dbt.exclusive(folder) as lock:
        artifact.unlink(missing_ok=True)
        started = time.monotonic()
        arguments = _arguments(months, views=views, unit_tests=unit_tests)
        variables = dbt.environment(server, schema, months, dataset)
        process = dbt.run(dbt.Command(arguments, folder, variables, keep_open=[lock]))
        seconds = time.monotonic() - started
        results: list[Artifact] = _whole(artifact).get("results", [])
        manifest: Artifact = json.loads((folder / "manifest.json").read_text()) if results else {}
        declared = tests(manifest) if results else {}
        if not results:
            dbt.check_room(folder)
    raise_if_stopped(process, results, declared, folder, server.password)
    outcomes = [_outcome(declared[node], result) for result in results if (node := result["unique_id"]) in declared]
    _log(schema, results, outcomes, seconds)
    return Build(_built(manifest, results), outcomes)


def _built(manifest: Artifact, results: Sequence[Artifact]) -> list[BuiltModel]:
    """Return the models among the results of a build that succeeded, each after those that it depends on."""
    made = {
        node.rpartition(".")[2]: result
        for result in results
        if (node := result["unique_id"]).startswith("model.") and result["timing"]
    }
    return [
        BuiltModel(model, made[model.name]["timing"][0]["started_at"], made[model.name]["timing"][-1]["completed_at"])
        for model in (models(manifest) if made else ())
        if model.name in made
    ]


def _arguments(months: Sequence[dt.date] | None, *, views: bool, unit_tests: bool) -> list[str]:
    # `empty`: views alone are selected or left out, and never their tests, which every build of a month runs
    only_views = ["--select", "config.materialized:view", "--indirect-selection", "empty"]
    no_views = ["--exclude", "config.materialized:view", "--indirect-selection", "empty"]
    return [
        "build",
        *(only_views if months == () else []),
        *([] if views else no_views),
        *([] if unit_tests else ["--exclude-resource-type", "unit_test"]),
    ]


def _whole(artifact: Path) -> Artifact:
    """Return what dbt wrote; an empty one when it wrote none, or was ended while it did."""
    try:
        whole: Artifact = json.loads(artifact.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return whole


def _outcome(test: DbtTest, result: Artifact) -> Outcome:
    return Outcome(
        test,
        result["status"] == "pass",
        result["failures"] or 0,
        one_line(result["message"] or ""),
        result["compiled_code"] or "",
    )


def _log(schema: str, results: Sequence[Artifact], outcomes: Sequence[Outcome], seconds: float) -> None:
    """Log what was built and tested, and each failed test; `check` says of which months the rows are."""
    built = [node.rpartition(".")[2] for result in results if (node := result["unique_id"]).startswith("model.")]
    log.info("%s: dbt built %s in %.1f s", schema, ", ".join(built), seconds)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if outcomes:
        log.info("%s: %d of %s passed", schema, len(outcomes) - len(failed), counted(len(outcomes), "test"))
    for outcome in failed:
        test, failures = outcome.test, counted(outcome.failures, "failure")
        log.info("%s: test %s on %s (%s): %s", schema, test.name, test.model, test.severity, failures)
