"""The only source of time. Tests hand in their own `Clock`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""macOS has no clock of that name; its monotonic one runs on."""


class Clock(Protocol):
    """Tells the time in seconds since the epoch (UTC), and seconds of a clock that never jumps."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


boottime: Callable[[], float] = partial(time.clock_gettime, BOOTTIME)
"""Seconds of this machine's clock that never jumps and, unlike `monotonic`, also runs while it is suspended."""
