"""The claims, a module for each subject. Each has the evidence of its claims, and then the claims themselves."""

from __future__ import annotations

from benchmarks.folklore.claim import Claim
from benchmarks.folklore.claims import airflow, dagster, loading, prefect, together

SUBJECTS: dict[str, tuple[Claim, ...]] = {
    "Airflow": airflow.CLAIMS,
    "Dagster": dagster.CLAIMS,
    "Prefect": prefect.CLAIMS,
    "All three": together.CLAIMS,
    "Loading": loading.CLAIMS,
}
"""Every claim, by subject, in the order of the page."""

CLAIMS: tuple[Claim, ...] = tuple(claim for claims in SUBJECTS.values() for claim in claims)
"""Every claim."""
