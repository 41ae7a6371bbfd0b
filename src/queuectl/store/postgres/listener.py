"""Notices commits of other sessions: by LISTEN on a connection of its own, or else by polling."""

from __future__ import annotations

import time

import psycopg

from queuectl.domain.errors import StoreUnavailable
from queuectl.store.postgres.address import Address
from queuectl.store.postgres.connection import ABANDONED, Line
from queuectl.store.values import ANSWER_WITHIN_S, Heard

POLL_EVERY_S = 0.5
"""The poll interval when no notices arrive: while the server is away, or behind a pooler."""


def notice(me: str, jobs: int, more: bool) -> str:
    """What a transaction says of itself (see `Heard`). Older releases say no more than who they are, and look
    whatever others say."""
    return me if more else f"{me} {jobs}"


def understood(told: str) -> Heard:
    """What it has said. The functions of the schema say nothing, and add a job."""
    who, _, jobs = told.partition(" ")
    return Heard(int(jobs or 1), more=bool(who and not jobs))


class Listener:
    """Hears notices on one channel, except our own (by `me`)."""

    def __init__(self, address: Address, channel: str, me: str) -> None:
        self._line = Line(address)
        self._channel = channel
        self._me = me
        self._hears: psycopg.Connection[tuple[object, ...]] | None = None
        self._deaf = False
        self.answer_within_s = ANSWER_WITHIN_S
        self._look_at = 0.0

    @property
    def handle(self) -> int:
        """A descriptor that becomes readable when a notice arrives; -1 if there is none."""
        return -1 if self._hears is None else self._hears.fileno()

    def heard(self) -> Heard | None:
        """What may have happened since the last call."""
        if self._hears is not None:
            try:
                return self._take(self._hears)
            except psycopg.OperationalError:
                self._hears.close()
                self._hears = None
                self._look_at = 0.0
                return Heard()  # listens again only next time: the caller must first let go of the handle
        now = time.monotonic()
        if now < self._look_at:
            return None
        self._look_at = now + POLL_EVERY_S
        if not self._deaf:
            self._listen()
        return Heard()  # nobody knows what happened meanwhile

    def _take(self, db: psycopg.Connection[tuple[object, ...]]) -> Heard | None:
        db.pgconn.consume_input()
        heard: Heard | None = None
        while (told := db.pgconn.notifies()) is not None:
            text = told.extra.decode()
            if text.partition(" ")[0] != self._me:
                jobs, more = understood(text)
                heard = Heard(jobs, more) if heard is None else Heard(heard.jobs + jobs, heard.more or more)
        return heard

    def _listen(self) -> None:
        """Begins to listen, unless a pooler answers."""
        try:
            db = self._line.open()
            db.answer_within_s = self.answer_within_s
            self._deaf = not db.is_direct
            if self._deaf:
                db.close()
            else:
                for name, value in ABANDONED.items():
                    db.execute("SELECT set_config(%s, %s, false)", (name, value))
                db.execute(f'LISTEN "{self._channel}"'.encode())
                self._hears = db
        except (StoreUnavailable, psycopg.Error):
            self._look_at = time.monotonic() + POLL_EVERY_S
            return  # polling continues; the store's other connection reports the outage

    def close(self) -> None:
        self._line.close()
