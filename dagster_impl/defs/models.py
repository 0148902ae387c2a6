"""The dbt models with the lineage that dbt declares, and dbt's data tests as asset checks.

They are made from dbt's manifest, without dagster-dbt: importing that takes 11-15 s in each run's process, and it
needs dbt in the same environment, where dbt has one of its own.
"""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg

from core import pipeline, transform
from core.month import Month
from core.transform import Column, Model, lineage
from dagster_impl.defs.resources import SCHEMA, Parameters
from dagster_impl.steps import MONTHS, OWNERS, failures, materialized, table

MODELS = lineage()


def _asset(model: Model) -> dg.AssetSpec:
    columns = [_column(column) for column in model.columns]
    code = dg.LocalFileCodeReference(file_path=str(model.path), label=model.path.name)
    return dg.AssetSpec(
        model.name,
        deps=model.depends_on,
        description=model.description,
        group_name="dbt",
        kinds={"dbt", "postgres"},
        owners=OWNERS,
        # Not built, and no failure, when nothing is pending for the month.
        skippable=True,
        metadata={
            **table(SCHEMA, model.name, columns),
            "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[code]),
        },
    )


def _column(column: Column) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=column.nullable)
    return dg.TableColumn(column.name, column.type, column.description, constraints)


@dg.multi_asset(
    name="transform",
    specs=[_asset(model) for model in MODELS],
    partitions_def=MONTHS,
    # One build makes all four, but without this 1.13.27 refuses each backfill of a diamond, from its own pages too:
    # "Targeted subset must match between every key". It compares two equal sets of months with the `!=` of tuples.
    can_subset=True,
)
def models(context: dg.AssetExecutionContext, parameters: Parameters) -> Iterator[dg.MaterializeResult[None]]:
    """Run one dbt build for all the months that landed since the last one; yield nothing if this month needs none.

    Dagster then skips the checks, which need what this step yields.
    """
    run, month = parameters.run(context.run.run_id), Month.parse(context.partition_key)
    with failures(context):
        if not pipeline.pending(run, month):
            return
        receipt = pipeline.transform(run, month)
    # Parents come first in MODELS, as Dagster requires.
    for model in MODELS:
        if dg.AssetKey(model.name) in context.selected_asset_keys:
            # The receipt counts trips, and only this model has one row for each.
            rows = receipt.rows if model.name == "fct_trips" else None
            yield materialized(replace(receipt, rows=rows), run.schema, model.name)


@dg.multi_asset_check(
    name="check",
    specs=[
        # Blocking, so that `month_report` waits for the checks.
        dg.AssetCheckSpec(
            test.name, asset=model.name, description=test.description, partitions_def=MONTHS, blocking=True
        )
        for model in MODELS
        for test in model.tests
        # A unit test uses made-up rows: it says nothing of a month, and stops the build when it fails.
        if test.kind == "data"
    ],
)
def checks(context: dg.AssetCheckExecutionContext, parameters: Parameters) -> Iterator[dg.AssetCheckResult]:
    """Report what the build's data tests found for this month, each on its model.

    A failed test of severity `error` fails the run; with `strict` every test has that severity. The description of a
    failed check says how many of this month's rows broke it.
    """
    run, month = parameters.run(context.run.run_id), Month.parse(context.partition_key)
    with failures(context):
        results, trips = transform.results(run.schema, month.first_day), transform.rows(run.schema, month.first_day)
        yield from (_check(result, month, trips, run.strict) for result in results if result.kind == "data")
        pipeline.check(run, month)


def _check(result: transform.Result, month: Month, trips: int, strict: bool) -> dg.AssetCheckResult:
    day = month.first_day
    broken = result.concerns(day)
    return dg.AssetCheckResult(
        passed=not broken,
        asset_key=result.model,
        check_name=result.name,
        severity=dg.AssetCheckSeverity.ERROR if result.fails(strict) else dg.AssetCheckSeverity.WARN,
        description=result.warning(day, trips) if broken else None,
        metadata={"failures": result.count(day) if broken else 0},
    )


@dg.definitions
def dbt_project() -> dg.Definitions:
    """Return the models, each with links to its SQL and to the step that builds it, and the checks."""
    return dg.Definitions(assets=dg.with_source_code_references([models]), asset_checks=[checks])
