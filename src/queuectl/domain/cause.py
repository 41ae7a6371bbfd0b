"""Why queuectl itself ends an execution. A module of its own, since supervisors load nothing else of the domain."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why queuectl itself ended an execution."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    STOP = "stop"
    MEMORY = "memory"
