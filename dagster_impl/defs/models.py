"""The dbt models with the lineage that dbt declares, and its tests on data as asset checks.

Made from dbt's manifest without dagster-dbt: importing that takes 11-15 s in each run's process, and it needs dbt in
the same environment, where dbt has one of its own.
"""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg

from core import pipeline, transform
from core.month import Month
from core.transform import lineage
from dagster_impl.defs.resources import Parameters
from dagster_impl.steps import MONTHS, ONE_MONTH, RETRY, failures, materialized

MODELS = lineage()


@dg.multi_asset(
    name="transform",
    specs=[
        dg.AssetSpec(
            model.name,
            deps=model.depends_on,
            description=model.description,
            kinds={"dbt", "postgres"},
            group_name="dbt",
        )
        for model in MODELS
    ],
    partitions_def=MONTHS,
    backfill_policy=ONE_MONTH,
    retry_policy=RETRY,
    # Every build makes all four, but without this 1.13.27 refuses each backfill of a diamond, from its own pages too:
    # "Targeted subset must match between every key", for it compares two equal sets of months with a `!=` of tuples.
    can_subset=True,
)
def models(context: dg.AssetExecutionContext, parameters: Parameters) -> Iterator[dg.MaterializeResult[None]]:
    """One dbt build for all the months that landed since the last one."""
    with failures():
        receipt = pipeline.transform(parameters.run(context.run.run_id), Month.parse(context.partition_key))
    for model in MODELS:  # parents first, as Dagster wants them
        if dg.AssetKey(model.name) in context.selected_asset_keys:
            rows = receipt.rows if model.name == "fct_trips" else None  # the one model that has a row for each trip
            yield materialized(replace(receipt, rows=rows), model.name)


@dg.multi_asset_check(
    name="check",
    specs=[
        dg.AssetCheckSpec(test.name, asset=model.name, description=test.description)
        for model in MODELS
        for test in model.tests
        if test.kind == "data"  # the others are on made-up rows: a failed one stops the build, see `core.transform`
    ],
    retry_policy=RETRY,
)
def checks(context: dg.AssetCheckExecutionContext, parameters: Parameters) -> Iterator[dg.AssetCheckResult]:
    """What the build's tests on data found for this month, each on its model; a failed one of severity `error` fails the run.

    With `strict` all are of that severity. A failed one says in its description what it found of this month's rows.
    """
    with failures():
        run = parameters.run(context.run.run_id)
        month = Month.parse(context.op_execution_context.partition_key)
        day = month.first_day
        found, trips = transform.results(run.schema, day), transform.rows(run.schema, day)
        for test in (result for result in found if result.kind == "data"):
            broken = test.concerns(day)
            yield dg.AssetCheckResult(
                passed=not broken,
                asset_key=test.model,
                check_name=test.name,
                severity=dg.AssetCheckSeverity.ERROR if test.fails(run.strict) else dg.AssetCheckSeverity.WARN,
                description=test.warning(day, trips) if broken else None,
                metadata={"failures": test.count(day) if broken else 0},
            )
        pipeline.check(run, month)
