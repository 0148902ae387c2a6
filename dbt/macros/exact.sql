{#
  Convert float8 to an exact type. These are total functions: no published value makes them fail, so one bad row can't
  stop a build. A cast from float8 takes 15 significant digits, whatever extra_float_digits says, then rounds half
  away from zero; -0.0 becomes 0. PostgreSQL sorts NaN above infinity, so one comparison turns NaN, infinities and
  anything out of range into NULL.
#}
{% macro money(column) -%}
(case when abs({{ column }}) <= 99999999.99 then {{ column }}::numeric end)::numeric(10, 2)
{%- endmacro %}

{% macro distance(column) -%}
case when abs({{ column }}) < 1e8 then {{ column }}::numeric end
{%- endmacro %}
