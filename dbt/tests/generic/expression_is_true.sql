{#
  The expression is true for every row. NULL breaks the test; in the test of this name in dbt_utils it passes.

  Three things hold for all tests of this project. They read the months of the build, because what an earlier build
  found in the other months still stands (core/transform/builds.py keeps it). They return source_month, which says which
  months fail. And `report_only` makes dbt run them after the last model, so that a failed test stops no mart.
#}
{% test expression_is_true(model, expression) %}
{{ report_only() }}
select source_month, row_number
from {{ model }}
where {{ in_months('source_month') }} and ({{ expression }}) is not true
{% endtest %}
