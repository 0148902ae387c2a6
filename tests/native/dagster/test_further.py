"""The code location of the further pipelines: several modules are one, and one that is wrong is named."""

from pathlib import Path

import dagster as dg
import pytest

from core.errors import PermanentError
from core.lab.protocol import further
from dagster_impl.lab import further_pipelines
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
CONFLICT = (
    A_JOB.format(name="twice") + "other = twice.graph.to_job(name='twice')\ndefs = dg.Definitions(jobs=[twice, other])"
)


def write(folder: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> str:
    """Write a package with these subjects, and name it in the environment; return its name."""
    name = f"further_{folder.name}"
    for subject, text in modules.items():
        (folder / name / subject).mkdir(parents=True)
        (folder / name / subject / f"{MODULE}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv(further.VARIABLE, name)
    return name


def test_the_modules_are_one_location_that_runs_in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, monkeypatch, a=DIRECT, b=DECORATED)
    found = further_pipelines.defs()
    assert {job.name for job in found.jobs or []} == {"direct", "decorated"}
    assert found.resolve_job_def("direct").executor_def is dg.in_process_executor


@pytest.mark.parametrize(
    ("text", "cause"), [("import no_such_module", "ModuleNotFoundError"), (CONFLICT, "Dagster"), ("", "AttributeError")]
)
def test_a_module_that_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cause: str
) -> None:
    name = write(tmp_path, monkeypatch, a=DIRECT, wrong=text)
    with pytest.raises(PermanentError, match=rf"^{name}\.wrong\.{MODULE} can't be loaded: {cause}.*$"):
        further_pipelines.defs()
