"""The dbt models follow what is loaded: one build of all that is pending, tested, and published in one transaction."""

from core.transform.builds import (
    PROJECT,
    ZONES,
    Refresh,
    Result,
    built_versions,
    loaded_versions,
    refresh,
    results,
    rows,
)

__all__ = ["PROJECT", "ZONES", "Refresh", "Result", "built_versions", "loaded_versions", "refresh", "results", "rows"]
