"""One run of the toy: its steps one after the other, each as often as its error allows. It prints a line for each.

python -m toy_impl.lab.run '{"pipeline": ..., "month": ..., "parameters": {...}}'
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from core.errors import TriptychError
from core.lab.protocol import Pipeline, TaskRecord
from core.month import Month


def steps(pipeline: Pipeline, month: str | None, parameters: dict[str, Any]) -> Iterator[TaskRecord]:
    """Run the steps of a pipeline and yield their records; raise the error of the one that fails, after its record."""
    from core import pipeline as core
    from core.run import Run

    run = Run.of(parameters, "toy")
    needed: Any = True
    for name in pipeline.tasks:
        arguments: tuple[Any, ...] = (run,) if name == "ingest_zones" else (run, Month.parse(str(month)))
        if name == "transform":
            needed = core.pending(*arguments)
        if name in ("transform", "check") and not needed:
            yield TaskRecord(name, "skipped", 0)
            continue
        if name == "report":
            arguments = (*arguments, bool(needed))
        attempts = 0
        while True:
            attempts += 1
            try:
                receipt = getattr(core, name)(*arguments)
            except TriptychError as problem:
                if attempts > problem.retries:
                    yield TaskRecord(name, "failed", attempts)
                    raise
            else:
                yield TaskRecord(name, "success", attempts, rows=receipt.rows, returned=receipt.to_json())
                break


def main(asked: dict[str, Any]) -> None:
    """Run the pipeline that is asked for, and print what happens."""
    from toy_impl.lab.runner import PIPELINES

    (pipeline,) = (each for each in PIPELINES if each.name == asked["pipeline"])
    try:
        for record in steps(pipeline, asked["month"], asked["parameters"]):
            print(json.dumps(record.to_json()), flush=True)
    except TriptychError as error:
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
