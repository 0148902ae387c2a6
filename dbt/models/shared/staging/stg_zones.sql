with zones as (
    select * from {{ source('tlc', 'raw_zones') }}
),

without_placeholders as (
    select
        location_id,
        nullif(borough, 'N/A') as borough,
        nullif(zone, 'N/A') as zone,
        nullif(service_zone, 'N/A') as service_zone
    from zones
)

select
    location_id,
    -- Zone 265 has no borough, and its zone says why: Outside of NYC.
    coalesce(borough, zone, 'Unknown') as borough,
    zone,
    service_zone
from without_placeholders
