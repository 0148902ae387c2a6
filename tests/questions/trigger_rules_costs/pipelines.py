"""The pipelines of the question: rules that need not wait for a slow upstream, and a clean-up after a failure."""

from __future__ import annotations

from core.lab.protocol import Parameter, Pipeline
from tests.questions.trigger_rules.pipelines import ENDS

EARLY = ("one_success", "one_failed", "one_done", "all_success", "all_done")
"""Rules that follow one upstream which ends at once, and one which takes its time; all but the last need not wait."""

SLOW_S = 30
"""How long the slow upstream takes: on a busy machine too, an orchestrator starts a step in less."""

MIXED = ("skipped", "failed")
"""How two upstreams of one step end: one in each way."""

CLEANUP = ["work", "clean_up"]

PIPELINES = [
    Pipeline(
        name="early_rules",
        tasks=["quick", "slow", *EARLY],
        main="quick",
        month="none",
        parameters={
            "quick": Parameter("How the upstream that ends at once ends", default="success", choices=list(ENDS)),
            "seconds": Parameter("How long the other upstream takes", default=SLOW_S),
        },
    ),
    Pipeline(
        name="mixed_ends",
        tasks=["earlier", "later", "last"],
        main="earlier",
        month="none",
        parameters={"earlier": Parameter("How the first one ends", default=MIXED[0], choices=list(MIXED))},
    ),
    Pipeline(name="cleanup_by_rule", tasks=CLEANUP, main="work", month="none"),
    Pipeline(name="cleanup_by_teardown", tasks=CLEANUP, main="work", month="none"),
]
"""In both clean-ups, ``work`` fails and ``clean_up`` runs after it."""
