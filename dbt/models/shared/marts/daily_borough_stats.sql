{{ config(materialized='table', alias='daily_borough_stats__unpublished') }}

-- No result depends on the order of the rows: sums are of exact numbers, and percentile_disc returns one of its inputs.
with trips as (
    {{ trips_on_touched_dates(ref('fct_trips')) }}
)

select
    pickup_date,
    pickup_borough as borough,
    count(*) as trips,
    coalesce(sum(distance_miles), 0) as distance_miles,
    coalesce(sum(fare_amount), 0) as fare_amount,
    coalesce(sum(tip_amount), 0) as tip_amount,
    coalesce(sum(total_amount), 0) as total_amount,
    percentile_disc(0.5) within group (order by distance_miles) as median_distance_miles,
    (percentile_disc(0.5) within group (order by fare_amount))::numeric(10, 2) as median_fare_amount,
    percentile_disc(0.5) within group (order by duration_seconds) as median_duration_seconds,
    array_agg(distinct source_month order by source_month) as source_months
from trips
group by pickup_date, pickup_borough
