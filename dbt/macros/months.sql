{#
  What is built: the source months named in TRIPTYCH_MONTHS ("2024-01-01,2024-02-01"; "" is none), or all when it is not
  set. Not a dbt variable, because a changed variable makes dbt parse the whole project again (3 CPU seconds on top of 5.5);
  and read only when executing, or dbt would parse the model again.
  Models do not ask is_incremental(): dbt can't unit-test that before the table exists.
#}
{% macro asked_months() -%}
{{ env_var('TRIPTYCH_MONTHS', 'all') if execute else 'all' }}
{%- endmacro %}


{# Whether a source month is one of those. #}
{% macro in_months(column) -%}
{%- set months = asked_months() -%}
{%- if months == 'all' -%}
true
{%- elif months == '' -%}
false
{%- else -%}
{{ column }} in (date '{{ months.split(',') | join("', date '") }}')
{%- endif -%}
{%- endmacro %}


{# Whether any of several source months, an array, is one of those. #}
{% macro from_months(column) -%}
{%- set months = asked_months() -%}
{{ 'true' if months == 'all' else column ~ " && '{" ~ months ~ "}'::date[]" }}
{%- endmacro %}


{#
  The table that readers see of a mart; none before its first publication. The models build `<mart>__unpublished` beside it,
  and `core.marts` publishes all marts of a build in one transaction.
#}
{% macro published(mart) -%}
{{ return(load_relation(api.Relation.create(database=target.database, schema=target.schema, identifier=mart))) }}
{%- endmacro %}


{#
  The trips of every date whose stats this build can change: those that it has `built`, and, of the other months, what is
  published of the same dates. Those are the dates of the rows that its months have now, and, because the stats say which
  months they are made from, the dates of the rows that they had. As an array, of which the planner expects ten elements,
  they take the index on pickup_date; joined to the same dates it read the whole table (2.4 s at 60 months, not 0.1).
#}
{% macro trips_on_touched_dates(built) -%}
{%- set columns -%}
source_month, pickup_date, pickup_borough, distance_miles, duration_seconds, fare_amount, tip_amount, total_amount
{%- endset -%}
select {{ columns }} from {{ built }}
{%- set others = published('fct_trips') if asked_months() != 'all' %}
{%- if others %}
union all
select {{ columns }} from {{ others }}
where not {{ in_months('source_month') }} and pickup_date = any (array(
    select pickup_date from {{ built }}
    union
    select pickup_date from {{ published('daily_borough_stats') }} where {{ from_months('source_months') }}
))
{%- endif %}
{%- endmacro %}
