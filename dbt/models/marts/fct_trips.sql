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
    trim_scale(extract(epoch from trips.dropped_off_at - trips.picked_up_at)) as duration_seconds,
    trips.pickup_location_id,
    pickup.borough as pickup_borough,
    pickup.zone as pickup_zone,
    trips.dropoff_location_id,
    dropoff.borough as dropoff_borough,
    dropoff.zone as dropoff_zone,
    trips.rate_code_id,
    trips.trip_type,
    trips.is_stored_and_forwarded,
    trips.passenger_count,
    trips.distance_miles,
    trips.fare_amount,
    trips.extra,
    trips.mta_tax,
    trips.tip_amount,
    trips.tolls_amount,
    trips.ehail_fee,
    trips.improvement_surcharge,
    trips.congestion_surcharge,
    trips.cbd_congestion_fee,
    trips.total_amount,
    case when trips.total_amount > 0 then round(trips.tip_amount / trips.total_amount, 4) end as tip_share,
    case when trips.distance_miles > 0 then round(trips.fare_amount / trips.distance_miles, 4) end as fare_per_mile,
    trips.payment_type,
    case trips.payment_type
        when 0 then 'Flex Fare'
        when 1 then 'Credit card'
        when 2 then 'Cash'
        when 3 then 'No charge'
        when 4 then 'Dispute'
        when 5 then 'Unknown'
        when 6 then 'Voided'
        else case when trips.payment_type is null then 'Not recorded' else 'Other' end
    end as payment_label
from trips
inner join pickup on trips.pickup_location_id = pickup.location_id
left join dropoff on trips.dropoff_location_id = dropoff.location_id
