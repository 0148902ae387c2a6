{#
  Every row keeps `rule`; a rule that is NULL is broken. Broken rows carry source_month, which names the months at fault.
  Here and below, `report_only` makes dbt run the test after the last model: it reports, and holds back no mart.
#}
{% test holds(model, rule) %}
{{ report_only() }}
select source_month, row_number
from {{ model }}
where ({{ rule }}) is not true
{% endtest %}
