"""What a pipeline is to whoever starts it: its steps, and the parameters of its form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from core.errors import UsageError, quoted
from core.lab.protocol.message import Message
from core.run import CHOICES, HELP, TASKS, RunParameters

Value = str | bool | int
WORDS = {"true": True, "false": False}


@dataclass(frozen=True)
class Parameter(Message):
    """A parameter of a pipeline. One without a `default` must be set; the default's type is the parameter's."""

    help: str = ""
    default: Value | None = None
    choices: list[str] = field(default_factory=list)

    def read(self, text: str) -> Value:
        """Return the value that a user wrote as `text`; raise `UsageError` saying what to write."""
        if isinstance(self.default, bool):
            if text.lower() not in WORDS:
                raise UsageError("write true or false")
            return WORDS[text.lower()]
        if isinstance(self.default, int):
            try:
                return int(text)
            except ValueError:
                raise UsageError("write a whole number") from None
        if self.choices and text not in self.choices:
            raise UsageError(f"choose from {', '.join(self.choices)}")
        return text


@dataclass(frozen=True)
class Pipeline(Message):
    """A pipeline that a user can start by its name."""

    name: str
    tasks: list[str]
    """Its steps, in order. A run in which one of them failed, or could not run, has failed."""
    main: str
    """The step whose attempts, and whose receipt's rows and digests, are those of a month."""
    month: Literal["required", "optional", "none"] = "required"
    """Whether a run has a month. Without one that is optional, the pipeline chooses for itself."""
    parameters: dict[str, Parameter] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the message, and the messages inside it, from decoded JSON."""
        every = {name: Parameter.from_json(each) for name, each in data.get("parameters", {}).items()}
        return super().from_json({**data, "parameters": every})

    def order(self, task: str) -> int:
        """Return the position of a step, to sort by; one that is not among `tasks` comes last."""
        return self.tasks.index(task) if task in self.tasks else len(self.tasks)

    def values(self, given: Mapping[str, str]) -> dict[str, Value]:
        """Return what a user set, each value as its parameter's type; raise `UsageError` naming a wrong one."""
        values: dict[str, Value] = {}
        for name, text in given.items():
            if name not in self.parameters:
                choices = ", ".join(self.parameters) or "it has none"
                raise UsageError(f"{self.name} has no parameter {quoted(name)!r}: choose from {choices}")
            try:
                values[name] = self.parameters[name].read(text)
            except UsageError as error:
                raise UsageError(f"{self.name} can't take {name}={quoted(text)}: {error}") from None
        return values

    def check(self, month: str | None, values: Mapping[str, Value]) -> None:
        """Raise `UsageError` when a run lacks a month or a parameter, or has a month that is not taken."""
        if self.month == "required" and month is None:
            raise UsageError(f"{self.name} needs a month, as in --month 2024-01")
        if self.month == "none" and month is not None:
            raise UsageError(f"{self.name} takes no month")
        for name, parameter in self.parameters.items():
            if parameter.default is None and name not in values:
                raise UsageError(f"{self.name} needs the parameter {name}, as in --set {name}=...: {parameter.help}")


def _parameter(each: dataclasses.Field[Any]) -> Parameter:
    default = None if each.default is dataclasses.MISSING else each.default
    return Parameter(HELP[each.name], default, list(CHOICES.get(each.name, ())))


TAXI_PIPELINE = Pipeline(
    name="taxi_pipeline",
    tasks=list(TASKS),
    main="ingest_month",
    parameters={each.name: _parameter(each) for each in dataclasses.fields(RunParameters)},
)
"""The pipeline of this project, as every adapter of the checkout has it."""
