{#
  What `fct_trips` computes of a trip, the same for every dataset. The columns that a dataset has for itself are in its
  own `fct_trips.sql`.
#}
{% macro duration_seconds() -%}
trim_scale(extract(epoch from trips.dropped_off_at - trips.picked_up_at))
{%- endmacro %}


{% macro tip_share() -%}
case when trips.total_amount > 0 then round(trips.tip_amount / trips.total_amount, 4) end
{%- endmacro %}


{% macro fare_per_mile() -%}
case when trips.distance_miles > 0 then round(trips.fare_amount / trips.distance_miles, 4) end
{%- endmacro %}


{% macro payment_label() -%}
case trips.payment_type
        when 0 then 'Flex Fare'
        when 1 then 'Credit card'
        when 2 then 'Cash'
        when 3 then 'No charge'
        when 4 then 'Dispute'
        when 5 then 'Unknown'
        when 6 then 'Voided'
        else case when trips.payment_type is null then 'Not recorded' else 'Other' end
    end
{%- endmacro %}
