with trips as (
    select * from {{ source('tlc', 'raw_trips') }}
)

select
    source_month,
    row_number,
    vendor_id,
    pickup_datetime as picked_up_at,
    dropoff_datetime as dropped_off_at,
    case store_and_fwd_flag when 'Y' then true when 'N' then false end as is_stored_and_forwarded,
    nullif(rate_code_id, 99) as rate_code_id,
    pickup_location_id,
    dropoff_location_id,
    passenger_count,
    {{ distance('trip_distance') }} as distance_miles,
    {{ money('fare_amount') }} as fare_amount,
    {{ money('extra') }} as extra,
    {{ money('mta_tax') }} as mta_tax,
    {{ money('tip_amount') }} as tip_amount,
    {{ money('tolls_amount') }} as tolls_amount,
    {{ money('improvement_surcharge') }} as improvement_surcharge,
    {{ money('total_amount') }} as total_amount,
    payment_type,
    {{ money('congestion_surcharge') }} as congestion_surcharge,
    {{ money('airport_fee') }} as airport_fee,
    {{ money('cbd_congestion_fee') }} as cbd_congestion_fee
from trips
