"""Looks after supervisors that nobody drives: takes over those that live, settles the jobs of those that died.

A supervisor is dead only where the store says so (see store/liveness.py). One that lives but has no dispatcher (it
says so itself) is adopted: its commands go on. One that answers nothing is frozen, and is ended with all its commands
before their jobs run again. All this is left to the supervisor's own dispatcher as long as that is awake: it alone can
read the exit status of a command that ended unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from queuectl.clock import boottime
from queuectl.domain.cause import Cause
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Job
from queuectl.domain.lifecycle import GivenBack, Lost, Started, Stuck
from queuectl.engine import happenings as events
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.departures import Departures
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.report import Witness, change_of
from queuectl.engine.lease import Lease
from queuectl.engine.protocol import PROTOCOL, About, Ask, State
from queuectl.settings import Settings
from queuectl.store.port import WorkStore
from queuectl.store.values import Change, Grip, Superseded, WorkerRow
from queuectl.typed import NamedTuple

LOOK_EVERY_S = 2.0
FROZEN_AFTER_S = 5.0
"""A supervisor counts as frozen if it has not answered for this long and for `lease-ttl`."""
LEFT_TO_OWN_S = 5.0
"""The time a dispatcher that is awake has to end its own frozen supervisor, and again to settle it."""
HELLO_WITHIN_S = 1.5
"""The longest time between registering a supervisor's driver in the store and that driver's first message to it."""
ANSWER_WITHIN_S = 1.0
"""A living supervisor answers in a moment; a worker that is about to leave waits no longer than this for it."""
OVERLOOKED_S = 2 * LOOK_EVERY_S
"""The longest gap between two looks at the dead. After a longer one, the time that others have begins again."""


class Adopted(NamedTuple):
    """A living supervisor that is ours now."""

    row: WorkerRow
    channel: Channel
    lease: Lease


class Settled:
    """A dead supervisor, or one of another store: its jobs as they stand now. Those in `given_back` another store's
    worker ran, when this one was copied from it; those in `taken_back` had been counted as lost elsewhere."""

    def __init__(
        self, worker: str, *, taken_back: Sequence[Job] = (), is_of_copy: bool = False, said: str = ""
    ) -> None:
        """`said`: its last words, if a fault of its own ended it."""
        self.worker, self.taken_back = worker, taken_back
        self.is_of_copy, self.said = is_of_copy, said
        self.recorded: list[Job] = []
        self.lost: list[Job] = []
        self.given_back: list[Job] = []
        self.stuck: list[Job] = []
        """Jobs of which something lives on that could not be ended; the supervisor stays known until that is gone."""

    @property
    def has_news(self) -> bool:
        """Whether anything has changed."""
        return bool(self.recorded or self.lost or self.given_back or self.stuck or self.taken_back)

    def happenings(self) -> list[events.Happening]:
        """What there is to tell of it."""
        ended: list[events.Happening] = [events.JobEnded(job=job) for job in self.recorded]
        lost = [events.JobLost(job=job) for job in self.lost]
        if self.is_of_copy:
            counts = {"recorded": len(ended), "given_back": len(self.given_back)}
            return [*ended, events.CopyReleased(worker=self.worker, **counts)]
        stuck = [events.JobStuck(job=job) for job in self.stuck]
        sums = {"recorded": len(ended), "lost": len(lost), "taken_back": len(self.taken_back)}
        words = [events.LastWords(worker=self.worker, said=self.said)] if self.said else []
        done = [] if stuck else [events.CleanedUp(worker=self.worker, **sums)]
        return [*words, *ended, *lost, *stuck, *done]


class Frozen(NamedTuple):
    """A supervisor that answered nothing, and has been ended."""

    row: WorkerRow


class Inquiry:
    """Another worker's supervisor that was asked whether it is orphaned."""

    def __init__(self, row: WorkerRow, channel: Channel, since: float) -> None:
        self.row, self.channel, self.since = row, channel, since


class Reaper:
    """Works in small steps inside a dispatcher's loop, and never waits for an answer."""

    def __init__(
        self, store: WorkStore, host: Host, settings: Callable[[], Settings], wards: Set[str] | None = None
    ) -> None:
        """`wards`: the only supervisors that may be taken over, or ended as frozen; None: any."""
        self._store = store
        self._host = host
        self._settings = settings
        self._wards = wards
        self.inquiries: dict[str, Inquiry] = {}
        self._untold: dict[tuple[str, int], float] = {}  # when a worker was first seen not to know of its epoch
        self._looked_at = 0.0
        self._dead_since: dict[str, float] = {}
        self._departures = Departures(store, host)
        self._begun: dict[str, tuple[Grip, Witness]] = {}  # what is being settled
        self.is_alone = False
        """Whether the last look found no supervisor of others."""
        self._settled: list[Settled] = []  # where the store fails before they are told, the next look tells them
        self._going: dict[str, bool] = {}  # supervisors that live and did not answer: whether a look will tell more
        self.fenced: set[str] = set()
        """Supervisors that lost their lease and were ended; what they can tell is not in the store yet."""

    @property
    def has_unsettled(self) -> bool:
        """Whether the last look left something to be settled by the next one."""
        return bool(self.fenced or self._dead_since or self._settled or self.inquiries or any(self._going.values()))

    def expects_news(self, now: float) -> bool:
        """Whether a supervisor is about to be found dead or without a dispatcher."""
        asked = (inquiry.since for inquiry in self.inquiries.values())
        return any(self._going.values()) or any(now - since < ANSWER_WITHIN_S for since in asked)

    def look(self, mine: Set[str], now: float) -> list[Settled]:
        """Cleans up after the dead, and asks all others on this machine. `mine` are buried and asked by their own."""
        self._going = dict.fromkeys(self._going, False)
        for row in self._clean_up(now, mine):
            is_wanted = row.id not in mine and (self._wards is None or row.id in self._wards)
            if is_wanted and self._may_ask(row) and self._store.alive(row):
                self._ask(row, now)
        return self._told()

    def _may_ask(self, row: WorkerRow) -> bool:
        return row.machine == self._host.machine and row.id not in self.inquiries

    def clean_up(self, now: float) -> list[Settled]:
        """Settles the jobs of the dead, and removes what supervisors left that nobody knows any more."""
        self._clean_up(now, frozenset())
        return self._told()

    def _told(self) -> list[Settled]:
        told, self._settled = self._settled, []
        return told

    def _clean_up(self, now: float, mine: Set[str]) -> list[WorkerRow]:
        """Does so; the supervisors that are not dead, for all that is known."""
        left = self.fenced.union(self._host.left_folders())  # before the rows: who registers now is none of them
        rows = self._store.suspects(self._host.machine, sorted(left))
        for worker in left.difference(row.id for row in rows):
            if taken_back := self._take_back_losses(worker):
                self._settled.append(Settled(worker=worker, taken_back=taken_back))
            self._host.remove(worker)
        others = [row for row in rows if row.id not in mine]
        self.is_alone = not others
        living = {row.id for row in self._store.living(others)}
        dead = [row for row in others if row.id not in living]
        self._forget_the_settled(dead, now)
        for row in dead:
            if not self._is_left_to_own(row, now) and (settled := self._settle_in_time(row)):
                self._settled.append(settled)
        self.fenced.clear()
        return [row for row in rows if row not in dead]

    def _settle_in_time(self, row: WorkerRow) -> Settled | None:
        try:
            return self.settle(row)
        except StoreUnavailable:
            self._dead_since.clear()  # its own dispatcher could not settle it either
            raise

    def _forget_the_settled(self, dead: Sequence[WorkerRow], now: float) -> None:
        """Nobody can settle while the store is away, or while this process sleeps: such time does not count."""
        if now - self._looked_at > OVERLOOKED_S:
            self._dead_since.clear()
        self._looked_at = now
        self._dead_since = {row.id: self._dead_since.get(row.id, now) for row in dead}
        self._departures.forget_all_but(self._dead_since)

    def _is_left_to_own(self, row: WorkerRow, now: float) -> bool:
        """Whether the dispatcher that drove a dead supervisor is about to settle it. In another PID namespace nobody
        else can end what still runs, so there it has the time that it needs, where no lease runs out. Where only its
        lease tells that a supervisor is dead, the dispatcher has had that time already."""
        if not self._store.is_at_home(row) or (self._store.shared_by_machines and not self._host.has(row.id)):
            return False
        if row.machine != self._host.machine:
            return not self._store.shared_by_machines and self._host.is_driven(row.id)
        return self._is_own_awake(row) and now - self._dead_since[row.id] < LEFT_TO_OWN_S

    def _is_own_awake(self, row: WorkerRow) -> bool:
        """Whether another process of this machine drives a supervisor, and is not suspended."""
        here = row.machine == self._host.machine and row.dispatcher != self._host.pid
        return here and self._host.is_awake(row.dispatcher)

    def _has_lost_its_dispatcher(self, row: WorkerRow) -> bool:
        """Whether the process of this machine that drove a supervisor has ended."""
        return row.machine == self._host.machine and not self._host.is_awake(row.dispatcher)

    def _take_back_losses(self, worker: str) -> list[Job]:
        """Takes back losses that another machine counted for executions which had ended before the lease expired: that
        machine could not know. A supervisor that could not keep its lease has no such ends."""
        stopped = {
            end.key: self._store.of_here(end.finished_at)
            for end in self._host.journal(worker)
            if end.cause is Cause.STOP and not end.error  # what could not be ended goes on
        }  # fmt: skip
        return self._store.take_back_losses(worker, stopped) if stopped else []

    def _ask(self, row: WorkerRow, now: float) -> None:
        channel = self._host.dial(row.id)
        if channel is None:
            self._going.setdefault(row.id, True)
            return
        channel.send(Ask(PROTOCOL))
        self.inquiries[row.id] = Inquiry(row, channel, now)

    def hear(self, now: float, may_adopt: bool) -> list[Adopted | Frozen]:
        """Takes over one that answered that it is orphaned; the next call takes over the next one, so that nothing
        comes between that and driving it. Ends those that did not answer for long."""
        found: list[Adopted | Frozen] = []
        for inquiry in list(self.inquiries.values()):
            answers = [answer for answer in inquiry.channel.receive() if isinstance(answer, State)]
            if answers:
                self._close(inquiry)
                wanted = may_adopt and self._is_orphaned(inquiry.row, answers[0].about, now)
                if wanted and (adopted := self._adopt(inquiry.row)):
                    return [*found, adopted]
                if self._has_lost_its_dispatcher(inquiry.row):  # and has yet to notice
                    self._going.setdefault(inquiry.row.id, True)
            elif inquiry.channel.closed:
                self._close(inquiry)
                self._going.setdefault(inquiry.row.id, True)
            elif self.is_silent(inquiry.row, inquiry.since, now):
                self._close(inquiry)
                found += self.end_frozen(inquiry.row)
        return found

    def is_silent(self, row: WorkerRow, since: float, now: float) -> bool:
        """Whether a supervisor that was asked then has said nothing for so long that it is frozen. Its own dispatcher
        ends it first."""
        lease_s: float = self._settings()["lease-ttl"]
        silent_s = now - since - max(FROZEN_AFTER_S, lease_s)
        return silent_s > 0 and (silent_s > LEFT_TO_OWN_S or not self._is_own_awake(row))

    def end_frozen(self, row: WorkerRow) -> list[Frozen]:
        """Ends a frozen supervisor with its commands, unless it is dead by now."""
        if not self._store.alive(row):
            return []
        self._host.kill(row)
        return [Frozen(row=row)]

    def _close(self, inquiry: Inquiry) -> None:
        del self.inquiries[inquiry.row.id]
        inquiry.channel.close()

    def _is_orphaned(self, row: WorkerRow, state: About, now: float) -> bool:
        """Whether nobody drives it, or is about to. A worker that has just taken it in the store may not have told it
        yet; one whose line to it has just broken calls it again.
        """
        if state.get("epoch", row.epoch) == row.epoch:  # 0.1.0 does not say
            self._untold.pop((row.id, row.epoch), None)
            is_driven = state["driven"] or (self._is_own_awake(row) and self._host.is_driven(row.id))
            return not is_driven or state["silent"] > self._silent_max_s()
        return now - self._untold.setdefault((row.id, row.epoch), now) > HELLO_WITHIN_S

    def _silent_max_s(self) -> float:
        """How long a supervisor may be silent before it counts as frozen. Where commands end with their lease, that is
        before the lease ends."""
        lease_s: float = self._settings()["lease-ttl"]
        return lease_s / 2 if self._store.shared_by_machines else lease_s

    def _adopt(self, row: WorkerRow) -> Adopted | None:
        lease_s = self._settings()["lease-ttl"]
        lease = Lease.granted(boottime(), lease_s)
        grip = self._store.adopt(row, self._host.pid, lease_s)
        if grip is None:
            return None
        channel = self._host.dial(row.id)
        if channel is None:
            return None  # it has just left; its lock is free now
        return Adopted(row=row._replace(epoch=grip.epoch, dispatcher=self._host.pid), channel=channel, lease=lease)

    def settle(self, row: WorkerRow, testify: Callable[[], Witness] | None = None) -> Settled | None:
        """Ends what a dead supervisor ran, records the ends that are known, and reports the rest lost.

        Known is what its journal has, and what its own dispatcher can `testify`. Of one on another machine nothing is
        known, but that its lease has run out. One that was registered in the store of which this is a copy may live
        there: no process of it is touched, and its jobs are given back. A job of which something lives on that cannot
        be ended is left as it is: the next look tries again. None where another worker was faster, or nothing has
        changed since the last look.
        """
        here = row.machine == self._host.machine
        at_home = self._store.is_at_home(row)
        # On a shared store one that this host does not have may be another user's.
        is_known_dead = here and (self._host.has(row.id) or not self._store.shared_by_machines)
        only_expired = at_home and not is_known_dead
        if row.id not in self._begun and not self._begin(row, testify, only_expired):
            return None
        grip, witness = self._begun[row.id]
        here = here and at_home
        has_driver = testify is not None or row.id in self.fenced
        with_machine = not has_driver and self._departures.is_with_machine(row, here)
        stuck = self._host.end_commands(row) if here else {}
        known = (*self._host.journal(row.id), *witness.results)
        results = {end.key: end for end in known}
        settled = Settled(worker=row.id, is_of_copy=not at_home, said=self._host.last_words(row.id) if here else "")
        try:
            with self._store.transaction():
                for job in self._store.running(row.id):
                    key = job.seq, job.lease
                    if result := results.get(key):
                        change = change_of(job, result, self._store, self._settings()["output-max"])
                        settled.recorded.extend(filter(None, self._store.record(grip, [change])))
                    elif not at_home:
                        settled.given_back.extend(filter(None, self._store.record(grip, [Change(job, GivenBack())])))
                    elif key in stuck:
                        is_told = job.error == stuck[key]
                        told = [] if is_told else self._store.record(grip, [Change(job, Stuck(error=stuck[key]))])
                        settled.stuck.extend(filter(None, told))
                    else:
                        loss = _loss(self._store, grip, job, witness, self._settings()["max-lost"], with_machine)
                        settled.lost.extend(filter(None, self._store.record(grip, [loss])))
                if not stuck:
                    self._store.deregister(grip)
        except Superseded:
            del self._begun[row.id]
            return None
        del self._begun[row.id]
        if not stuck:
            self._host.remove(row.id)
        return None if stuck and not settled.has_news else settled

    def _begin(self, row: WorkerRow, testify: Callable[[], Witness] | None, only_expired: bool) -> bool:
        """Takes a dead supervisor, to settle it; whether we have it. The row keeps its dispatcher: if this fails
        half-way, the next try must not take us for what is left of it, and still knows what was testified."""
        grip = self._store.adopt(row, row.dispatcher, self._settings()["lease-ttl"], only_expired=only_expired)
        if grip is not None:
            self._begun[row.id] = grip, testify() if testify else Witness((), {})
        return grip is not None


def _loss(store: WorkStore, grip: Grip, job: Job, witness: Witness, max_lost: int, with_machine: bool) -> Change:
    started_at = witness.started.get((job.seq, job.lease))
    if job.started_at is None and started_at is not None:
        (after,) = store.record(grip, [Change(job=job, event=Started(at=store.of_here(started_at)))])
        job = after or job
    return Change(job=job, event=Lost(max_lost, with_machine=with_machine))
