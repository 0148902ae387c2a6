{{ config(materialized='table') }}

-- Sums of exact numbers and percentile_disc, which gives one of its inputs: no result depends on the order of the rows.
select
    pickup_date,
    pickup_borough as borough,
    count(*) as trips,
    coalesce(sum(distance_miles), 0) as distance_miles,
    coalesce(sum(fare_amount), 0) as fare_amount,
    coalesce(sum(tip_amount), 0) as tip_amount,
    coalesce(sum(total_amount), 0) as total_amount,
    percentile_disc(0.5) within group (order by distance_miles) as median_distance_miles,
    percentile_disc(0.5) within group (order by fare_amount) as median_fare_amount,
    percentile_disc(0.5) within group (order by duration_seconds) as median_duration_seconds
from {{ ref('fct_trips') }}
group by pickup_date, pickup_borough
