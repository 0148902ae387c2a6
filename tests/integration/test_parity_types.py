"""The digest is a function of the values alone, for every type of PostgreSQL that it can take.

docs/parity.md lists the types; these tests check that the list is whole, and true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from core import digest
from core.database import Connection, connect
from core.lab.parity import compare
from core.settings import ROOT
from tests.integration.test_digest import SESSION

VALUES = {
    "boolean": ("true", "false"),
    "smallint": ("1", "-1"),
    "integer": ("1", "-1"),
    "bigint": ("1", "-1"),
    "numeric": ("0", "1", "1.0", "1.00", "NaN", "Infinity", "-Infinity", "1e-20", "123456789012345678901234567890"),
    "real": ("0", "-0", "NaN", "Infinity", "-Infinity", "1", "1.0000001"),
    "double precision": ("0", "-0", "NaN", "Infinity", "-Infinity", "1", "1.0000000000000002"),
    "money": ("1.50", "-1.50", "0"),
    "text": ("", " ", "NULL", "é", "e\u0301", "ß", "\U0001f600", "a\\b\n"),
    "character varying": ("", " ", "é"),
    "character": ("", " ", "é"),
    '"char"': ("a", "b", ""),
    "name": ("a", "b"),
    "refcursor": ("a", "b"),
    "bytea": ("\\x", "\\x00", "\\xff"),
    "json": ('{"a":1}', '{"a": 1}', '{"a":1.0}', "null"),
    "jsonb": ('{"a":1}', '{"a":1.0}', "[]", "null"),
    "jsonpath": ("$.a", "$.b"),
    "date": ("2024-01-01", "infinity", "-infinity", "0044-03-15 BC"),
    "time without time zone": ("12:00", "12:00:00.000001", "24:00"),
    "time with time zone": ("12:00+00", "13:00+01"),
    "timestamp without time zone": ("2024-01-01", "infinity", "0044-03-15 BC", "2024-01-01 00:00:00.000001"),
    "timestamp with time zone": ("2024-01-01 00:00+00", "infinity", "2024-01-01 00:00+01"),
    "interval": ("1 month", "30 days", "720:00:00", "infinity"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001"),
    "bit": ("0", "1"),
    "bit varying": ("0", "00", ""),
    "inet": ("10.0.0.1", "10.0.0.1/24", "::1"),
    "cidr": ("10.0.0.0/8", "10.0.0.0/9"),
    "macaddr": ("08:00:2b:01:02:03", "08:00:2b:01:02:04"),
    "macaddr8": ("08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06"),
    "point": ("(0,0)", "(-0,0)", "(1,2)"),
    "line": ("{1,2,3}", "{1,2,4}"),
    "lseg": ("[(0,0),(1,1)]", "[(1,1),(0,0)]"),
    "box": ("(1,1),(0,0)", "(2,1),(0,0)"),
    "path": ("((0,0),(1,1))", "[(0,0),(1,1)]"),
    "polygon": ("((0,0),(1,1))", "((1,1),(0,0))"),
    "circle": ("<(0,0),1>", "<(0,0),2>"),
    "tsvector": ("a:1", "a:2", "'ä b'"),
    "tsquery": ("a & b", "a | b"),
    "int4range": ("[1,3)", "[1,4)", "empty", "(,)"),
    "int8range": ("[1,3)", "[1,4)", "empty", "(,)"),
    "numrange": ("[1,2]", "[1,2)", "[1.0,2]"),
    "daterange": ("[2024-01-01,2024-02-01)", "[2024-01-01,)"),
    "tsrange": ("[2024-01-01,2024-02-01)", "[2024-01-01,)"),
    "tstzrange": ("[2024-01-01 00:00+00,)", "[2024-01-01 00:00+01,)"),
    "int4multirange": ("{}", "{[1,3)}", "{[1,3),[5,6)}"),
    "int8multirange": ("{}", "{[1,3)}"),
    "nummultirange": ("{}", "{[1,3)}"),
    "datemultirange": ("{}", "{[2024-01-01,2024-02-01)}"),
    "tsmultirange": ("{}", "{[2024-01-01,2024-02-01)}"),
    "tstzmultirange": ("{}", "{[2024-01-01 00:00+00,)}", "{[2024-01-01 00:00+01,)}"),
    "oid": ("1", "2"),
    "xid": ("1", "2"),
    "xid8": ("1", "2"),
    "cid": ("1", "2"),
    "tid": ("(0,1)", "(0,2)"),
    "pg_lsn": ("0/1", "1/0"),
    "pg_snapshot": ("10:20:", "10:20:15"),
    "txid_snapshot": ("10:20:", "10:20:15"),
    "int2vector": ("1 2", "2 1"),
    "oidvector": ("1 2", "2 1"),
    "regclass": ("pg_class", "pg_type"),
    "regtype": ("integer", "text"),
    "regproc": ("pi", "pg_sleep"),
    "regprocedure": ("pi()", "pg_sleep(double precision)"),
    "regoper": ("||/", "|/"),
    "regoperator": ("+(integer,integer)", "-(integer,integer)"),
    "regrole": ("pg_monitor", "pg_read_all_data"),
    "regnamespace": ("pg_catalog", "information_schema"),
    "regcollation": ('"C"', '"POSIX"'),
    "regconfig": ("simple", "english"),
    "regdictionary": ("simple", "english_stem"),
    # What a user makes: an array, an enum, a composite type, a domain
    "integer[]": ("{}", "{1,2}", "{1,NULL}", "[0:1]={1,2}", "{{1,2}}"),
    "d.mood": ("sad", "glad"),
    "d.pair": ("(1,2024-01-01 00:00+00)", "(1,)", "(,)"),
    "d.positive": ("1", "1.0"),
}

EQUAL_BUT_DIFFERENT = {
    "numeric": ("1.0", "1.00"),
    "double precision": ("0", "-0"),
    "interval": ("1 month", "30 days"),
    "jsonb": ('{"a":1.0}', '{"a":1.00}'),
    "numrange": ("[1,2]", "[1.0,2]"),
    "character": ("é", "é "),
}
"""Values that are equal to ``=``, and not to the digest."""

MADE_HERE = """
    CREATE SCHEMA d;
    CREATE TYPE d.mood AS ENUM ('sad', 'glad');
    CREATE TYPE d.pair AS (a integer, at timestamptz);
    CREATE TYPE d.holder AS (a aclitem);
    CREATE DOMAIN d.positive AS numeric CHECK (VALUE > 0);
"""


@pytest.fixture
def connection(warehouse: str) -> Iterator[Connection]:
    with connect("test") as opened:
        opened.execute(MADE_HERE)
        yield opened


def make(connection: Connection, name: str, kind: str, *values: str) -> None:
    """Create a table of one column of a type, without a length."""
    written = {"character": "bpchar", "bit": "bit(1)"}.get(kind, kind)
    table = sql.Identifier("d", name)
    connection.execute(sql.SQL("CREATE TABLE {} (v {})").format(table, sql.SQL(written)))
    for value in values:
        connection.execute(sql.SQL("INSERT INTO {} VALUES ({})").format(table, sql.Literal(value)))


def rows_of_the_page() -> Iterator[tuple[list[str], str]]:
    """Yield the types and the meaning of each line of the page's table."""
    page = (ROOT / "docs" / "parity.md").read_text()
    for kinds, meaning in re.findall(r"^\| (.*?) \| (.*) \|$", page[page.index("| type |") :], re.MULTILINE):
        if found := re.findall(r"`([^`]+)`", kinds):
            yield found, meaning


def test_the_page_lists_every_type_of_the_server(connection: Connection) -> None:
    query = """
        SELECT format_type(oid, NULL), typsend = 0 FROM pg_type
        WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typname !~ '^_'
    """
    types = connection.execute(query).fetchall()
    ours = {kind for kind, _ in types}
    listed = [kind for kinds, meaning in rows_of_the_page() if "binary form holds" not in meaning for kind in kinds]
    assert (len(listed), set(listed)) == (len(ours), ours)
    refused = {kind for kinds, meaning in rows_of_the_page() if meaning.startswith("can't") for kind in kinds}
    assert refused == {kind for kind, has_no_form in types if has_no_form}
    untested = {
        kind
        for kinds, meaning in rows_of_the_page()
        if re.search("^can't|^only|not tested$", meaning)
        for kind in kinds
    }
    assert ours - untested == {kind for kind in VALUES if not re.search(r"\[\]|d\.", kind)}


def test_each_value_of_each_type_has_its_own_digest_under_all_settings(connection: Connection) -> None:
    tables = {}
    for kind, values in VALUES.items():
        for number, value in enumerate(values):
            make(connection, f"{kind} {number}", kind, value)
            tables[f"{kind} {number}"] = kind
    before = {name: digest.table(connection, "d", name).hex for name in tables}
    for kind, values in VALUES.items():
        assert len({before[name] for name in tables if tables[name] == kind}) == len(values), kind
    for setting in (*SESSION, "lc_monetary = 'C.UTF-8'", "lc_time = 'POSIX'", "TimeZone = 'America/St_Johns'"):
        connection.execute(f"SET {setting}".encode())
    assert {name: digest.table(connection, "d", name).hex for name in tables} == before


@pytest.mark.parametrize("kind", EQUAL_BUT_DIFFERENT)
def test_the_digest_is_stricter_than_the_equals_sign(connection: Connection, kind: str) -> None:
    one, other = EQUAL_BUT_DIFFERENT[kind]
    make(connection, "one", kind, one)
    make(connection, "other", kind, other)
    assert connection.execute("SELECT one.v = other.v FROM d.one, d.other").fetchone() == (True,)
    assert digest.table(connection, "d", "one") != digest.table(connection, "d", "other")


def test_an_array_remembers_a_null_that_was_overwritten_until_it_is_written_as_a_whole(connection: Connection) -> None:
    make(connection, "one", "integer[]", "{1,2}")
    make(connection, "other", "integer[]", "{1,NULL}")
    connection.execute("UPDATE d.other SET v[2] = 2")
    assert digest.table(connection, "d", "one") != digest.table(connection, "d", "other")
    connection.execute("UPDATE d.other SET v = v::text::integer[]")
    assert digest.table(connection, "d", "one") == digest.table(connection, "d", "other")


@pytest.mark.parametrize("value", ["{}", "ARRAY[{}]", "ROW({})::d.holder"])
def test_a_value_without_a_binary_form_is_told(connection: Connection, value: str) -> None:
    made = value.format("makeaclitem(10, 10, 'SELECT', false)")
    connection.execute(f"CREATE SCHEMA e; CREATE VIEW d.t AS SELECT {made} AS v; CREATE VIEW e.t AS TABLE d.t".encode())
    connection.commit()
    found = compare(connection, ["d", "e"], "plain")
    assert [problem.line for problem in found.problems] == [
        f"{schema}.t is not compared: no binary output function available for type aclitem; "
        "compare views that leave the column out, or cast it to text"
        for schema in ("d", "e")
    ]
    assert (found.verdict, found.as_recorded) == ("not compared", False)


def test_a_type_of_an_extension_is_taken(connection: Connection) -> None:
    connection.execute("CREATE EXTENSION hstore SCHEMA d; CREATE EXTENSION citext SCHEMA d")
    for number, (kind, value) in enumerate(
        [("d.hstore", "a=>1"), ("d.hstore", "a=>2"), ("d.citext", "a"), ("d.citext", "A")]
    ):
        make(connection, f"t{number}", kind, value)
    assert len({digest.table(connection, "d", f"t{number}").hex for number in range(4)}) == 4


def test_types_of_one_name_in_two_schemas_are_two_types(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA e; CREATE TYPE e.mood AS ENUM ('sad', 'glad')")
    connection.execute("CREATE TABLE d.t (v d.mood); CREATE TABLE e.t (v e.mood)")
    connection.commit()
    found = compare(connection, ["d", "e"], "plain")
    assert [problem.line for problem in found.problems] == ["e.t.v is e.mood, and d.t.v is d.mood"]


def test_a_server_of_another_encoding_is_no_matter_of_the_client(warehouse: str) -> None:
    with psycopg.connect(warehouse, autocommit=True) as bare, connect("test", autocommit=True) as ours:
        bare.execute("CREATE SCHEMA d; CREATE TABLE d.t AS SELECT 'Łódź' AS v; SET client_encoding = 'latin2'")
        assert digest.table(bare, "d", "t") != digest.table(ours, "d", "t"), "why core.database sets utf8"
