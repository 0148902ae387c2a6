"""The DAGs of the questions and of the conformance cases, as Airflow reads them."""

from __future__ import annotations

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.task.trigger_rule import TriggerRule

from core.lab.protocol import further
from tests.questions.trigger_rules.pipelines import RULES

pytestmark = [
    # Airflow 3.3.2 compiles an .airflowignore with what its library calls deprecated.
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    # The sensors of the standard provider 1.21 import it from its place before Airflow 3.
    pytest.mark.filterwarnings("ignore:.*determine_kwargs"),
]


@pytest.mark.parametrize("package", ["tests.questions", "tests.conformance"])
def test_every_declared_pipeline_is_a_dag_with_its_tasks(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setenv(further.VARIABLE, package)
    (folder,) = further.packages().values()
    bag = DagBag(str(folder))
    assert bag.import_errors == {}
    tasks = {name: set(dag.task_ids) for name, dag in bag.dags.items()}
    assert {each.name for each in further.pipelines("airflow_dags")} <= tasks.keys()
    assert {
        each.name: missing
        for each in further.pipelines("airflow_dags")
        if (missing := set(each.tasks) - tasks[each.name])
    } == {}


def test_every_trigger_rule_of_airflow_is_asked() -> None:
    assert set(RULES) == {rule.value for rule in TriggerRule}
