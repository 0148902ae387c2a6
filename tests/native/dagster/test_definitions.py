"""The code location: what is in it, and that it agrees with dbt."""

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from core.datasets import GREEN, ZONES, Dataset
from core.month import EARLIEST
from core.run import CHOICES, HELP
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


def test_assets_are_named_as_tables_and_one_reports_on_them(graph: AssetGraph) -> None:
    assert names(graph.get_all_asset_keys()) == TABLES | {"month_report"}


def test_the_job_has_every_asset_and_check(repository: dg.RepositoryDefinition, graph: AssetGraph) -> None:
    layer = repository.get_job("taxi_pipeline").asset_layer
    assert set(layer.selected_asset_keys) == set(graph.get_all_asset_keys())
    assert set(layer.asset_graph.asset_check_keys) == set(graph.asset_check_keys)


def test_only_the_models_may_be_skipped(graph: AssetGraph) -> None:
    skippable = {key for key in graph.get_all_asset_keys() if graph.get(key).assets_def.get_asset_spec(key).skippable}
    assert names(skippable) == {model.name for model in lineage()}


def test_lineage_is_that_of_the_sql(graph: AssetGraph) -> None:
    """Read dbt's SQL, not its manifest, as an independent source of the same facts."""
    for model in (ROOT / "dbt" / "models").rglob("*.sql"):
        text = model.read_text()
        parents = set(re.findall(r"ref\('(\w+)'\)", text)) | set(re.findall(r"source\('\w+', *'(\w+)'\)", text))
        assert parents, f"{model.name} names no parent in the form that this test reads"
        assert names(graph.get(dg.AssetKey(model.stem)).parent_keys) == parents


def test_each_data_test_is_a_check_of_its_model(graph: AssetGraph) -> None:
    declared = {(model.name, test.name) for model in lineage() for test in model.tests if test.kind == "data"}
    assert declared
    assert {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys} == declared


def test_a_model_has_the_columns_and_the_code_that_dbt_declares(graph: AssetGraph) -> None:
    for model in lineage():
        metadata = graph.get(dg.AssetKey(model.name)).metadata
        columns = metadata["dagster/column_schema"].columns
        assert [(c.name, c.type, c.description) for c in columns] == [
            (c.name, c.type, c.description) for c in model.columns
        ]
        sql, python = metadata["dagster/code_references"].code_references
        assert Path(sql.file_path) == model.path
        assert model.path.is_file()
        assert Path(python.file_path) == ROOT / "dagster_impl" / "defs" / "models.py"


@pytest.mark.parametrize("dataset", [ZONES, GREEN], ids=lambda dataset: str(dataset.table))
def test_a_raw_table_has_the_columns_that_its_dataset_declares(graph: AssetGraph, dataset: Dataset) -> None:
    """They are in the definition: a page shows them before the first materialization too."""
    schema = graph.get(dg.AssetKey(dataset.table)).metadata["dagster/column_schema"]
    assert [(column.name, column.type, column.constraints.nullable) for column in schema.columns] == [
        (column.name, column.kind.postgres, column.nullable) for column in dataset.table_columns
    ]


def test_columns_have_the_types_and_constraints_of_the_contract(graph: AssetGraph) -> None:
    schema = graph.get(dg.AssetKey("fct_trips")).metadata["dagster/column_schema"]
    columns = {column.name: (column.type, column.constraints.nullable) for column in schema.columns}
    assert columns["source_month"] == ("date", False)
    assert columns["total_amount"] == ("numeric(10, 2)", True)


def test_each_asset_has_a_table_an_owner_a_description_and_a_link_to_its_code(graph: AssetGraph) -> None:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        if key.to_user_string() in TABLES:
            assert node.metadata["dagster/table_name"] == f"dagster.{key.to_user_string()}"
        assert node.metadata["dagster/code_references"].code_references
        assert node.owners
        assert node.description


def test_a_check_has_the_partitions_of_its_asset(graph: AssetGraph) -> None:
    for key in graph.asset_check_keys:
        assert graph.get(key).partitions_def == graph.get(key.asset_key).partitions_def


def test_the_launchpad_explains_each_parameter_and_offers_its_choices(
    repository: dg.RepositoryDefinition,
) -> None:
    schema = repository.get_top_level_resources()["parameters"].config_schema.as_field()
    fields = schema.config_type.fields
    assert {name: field.description for name, field in fields.items()} == HELP
    for name, choices in CHOICES.items():
        assert [value.config_value for value in fields[name].config_type.enum_values] == list(choices)


def test_the_launchpad_offers_a_dataset_that_is_only_declared() -> None:
    code = "from tests.toy_dataset import declare; declare(); from dagster_impl.defs.resources import Parameters"
    code += "; fields = Parameters.to_config_schema().as_field().config_type.fields"
    code += "; print(*(value.config_value for value in fields['dataset'].config_type.enum_values))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["green", "yellow", "toy"]


def test_the_default_source_is_that_of_the_command_line() -> None:
    code = "from dagster_impl.defs.resources import Parameters; print(Parameters().source)"
    environ = os.environ | {"TRIPTYCH_SOURCE": "s3://bucket/folder"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "s3://bucket/folder"


def test_a_strategy_that_does_not_exist_is_refused_before_a_run_starts(repository: dg.RepositoryDefinition) -> None:
    wrong = {"resources": {"parameters": {"config": {"strategy": "merge"}}}}
    with pytest.raises(dg.DagsterInvalidConfigError, match="delete-append"):
        dg.validate_run_config(repository.get_implicit_global_asset_job_def(), wrong)


def test_each_asset_has_a_partition_for_each_complete_month(graph: AssetGraph) -> None:
    last = dt.datetime.now(dt.UTC).replace(day=1) - dt.timedelta(days=1)
    for key in graph.get_all_asset_keys():
        partitions = graph.get(key).partitions_def
        assert partitions is not None
        months = partitions.get_partition_keys()
        assert (months[0], months[-1]) == (EARLIEST, f"{last:%Y-%m}")


def test_nothing_is_announced_that_will_not_happen(repository: dg.RepositoryDefinition) -> None:
    """The page of the automations says that there are none."""
    assert [*repository.schedule_defs, *repository.sensor_defs] == []


def test_no_asset_has_a_backfill_policy(graph: AssetGraph) -> None:
    """Dagster's default is a run for each month. With any policy, the results of the checks have no month."""
    for key in graph.get_all_asset_keys():
        assert graph.get(key).backfill_policy is None


def test_no_step_has_a_retry_policy(repository: dg.RepositoryDefinition) -> None:
    """Dagster would also retry a step whose run a user terminates: see `steps.failures`."""
    job = repository.get_implicit_global_asset_job_def()
    policies = {op.name: op.retry_policy for op in job.all_node_defs if isinstance(op, dg.OpDefinition)}
    assert policies == dict.fromkeys(("raw_zones", "raw_trips", "transform", "check", "checked", "report"))


def test_steps_run_in_the_process_of_their_run(repository: dg.RepositoryDefinition) -> None:
    assert repository.get_implicit_global_asset_job_def().executor_def is dg.in_process_executor


def test_the_reason_for_can_subset_still_holds() -> None:
    """When this fails, Dagster has fixed the comparison: remove `can_subset` from the models."""
    from dagster_impl.steps import MONTHS

    one = MONTHS.subset_with_partition_keys(["2024-01"])
    assert one == (one | one)
    assert one != (one | one)


def test_dg_finds_and_loads_the_definitions() -> None:
    dg_command = Path(sys.executable).with_name("dg")
    checked = subprocess.run([dg_command, "check", "defs"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "All definitions loaded successfully" in checked.stdout, checked.stdout + checked.stderr
    assert checked.returncode == 0
