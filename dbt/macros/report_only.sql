{#
  Makes a test run after the last model, by naming it. dbt skips whatever depends on a model with a failed test, and
  one build covers many months: the bad data of one month would keep the marts of all other months from being built.
#}
{% macro report_only() -%}
-- runs after {{ ref('daily_borough_stats') }}
{%- endmacro %}
