"""The page on what a refresh of the models costs, from the results of `benchmarks.transform.times`."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.markdown import AIMS, header, number, ranged, table, verdict
from benchmarks.harness.measure import Row, Spread, spread
from benchmarks.transform import year_page

COLD_SHARE, GROWTH, COALESCED = 1 / 8, 1.5, 1.5


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    rows: list[Row] = result["rows"]
    return "\n".join(
        [
            header("What a refresh of the models costs", "benchmarks/results/transform.json", result),
            "A refresh is `core.transform.refresh`: one `dbt build` of what is pending, with its tests, whose "
            "results it records. Each figure is the median of the rounds, with the smallest and the largest in "
            "brackets. CPU seconds are those of the whole machine: dbt, PostgreSQL and the caller.\n",
            "## dbt, cold and warm\n",
            f"One month of {_facts(rows, 'start')['rows']} rows is pending, so nearly all of it is dbt itself.\n",
            table(["dbt", "wall s", "CPU s"], [_line("start", way, rows, way=way) for way in ("cold", "warm")]),
            "## Many months at once\n",
            "dbt is warm. A refresh builds all that is pending, so months that arrived together cost one build.\n",
            table(["months", "one refresh: wall s", "one by one: wall s"], _coalesced(rows)),
            "## One month among many\n",
            f"dbt is warm, and a month has {_facts(rows, 'growth')['rows']:,} rows.\n",
            table(
                ["months loaded", "refresh: wall s", "of that `fct_trips`", "of that `daily_borough_stats`"],
                _growth(rows),
            ),
            *([year_page.section(result["year"])] if "year" in result else []),
            "## Against the aims\n",
            table(AIMS, _aims(rows)),
            "A fork saves the imports, the caches and the compiled macros, which are the same for every call. What "
            "remains of a warm build is its own work: a session and some queries for each model and test, the "
            "events, and the artifacts, of which dbt writes the largest twice. What could be saved of that, and why "
            "it is not, is in [decision 8](../decisions/0008-warm-dbt.md).\n",
        ]
    )


def _facts(rows: list[Row], question: str) -> Row:
    return next(row for row in rows if row["question"] == question)


def _spread(rows: list[Row], what: str = "wall_s", **wanted: Any) -> Spread:
    return spread(row[what] for row in rows if all(row[key] == value for key, value in wanted.items()))


def _line(question: str, title: str, rows: list[Row], **wanted: Any) -> list[str]:
    return [title, *(ranged(_spread(rows, what, question=question, **wanted)) for what in ("wall_s", "cpu_s"))]


def _coalesced(rows: list[Row]) -> list[list[str]]:
    ways = ("one refresh", "one by one")
    return [
        [str(built), *(ranged(_spread(rows, question="coalesced", built=built, way=way)) for way in ways)]
        for built in _values(rows, "coalesced", "built")
    ]


def _growth(rows: list[Row]) -> list[list[str]]:
    return [
        [
            str(loaded),
            ranged(_spread(rows, question="growth", loaded=loaded)),
            *(number(_node(rows, loaded, model)) for model in ("fct_trips", "daily_borough_stats")),
        ]
        for loaded in _values(rows, "growth", "loaded")
    ]


def _values(rows: list[Row], question: str, key: str) -> list[int]:
    return sorted({row[key] for row in rows if row["question"] == question})


def _node(rows: list[Row], loaded: int, model: str) -> float:
    """Return median seconds of one model, as dbt counts them."""
    return spread(row["nodes"][model] for row in rows if row["question"] == "growth" and row["loaded"] == loaded).median


def _aims(rows: list[Row]) -> list[list[str]]:
    cold, warm = (_spread(rows, question="start", way=way).median for way in ("cold", "warm"))
    few, *_, many = _values(rows, "growth", "loaded")
    one, *_, most = _values(rows, "coalesced", "built")
    together = [_spread(rows, question="coalesced", way="one refresh", built=built).median for built in (one, most)]
    whole = [_spread(rows, question="growth", loaded=loaded).median for loaded in (few, many)]
    facts = [_node(rows, loaded, "fct_trips") for loaded in (few, many)]
    return [
        verdict("warm build of a month, as a share of the cold one", warm / cold, COLD_SHARE),
        verdict(f"{most} months in one refresh, as a multiple of {one}", together[1] / together[0], COALESCED),
        verdict(f"`fct_trips` of one month at {many} loaded months, against {few}", facts[1] / facts[0], GROWTH),
        verdict(f"the whole refresh of one month at {many} loaded months, against {few}", whole[1] / whole[0], GROWTH),
    ]
