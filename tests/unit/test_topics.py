"""What `queuectl help environment` says of variables is what commands get."""

from __future__ import annotations

from queuectl.cli.topics import SEEN
from queuectl.domain.limits import Lock, variables
from queuectl.engine.dispatch import hooks


def test_variables_of_hooks_and_alerts_are_told() -> None:
    assert hooks.variables({}, {"id": "job1"}).keys() <= dict(SEEN).keys()


def test_the_variable_of_a_lock_is_told() -> None:
    assert variables((Lock("name"), ["0"])).keys() <= dict(SEEN).keys()
