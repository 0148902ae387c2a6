"""A published file becomes a verified local one: from a folder, an http(s) prefix, or a bucket of an object store."""

from core.extract.download import MANIFEST, Extracted, extract

__all__ = ["MANIFEST", "Extracted", "extract"]
