with zones as (
    select
        location_id,
        nullif(borough, 'N/A') as borough,
        nullif(zone, 'N/A') as zone,
        nullif(service_zone, 'N/A') as service_zone
    from {{ source('raw', 'raw_zones') }}
)

select
    location_id,
    -- 265 has no borough, and a zone that says why: Outside of NYC
    coalesce(borough, zone, 'Unknown') as borough,
    zone,
    service_zone
from zones
