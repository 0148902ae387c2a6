"""The class of an error decides whether a step is tried again, so the tree is part of what the tools rely on."""

from __future__ import annotations

import pickle

import pytest

from core import errors
from core.errors import RETRIES, PermanentError, TransientError, TriptychError

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
