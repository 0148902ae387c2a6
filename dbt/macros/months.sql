{#
  The condition that picks the source months of a build: the first days named in TRIPTYCH_MONTHS
  ("2024-01-01,2024-02-01"; "" is none), or all when it is not set. Not a dbt variable, because a changed variable makes dbt
  parse the whole project again (3 CPU seconds on top of 5.5); and read only when executing, or dbt would parse the model again.
  The model does not ask is_incremental(): dbt can't unit-test that before the table exists.
#}
{% macro in_months(column) -%}
{%- set months = env_var('TRIPTYCH_MONTHS', 'all') if execute else 'all' -%}
{%- if months == 'all' -%}
true
{%- elif months == '' -%}
false
{%- else -%}
{{ column }} in (date '{{ months.split(',') | join("', date '") }}')
{%- endif -%}
{%- endmacro %}


{#
  Incremental strategy `replace_months`: empty the months of this build, then insert what was selected, in the one
  transaction in which dbt runs a model, so a reader sees a month's old rows or its new ones.
  dbt's delete+insert deletes only months that still have rows: a month whose new file is empty would keep its old rows.
#}
{% macro get_incremental_replace_months_sql(arg_dict) -%}
{%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
delete from {{ arg_dict['target_relation'] }} where {{ in_months('source_month') }};
insert into {{ arg_dict['target_relation'] }} ({{ columns }})
select {{ columns }} from {{ arg_dict['temp_relation'] }}
{%- endmacro %}
