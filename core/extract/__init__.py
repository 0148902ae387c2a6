"""A published file becomes a verified local one: from a folder, an http(s) prefix, a bucket, or the sample data."""

from core.extract.address import check_source
from core.extract.cache import Extracted
from core.extract.download import extract
from core.extract.manifest import MANIFEST

__all__ = ["MANIFEST", "Extracted", "check_source", "extract"]
