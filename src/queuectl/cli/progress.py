"""A line on a terminal that shows how far long work has come, how fast it goes, and how long it still takes.

It is written over without escape sequences, which simple terminals lack.
"""

from __future__ import annotations

import time

from queuectl.typed import TYPE_CHECKING
from queuectl.wire.words import age

BETWEEN_S = 0.1
"""The line is drawn no more often."""
TELLING_AFTER_S = 1.0
"""Before, rate and time left would only be guesses."""
BAR_CHARACTERS = 20


if TYPE_CHECKING:
    from typing import TextIO


class Progress:
    """Shows progress: call it with what is done, and with the total where that becomes known only meanwhile."""

    def __init__(self, err: TextIO, verb: str, total: int | None, width: int | None) -> None:
        self._err = err
        self.verb = verb
        self._total = total
        self._width = width or 80
        self._began = time.monotonic()
        self._next = 0.0
        self._drawn = 0

    def __call__(self, done: int, total: int | None = None) -> None:
        now = time.monotonic()
        if now >= self._next or done == self._total:
            self._next = now + BETWEEN_S
            self._draw(self._text(done, total or self._total, now - self._began)[: self._width - 1])

    def _text(self, done: int, total: int | None, seconds: float) -> str:
        text = f"{self.verb} {done:,}"
        if total is not None:
            text += f" of {total:,}" if total == self._total else f" of about {total:,}"
        if seconds < TELLING_AFTER_S or not done:
            return text
        rate = done / seconds
        if total is not None:
            part = min(1.0, done / max(1, total))
            text += f"  [{'=' * round(part * BAR_CHARACTERS):{BAR_CHARACTERS}}] {part:.0%}"
        text += f"  {rate:,.0f}/s"
        return text if total is None else f"{text}  {age((max(done, total) - done) / rate)} left"

    def _draw(self, text: str) -> None:
        print(f"\r{text:{self._drawn}} ", end="", file=self._err, flush=True)
        self._drawn = max(self._drawn, len(text))

    def clear(self) -> None:
        """Removes the line."""
        if self._drawn:
            print(f"\r{'':{self._drawn + 1}}\r", end="", file=self._err, flush=True)
            self._drawn = 0
