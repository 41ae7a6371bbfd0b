"""What a tool is: a row with its arguments, its function and what it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from queuectl.client.library import Client
from queuectl.client.operation import REQUIRED, Argument
from queuectl.domain.fields import Field
from queuectl.typed import Any, NamedTuple
from queuectl.wire import schema
from queuectl.wire.schema import Schema
from queuectl.wire.schema import listed as listed_schema

CALL_S = 50
"""No call takes longer: clients give up after 60 s."""
PROGRESS_EVERY_S = 5.0


class Cancelled(Exception):
    """The client does not want the answer any more."""


class Context(NamedTuple):
    """What a call needs. `progress` tells the client, if it has asked for that, that the call goes on. `hint` makes the
    commands in a hint concern the same store."""

    client: Client
    cancelled: threading.Event
    progress: Callable[[float, str], None]
    hint: Callable[[str], str]

    def ticking(self) -> Callable[[str], None]:
        """A function for a wait to call again and again, with what is waited for: it tells the client every few
        seconds. It raises `Cancelled`."""
        began = told = time.monotonic()

        def tick(text: str) -> None:
            nonlocal told
            if self.cancelled.is_set():
                raise Cancelled
            if (now := time.monotonic()) - told >= PROGRESS_EVERY_S:
                told = now
                self.progress(round(now - began, 1), text)

        return tick


class Tool(NamedTuple):
    """One tool. `function` answers a call with a JSON object. `answer` are the properties of that object that are
    always there. `reads`: it changes nothing. `ends`: it may end work. `repeats`: a second call changes no more."""

    name: str
    told: str
    arguments: Sequence[Argument]
    answer: Mapping[str, Schema]
    function: Callable[[Context, dict[str, Any]], dict[str, Any]]
    reads: bool = False
    ends: bool = False
    repeats: bool = True
    of_a_job: Sequence[Field] = ()

    @property
    def listed(self) -> dict[str, Any]:
        """The tool as clients see it."""
        properties = {field.name: _input(field) for field in self.of_a_job}
        properties |= {each.name: {**each.schema, "description": each.help} for each in self.arguments}
        required = [each.name for each in self.arguments if each.default is REQUIRED]
        required += [field.name for field in self.of_a_job if field.name == "command"]
        does = {} if self.reads else {"destructiveHint": self.ends, "idempotentHint": self.repeats}
        taken = {"type": "object", "properties": properties, "additionalProperties": False}
        return {
            "name": self.name, "description": self.told,
            "inputSchema": {**taken, "required": required} if required else taken,
            "outputSchema": {"type": "object", "properties": dict(self.answer), "required": list(self.answer)},
            "annotations": {"readOnlyHint": self.reads, **does, "openWorldHint": False},
        }  # fmt: skip


_TYPES: Mapping[str, Schema] = {
    "whole number": schema.INTEGER, "names": listed_schema(schema.TEXT), "locks": listed_schema(schema.TEXT),
    "command": {"type": ["string", "array"], "items": schema.TEXT},
}  # fmt: skip


def _input(field: Field) -> Schema:
    told = "a line for /bin/sh, or a list of words to run without a shell" if field.name == "command" else field.help
    return {**_TYPES.get(field.kind, schema.TEXT), "description": told}
