"""A third dataset: its declaration and its models, which is all that a new one needs."""

from __future__ import annotations

from pathlib import Path

from core import datasets
from core.datasets import DOUBLE, INTEGER, TIMESTAMP, Column, Dataset

TOY = Dataset(
    name="toy",
    table=datasets.TRIPS,
    monthly=True,
    dated="began_at",
    paths=("toy_{month}.parquet",),
    columns=(
        Column("began", "began_at", TIMESTAMP, nullable=False),
        Column("zone", "zone_id", INTEGER, nullable=False),
        Column("price", "price", DOUBLE),
    ),
)

MODELS = {
    "staging/stg_trips.sql": """
        select source_month, row_number, began_at, zone_id, {{ money('price') }} as price
        from {{ source('tlc', 'raw_trips') }}
    """,
    "marts/fct_trips.sql": """
        {{ config(materialized='table', alias='fct_trips__unpublished') }}
        select
            trips.source_month, trips.row_number, trips.began_at::date as pickup_date, zones.borough as pickup_borough,
            1.0 as distance_miles, 60.0 as duration_seconds,
            trips.price as fare_amount, 0::numeric(10, 2) as tip_amount, trips.price as total_amount
        from {{ ref('stg_trips') }} as trips
        inner join {{ ref('stg_zones') }} as zones on trips.zone_id = zones.location_id
        where {{ in_months('trips.source_month') }}
    """,
    "marts/fct_trips.yml": """
models:
  - name: fct_trips
    columns:
      - {name: source_month, data_type: date, constraints: [{type: not_null}]}
      - {name: row_number, data_type: integer, constraints: [{type: not_null}]}
      - {name: pickup_date, data_type: date, constraints: [{type: not_null}]}
      - {name: pickup_borough, data_type: text, constraints: [{type: not_null}]}
      - {name: distance_miles, data_type: numeric}
      - {name: duration_seconds, data_type: numeric}
      - {name: fare_amount, data_type: "numeric(10, 2)"}
      - {name: tip_amount, data_type: "numeric(10, 2)"}
      - {name: total_amount, data_type: "numeric(10, 2)"}
    data_tests:
      - expression_is_true:
          name: key_is_a_place_in_a_file
          arguments: {expression: row_number >= 1}
""",
}


def declare() -> None:
    """Declare the dataset, as a line in `core.datasets` would; call it before anything imports `core.run`."""
    datasets.DATASETS[TOY.name] = TOY


def write_models(project: Path) -> None:
    """Add the dataset's models to a copy of the dbt project."""
    for name, text in MODELS.items():
        file = project / "models" / TOY.name / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
