"""Values in Dagster: an IO manager stores what an asset returns, by default as a pickle below DAGSTER_HOME."""

from typing import Any

import dagster as dg

from tests.questions.values.samples import sample, verdict


class Value(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """Which value is handed on."""

    kind: str = "text"
    size: int = 5


@dg.asset
def produce(value: Value) -> Any:
    """Return the value."""
    return sample(value.kind, value.size)


@dg.asset
def take(context: dg.AssetExecutionContext, produce: Any, value: Value) -> dg.MaterializeResult[None]:
    """Take the value as an argument: the IO manager loads it."""
    return dg.MaterializeResult(metadata={"returned": verdict(value.kind, value.size, produce)})


@dg.asset(deps=[produce])
def pull(context: dg.AssetExecutionContext, value: Value) -> dg.MaterializeResult[None]:
    """Load the value by the asset's key."""
    arrived = context.load_asset_value(dg.AssetKey("produce"))
    return dg.MaterializeResult(metadata={"returned": verdict(value.kind, value.size, arrived)})


@dg.config_mapping
def parameters(given: Value) -> dg.RunConfig:
    """Return the run config: the launchpad asks for the value only."""
    return dg.RunConfig(resources={"value": given})


defs = dg.Definitions(
    assets=[produce, take, pull],
    jobs=[dg.define_asset_job("values", selection=[produce, take, pull], config=parameters)],
    resources={"value": Value()},
)
