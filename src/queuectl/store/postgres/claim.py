"""How jobs are claimed from PostgreSQL, where several workers claim at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import Started
from queuectl.domain.limits import Candidate, Queue, Wanted
from queuectl.domain.served import Served
from queuectl.store.postgres.errors import translated
from queuectl.store.postgres.session import PostgresSession
from queuectl.store.postgres.text import array
from queuectl.store.shared.gated import Gated
from queuectl.store.shared.gates import TAKEN_BY_OTHERS_S, expire
from queuectl.store.shared.limits import QUEUE, queue_of
from queuectl.store.shared.lock_lines import open_lines
from queuectl.store.values import Change, Grip
from queuectl.typed import Any, NamedTuple

LOOK_AHEAD, LOOK_WIDER = 4, 8
"""A claim looks at 4 times as many candidates as it wants, since others claim too; 8 times more if that is too few."""
SUSPECTS_SEEN = 16
PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan"}
"""Whoever claims repeats a few queries. The server would plan some of them each time, which takes longer than
to execute them."""

AFTER_ALL = "\U0010ffff"
"""A text that sorts after every name of a queue."""


class Look(NamedTuple):
    """What a claim has to mind: see the query `look`."""

    limited: bool
    waits: bool
    lines: bool
    expired: bool
    gated: bool
    listed: bool
    awaited: bool
    due: bool


class Claiming(PostgresSession, Gated):
    """A session that can claim. `_lanes`: queues that had something to claim a moment ago, in order. `_limited`:
    whether any queue has a limit; None: somebody may have set one since."""

    _lanes: Sequence[str] = ()
    _limited: bool | None = None

    def claim(
        self, grip: Grip, host: str, limit: int, queues: Sequence[str], suspects: int | None = None, losses: int = 1,
        ahead: bool = False, not_queues: Sequence[str] = (),
    ) -> list[Job]:  # fmt: skip
        served = Served(queues, not_queues)
        room = limit if suspects is None else suspects
        terms: dict[str, Any] = {"worker": grip.worker, "host": host, "now": self.now()}
        with self.transaction():
            self._settings |= PLANNED_ONCE  # from the next transaction on
            self.send("claims_go_on", claims=self._keys["claims"], store=self._keys["store"])
            self._open_freed_lines()  # so that this claim finds them
            named, now = list(dict.fromkeys(queues)), terms["now"]
            look = self._look(named, now)
            if look.due:
                self.send("promote", now=now)
                look = self._look(named, now)
            lanes = named or served.of(self._lanes)
            self.gates.begin(look.waits, look.limited)
            if not (lanes or look.lines or look.expired or look.listed or look.awaited):
                self._lanes = ()
                return []  # nothing was written, so nothing has to reach the disk
            asked = self._asked(grip)
            if self.gates.settle(look.awaited, look.listed, now):
                look = self._look(named, now)
                lanes = named or served.of(self._lanes)
            if look.expired:
                self.expired += expire(self, now)
            if look.limited or look.lines or look.gated:
                lined = not ahead and (look.lines or look.expired)
                claimed = self._claim_gated(lanes, served, Wanted(limit, room, losses, ahead), lined, terms)
            else:
                claimed = self._claim_from(lanes, limit, room, losses, terms)
            self._check(grip, asked)
            if len(claimed) < limit:
                self._lanes = ()
            return claimed

    def _claim_gated(
        self, lanes: Sequence[str], served: Served, wanted: Wanted, lined: bool, terms: dict[str, Any]
    ) -> list[Job]:
        """Claims where gates have to be minded: nobody else does so until this transaction ends. `lined`: some line may
        be open."""
        self._hold_gates()
        self._shut_out_older()
        gates, now = self.gates, terms["now"]
        rooms = gates.rooms(now) if self._limited else {}
        lines = open_lines(self) if lined else []
        full = {queue for queue in lanes if not rooms.get(queue, 1)}
        choice = gates.chosen(
            lambda look: self._candidates(lanes, served, rooms, lines, full, look), wanted, rooms, now
        )
        if found_full := full | choice.full:
            self.send("found_full", queues=sorted(found_full))
        taken = (
            self._taken_by("claim", seqs=array(list(choice.taken)), limit=wanted.limit, **terms) if choice.taken else []
        )
        if len(taken) < len(choice.taken):
            gates.look_again_at(now + TAKEN_BY_OTHERS_S)
        self._left -= gates.left_full(taken)
        return gates.take(choice, taken, now)

    def _candidates(
        self, lanes: Sequence[str], served: Served, rooms: Mapping[str, int], lines: Sequence[str],
        full: set[str], look: Mapping[str, Any],
    ) -> list[Iterable[Candidate]]:  # fmt: skip
        """The next jobs of all queues that have room, and of each open line; see the SQLite store's. Limited queues by
        themselves: what has no room any more must not hide others. Adds to `full` where somebody waits in vain."""
        lots = [[queue for queue in lanes if queue not in rooms], *([queue] for queue in lanes if rooms.get(queue))]
        sent = [self.send("claim_candidates", queues=lot, **look) for lot in lots if lot]
        found = [each.fetchall() for each in sent]
        for locks in lines:
            waiting = served.only or served.of(queue for (queue,) in self.send("parked_queues", locks=locks).fetchall())
            open_here = [queue for queue in waiting if rooms.get(queue, 1)]
            full.update(set(waiting).difference(open_here))
            found.append(self.send("parked_candidates", locks=locks, queues=open_here, **look).fetchall())
        return [map(Candidate._make, each) for each in found]

    def places(self) -> list[tuple[Queue, int]]:
        running = "(SELECT count(*) FROM {schema}.jobs WHERE state = 'processing' AND jobs.queue = queues.name)"
        limited = f"CASE WHEN concurrency IS NULL THEN 0 ELSE {running} END"
        found = self._select(f"SELECT {QUEUE}, {limited} FROM {{schema}}.queues ORDER BY name")
        return [(queue_of(row), number) for *row, number in found]

    def _select_at_once(self, text: str, values: Sequence[object]) -> list[Any] | None:
        with translated(self._address):
            return self._line.fetch_at_once(self._text(text), list(values), self._settings["lock_timeout"])

    def _shut_gates_late(self) -> None:
        self._shuts_late = True

    def _free_locks(self, names: Sequence[str]) -> None:
        self._freed.update(names)

    def _note_ends(self, counts: Sequence[tuple[Change, Job]], freed: Sequence[str]) -> None:
        """Remembers what this transaction frees, for `_tell_of_ends`. `freed`: names of locks."""
        self._free_locks(freed)
        for change, after in counts:
            opens = isinstance(change.event, Started) and self.gates.is_rated(after.queue)  # at a time now known
            if opens or after.state is not JobState.PROCESSING:
                self._left.add(after.queue)

    def _tell_of_ends(self) -> None:
        """Tells those who found a queue full, or wait for a lock, that this transaction frees some of it."""
        if self._shuts_late:
            self._shut_gates()
        self._open_freed_lines()
        if self._left and self._limited is None:
            self._look((), self.now())
        if self._left and self._limited:
            self._hold_gates()
            self._waits.append(self.send("freed", queues=sorted(self._left)))
        self._left.clear()

    def _open_freed_lines(self) -> None:
        """Opens the lines for the locks that this transaction frees, to its own claim too."""
        if self._freed:
            self._hold_gates()
            text, values = self._opening(sorted(self._freed))
            self._waits.append(self._line.execute(self._text(text), values))
            self._freed.clear()

    def _look(self, named: Sequence[str], now: float) -> Look:
        """What there is to mind. Notes which queues have something to claim, unless queues are `named`."""
        gaps = ([], []) if named else (["", *self._lanes], [*self._lanes, AFTER_ALL])
        *found, ready = self.send("look", now=now, above=gaps[0], below=gaps[1]).fetchone()
        self._lanes = sorted([*self._lanes, *ready])
        look = Look(*found)
        self._limited = look.limited
        return look

    def outlook(self) -> tuple[bool, float | None]:
        ((claimable, due_at),) = self.read("outlook", now=self.now())
        return claimable, due_at

    def _claim_from(self, lanes: Sequence[str], limit: int, room: int, losses: int, terms: dict[str, Any]) -> list[Job]:
        if len(lanes) != 1:
            return self._claim_over(lanes, limit, room, losses, terms)
        claimed = self._taken_by("claim_of_queue", queue=lanes[0], limit=limit, suspects=room, losses=losses, **terms)
        room -= sum(job.lost_in_row >= losses for job in claimed)
        if len(claimed) < limit and room <= 0:  # some were skipped
            claimed += self._claim_over(lanes, limit - len(claimed), 0, losses, terms)
        return claimed

    def _claim_over(self, lanes: Sequence[str], limit: int, room: int, losses: int, terms: dict[str, Any]) -> list[Job]:
        """Claims over several queues, and past jobs that must not be claimed now: looks first, then takes."""
        claimed: list[Job] = []
        look = LOOK_AHEAD * limit + SUSPECTS_SEEN
        while lanes:
            candidates = self.send("candidates", queues=lanes, limit=look, losses=losses).fetchall()
            wanted = _without_too_many_suspects(candidates, room - sum(job.lost_in_row >= losses for job in claimed))
            if wanted:
                claimed += self._taken_by("claim", seqs=array(wanted), limit=limit - len(claimed), **terms)
            if len(claimed) >= limit or len(candidates) < look:
                break
            look *= LOOK_WIDER
        return claimed

    def _taken_by(self, query: str, **terms: Any) -> list[Job]:
        """The jobs that a claim took, in its order. Counts them in their new state."""
        found = self.send(query, **terms).fetchall()
        taken = list(zip(found, self._made([row[2:] for row in found]), strict=True))
        taken.sort(key=lambda each: (-each[1].priority, each[0][0], each[1].seq))
        for (queue, was), jobs in Counter((job.queue, was) for (_, was, *_), job in taken).items():
            self._counted[queue, was] -= jobs
            self._counted[queue, JobState.PROCESSING.value] += jobs
        return [job for _, job in taken]


def _without_too_many_suspects(candidates: Sequence[tuple[int, bool]], room: int) -> list[int]:
    """`seq` of the candidates, with only the first few suspects."""
    wanted = []
    for seq, suspect in candidates:
        if not suspect or room > 0:
            room -= suspect
            wanted.append(seq)
    return wanted
