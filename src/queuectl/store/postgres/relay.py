"""Passes the output of running commands to readers on other machines: as rows of a table, while somebody asks."""

from __future__ import annotations

from queuectl.domain.job import Job
from queuectl.store.postgres.session import PostgresSession
from queuectl.store.values import Grip

KEPT_BYTES = 16 << 20
"""Pieces further behind the newest one are removed."""


class PostgresRelay:
    """An `OutputRelay` (see store/port.py) over a store's own connection."""

    def __init__(self, session: PostgresSession) -> None:
        self._session = session

    def ask(self, job: Job, for_s: float) -> None:
        with self._session.transaction():
            self._session.send("ask_for_output", job=job.seq, for_s=for_s)

    def wanted(self, worker: str) -> list[int]:
        self._session.read("sweep_pieces")
        return [seq for (seq,) in self._session.read("wanted_output", worker=worker)]

    def append(self, grip: Grip, job: Job, stream: int, start: int, stop: int, data: bytes) -> None:
        place = {"job": job.seq, "lease": job.lease, "worker": grip.worker, "stream": stream}
        with self._session.transaction():
            self._session.send("add_piece", **place, start=start, stop=stop, data=data)
            self._session.send("forget_pieces", job=job.seq, stream=stream, before=stop - KEPT_BYTES)

    def read(self, job: Job, number: int, stream: int, offset: int) -> tuple[int, int, bytes] | None:
        found = self._session.read("next_piece", job=job.seq, number=number, stream=stream, offset=offset)
        return found[0] if found else None
