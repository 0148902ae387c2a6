"""The section on a year of yellow months, from the results of `benchmarks.transform.year`."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.markdown import AIMS, measured_on, number, ranged, table, verdict
from benchmarks.harness.measure import Row, spread

NEAR, WHOLE, FLAT = 1.5, 4.0, 1.1


def section(result: dict[str, Any]) -> str:
    """Return the section."""
    rows: list[Row] = result["rows"]
    conditions = result["conditions"]
    return "\n".join(
        [
            f"## A year of {conditions['rows_per_month']:,} rows a month\n",
            f"{conditions['months']} yellow months, generated. `copy` sends rows that were encoded in advance, and "
            "`create table as` is the query of `fct_trips` with the key of the published table: what PostgreSQL does "
            "alone. A refresh also builds `daily_borough_stats`, tests both, takes digests and publishes them. Memory "
            f"is the peak of the loader's process. {measured_on(result)}\n",
            table(
                ["load of a month", "thousand rows a second", "wall s", "peak MB"],
                [_load(rows, way) for way in ("triptych", "copy")],
            ),
            table(
                ["build", "million rows", "wall s", "of that `fct_trips`", "peak MB"],
                [_build(row) for row in rows if row["question"] != "load"],
            ),
            table(AIMS, _aims(rows)),
        ]
    )


def _loads(rows: list[Row], way: str) -> list[Row]:
    return [row for row in rows if (row["question"], row["way"]) == ("load", way)]


def _load(rows: list[Row], way: str) -> list[str]:
    found = _loads(rows, way)
    rates = spread(row["rows"] / row["wall_s"] / 1000 for row in found)
    columns = (rates, *(spread(row[name] for row in found) for name in ("wall_s", "peak_rss_mb")))
    return [f"`{way}`", *map(ranged, columns)]


def _build(row: Row) -> list[str]:
    figures = (row["rows"] / 1e6, row["wall_s"], row["fct_trips_s"], row["peak_rss_mb"])
    return [f"{row['question'].removeprefix('build ')}: `{row['way']}`", *map(number, figures)]


def _aims(rows: list[Row]) -> list[list[str]]:
    ours, bare = _loads(rows, "triptych"), _loads(rows, "copy")
    shares = [mine["wall_s"] / theirs["wall_s"] for mine, theirs in zip(ours, bare, strict=True)]
    made = {(row["question"], row["way"]): row for row in rows}
    year, alone = (made["build a year", way] for way in ("triptych", "create table as"))
    return [
        verdict("a load, as a multiple of the bare COPY of its rows", spread(shares).median, NEAR),
        verdict(
            "`fct_trips` of the year, as a multiple of the bare CREATE TABLE AS, both without the key",
            year["fct_trips_s"] / alone["fct_trips_s"],
            NEAR,
        ),
        verdict(
            "the whole refresh of the year, as a multiple of the bare CREATE TABLE AS with its key",
            year["wall_s"] / alone["wall_s"],
            WHOLE,
        ),
        verdict(
            "peak memory of the last load, as a multiple of the first",
            ours[-1]["peak_rss_mb"] / ours[0]["peak_rss_mb"],
            FLAT,
        ),
    ]
