"""The case: a month is corrected, and an incremental model whose unique key has a NULL is built again."""

from __future__ import annotations

from itertools import count

from psycopg import sql

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.null_key.pipelines import BUILD
from tests.questions.asking import Asking

NUMBERS = count(1)


def observe(asking: Asking) -> Observed:
    """Publish and build twice, and return the trips by borough: in the model, and as published."""
    schema = f"null_key_{asking.orchestrator}_{next(NUMBERS)}"
    for version in ("first", "corrected"):
        run = asking.run(BUILD, {"schema": schema, "version": version})
        assert run.state == "success", run.error
    return {"built": trips(asking, schema, "trips_by_day"), "full build": trips(asking, schema, "published")}


def trips(asking: Asking, schema: str, table: str) -> dict[str, list[int]]:
    """Return the trips of each row of a table, by borough."""
    found: dict[str, list[int]] = {}
    with asking.bench.connect() as connection:
        query = sql.SQL("SELECT coalesce(borough, 'NULL'), trips FROM {} ORDER BY 1, 2")
        for borough, number in connection.execute(query.format(sql.Identifier(schema, table))):
            found.setdefault(str(borough), []).append(int(str(number)))
    return found


OF_DBT = Expected(
    "wrong",
    "It is dbt, whoever runs it: its documentation asks for a key without NULL, or the run may fail; it succeeds, and "
    "doubles the row. A key that the correction lacks stays.",
)

CASE = Case(
    question="Is an incremental model equal to a full build when its unique key has a NULL and the month is corrected?",
    theme="Empty data",
    report="dbt-labs/dbt-adapters#159",
    right=lambda observed: observed["built"] == observed["full build"],
    right_answer="The model has the rows of the correction, each once, and no others.",
    expected={"airflow": OF_DBT, "dagster": OF_DBT, "prefect": OF_DBT},
    observe=observe,
    differs=(
        "It is the control case: the three run the same dbt. The pipeline of this project has no unique key in dbt: a "
        "build replaces all rows of a month."
    ),
)
