"""Tells systemd how a worker is: that it serves, that it lives, that it stops. See sd_notify(3).

What systemd gives a service in its environment is for its main process only. A command that knew the socket could end
the service by a word, so it is taken out of the environment before anything is started.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

OURS = (
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID",
    "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE",
)  # fmt: skip
"""The variables of a service's main process."""
STOPPING_EVERY_S = 10.0
"""How often a worker that stops asks for more time."""
MORE_TIME_S = 30


class Manager:
    """The service manager that has started this process, or nobody."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Takes its variables out of the environment; `given` has them."""
        self.given = given = {name: environment.pop(name) for name in OURS if name in environment}
        self._address = given.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        is_for_us = given.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_s = int(given.get("WATCHDOG_USEC", "0")) / 1e6 if is_for_us else 0.0
        self._every_s = watchdog_s / 2 or None
        self._is_stopping = False
        self._told_at = 0.0

    def ready(self, now: float) -> None:
        """The worker serves."""
        self._tell(now, f"READY=1\nMAINPID={os.getpid()}")

    def stopping(self, now: float) -> None:
        """The worker stops once its commands have ended, however long that takes."""
        if not self._is_stopping:
            self._is_stopping = True
            self._tell(now, f"STOPPING=1\nEXTEND_TIMEOUT_USEC={MORE_TIME_S * 1_000_000}")

    def alive(self, now: float) -> float | None:
        """Tells that the worker lives, if it is time. Returns in how many seconds it is to be told again."""
        every_s = self._interval()
        if every_s is None:
            return None
        if now - self._told_at >= every_s:
            more = f"\nEXTEND_TIMEOUT_USEC={MORE_TIME_S * 1_000_000}" if self._is_stopping else ""
            self._tell(now, f"WATCHDOG=1{more}")
        return self._told_at + every_s - now

    def _interval(self) -> float | None:
        if not self._address:
            return None
        return min(self._every_s or STOPPING_EVERY_S, STOPPING_EVERY_S) if self._is_stopping else self._every_s

    def _tell(self, now: float, text: str) -> None:
        self._told_at = now
        if self._address:
            # It may be gone or full: then nobody listens, and the worker is none the worse for it.
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(text.encode(), self._address)
