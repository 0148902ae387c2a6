"""What every message of the runner protocol is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Self

from core.errors import UsageError


class Message:
    """A dataclass that passes between processes as JSON. Unknown keys are refused: a typo must not become a default."""

    LISTS: ClassVar[Mapping[str, type[Message]]] = {}
    """The fields that are lists of messages, and of which."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build a message, and those inside it, from decoded JSON; raise `UsageError` on a missing or unknown key."""
        lists = {name: [of.from_json(each) for each in data[name]] for name, of in cls.LISTS.items() if name in data}
        try:
            return cls(**{**data, **lists})
        except TypeError as error:
            raise UsageError(f"{cls.__name__}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Return the message as plain dicts, lists and scalars."""
        # Every subclass is a dataclass.
        return asdict(self)  # type: ignore[call-overload,no-any-return]
