"""The part of the page on when an edited pipeline file is seen (`benchmarks.orchestrators.edits`)."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness.markdown import table
from benchmarks.harness.measure import Row
from benchmarks.orchestrators.curves_cells import Line, cell, lines, of, select, title
from benchmarks.orchestrators.edits import CONSTANT, RESTART, TASK

DOCUMENTED = {
    "airflow": "[its configuration reference]"
    "(https://airflow.apache.org/docs/apache-airflow/stable/configurations-ref.html#refresh-interval): the DAG "
    "processor looks for new files every `refresh_interval`, 300 s as shipped and 10 s here; it parses a file again "
    "after `min_file_process_interval`, 30 s as shipped and 600 s here, and writes a DAG at most every "
    "`min_serialized_dag_update_interval`, 30 s",
    "dagster": "[its page on code locations](https://docs.dagster.io/deployment/code-locations/"
    "managing-code-locations-with-definitions): a code location is loaded in a process of its own, and the web server "
    "picks up an update of it without a restart. The code server has to load the code again for that",
    "prefect": "[its guide to code storage](https://docs.prefect.io/v3/how-to-guides/deployments/store-flow-code): "
    "the server keeps no code; a run gets it where it executes",
}
"""What each orchestrator's documentation says of when a change of the code is seen."""


def part(rows: list[Row]) -> Iterator[str]:
    found = select(rows, "edit")
    yield "## Until an edited file is seen\n"
    yield (
        "From the edit of a pipeline's file to the start of the first task that shows it; runs are started one after "
        "the other. `constant`: a task returns another constant. `task`: the pipeline has a second task. `restart`: "
        "the same, and the process that serves the code is restarted at once, where the edit alone was not seen. The "
        "seconds include those until a run starts, and a run that shows an edit was often the first one.\n"
    )
    yield table(
        ["", f"{CONSTANT}, s", f"{TASK}, s", f"{RESTART}, s"],
        (_edit(found, line) for line in lines(found)),
    )
    names = dict.fromkeys(name for name, _ in lines(found))
    yield "What is documented:\n"
    yield "\n".join(f"- {name}: {DOCUMENTED[name]}." for name in names if name in DOCUMENTED) + "\n"


def _edit(rows: list[Row], line: Line) -> list[str]:
    of_line = of(rows, line)
    cells = (cell([row for row in of_line if row["edit"] == edit], "seen_s") for edit in (CONSTANT, TASK, RESTART))
    return [title(line), *cells]
