"""The only source of time. Tests pass their own `Clock`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from queuectl.typed import Protocol

BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""On macOS the monotonic clock, which also runs during suspend."""


class Clock(Protocol):
    """`now`: seconds since the epoch (UTC). `monotonic`: seconds of a clock that never jumps."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


boottime: Callable[[], float] = partial(time.clock_gettime, BOOTTIME)
"""Seconds of a clock that never jumps and, unlike `monotonic`, runs while the machine is suspended."""
