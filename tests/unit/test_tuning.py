"""The switch that leaves settings for speed as they are shipped."""

from __future__ import annotations

import pytest

from core.errors import UsageError
from core.lab.protocol import Description, Tuned, as_shipped, guards_as_shipped

SETTINGS = [Tuned("dagster.a", "1", "5"), Tuned("dagster.b", "2", "30")]


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("", []),
        ("all", ["dagster.a", "dagster.b"]),
        (" dagster.b , ", ["dagster.b"]),
        ("guards,dagster.b", ["dagster.b"]),
        # Another orchestrator's setting is that one's affair.
        ("airflow.x,dagster.a", ["dagster.a"]),
    ],
)
def test_what_the_variable_leaves(value: str, left: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", value)
    assert sorted(as_shipped(SETTINGS)) == left


@pytest.mark.parametrize("value", ["dagster.c", "a", "ALL"])
def test_a_wrong_name_is_refused_with_those_that_there_are(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", value)
    with pytest.raises(UsageError, match=f"'{value}' is no such setting: choose from all, dagster.a, dagster.b"):
        as_shipped(SETTINGS)


@pytest.mark.parametrize(("value", "are_left"), [("", False), ("all", False), ("guards", True), ("all, guards", True)])
def test_the_guards_stay_as_shipped_by_a_word_of_their_own(
    value: str, are_left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", value)
    assert guards_as_shipped() is are_left


def test_a_description_carries_the_settings() -> None:
    said = Description("dagster", "Dagster", "1", [], tuned=SETTINGS[:1], guards=SETTINGS[1:])
    assert Description.from_json(said.to_json()) == said
