{{ config(materialized='table', alias='fct_trips__unpublished') }}

with trips as (
    select * from {{ ref('stg_trips') }}
    where {{ in_months('source_month') }}
),

-- Two CTEs, because PostgreSQL materializes one that is used twice, and never scans it in parallel.
pickup as (
    select * from {{ ref('stg_zones') }}
),

dropoff as (
    select * from {{ ref('stg_zones') }}
)

select
    trips.source_month,
    trips.row_number,
    trips.vendor_id,
    trips.picked_up_at,
    trips.dropped_off_at,
    trips.picked_up_at::date as pickup_date,
    {{ duration_seconds() }} as duration_seconds,
    trips.pickup_location_id,
    pickup.borough as pickup_borough,
    pickup.zone as pickup_zone,
    trips.dropoff_location_id,
    dropoff.borough as dropoff_borough,
    dropoff.zone as dropoff_zone,
    trips.rate_code_id,
    trips.is_stored_and_forwarded,
    trips.passenger_count,
    trips.distance_miles,
    trips.fare_amount,
    trips.extra,
    trips.mta_tax,
    trips.tip_amount,
    trips.tolls_amount,
    trips.improvement_surcharge,
    trips.congestion_surcharge,
    trips.airport_fee,
    trips.cbd_congestion_fee,
    trips.total_amount,
    {{ tip_share() }} as tip_share,
    {{ fare_per_mile() }} as fare_per_mile,
    trips.payment_type,
    {{ payment_label() }} as payment_label
from trips
inner join pickup on trips.pickup_location_id = pickup.location_id
left join dropoff on trips.dropoff_location_id = dropoff.location_id
