"""The keys of a job that were typed as options."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import SimpleNamespace

from queuectl.cli.options import FLAGS
from queuectl.domain.errors import Invalid
from queuectl.domain.fields import INPUT
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.wire.kinds import JsonObject

_KINDS = {
    field.name: field.kind for field in INPUT
    if "duration" in field.kind or field.kind in ("whole number", "number", "size", "allowance", "exit codes")
}  # fmt: skip
WHOLE, FRACTION = r"[+-]?[0-9]{1,18}", r"[+-]?[0-9]{1,18}\.[0-9]{1,18}"


def given(args: SimpleNamespace) -> JsonObject:
    """The keys of a job that were typed as options; of a script, the name of its file."""
    given = {name[4:]: value for name, value in vars(args).items() if name.startswith("key:")}
    document = {key: in_json(key, value) for key, value in given.items() if value is not None}
    if "env" in document:
        document["env"] = dict(map(_variable, document["env"]))
    return document


def in_json(key: str, value: Any) -> Any:
    """A number that was typed, or several, as JSON has them: other programs read the documents that are shown or kept.
    What is not valid is left as it was typed, for the check."""
    kind = _KINDS.get(key)
    if kind == "exit codes":
        codes = [code.strip() for code in value.split(",")] if isinstance(value, str) else value
        return [int(code) for code in codes] if all(re.fullmatch(WHOLE, code) for code in codes) else value
    if not isinstance(value, str) or kind is None:
        return value
    if re.fullmatch(WHOLE, value):
        return int(value)
    is_fraction = kind not in ("whole number", "size", "allowance") and re.fullmatch(FRACTION, value)
    return float(value) if is_fraction else value


def spelled(given: JsonObject) -> Mapping[str, str]:
    """The option of each of these keys, for errors."""
    return {key: FLAGS[key] for key in given}


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise Invalid(f"--env {text!r} has no name", "write it as --env NAME=VALUE")
    if not equals:
        if name not in os.environ:
            raise Invalid(f"--env {name}: there is no such variable here", f"write it as --env {name}=VALUE")
        value = os.environ[name]
    return name, value
