"""The code location: what is in it, and that it says what dbt says."""

import datetime as dt
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from core.errors import RETRIES, RETRY_DELAY_S
from core.month import EARLIEST
from core.settings import ROOT
from core.transform import lineage

TABLES = {"raw_zones", "raw_trips", "stg_trips", "stg_zones", "fct_trips", "daily_borough_stats"}


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    from dagster_impl.definitions import defs

    return defs().get_repository_def()


@pytest.fixture(scope="module")
def graph(repository: dg.RepositoryDefinition) -> AssetGraph:
    return repository.asset_graph


def names(keys: Iterable[dg.AssetKey]) -> set[str]:
    return {key.to_user_string() for key in keys}


def test_assets_are_named_as_tables(graph: AssetGraph) -> None:
    assert names(graph.get_all_asset_keys()) == TABLES


def test_lineage_is_that_of_the_sql(graph: AssetGraph) -> None:
    """Read from dbt's SQL here, not from its manifest: another way to the same facts."""
    for model in (ROOT / "dbt" / "models").rglob("*.sql"):
        text = model.read_text()
        parents = set(re.findall(r"ref\('(\w+)'\)", text)) | set(re.findall(r"source\('\w+', *'(\w+)'\)", text))
        assert parents, f"{model.name} names no parent in the form that this test reads"
        assert names(graph.get(dg.AssetKey(model.stem)).parent_keys) == parents


def test_each_data_test_is_a_check_of_its_model(graph: AssetGraph) -> None:
    declared = {(model.name, test.name) for model in lineage() for test in model.tests if test.kind == "data"}
    assert declared
    assert {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys} == declared


def test_each_asset_has_a_partition_for_each_complete_month(graph: AssetGraph) -> None:
    last = dt.datetime.now(dt.UTC).replace(day=1) - dt.timedelta(days=1)
    for key in graph.get_all_asset_keys():
        partitions = graph.get(key).partitions_def
        assert partitions is not None
        months = partitions.get_partition_keys()
        assert (months[0], months[-1]) == (EARLIEST, f"{last:%Y-%m}")


def test_a_run_is_a_month(graph: AssetGraph) -> None:
    for key in graph.get_all_asset_keys():
        assert graph.get(key).backfill_policy == dg.BackfillPolicy.multi_run(max_partitions_per_run=1)


def test_each_step_has_the_retries_of_the_pipeline(repository: dg.RepositoryDefinition) -> None:
    job = repository.get_implicit_global_asset_job_def()
    policies = {op.name: op.retry_policy for op in job.all_node_defs if isinstance(op, dg.OpDefinition)}
    assert policies == dict.fromkeys(
        ("raw_zones", "raw_trips", "transform", "check"), dg.RetryPolicy(max_retries=RETRIES, delay=RETRY_DELAY_S)
    )


def test_steps_run_in_the_process_of_their_run(repository: dg.RepositoryDefinition) -> None:
    assert repository.get_implicit_global_asset_job_def().executor_def is dg.in_process_executor


def test_the_reason_for_can_subset_still_holds() -> None:
    """When this fails, the comparison is mended: take `can_subset` from the models, for they are built together."""
    from dagster_impl.steps import MONTHS

    one = MONTHS.subset_with_partition_keys(["2024-01"])
    assert one == (one | one)
    assert one != (one | one)


def test_dg_finds_and_loads_the_definitions() -> None:
    dg_command = Path(sys.executable).with_name("dg")
    checked = subprocess.run([dg_command, "check", "defs"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "All definitions loaded successfully" in checked.stdout, checked.stdout + checked.stderr
    assert checked.returncode == 0
