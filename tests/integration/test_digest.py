"""The digest changes when the content changes, and for no other reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg import sql

from core import digest
from core.database import Connection, connect

TABLE = """
    CREATE SCHEMA d;
    CREATE TABLE d.t (
        source_month date, row_number integer, note text, fare double precision, tip double precision,
        exact numeric(12, 2), at timestamp, zoned timestamptz, flag boolean
    );
    INSERT INTO d.t
    SELECT make_date(2024, 1 + g % 3, 1), g, 'note ' || g % 7, g / 7.0, -g / 3.0, g / 100.0,
           timestamp '2024-01-01' + g * interval '1 hour', timestamptz '2024-01-01 00:00+00' + g * interval '1 hour',
           g % 2 = 0
    FROM generate_series(1, 300) AS g;
    -- two rows are equal
    INSERT INTO d.t SELECT * FROM d.t WHERE row_number = 9
"""


@pytest.fixture
def connection(warehouse: str) -> Iterator[Connection]:
    with connect("test", autocommit=True) as opened:
        opened.execute(TABLE.encode())
        yield opened


def of(connection: Connection, name: str = "t", schema: str = "d") -> str:
    return digest.table(connection, schema, name).hex


CHANGES = {
    "a row lost": "DELETE FROM d.t WHERE row_number = 1",
    "a row doubled": "INSERT INTO d.t SELECT * FROM d.t WHERE row_number = 1",
    "one of two equal rows lost": "DELETE FROM d.t WHERE ctid = (SELECT min(ctid) FROM d.t WHERE row_number = 9)",
    "both of two equal rows lost": "DELETE FROM d.t WHERE row_number = 9",
    "a pair of equal rows doubled": "INSERT INTO d.t SELECT * FROM d.t WHERE row_number = 9",
    "another pair of equal rows": "UPDATE d.t SET row_number = 10 WHERE row_number = 9",
    "two values of a column exchanged": (
        "UPDATE d.t SET tip = CASE row_number WHEN 1 THEN -2 / 3.0 ELSE -1 / 3.0 END WHERE row_number < 3"
    ),
    "values moved to another column": "UPDATE d.t SET fare = tip, tip = fare WHERE row_number = 1",
    "all values moved to another column": "UPDATE d.t SET fare = tip, tip = fare",
    "NULL for empty text": "UPDATE d.t SET note = NULL WHERE row_number = 1",
    "a blank at the end of a text": "UPDATE d.t SET note = note || ' ' WHERE row_number = 1",
    "NULL for a number": "UPDATE d.t SET fare = NULL WHERE row_number = 1",
    "NaN for a number": "UPDATE d.t SET fare = 'NaN' WHERE row_number = 1",
    "a microsecond": "UPDATE d.t SET at = at + interval '1 microsecond' WHERE row_number = 1",
    "another month": "UPDATE d.t SET source_month = '2024-07-01' WHERE row_number = 1",
    "a column more": "ALTER TABLE d.t ADD more text",
    "a column less": "ALTER TABLE d.t DROP tip",
    "another type": "ALTER TABLE d.t ALTER row_number TYPE bigint",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_content_changes_it(connection: Connection, change: str) -> None:
    before = of(connection)
    connection.execute(CHANGES[change].encode())
    assert of(connection) != before


STATES = [
    "0",
    "'-0'",
    "'NaN'",
    "NULL",
    "'Infinity'",
    "1",
    "1.0000000000000002",
    "0.9999999999999999",
    "5e-324",
    "'-5e-324'",
]


def test_each_of_these_doubles_has_another_digest(connection: Connection) -> None:
    found = {}
    for state in STATES:
        connection.execute(f"UPDATE d.t SET fare = {state} WHERE row_number = 1".encode())
        found[state] = of(connection)
    assert len(set(found.values())) == len(STATES)


TEXTS = ["NULL", "''", "' '", "'N/A'", "'n/a'", "'é'", "E'e\\u0301'", "'0'", "'NULL'"]


def test_each_of_these_texts_has_another_digest(connection: Connection) -> None:
    found = {}
    for text in TEXTS:
        connection.execute(f"UPDATE d.t SET note = {text} WHERE row_number = 1".encode())
        found[text] = of(connection)
    assert len(set(found.values())) == len(TEXTS)


@pytest.mark.parametrize("bit", range(64))
def test_one_flipped_bit_of_a_double_changes_it(connection: Connection, bit: int) -> None:
    """Binary COPY writes the bits as they are, those of a NaN too."""
    before = of(connection)
    with connection.transaction(force_rollback=True):
        rows = connection.execute("SELECT float8send(fare) FROM d.t WHERE row_number = 7").fetchall()
        ((raw,),) = rows
        flipped = (int.from_bytes(raw, "big") ^ 1 << bit).to_bytes(8, "big")
        connection.execute("CREATE TEMP TABLE bits (fare double precision) ON COMMIT DROP")
        with connection.cursor().copy("COPY bits FROM STDIN (FORMAT binary)") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\1\0\0\0\x08" + flipped + b"\xff\xff")
        connection.execute("UPDATE d.t SET fare = bits.fare FROM pg_temp.bits WHERE row_number = 7")
        assert of(connection) != before
    assert of(connection) == before


SAME = {
    "physical order": "CREATE TABLE d.u AS SELECT * FROM d.t ORDER BY note, row_number DESC",
    "rewritten": "CREATE TABLE d.u AS TABLE d.t; UPDATE d.u SET tip = tip; VACUUM FULL d.u",
    "with dead rows": "CREATE TABLE d.u AS TABLE d.t; UPDATE d.u SET tip = tip; INSERT INTO d.u SELECT * FROM d.u; "
    "DELETE FROM d.u WHERE ctid NOT IN (SELECT max(ctid) FROM d.u GROUP BY row_number, tip); "
    "INSERT INTO d.u SELECT * FROM d.t WHERE row_number = 9 LIMIT 1",
    "partitioned": "CREATE TABLE d.u (LIKE d.t) PARTITION BY LIST (source_month); "
    "CREATE TABLE d.u_1 PARTITION OF d.u FOR VALUES IN ('2024-01-01'); "
    "CREATE TABLE d.u_2 PARTITION OF d.u DEFAULT; INSERT INTO d.u TABLE d.t",
    "a partition with its columns in another order": "CREATE TABLE d.u (LIKE d.t) PARTITION BY LIST (source_month); "
    "CREATE TABLE d.u_1 (flag boolean, zoned timestamptz, note text, row_number integer, source_month date, "
    "fare double precision, tip double precision, exact numeric(12, 2), at timestamp); "
    "ALTER TABLE d.u ATTACH PARTITION d.u_1 DEFAULT; INSERT INTO d.u TABLE d.t",
    "a dropped column": "CREATE TABLE d.u (gone text, LIKE d.t); INSERT INTO d.u SELECT 'x', * FROM d.t; "
    "ALTER TABLE d.u DROP gone",
    "indexed": "CREATE TABLE d.u AS TABLE d.t; CREATE INDEX ON d.u (note); CREATE INDEX ON d.u (source_month, fare)",
    "a view": "CREATE VIEW d.u AS SELECT * FROM d.t",
    "columns named like words of the query": "CREATE TABLE d.u AS SELECT source_month, row_number AS t, "
    "note AS bytes, fare AS row, tip, exact, at, zoned, flag FROM d.t",
    "unlogged": "CREATE UNLOGGED TABLE d.u AS TABLE d.t",
}


@pytest.mark.parametrize("form", SAME)
def test_how_the_rows_are_stored_does_not_matter(connection: Connection, form: str) -> None:
    for statement in SAME[form].split("; "):
        connection.execute(statement.encode())
    assert of(connection, "u") == of(connection)


SESSION = [
    "DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kathmandu'", "extra_float_digits = -15", "IntervalStyle = 'iso_8601'",
    "bytea_output = 'escape'", "search_path = 'd'", "lc_numeric = 'C'", "work_mem = '64kB'", "enable_hashagg = off",
    "jit = on", "xmlbinary = 'hex'", "array_nulls = off", "standard_conforming_strings = off",
    "default_transaction_isolation = 'serializable'",
]  # fmt: skip


@pytest.mark.parametrize("setting", SESSION)
def test_the_sessions_settings_do_not_matter(connection: Connection, setting: str) -> None:
    before, months = of(connection), digest.by_month(connection, "d", "t")
    connection.execute(f"SET {setting}".encode())
    assert (of(connection), digest.by_month(connection, "d", "t")) == (before, months)


@pytest.mark.parametrize("name", ["PGCLIENTENCODING", "PGDATESTYLE", "PGTZ", "PGOPTIONS"])
def test_the_environment_does_not_matter(connection: Connection, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    connection.execute("UPDATE d.t SET note = 'Łódź' WHERE row_number = 1")
    before = of(connection)
    values = {
        "PGCLIENTENCODING": "LATIN2",
        "PGDATESTYLE": "German",
        "PGTZ": "Asia/Kathmandu",
        "PGOPTIONS": "-c client_encoding=LATIN2",
    }
    monkeypatch.setenv(name, values[name])
    with connect("test") as other:
        assert of(other) == before


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_how_many_processes_read_does_not_matter(connection: Connection, workers: int) -> None:
    connection.execute("INSERT INTO d.t SELECT t.* FROM d.t CROSS JOIN generate_series(1, 99)")
    before = of(connection)
    for setting in (
        "parallel_setup_cost = 0", "parallel_tuple_cost = 0", "min_parallel_table_scan_size = 0",
        f"max_parallel_workers_per_gather = {workers}",
    ):  # fmt: skip
        connection.execute(f"SET {setting}".encode())
    connection.execute("ANALYZE d.t")
    assert of(connection) == before


def test_every_process_that_reads_also_hashes_and_makes_each_rows_bytes_once(connection: Connection) -> None:
    """A month of 60,000 rows is enough for a second process."""
    connection.execute("CREATE TABLE d.u AS SELECT t.* FROM d.t CROSS JOIN generate_series(1, 300)")
    with connection.transaction():
        query = digest._QUERY.format(key=sql.SQL("NULL::date"), table=sql.Identifier("d", "u"), which=sql.SQL("true"))
        explained = connection.execute(sql.SQL("EXPLAIN (VERBOSE) {}").format(query)).fetchall()
    gather, partial, *scan = [line for (line,) in explained if "->" in line]
    assert ("Gather" in gather, "Partial" in partial, len(scan), "Parallel Seq Scan" in scan[0]) == (
        True,
        True,
        1,
        True,
    )
    outputs = [line.strip() for (line,) in explained if "Output:" in line]
    assert outputs[-1] == "Output: record_send(t.*)"


def test_the_digest_of_these_rows_never_changes(connection: Connection) -> None:
    """Every version must compute the digests that older ones recorded: change `_VERSION` when this has to change."""
    connection.execute("CREATE TABLE d.u (a integer, b text, c double precision)")
    connection.execute("INSERT INTO d.u VALUES (1, 'one', 1.5), (NULL, '', 'NaN'), (2, NULL, '-0')")
    assert of(connection, "u") == "04709c3addf61c7753d091cbc935a580"


def test_the_months_add_up_to_the_table(connection: Connection) -> None:
    months = digest.by_month(connection, "d", "t")
    assert list(months) == ["2024-01", "2024-02", "2024-03"]
    assert digest.total(months.values()) == digest.table(connection, "d", "t")
    assert sum(month.rows for month in months.values()) == 301
    assert len({month.hex for month in months.values()}) == 3


def test_a_months_digest_is_that_of_its_rows_alone(connection: Connection) -> None:
    connection.execute("CREATE TABLE d.u AS SELECT * FROM d.t WHERE source_month = '2024-02-01'")
    assert digest.by_month(connection, "d", "t")["2024-02"] == digest.table(connection, "d", "u")


def test_rows_without_a_month_are_counted(connection: Connection) -> None:
    connection.execute("UPDATE d.t SET source_month = NULL WHERE row_number = 1")
    assert digest.total(digest.by_month(connection, "d", "t").values()) == digest.table(connection, "d", "t")


def test_an_empty_table_has_a_digest(connection: Connection) -> None:
    connection.execute("CREATE TABLE d.u (LIKE d.t)")
    empty = digest.table(connection, "d", "u")
    assert (empty.rows, digest.by_month(connection, "d", "u")) == (0, {})
    assert empty == digest.total([])
    assert empty.hex != of(connection)


def test_a_table_of_no_columns_still_counts_its_rows(connection: Connection) -> None:
    connection.execute("CREATE TABLE d.u (); INSERT INTO d.u DEFAULT VALUES")
    assert digest.table(connection, "d", "u").rows == 1


@pytest.mark.parametrize("name", ['say "hi"', "100%", "%s", "{0}", "Łódź", "semi;colon", "T", "x" * 63])
def test_any_name_of_a_table_works(connection: Connection, name: str) -> None:
    schema = sql.Identifier(name)
    connection.execute(
        sql.SQL("CREATE SCHEMA {}; CREATE TABLE {} AS TABLE d.t").format(schema, sql.Identifier(name, name))
    )
    assert of(connection, name, name) == of(connection)


def test_equal_rows_do_not_cancel_out(connection: Connection) -> None:
    seen = set()
    for _ in range(4):
        seen.add(of(connection))
        connection.execute("INSERT INTO d.t SELECT * FROM d.t WHERE row_number = 9 LIMIT 1")
    assert len(seen) == 4
