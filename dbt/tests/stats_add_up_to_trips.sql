-- daily_borough_stats counts every row of fct_trips once. A row here is a date that differs, and a month that has rows of it.
with trips as (
    {{ trips_on_touched_dates(ref('fct_trips')) }}
),

trips_by_date as (
    select pickup_date, count(*) as trips, coalesce(sum(fare_amount), 0) as fares, coalesce(sum(total_amount), 0) as totals
    from trips
    group by pickup_date
),

stats_by_date as (
    select pickup_date, sum(trips) as trips, sum(fare_amount) as fares, sum(total_amount) as totals
    from {{ ref('daily_borough_stats') }}
    group by pickup_date
),

differing as (
    select pickup_date
    from trips_by_date
    full join stats_by_date using (pickup_date)
    where (trips_by_date.trips, trips_by_date.fares, trips_by_date.totals)
        is distinct from (stats_by_date.trips, stats_by_date.fares, stats_by_date.totals)
)

select source_month, pickup_date from trips inner join differing using (pickup_date)
union
select unnest(source_months), pickup_date from {{ ref('daily_borough_stats') }} inner join differing using (pickup_date)
