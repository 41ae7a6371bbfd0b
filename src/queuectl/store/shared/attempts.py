"""Executions of jobs: how they ended, what they wrote, and losses that were none."""

from __future__ import annotations

from collections.abc import Mapping

from queuectl.domain.job import Attempt, Job
from queuectl.store.port import Output
from queuectl.store.shared import rows
from queuectl.store.shared.session import Session


class Attempts(Session):
    """This part of a `Store` (see store/port.py)."""

    def attempts(self, job: Job) -> list[Attempt]:
        text = f"SELECT {rows.ATTEMPT_COLUMNS} FROM {{schema}}.attempts WHERE job = ? ORDER BY number"
        return [rows.attempt_from_row(row) for row in self._select(text, [job.seq])]

    def outputs(self, job: Job, number: int) -> list[Output]:
        text = f"SELECT {rows.OUTPUT_COLUMNS} FROM {{schema}}.outputs WHERE job = ? AND number = ? ORDER BY stream"
        return [rows.output_from_row(row) for row in self._select(text, [job.seq, number])]

    def take_back_losses(self, worker: str, stopped: Mapping[tuple[int, int], float]) -> list[Job]:
        from queuectl.store.shared.recording import loss_taken_back

        now, taken_back = self.now(), []
        with self.transaction():
            for (seq, lease), ended_at in sorted(stopped.items()):
                for job in self._jobs(f"WHERE seq = ? {self._dialect.locked}", [seq]):
                    if found := loss_taken_back(job, self.attempts(job), worker, lease, ended_at, now):
                        after, attempt = found
                        self._write([(job, after)], now)
                        self._send_rows("break_attempt", [attempt])
                        taken_back.append(after)
        return taken_back
