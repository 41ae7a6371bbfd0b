"""The keys of a job that were typed as options."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from queuectl.cli.options import FLAGS
from queuectl.domain.errors import Invalid

if TYPE_CHECKING:
    from queuectl.wire.kinds import JsonObject


def given(args: Namespace) -> JsonObject:
    """The keys of a job that were typed as options; of a script, the name of its file."""
    given = {name[4:]: value for name, value in vars(args).items() if name.startswith("key:")}
    document = {key: value for key, value in given.items() if value is not None}
    if "env" in document:
        document["env"] = dict(map(_variable, document["env"]))
    return document


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
