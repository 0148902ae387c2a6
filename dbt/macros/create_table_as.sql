{#
  Overrides the macro of dbt-postgres, which writes CREATE TABLE and INSERT for a model with a contract; this one
  writes CREATE TABLE AS. PostgreSQL runs the query of CREATE TABLE AS in parallel, and never that of an INSERT: a month
  of 60,000 rows takes 0.19 s instead of 0.39 s on two cores. The contract is still enforced: names and types before the
  table is created, NOT NULL after it. Keys belong to the published table (core/transform/marts.py).
#}
{% macro postgres__create_table_as(temporary, relation, sql) -%}
{%- if config.get('contract').enforced and not temporary -%}
    {{ get_assert_columns_equivalent(sql) }}
{%- endif %}
create {{ 'temporary' if temporary }} table {{ relation }} as (
    {{ sql }}
);
{%- set required = [] -%}
{%- for column in model.columns.values() if not temporary -%}
    {%- for constraint in column.constraints if constraint.type == 'not_null' -%}
        {%- do required.append('alter column ' ~ adapter.quote(column.name) ~ ' set not null') -%}
    {%- endfor -%}
{%- endfor %}
{%- if required %}
alter table {{ relation }} {{ required | join(', ') }};
{%- endif -%}
{%- endmacro %}
