{# In each source month, at most the share `at_most` (0 to 1) of the rows meets `condition`. #}
{% test seldom(model, condition, at_most) %}
{{ report_only() }}
select source_month, count(*) filter (where {{ condition }}) as rows_found, count(*) as rows_in_all
from {{ model }}
where {{ in_months('source_month') }}
group by source_month
having count(*) filter (where {{ condition }}) > {{ at_most }} * count(*)
{% endtest %}
