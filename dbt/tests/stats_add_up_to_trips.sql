-- daily_borough_stats counts every row of fct_trips once. A row here is a difference.
with trips as (
    select count(*) as trips, coalesce(sum(fare_amount), 0) as fares, coalesce(sum(total_amount), 0) as totals
    from {{ ref('fct_trips') }}
),

stats as (
    select coalesce(sum(trips), 0) as trips, coalesce(sum(fare_amount), 0) as fares, coalesce(sum(total_amount), 0) as totals
    from {{ ref('daily_borough_stats') }}
)

select *
from trips, stats
where (trips.trips, trips.fares, trips.totals) is distinct from (stats.trips, stats.fares, stats.totals)
