"""What the pipelines do that is not about dates, and arithmetic with months. Cheap to import: DAG files import it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from core.errors import NotPublished, UsageError
from core.settings import Settings, settings

NO_MONTH = "this run has no month: start it with one, such as 2024-01"
"""What a run says that was started by hand without a month. It must not guess one."""


def folder(at: Settings) -> Path:
    """Return the folder that `latest` reads its files from; a file ``2024-02.broken`` in it lets that month fail."""
    return at.home / "dates"


def month_before(date: dt.date) -> str:
    """Return the month before the one in which `date` lies."""
    return f"{date.replace(day=1) - dt.timedelta(days=1):%Y-%m}"


def months_before(date: dt.date, count: int) -> list[str]:
    """Return the `count` months before the one in which `date` lies, oldest first."""
    months: list[str] = []
    while len(months) < count:
        months.insert(0, month_before(dt.date.fromisoformat(f"{months[0]}-01") if months else date))
    return months


def checked(month: str | None) -> str:
    """Return `month`; raise `UsageError` when there is none, or when it is one that is to fail."""
    if not month:
        raise UsageError(NO_MONTH)
    if (folder(settings()) / f"{month}.broken").exists():
        raise UsageError(f"{month} was told to fail")
    return month


def is_published(url: str, month: str) -> bool:
    """Return whether the publisher has the file of a month; it answers 403 for one that it does not have yet."""
    try:
        with urlopen(Request(f"{url}/green_tripdata_{month}.parquet", method="HEAD"), timeout=30):
            return True
    except HTTPError as error:
        if error.code in (403, 404):
            return False
        raise


def load(months: Sequence[str], loader: str) -> dict[str, str]:
    """Load each month that is published, and return what happened: ``success``, ``unchanged``, or ``not yet``.

    The load ledger compares the bytes of the file with those that are loaded: a file that was replaced is loaded again,
    and one that was not costs its checksum.
    """
    from core.month import Month
    from core.pipeline import ingest_month
    from core.run import Run

    run, states = Run(source=str(folder(settings())), schema=f"dates_{loader}", loader=loader), {}
    for month in months:
        try:
            states[month] = str(ingest_month(run, Month.parse(month)).state)
        except NotPublished:
            states[month] = "not yet"
    return states
