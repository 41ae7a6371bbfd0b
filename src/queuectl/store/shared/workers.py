"""Supervisors: which there are, who drives them, what they hold, and what people asked of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from queuectl.domain.errors import Conflict
from queuectl.store.identity import is_same
from queuectl.store.shared.migrations import newest
from queuectl.store.shared.session import Session
from queuectl.store.values import LEASE_S, REFUSED, Grip, WorkerRow
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.served import Served


def _names(text: Any) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text and text != "[]" else ()


class Workers(Session):
    """This part of a `Store` (see store/port.py)."""

    def register(self, row: WorkerRow, lease_s: float = LEASE_S) -> None:
        with self.transaction():
            values = {**row._asdict(), "home": self._home(), "schema": newest(), "lease_s": lease_s}
            lists = {"queues": json.dumps(row.queues), "not_queues": json.dumps(row.not_queues)}
            self.send("register", **values | lists)

    def deregister(self, grip: Grip) -> None:
        with self.transaction():
            self._check(grip)
            text = "SELECT 1 FROM {schema}.jobs WHERE worker = ? AND state = 'processing' LIMIT 1"
            if self._select(text, [grip.worker]):
                raise Conflict(f"worker {grip.worker} still holds jobs")
            self._execute("DELETE FROM {schema}.workers WHERE id = ?", [grip.worker])

    def workers(self) -> list[WorkerRow]:
        return self._workers_where("true")

    def _workers_where(self, condition: str, values: Sequence[object] = ()) -> list[WorkerRow]:
        columns = ", ".join(WorkerRow._fields)
        text = f"SELECT {columns} FROM {{schema}}.workers WHERE {condition} ORDER BY started_at, id"
        rows = [WorkerRow(*row) for row in self._select(text, values)]
        return [row._replace(queues=_names(row.queues), not_queues=_names(row.not_queues)) for row in rows]

    def is_at_home(self, row: WorkerRow) -> bool:
        return is_same(row.home, self._home())

    def holds(self, grip: Grip) -> bool:
        return bool(self._select("SELECT 1 FROM {schema}.workers WHERE id = ? AND epoch = ?", grip))

    def adopt(
        self, row: WorkerRow, dispatcher: int, lease_s: float = LEASE_S, only_expired: bool = False
    ) -> Grip | None:
        terms = {"worker": row.id, "epoch": row.epoch, "dispatcher": dispatcher, "lease_s": lease_s}
        with self.transaction():
            taken = self.send("adopt", **terms, only_expired=only_expired).fetchall()
        return Grip(worker=row.id, epoch=row.epoch + 1) if taken else None

    def request_stop(self, ids: Sequence[str], how: str) -> None:
        for worker in ids:  # one at a time: two callers with several locks each could wait for each other
            with self.transaction():
                self._execute("UPDATE {schema}.workers SET stop = ? WHERE id = ?", [how, worker])
                self._announce()

    def asked_of(self, ids: Sequence[str]) -> dict[str, tuple[str | None, dict[str, Any]]]:
        found = self._select(
            "SELECT id, stop, wanted FROM {schema}.workers WHERE stop IS NOT NULL OR wanted IS NOT NULL"
        )
        return {id: (stop, json.loads(wanted or "{}")) for id, stop, wanted in found if id in ids}

    def request_options(self, ids: Sequence[str], options: Mapping[str, Any]) -> None:
        for worker in sorted(ids):
            with self.transaction():
                text = "UPDATE {schema}.workers SET wanted = ? WHERE id = ?"
                self._execute(text, [json.dumps({**self._wanted_of(worker), **options}), worker])
                self._announce()

    def take_options(
        self, grip: Grip, slots: int, served: Served, asked: Mapping[str, Any], refused: str | None = None
    ) -> None:
        with self.transaction():
            self._check(grip)
            wanted = self._wanted_of(grip.worker)
            left = {name: value for name, value in wanted.items() if name not in asked or asked[name] != value}
            answer = left if refused is None else {**left, REFUSED: refused}
            text = "UPDATE {schema}.workers SET slots = ?, queues = ?, not_queues = ?, wanted = ? WHERE id = ?"
            lists = [json.dumps(served.only), json.dumps(served.but)]
            self._execute(text, [slots, *lists, json.dumps(answer) if answer else None, grip.worker])
            self._announce()

    def _wanted_of(self, worker: str) -> dict[str, Any]:
        """The options that people want a worker to take, without its answer to earlier ones. Nobody else changes them
        until this transaction ends."""
        text = f"SELECT wanted FROM {{schema}}.workers WHERE id = ? {self._dialect.locked}"
        found = self._select(text, [worker])
        wanted: dict[str, Any] = json.loads(found[0][0]) if found and found[0][0] else {}
        wanted.pop(REFUSED, None)
        return wanted

    def note_waits(self, ids: Sequence[str], why: str | None) -> None:
        with self.transaction():
            for worker in sorted(ids):
                self._execute("UPDATE {schema}.workers SET waits = ? WHERE id = ?", [why, worker])
            self._announce()

    # --- what a supervisor holds ------------------------------------------------------------

    def running(self, *workers: str) -> list[Job]:
        text = f"WHERE worker {self._dialect.any_of} AND state = 'processing' ORDER BY seq"
        return self._jobs(text, [self._dialect.array(list(workers))]) if workers else []

    def cancel_requests(self, worker: str) -> list[int]:
        return [seq for (seq,) in self.read("cancel_requests", worker=worker)]
