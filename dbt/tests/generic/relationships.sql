{#
  Every value of the column that is not NULL is in `field` of the model `to`. It takes the place of dbt's own test of
  this name, which reads all months and does not return source_month.
#}
{% test relationships(model, column_name, to, field) %}
{{ report_only() }}
select source_month, row_number, {{ column_name }}
from {{ model }} as child
where {{ in_months('source_month') }}
    and {{ column_name }} is not null
    and not exists (select from {{ to }} as parent where parent.{{ field }} = child.{{ column_name }})
{% endtest %}
