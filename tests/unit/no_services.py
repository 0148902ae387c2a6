"""A bench without services, for tests of the programs that carry out drills."""

from __future__ import annotations


class NoServices:
    """A bench that notes whose services were ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def end(self, name: str) -> None:
        self.ended.append(name)
