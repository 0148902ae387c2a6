"""The code location of the further pipelines: a repository for each module, and one that is wrong is named."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest
from dagster._core.workspace.autodiscovery import loadable_targets_from_loaded_module

from core.errors import PermanentError
from core.lab.protocol import further
from dagster_impl.lab.services import MODULE

A_JOB = """
import dagster as dg
@dg.op
def step(): ...
@dg.job
def {name}(): step()
"""
DIRECT = A_JOB.format(name="direct") + "defs = dg.Definitions(jobs=[direct])"
DECORATED = A_JOB.format(name="decorated") + "@dg.definitions\ndef defs(): return dg.Definitions(jobs=[decorated])"
ELSEWHERE = A_JOB.format(name="apart") + "defs = dg.Definitions(jobs=[apart], executor=dg.multiprocess_executor)"
CONFLICT = (
    A_JOB.format(name="twice") + "other = twice.graph.to_job(name='twice')\ndefs = dg.Definitions(jobs=[twice, other])"
)

Load = Callable[..., ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write a package with these subjects, name it in the environment, and load the code location."""

    def loaded(**modules: str) -> ModuleType:
        name = f"further_{tmp_path.name}"
        for subject, text in modules.items():
            (tmp_path / name / subject).mkdir(parents=True)
            (tmp_path / name / subject / f"{MODULE}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv(further.VARIABLE, name)
        monkeypatch.delitem(sys.modules, "dagster_impl.lab.further_pipelines", raising=False)
        return importlib.import_module("dagster_impl.lab.further_pipelines")

    return loaded


def repositories(location: ModuleType) -> dict[str, dg.RepositoryDefinition]:
    """Return what Dagster finds in the module, by its name."""
    found = [target.target_definition for target in loadable_targets_from_loaded_module(location)]
    return {each.name: each for each in found if isinstance(each, dg.RepositoryDefinition)}


def test_each_module_is_a_repository_whose_names_are_its_own(load: Load) -> None:
    found = repositories(load(a=DIRECT, b=DECORATED))
    assert {name: each.job_names for name, each in found.items()} == {"a": ["direct"], "b": ["decorated"]}


def test_jobs_run_in_process_unless_their_module_says_otherwise(load: Load) -> None:
    found = repositories(load(a=DIRECT, b=ELSEWHERE))
    assert found["a"].get_job("direct").executor_def is dg.in_process_executor
    assert found["b"].get_job("apart").executor_def is dg.multiprocess_executor


def test_a_run_imports_only_the_module_of_its_own_repository(load: Load) -> None:
    location = load(a=DIRECT, wrong="import no_such_module")
    assert location.repository_a.name == "a"
    assert not hasattr(location, "repository_b")


@pytest.mark.parametrize(
    ("text", "cause"), [("import no_such_module", "ModuleNotFoundError"), (CONFLICT, "Dagster"), ("", "AttributeError")]
)
def test_a_module_that_cannot_be_loaded_is_named(load: Load, text: str, cause: str) -> None:
    with pytest.raises(PermanentError, match=rf"^further_\w+\.wrong\.{MODULE} can't be loaded: {cause}.*$"):
        repositories(load(a=DIRECT, wrong=text))
