"""The class of an error decides whether a step is tried again, so orchestrators rely on the tree."""

from __future__ import annotations

import pickle

import pytest

from core import errors
from core.errors import RETRIES, PermanentError, TransientError, TriptychError, masked

EVERY = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, TriptychError) and value is not TriptychError
]


@pytest.mark.parametrize("kind", EVERY)
def test_an_error_is_either_transient_or_permanent(kind: type[TriptychError]) -> None:
    assert issubclass(kind, TransientError) != issubclass(kind, PermanentError)


@pytest.mark.parametrize("kind", EVERY)
def test_transient_errors_are_retried_and_permanent_ones_never(kind: type[TriptychError]) -> None:
    assert kind.retries == (RETRIES if issubclass(kind, TransientError) else 0)


@pytest.mark.parametrize("kind", EVERY)
def test_an_error_keeps_its_class_and_message_between_processes(kind: type[TriptychError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("2024-01 is late")))
    assert type(copy) is kind
    assert str(copy) == "2024-01 is late"


@pytest.mark.parametrize("kind", EVERY)
def test_the_tree_at_the_top_of_the_module_shows_every_error(kind: type[TriptychError]) -> None:
    assert errors.__doc__ is not None
    assert f"── {kind.__name__} " in errors.__doc__


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\tc", r"a\nb\r\tc"), ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\u202egpj.exe", r"\u202egpj.exe"), ("\udce9", r"\udce9"),
        ("Zürich, 100% {x} $1 \\ 'a'", "Zürich, 100% {x} $1 \\ 'a'"),
    ],
)  # fmt: skip
def test_a_message_is_one_line_and_safe_for_a_terminal(text: str, shown: str) -> None:
    assert str(PermanentError(text)) == shown
    assert str(pickle.loads(pickle.dumps(PermanentError(text)))) == shown


SECRETS = [
    "postgresql://me:s3cret@host/db", "see postgresql://me:s3%40cret@h:1/x, and http://a:s3cret@b",
    "http://me:s3@s3/s3@host/x",
    "host=h password=s3cret x", r"host=h password='s3 cr\'s3t' user=u", "postgresql:///db?password=s3cret",
]  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_passwords_are_masked_in_every_error(text: str) -> None:
    assert "s3" not in masked(text) and "***" in masked(text)
    assert "s3" not in str(TransientError(text))
