"""Where a bucket's files are: the store, the bucket and the folder that an address names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from core.errors import UsageError
from core.extract.source import scheme_of

CLOUDS = {"s3": "AWS_", "az": "AZURE_", "gs": "GOOGLE_"}
"""Each scheme, with the prefix of the variables from which obstore reads account, credentials, region and endpoint."""


@dataclass(frozen=True)
class Location:
    """A folder of a bucket (S3, Google) or of a container (Azure). `folder` is empty, or begins with a slash."""

    scheme: str
    bucket: str
    folder: str

    @classmethod
    def parse(cls, prefix: str) -> Self:
        """Return the location that an address names; raise `UsageError` when it names none, or holds a query.

        A folder may have any name that the store allows; only a name that obstore can't request is refused.
        """
        match = re.fullmatch(r"(s3|az|gs)://([A-Za-z0-9][A-Za-z0-9._-]+)((?:/.*)?)", prefix, re.IGNORECASE | re.DOTALL)
        if match is None:
            variables = CLOUDS[prefix.partition("://")[0].lower()]
            raise UsageError(
                f"source {scheme_of(prefix)} names no bucket: write {scheme_of(prefix)[:-3]}bucket/folder, and the key "
                f"in {variables}*"
            )
        location = cls(match[1].lower(), match[2], match[3].rstrip("/"))
        location._check()
        return location

    def _check(self) -> None:
        # The query of a signed address is its secret.
        if re.search(r"\?[^/]*=", self.folder):
            raise UsageError(
                f"source {self.root}/... has a query (?name=value): write the folder alone, and the key in "
                f"{self.variables}*; a source stands in the history of every orchestrator"
            )
        if "//" in self.folder or not self.folder.isprintable():
            raise UsageError(
                f"source {self.root}/... has an empty part (//) or a letter that can't be printed: "
                "obstore, which reads buckets, can't request such a key; copy the files to another folder"
            )

    @property
    def root(self) -> str:
        """The bucket's own address."""
        return f"{self.scheme}://{self.bucket}"

    @property
    def variables(self) -> str:
        """How the names of the variables begin that configure this store."""
        return CLOUDS[self.scheme]
