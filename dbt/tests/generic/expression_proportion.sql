{#
  In each source month, the expression is true for at most the share `at_most` (0 to 1) of the rows:
  not_null_proportion of dbt_utils, for any expression. A row of the result is a month, so `rows_found` says how many
  of its rows made the expression true.
#}
{% test expression_proportion(model, expression, at_most) %}
{{ report_only() }}
select source_month, count(*) filter (where {{ expression }}) as rows_found, count(*) as rows_in_all
from {{ model }}
where {{ in_months('source_month') }}
group by source_month
having count(*) filter (where {{ expression }}) > {{ at_most }} * count(*)
{% endtest %}
