"""A schema's name is plain, or is refused in one line before anything is started or connected to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core import load, transform
from core.database import check_schema_name
from core.errors import UsageError
from core.settings import settings

REFUSED = [
    "", " ", " a", "a ", "two words", "UPPER", "Air", "1st", "a-b", "a.b", "a,b", "semi;colon--", 'say "hi"', "it's",
    "\\", "/",
    "100%", "%s", "%(x)s", "{0}", "{}", "{{ 1 }}", "{% raw %}", "{# c #}", "/* */", "$1", "$$", "-- x", "--help", "*",
    "~", "@",
    "Łódź 東京", "ü", "ß", "ſ", "ı", "а", "١", "😀", "a\0b", "\udc80", "\ud800", "a\u00a0",
    "a\n", "new\nline", "\r", "tab\tx",
    "\x1b[31m", "\u202egpj", "x" * 41, "x" * 1_000_000, "{{ env_var('DBT_ENV_SECRET_PGPASSWORD') }}", "DBT_ENV_SECRET",
    "pg_", "pg_mine", "pg_catalog", "information_schema",
]  # fmt: skip

TAKEN = [
    "plain",
    "a",
    "_",
    "__",
    "a1",
    "_1",
    "my_schema",
    "pg",
    "pgx",
    "select",
    "none",
    "null",
    "true",
    "public",
    "x" * 40,
]


@pytest.mark.parametrize("schema", REFUSED, ids=ascii)
def test_any_other_name_is_refused_in_one_line(schema: str) -> None:
    with pytest.raises(UsageError, match="can't be a schema name: ") as caught:
        check_schema_name(schema)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("schema", TAKEN)
def test_a_plain_name_is_returned_as_it_is(schema: str) -> None:
    assert check_schema_name(schema) == schema


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRIPTYCH_DSN", "postgresql://127.0.0.1:1/nowhere")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize(
    "use", [load.begin, transform.refresh, lambda schema: transform.results(schema, dt.date(2024, 1, 1))]
)
def test_a_run_refuses_a_name_before_it_connects(use: Callable[[str], Any]) -> None:
    with pytest.raises(UsageError, match="'Mine' can't be a schema name"):
        use("Mine")
