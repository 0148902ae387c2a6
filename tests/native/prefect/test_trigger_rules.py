"""The trigger rules of the question on Prefect: our own decide as the table says, and the others are Prefect's."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
from prefect import allow_failure, flow, task
from prefect.futures import wait
from prefect.states import Completed, State

from tests.questions.trigger_rules import prefect_rules
from tests.questions.trigger_rules.pipelines import ENDS, RULES, UPSTREAMS
from tests.questions.trigger_rules.prefect_flows import trigger_rules
from tests.questions.trigger_rules.prefect_rules import End, Ended, submit_when, verdict_of

FILE = Path(prefect_rules.__file__).with_name("expected.csv")
EXPECTED = {tuple(line[name] for name in UPSTREAMS): line for line in csv.DictReader(FILE.read_text().splitlines())}
NATIVE = {"none_failed", "all_done", "always"}
WORDS = {"Skipped": "skipped", "UpstreamFailed": "upstream failed", "NotReady": "upstream failed", "Completed": "run"}


def test_every_rule_is_ours_or_one_of_prefect() -> None:
    assert NATIVE | prefect_rules.RULES.keys() == set(RULES)
    assert NATIVE.isdisjoint(prefect_rules.RULES)
    assert set(get_args(End)) == set(ENDS)


@pytest.mark.parametrize("rule", prefect_rules.RULES)
def test_a_rule_decides_as_the_table_says(rule: str) -> None:
    decided = {ends: verdict_of(prefect_rules.RULES[rule], 3, iter(ends)) for ends in product(get_args(End), repeat=3)}
    assert decided == {ends: line[rule] for ends, line in EXPECTED.items()}


@pytest.mark.parametrize(
    ("rule", "first", "said"),
    [
        ("all_success", "failed", "upstream failed"),
        ("all_success", "skipped", "skipped"),
        ("one_success", "success", "run"),
        ("one_failed", "failed", "run"),
        ("one_done", "success", "run"),
        ("none_skipped", "skipped", "skipped"),
        ("all_failed", "success", "skipped"),
        ("all_skipped", "failed", "skipped"),
        ("none_failed_min_one_success", "failed", "upstream failed"),
        ("all_done_min_one_success", "skipped", "skipped"),
        ("all_success", "success", None),
        ("one_done", "skipped", None),
        ("all_done_setup_success", "success", None),
        ("all_done_min_one_success", "success", None),
    ],
)
def test_a_rule_decides_as_soon_as_it_can(rule: str, first: End, said: str | None) -> None:
    assert prefect_rules.RULES[rule](Ended(3) + first) == said


def test_a_decided_rule_asks_for_no_further_end() -> None:
    def ends() -> Iterator[End]:
        yield "failed"
        raise AssertionError("one failure is enough")

    assert verdict_of(prefect_rules.RULES["one_failed"], 2, ends()) == "run"


@task
def end_as(told: End) -> State[None] | None:
    if told == "failed":
        raise RuntimeError("told to fail")
    return Completed(name="Skipped") if told == "skipped" else None


@task
def follow(number: int = 0) -> int:
    return number


@pytest.mark.usefixtures("server")
def test_the_rules_of_prefect_itself_are_three_of_the_table() -> None:
    """Run all combinations in one flow."""
    observed: dict[tuple[str, ...], dict[str, str]] = {}

    @flow
    def combinations() -> None:
        for ends in EXPECTED:
            upstreams = [end_as.submit(told) for told in ends]
            futures = {
                "none_failed": follow.submit(wait_for=upstreams),
                "all_done": follow.submit(wait_for=[allow_failure(each) for each in upstreams]),
                "always": follow.submit(),
            }
            wait(list(futures.values()))
            observed[ends] = {rule: WORDS[future.state.name] for rule, future in futures.items()}

    combinations()
    assert observed == {ends: {rule: line[rule] for rule in NATIVE} for ends, line in EXPECTED.items()}


@pytest.mark.usefixtures("server")
def test_the_flow_does_what_the_table_says() -> None:
    ends: tuple[End, End, End] = ("skipped", "failed", "success")
    state = trigger_rules(*ends, return_state=True)
    # Prefect's own come first.
    names = ["none_failed", "all_done", "always", *(rule for rule in RULES if rule in prefect_rules.RULES)]
    named = dict(zip(names, state.data.result, strict=True))
    assert {rule: WORDS[each.name] for rule, each in named.items()} == {rule: EXPECTED[ends][rule] for rule in RULES}
    assert state.is_failed()


@pytest.mark.usefixtures("server")
def test_a_task_that_follows_early_gets_its_arguments_and_does_not_wait() -> None:
    release = threading.Event()

    @task
    def slow() -> None:
        assert release.wait(120)

    @flow
    def early() -> int:
        quick, late = end_as.submit("failed"), slow.submit()
        try:
            number: int = submit_when(follow, "one_failed", [quick, late], number=7).result()
            assert not late.wrapped_future.done()
        finally:
            release.set()
        return number

    assert early() == 7


@pytest.mark.usefixtures("server")
def test_upstreams_that_ended_before_count_in_the_order_of_their_ends() -> None:
    @flow
    def backwards() -> list[str]:
        failed = end_as.submit("failed")
        failed.wait()
        skipped = end_as.submit("skipped")
        skipped.wait()
        futures = [submit_when(follow, "all_success", both) for both in ([failed, skipped], [skipped, failed])]
        wait(futures)
        return [future.state.name for future in futures]

    assert backwards() == ["UpstreamFailed", "UpstreamFailed"]
