"""Which source an address names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from core.errors import UsageError
from core.extract import web
from core.extract.bucket import Bucket
from core.extract.folder import Folder
from core.extract.location import CLOUDS, Location
from core.extract.source import Source, scheme_of
from core.run import HELP
from core.settings import settings


def check_source(prefix: str) -> None:
    """Raise `UsageError` when the address `prefix` names no source, or holds a secret. Sends no request."""
    scheme = prefix.partition("://")[0].lower()
    if scheme in ("http", "https"):
        web.parse(prefix)
    elif scheme in CLOUDS:
        Location.parse(prefix)
    else:
        raise UsageError(f"source {scheme_of(prefix)}: write {HELP['source']}")


@contextlib.contextmanager
def opened(prefix: str) -> Iterator[Source]:
    """Yield the source that `prefix` names; raise `UsageError` when it names none."""
    if prefix == "tlc":
        prefix = settings().tlc_url
    if prefix == "sample":
        # Not at the top: no other source needs the generator.
        from core.extract.sample.source import Sample

        yield Sample()
    elif "://" not in prefix:
        yield Folder(prefix)
    else:
        check_source(prefix)
        if prefix.lower().startswith("http"):
            with web.connect() as client:
                yield web.Web(web.parse(prefix), client)
        else:
            yield Bucket(Location.parse(prefix))
