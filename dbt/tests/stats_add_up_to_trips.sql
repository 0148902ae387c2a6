-- daily_borough_stats counts every row of fct_trips once. A row here is a date that differs, and a month that has rows of it.
with trips as (
    select pickup_date, count(*) as trips, coalesce(sum(fare_amount), 0) as fares, coalesce(sum(total_amount), 0) as totals
    from {{ ref('fct_trips') }}
    where {{ in_touched_dates(ref('fct_trips'), ref('daily_borough_stats')) }}
    group by pickup_date
),

stats as (
    select pickup_date, sum(trips) as trips, sum(fare_amount) as fares, sum(total_amount) as totals
    from {{ ref('daily_borough_stats') }}
    where {{ in_touched_dates(ref('fct_trips'), ref('daily_borough_stats')) }}
    group by pickup_date
),

differing as (
    select pickup_date
    from trips
    full join stats using (pickup_date)
    where (trips.trips, trips.fares, trips.totals) is distinct from (stats.trips, stats.fares, stats.totals)
)

select source_month, pickup_date from {{ ref('fct_trips') }} inner join differing using (pickup_date)
union
select unnest(source_months), pickup_date from {{ ref('daily_borough_stats') }} inner join differing using (pickup_date)
