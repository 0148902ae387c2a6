-- daily_borough_stats counts every row of fct_trips once. Each row of the result is a date whose sums differ, and a source month
-- that has trips on it.
with trips as (
    {{ trips_on_touched_dates(ref('fct_trips')) }}
),

stats as (
    select * from {{ ref('daily_borough_stats') }}
),

trips_by_date as (
    select
        pickup_date,
        count(*) as trips,
        coalesce(sum(fare_amount), 0) as fare_amount,
        coalesce(sum(total_amount), 0) as total_amount
    from trips
    group by pickup_date
),

stats_by_date as (
    select pickup_date, sum(trips) as trips, sum(fare_amount) as fare_amount, sum(total_amount) as total_amount
    from stats
    group by pickup_date
),

differing as (
    select pickup_date
    from trips_by_date
    full join stats_by_date using (pickup_date)
    where (trips_by_date.trips, trips_by_date.fare_amount, trips_by_date.total_amount)
        is distinct from (stats_by_date.trips, stats_by_date.fare_amount, stats_by_date.total_amount)
)

select source_month, pickup_date from trips inner join differing using (pickup_date)
union
select unnest(source_months), pickup_date from stats inner join differing using (pickup_date)
