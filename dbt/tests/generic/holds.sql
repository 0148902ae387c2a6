{#
  Every row keeps `rule`; a rule that is NULL is broken. Broken rows carry source_month, which names the months at fault.
  Every test reads the months of its build only: what was found of the others stands (core/transform.py keeps it).
  Here and below, `report_only` makes dbt run the test after the last model: it reports, and holds back no mart.
#}
{% test holds(model, rule) %}
{{ report_only() }}
select source_month, row_number
from {{ model }}
where {{ in_months('source_month') }} and ({{ rule }}) is not true
{% endtest %}
