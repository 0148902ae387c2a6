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
  The pickup dates whose stats those months can have changed: the dates of the rows that they have now, and, because the stats
  say which months they are made from, the dates of the rows that they had. As an array, of which the planner expects ten
  elements, it takes the index on pickup_date; joined to the same dates it read the whole table (2.4 s at 60 months, not 0.1).
#}
{% macro in_touched_dates(trips, stats) -%}
pickup_date = any (array(
    select pickup_date from {{ trips }} where {{ in_months('source_month') }}
    union
    select pickup_date from {{ stats }} where {{ from_months('source_months') }}
))
{%- endmacro %}


{#
  Incremental strategies `replace_months` and `replace_dates`: empty the months, or the touched dates, of this build, then insert
  what was selected, in the one transaction in which dbt runs a model, so a reader sees the old rows or the new ones.
  dbt's delete+insert deletes only keys that still have rows: a month whose new file is empty would keep its old rows.
#}
{% macro get_incremental_replace_months_sql(arg_dict) -%}
{{ replace_rows(arg_dict, in_months('source_month')) }}
{%- endmacro %}

{% macro get_incremental_replace_dates_sql(arg_dict) -%}
{%- set gone = from_months('source_months') -%}
{{ replace_rows(arg_dict, gone ~ ' or pickup_date in (select pickup_date from ' ~ arg_dict['temp_relation'] ~ ')') }}
{%- endmacro %}

{% macro replace_rows(arg_dict, condition) -%}
{%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
delete from {{ arg_dict['target_relation'] }} where {{ condition }};
insert into {{ arg_dict['target_relation'] }} ({{ columns }})
select {{ columns }} from {{ arg_dict['temp_relation'] }}
{%- endmacro %}
