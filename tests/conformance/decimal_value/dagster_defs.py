"""A decimal in Dagster: the IO manager stores what an asset returns, and loads it for the next one."""

from decimal import Decimal

import dagster as dg

from tests.conformance.decimal_value.pipelines import FARES


@dg.asset
def sum_fares() -> Decimal:
    """Return the sum."""
    return FARES


@dg.asset
def book(sum_fares: Decimal) -> dg.MaterializeResult[None]:
    """Book the sum."""
    return dg.MaterializeResult(metadata={"sent": str(FARES), "booked": str(sum_fares)})


defs = dg.Definitions(
    assets=[sum_fares, book], jobs=[dg.define_asset_job("decimal_value", selection=[sum_fares, book])]
)
