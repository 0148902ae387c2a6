"""Any tables of any schemas can be compared: by month, by any name, whoever made them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from core.database import Connection, connect
from core.errors import UsageError
from core.lab import cli
from core.lab.display import parity_lines
from core.lab.parity import Parity, compare
from core.lab.scope import Scope
from core.month import parse_months

ORDERS = """
    CREATE SCHEMA old;
    CREATE SCHEMA new;
    CREATE TABLE old.orders (id integer, at date, amount numeric(10, 2));
    INSERT INTO old.orders VALUES (1, '2024-01-05', 1), (2, '2024-01-31', 2), (3, '2024-02-01', 3), (4, NULL, 4);
    CREATE TABLE new.orders AS SELECT * FROM old.orders ORDER BY id DESC;
"""


@pytest.fixture
def connection(warehouse: str) -> Iterator[Connection]:
    with connect("test") as opened:
        opened.execute(ORDERS)
        yield opened


def parity(
    connection: Connection, *schemas: str, tables: str = "", months: str = "", column: str | None = None
) -> Parity:
    connection.commit()
    chosen = parse_months(months, "0001-01") if months else None
    found = compare(connection, schemas or ("old", "new"), "plain", Scope(tables.split() or None, chosen, column))
    connection.rollback()
    return found


def lines(found: Parity) -> list[str]:
    return [line for line in parity_lines(found, "plain") if not line.startswith("compared with ")]


def test_all_tables_are_compared_where_none_is_named(connection: Connection) -> None:
    connection.execute(
        "CREATE VIEW old.big AS SELECT * FROM old.orders; CREATE MATERIALIZED VIEW new.big AS TABLE old.big"
    )
    found = parity(connection)
    assert ([row.table for row in found.rows], found.verdict) == (["big", "orders"], "identical")
    assert lines(found) == ["identical: 2 tables in 2 schemas"]
    assert found.to_json()["verdict"] == "identical"


def test_without_a_second_schema_there_are_digests_only(connection: Connection) -> None:
    found = parity(connection, "old")
    assert lines(found) == ["digests only: 1 table in old, nothing to compare with"]


@pytest.mark.parametrize(
    "cast",
    ["date", "timestamp", "timestamptz", "text", "varchar", "char(7)"],
)
def test_a_month_is_told_by_a_date_a_timestamp_or_a_text(connection: Connection, cast: str) -> None:
    value = "to_char(at, 'YYYY-MM')" if "char" in cast or cast == "text" else "at"
    for schema in ("old", "new"):
        connection.execute(
            f"CREATE TABLE {schema}.t AS SELECT id, {value}::{cast} AS source_month FROM old.orders".encode()
        )
    connection.execute("UPDATE new.t SET id = 9 WHERE id = 3")
    found = parity(connection, tables="t")
    assert (found.rows[0].months, found.common) == ({"new": ["2024-02"]}, ["2024-01", "2024-02"])
    assert lines(found) == ["new.t differs from old.t in 2024-02", "different: 1 of 1 table in 2 schemas"]
    assert parity(connection, tables="t", months="2024-01").identical
    assert not parity(connection, tables="t", months="2024-01..2024-02").identical


def test_a_moment_belongs_to_the_month_of_utc_whatever_the_session_says(connection: Connection) -> None:
    connection.execute("SET TimeZone = 'Asia/Kathmandu'")
    for schema in ("old", "new"):
        connection.execute(f"CREATE TABLE {schema}.t AS SELECT timestamptz '2024-01-31 23:59:59+00' AS at".encode())
    assert parity(connection, tables="t", column="at").common == ["2024-01"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("date", "infinity"), ("date", "0044-03-15 BC"), ("timestamp", "20240-01-01"), ("timestamptz", "-infinity"),
        ("text", "January"), ("text", "0000-01"), ("text", "2024-13"), ("text", "2024-01-05"),
    ],
)  # fmt: skip
def test_a_value_that_tells_no_month_is_compared_all_the_same(connection: Connection, kind: str, value: str) -> None:
    for schema, n in (("old", 1), ("new", 2)):
        query = sql.SQL("CREATE TABLE {}.t AS SELECT {}::{} AS at, {} AS n").format(
            sql.Identifier(schema), sql.Literal(value), sql.Identifier(kind), sql.Literal(n)
        )
        connection.execute(query)
    found = parity(connection, tables="t", column="at")
    assert (found.common, found.verdict) == ([], "different")
    connection.execute("UPDATE new.t SET n = 1")
    assert parity(connection, tables="t", column="at").identical


def test_months_that_one_has_no_rows_of_are_told_and_the_others_compared(connection: Connection) -> None:
    connection.execute("DELETE FROM new.orders WHERE at = '2024-02-01'")
    found = parity(connection, column="at")
    assert lines(found) == [
        "new.orders has no rows of 2024-02", "uneven: identical in the months that all have: 2024-01"
    ]  # fmt: skip
    assert found.to_json()["differences"] == [
        {"table": "orders", "schema": "new", "months": ["2024-02"], "lacks": ["2024-02"]}
    ]
    connection.execute("UPDATE new.orders SET id = 9 WHERE id = 1")
    assert lines(parity(connection, column="at"))[1:] == [
        "new.orders differs from old.orders in 2024-01", "different: 1 of 1 table in 2 schemas"
    ]  # fmt: skip


def test_other_rows_without_a_month_are_not_only_uneven(connection: Connection) -> None:
    connection.execute("DELETE FROM new.orders WHERE at = '2024-02-01'; UPDATE new.orders SET id = 9 WHERE at IS NULL")
    assert lines(parity(connection, column="at"))[1:] == [
        "new.orders differs from old.orders in rows without a month", "different: 1 of 1 table in 2 schemas"
    ]  # fmt: skip


def test_what_has_no_month_is_compared_whole_beside_what_has(connection: Connection) -> None:
    connection.execute("CREATE TABLE old.people AS SELECT 1 AS id; CREATE TABLE new.people AS SELECT 2 AS id")
    found = parity(connection, tables="orders people", months="2024-01", column="at")
    assert (found.whole, [row.table for row in found.differing]) == (["people"], ["people"])
    assert lines(found)[0] == "compared whole, because no column holds the month of a row: people"


def test_months_without_rows_are_told(connection: Connection) -> None:
    found = parity(connection, months="2024-02..2024-04", column="at")
    assert (found.empty, lines(found)[0]) == (["2024-03", "2024-04"], "no table has rows of 2024-03..2024-04")
    with pytest.raises(UsageError, match=r"--months: no table has rows of 2024-03\.\.2024-04"):
        parity(connection, months="2024-03..2024-04", column="at")


COLUMNS = {
    "ADD x text": "new.orders has a column x, and old.orders has not",
    "DROP amount": "new.orders has no column amount, and old.orders has",
    "ALTER id TYPE bigint": "new.orders.id is bigint, and old.orders.id is integer",
    "DROP id, ADD id integer": "new.orders has its columns in another order than old.orders: at, amount, id",
    'RENAME amount TO "Amount"': "new.orders has no column amount, and old.orders has",
}


@pytest.mark.parametrize("change", COLUMNS)
def test_other_columns_are_told_before_any_digest(connection: Connection, change: str) -> None:
    connection.execute(f"ALTER TABLE new.orders {change}".encode())
    # An empty table has the same digest whatever its columns are.
    connection.execute("TRUNCATE old.orders, new.orders")
    found = parity(connection)
    assert (lines(found)[0], found.verdict, found.as_recorded) == (COLUMNS[change], "different", False)
    assert found.rows[0].digests["new"] is None


def test_another_precision_is_told_where_it_matters(connection: Connection) -> None:
    connection.execute("ALTER TABLE new.orders ALTER amount TYPE numeric(12, 2)")
    assert parity(connection).identical
    connection.rollback()
    connection.execute("ALTER TABLE new.orders ALTER amount TYPE numeric(12, 3)")
    assert lines(parity(connection))[0] == "new.orders.amount is numeric(12,3), and old.orders.amount is numeric(10,2)"


STORED = {
    "a view": "CREATE VIEW new.t AS TABLE old.orders",
    "a materialized view": "CREATE MATERIALIZED VIEW new.t AS TABLE old.orders",
    "partitions": "CREATE TABLE new.t (LIKE old.orders) PARTITION BY LIST (at); "
    "CREATE TABLE new.t_1 PARTITION OF new.t DEFAULT; INSERT INTO new.t TABLE old.orders",
    "a generated column": "CREATE TABLE new.t (id integer, at date, amount numeric "
    "GENERATED ALWAYS AS (id::numeric(10, 2))); "
    "INSERT INTO new.t SELECT id, at FROM old.orders",
    "a foreign table": "CREATE EXTENSION file_fdw SCHEMA new; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw;"
    "CREATE FOREIGN TABLE new.t (id integer, at date, amount numeric) SERVER s "
    "OPTIONS (program 'printf \"1\\t2024-01-05\\t1.00\\n2\\t2024-01-31\\t2.00\\n"
    "3\\t2024-02-01\\t3.00\\n4\\t\\\\N\\t4.00\\n\"')",
}


@pytest.mark.parametrize("form", STORED)
def test_how_the_rows_are_stored_does_not_matter(connection: Connection, form: str) -> None:
    connection.execute("CREATE VIEW old.t AS TABLE old.orders")
    connection.execute(STORED[form].encode())
    found = parity(connection, tables="t", column="at")
    assert (found.identical, found.common) == (True, ["2024-01", "2024-02"]), lines(found)


def test_partitions_are_not_tables_of_their_own(connection: Connection) -> None:
    for schema in ("old", "new"):
        connection.execute(f"CREATE TABLE {schema}.p (a integer) PARTITION BY LIST (a)".encode())
    connection.execute("CREATE TABLE new.p_default PARTITION OF new.p DEFAULT")
    assert [row.table for row in parity(connection).rows] == ["orders", "p"]


@pytest.mark.parametrize("name", ['say "hi"', "100%", "%s", "{0}", "Łódź", "semi;colon, comma", "select", "t", "bytes"])
def test_any_name_of_a_schema_a_table_and_a_column_works(connection: Connection, name: str) -> None:
    for schema in (name, f"{name} 2"):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        table, column = sql.Identifier(schema, name), sql.Identifier(name)
        connection.execute(sql.SQL("CREATE TABLE {} AS SELECT at AS {} FROM old.orders").format(table, column))
    connection.commit()
    found = compare(connection, [name, f"{name} 2"], "plain", Scope([name], parse_months("2024-01"), name))
    assert (found.identical, found.rows[0].table) == (True, name)


# --- what can't be compared -------------------------------------------------------------------------------------------


@pytest.fixture
def reader(connection: Connection) -> Iterator[Connection]:
    """A connection whose role may read `old` and `new`, but not what a test takes from it."""
    role = sql.Identifier(f"reader_{connection.info.backend_pid}")
    connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA old, new TO {}").format(role))
    connection.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA old, new TO {}").format(role))
    connection.execute(sql.SQL("SET ROLE {}").format(role))
    connection.commit()
    yield connection
    connection.rollback()
    connection.execute("RESET ROLE")
    connection.execute(sql.SQL("DROP OWNED BY {role}; DROP ROLE {role}").format(role=role))
    connection.commit()


def test_a_table_that_this_role_may_not_read_is_told(reader: Connection, warehouse: str) -> None:
    with psycopg.connect(warehouse, autocommit=True) as owner:
        owner.execute("CREATE TABLE old.shut AS SELECT 1 AS a; CREATE TABLE new.shut AS SELECT 1 AS a")
    found = parity(reader)
    assert lines(found) == [
        "old.shut is not compared: permission denied for table shut",
        "new.shut is not compared: permission denied for table shut",
        "not compared: 1 of 2 tables",
    ]
    assert not found.as_recorded


def test_rows_that_a_policy_hides_are_not_called_equal(reader: Connection, warehouse: str) -> None:
    with psycopg.connect(warehouse, autocommit=True) as owner:
        owner.execute("DELETE FROM old.orders; ALTER TABLE new.orders ENABLE ROW LEVEL SECURITY")
    assert reader.execute("SELECT count(*) FROM new.orders").fetchone() == (0,)
    reader.rollback()
    found = parity(reader)
    assert found.verdict == "not compared", lines(found)
    assert "would be affected by row-level security policy" in lines(found)[0]


def test_a_view_that_fails_does_not_end_the_comparison(connection: Connection) -> None:
    for schema in ("old", "new"):
        connection.execute(f"CREATE VIEW {schema}.bad AS SELECT 1 / (id - 1) AS a FROM old.orders".encode())
    found = parity(connection)
    assert lines(found)[-1] == "not compared: 1 of 2 tables"
    assert [problem["line"] for problem in found.to_json()["problems"]] == [
        "old.bad is not compared: division by zero", "new.bad is not compared: division by zero"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--schemas", "old,nope"], "--schemas: there is no schema nope in this database"),
        (["--schemas", "old,new", "--tables", "orders,nope"], "--tables: no table or view nope in old, new"),
        (["--schemas", "old,new", "--tables", "Or ders"], '--tables: no table or view "Or ders" in old, new'),
        (
            ["--schemas", "old,new", "--months", "2024-01"],
            "--months: no column holds the month of a row of orders: name one with --month-column, "
            "or leave out --months",
        ),
        (["--schemas", "old,new", "--month-column", "when"], "--month-column when: no column of orders has this name"),
        (
            ["--schemas", "old,new", "--month-column", "id"],
            "--month-column id: new.orders.id is integer, which holds no month; "
            "name a date, a timestamp, or a text like 2024-01",
        ),
        (["--tables", "orders"], "nothing is loaded: no schema plain, "),
    ],
)
def test_a_wrong_name_is_a_usage_error_of_one_line(
    connection: Connection, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection.commit()
    assert cli.main(["parity", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"triptych: {message}")


def test_the_exit_code_says_whether_anything_differs(connection: Connection) -> None:
    connection.commit()
    words = ["parity", "--schemas", "old,new", "--tables", "orders"]
    assert cli.main(words) == 0
    connection.execute("UPDATE new.orders SET id = 9 WHERE id = 1")
    connection.commit()
    assert cli.main(words) == 1
    assert cli.main([*words, "--months", "2024-02", "--month-column", "at"]) == 0


def test_names_with_commas_and_quotes_are_written_as_sql_writes_them(connection: Connection) -> None:
    connection.execute('CREATE SCHEMA "a, ""b"""; CREATE TABLE "a, ""b""".orders AS TABLE old.orders')
    connection.commit()
    assert cli.main(["parity", "--schemas", 'old, "a, ""b"""']) == 0
