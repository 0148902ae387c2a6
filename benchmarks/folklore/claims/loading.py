"""Claims about loading a table."""

from __future__ import annotations

import statistics

from benchmarks.folklore.claim import FOLDER, PYTHON, Claim, Found
from benchmarks.folklore.results import Results
from benchmarks.harness.markdown import number

PEERS = f"{PYTHON} -m core.lab.environments bench"
"""What makes the environment with pandas and psycopg 2."""

INSERTS = (PEERS, f"{PYTHON} -m benchmarks.strategies.claims --rounds 1 {FOLDER}")
GROWTH = (f"{PYTHON} -m benchmarks.strategies.growth --rounds 1 --months 6,24 {FOLDER}",)
KILLS = (PEERS, f"{PYTHON} -m tests.faults.soak --kills 50 --contrast 50 {FOLDER}")


def us_a_row(found: Results, method: str, delay_ms: float) -> float:
    """Return what a row costs by one way to insert, at one distance from the server."""
    return found.median("claims", "us_per_row", method=method, one_way_ms=delay_ms)


def distances(found: Results) -> tuple[float, float]:
    """Return the shortest and the longest delay that were measured."""
    delays = [float(row["one_way_ms"]) for row in found.rows("claims")]
    return min(delays), max(delays)


def trips(found: Results) -> str:
    """Return the round trips of both distances, in words."""
    near, far = (found.median("claims", "round_trip_ms", one_way_ms=delay) for delay in distances(found))
    return f"at round trips of {number(near)} and {number(far)} ms"


def factors(found: Results, fast: str, slow: str) -> tuple[float, float]:
    """Return how many times faster one way is than another, near and far."""
    near, far = (us_a_row(found, slow, delay) / us_a_row(found, fast, delay) for delay in distances(found))
    return near, far


def copy(found: Results) -> Found:
    """Compare COPY with three ways to insert."""
    shown = {
        "psycopg 3's `executemany`": factors(found, "copy", "executemany"),
        "`execute_values`": factors(found, "copy", "execute_values"),
        "an INSERT for each row": factors(found, "copy", "execute"),
    }
    lines = ", ".join(
        f"{number(near)} and {number(far)} times faster than {name}" for name, (near, far) in shown.items()
    )
    every = [factor for pair in shown.values() for factor in pair]
    return Found(f"COPY is {lines} ({trips(found)}).", 5 <= min(every) <= 10 < max(every))


def multi(found: Results) -> Found:
    """Compare `to_sql(method="multi")` with the default, and with what it was made against."""
    near, far = factors(found, "to_sql", "to_sql_multi")
    _, awaited = factors(found, "to_sql_multi", "execute")
    return Found(
        f"It is {number(near)} and {number(far)} times *slower* than the default ({trips(found)}). It is "
        f"{number(awaited)} times faster than an INSERT for each row that waits for a server far away.",
        min(near, far) > 2 and awaited > 10,
    )


def executemany(found: Results) -> Found:
    """Compare psycopg 3's `executemany` with an INSERT for each row."""
    near, far = factors(found, "executemany", "execute")
    return Found(
        f"psycopg 3's `executemany` is {number(near)} and {number(far)} times faster than an INSERT for each row "
        f"({trips(found)}).",
        min(near, far) > 2,
    )


def overwrite(found: Results) -> Found:
    """Read an overwrite of a table of 600,000 rows off the line through the sizes that were measured."""
    rows = found.rows("growth", strategy="overwrite")
    line = statistics.linear_regression([row["rows_written"] for row in rows], [row["wall_s"] for row in rows])
    seconds = line.slope * 6e5 + line.intercept
    swap = found.median("growth", "wall_s", strategy="swap")
    return Found(
        f"An overwrite of 600,000 rows takes {number(seconds)} s, {number(seconds / swap)} times a swap of one month. "
        f"Each further million takes {number(1e6 * line.slope)} s, and leaves a million dead rows.",
        seconds < 10 and line.slope > 0 and seconds > swap,
    )


def upsert(found: Results) -> Found:
    """Compare an upsert with a swap, when all rows of a month changed and when few did."""
    swap, every, few = (
        [found.median("growth", column, strategy=name) for column in ("wall_s", "wal_bytes")]
        for name in ("swap", "upsert", "upsert, 1 % changed")
    )
    shown = [f"{number(seconds)} s and {number(wal / 1e6)} MB of WAL" for seconds, wal in (swap, every, few)]
    return Found(
        f"A swap of a month: {shown[0]}. An upsert, when all rows changed: {shown[1]}; when one in a "
        f"hundred did: {shown[2]}.",
        every[1] > swap[1] > few[1] and every[0] > swap[0],
    )


def killed_retries(found: Results) -> Found:
    """Read what kills did to the usual pattern and to a load in one transaction."""
    soak = found.soak()
    usual = soak["contrast"]
    return Found(
        f"After {usual['kills']} kills and one clean pass, {usual['extra_rows']} rows are there twice. A load in one "
        f"transaction, after {soak['kills']:,} kills: {soak['extra_rows']} twice, {soak['lost_rows']} lost.",
        usual["extra_rows"] > 0 == soak["extra_rows"] == soak["lost_rows"],
    )


def by_date(found: Results) -> Found:
    """Read what the usual pattern does without a kill."""
    usual = found.soak()["contrast"]["without_kills"]
    return Found(
        f"Neighboring months, each loaded once and without a kill: {usual['lost_rows']} rows are lost.",
        usual["lost_rows"] > 0,
    )


def copy_expert(found: Results) -> Found:
    """Read what the method accepts."""
    tried = found.check("psycopg_copy")
    taken, refused = (
        [name for name, what in tried["psycopg2"].items() if what.endswith("rows") == wanted]
        for wanted in (True, False)
    )
    return Found(
        f"psycopg 2 takes {', '.join(taken)}, and refuses {', '.join(refused)}. In psycopg 3, `copy_expert` "
        f"{'exists' if tried['psycopg3_has_it'] else 'does not exist'}.",
        "a file opened as bytes" in taken and "a path" in refused and tried["psycopg3_has_it"] is False,
    )


def cold_dbt(found: Results) -> Found:
    """Compare a dbt build in a new process with one in a process that has imported dbt."""
    cold, warm = (found.median("transform", "wall_s", question="start", way=way) for way in ("cold", "warm"))
    return Found(
        f"The same build takes {number(cold)} s in a new process and {number(warm)} s in one that has imported dbt.",
        cold > 2 and cold > 3 * warm,
    )


CLAIMS = (
    Claim(
        "copy",
        "COPY is five to ten times faster than inserts.",
        circulates="blog posts, answers on question-and-answer sites",
        verdict="depends",
        meaning=(
            "It is faster than every kind of insert. By how much depends on the kind, and on how far away the "
            "server is."
        ),
        evidence=copy,
        more=INSERTS,
    ),
    Claim(
        "to-sql-multi",
        '`to_sql(method="multi")` is ten times faster.',
        circulates="answers on question-and-answer sites, blog posts",
        verdict="false",
        meaning=(
            "Its fame comes from drivers that wait for an answer to each row. Current ones do not, and then "
            "building a statement with a thousand rows costs more than it saves."
        ),
        evidence=multi,
        more=INSERTS,
    ),
    Claim(
        "executemany",
        "`executemany` is a loop of INSERTs, and as slow.",
        circulates="the documentation of psycopg 2, answers on question-and-answer sites",
        verdict="stale",
        meaning="It is true of psycopg 2. psycopg 3 sends the rows in a pipeline, and does not wait for the answers.",
        evidence=executemany,
        more=INSERTS,
    ),
    Claim(
        "full-overwrite",
        "A full overwrite is fine at 600,000 rows.",
        circulates="lists of best practices, interview lists",
        verdict="true",
        meaning=(
            "It is the simplest load that can be repeated, and its price grows with the table and not with the change."
        ),
        evidence=overwrite,
        more=GROWTH,
    ),
    Claim(
        "upsert",
        "An upsert is cheaper than replacing the month.",
        circulates="blog posts, conference talks",
        verdict="depends",
        meaning="It writes less only when little changed, and it reads and compares everything either way.",
        evidence=upsert,
        more=GROWTH,
    ),
    Claim(
        "delete-insert-retries",
        "Delete, then insert: retries are safe.",
        circulates="lists of best practices, interview lists",
        verdict="false",
        meaning=(
            "Only if both are one transaction. On two connections, or with a commit between them, the retry finds "
            "what the killed attempt has left."
        ),
        evidence=killed_retries,
        more=KILLS,
    ),
    Claim(
        "delete-append-by-date",
        "Delete by date, then append: the load is idempotent.",
        circulates="tutorials, interview lists, online courses",
        verdict="false",
        meaning=(
            "A month's file has rows of other months. The delete takes rows that came with another file, and what "
            "it leaves is appended again. Delete by the file that the rows came from."
        ),
        evidence=by_date,
        more=KILLS,
    ),
    Claim(
        "copy-expert",
        "To load a CSV, hand an open file to `copy_expert`.",
        circulates="answers on question-and-answer sites, tutorials",
        verdict="depends",
        meaning=(
            "It depends on the driver. psycopg 3 has `copy`, which is a context manager and takes bytes, rows or "
            "blocks."
        ),
        evidence=copy_expert,
        check="psycopg_copy",
    ),
    Claim(
        "cold-dbt",
        "Each call of dbt costs seconds before its first query.",
        circulates="issue trackers, blog posts",
        verdict="depends",
        meaning=(
            "It is the import and the parsing, once for each process. A resident process that forks pays it once."
        ),
        evidence=cold_dbt,
        more=(f"{PYTHON} -m benchmarks.transform.times --rounds 1 --loaded 2,3 --rows 2000 {FOLDER}",),
    ),
)
