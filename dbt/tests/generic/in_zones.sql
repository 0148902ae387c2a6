{# Every location id that is set is in the zone lookup. #}
{% test in_zones(model, column_name) %}
{{ report_only() }}
select source_month, row_number, {{ column_name }}
from {{ model }} as trips
where {{ in_months('source_month') }}
    and {{ column_name }} is not null
    and not exists (select from {{ ref('stg_zones') }} as zones where zones.location_id = trips.{{ column_name }})
{% endtest %}
