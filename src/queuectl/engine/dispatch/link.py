"""A dispatcher's hold on one supervisor: talking to it, and what it runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from queuectl.domain.cause import Cause
from queuectl.domain.errors import Invalid
from queuectl.domain.fields import FIELDS
from queuectl.domain.job import Job, Spec
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.secrets import Secrets
from queuectl.engine.lease import Lease
from queuectl.engine.protocol import (
    PROTOCOL,
    SPECS_MAX,
    Ask,
    Drop,
    End,
    Hello,
    Key,
    Leave,
    Message,
    Order,
    Ping,
    Prepare,
    Recorded,
    Signalled,
    Slots,
    Terminate,
)  # fmt: skip
from queuectl.store.values import WorkerRow
from queuectl.typed import Any, NamedTuple
from queuectl.wire.times import format_second


class Flight:
    """A claimed job on its way: sent, perhaps started, perhaps ended, until all of it is recorded."""

    def __init__(self, key: Key, job: Job, sent_at: float, is_ahead: bool = False, is_foreseen: bool = False) -> None:
        """`is_ahead`: it was claimed to wait for a slot. `is_foreseen`: the start on record is the one that was
        foreseen, and not the real one."""
        self.key, self.job, self.sent_at = key, job, sent_at
        self.is_ahead, self.is_foreseen = is_ahead, is_foreseen
        self.pid: int | None = None
        self.started_at: float | None = None
        self.files: tuple[str, ...] = ()
        self.telling = ""
        self.progress: str | None = None
        """The latest that is known; on record it may be another."""
        self.result: End | None = None
        self.end_sent: Cause | None = None
        self.stuck: str | None = None
        """What of it could not be ended, though it was to be."""
        self.is_returned = False
        """Whether its supervisor will not start it any more."""

    def may_wait(self) -> bool:
        """Whether it may still wait in its supervisor's line, for all we know."""
        return self.pid is None and self.result is None

    @property
    def has_progress(self) -> bool:
        """Whether there is progress to be recorded."""
        return self.result is None and self.progress is not None and self.progress != self.job.progress

    def is_unstarted(self) -> bool:
        """Whether it may still wait, and its start is not on record either."""
        return self.may_wait() and self.job.started_at is None


class Place(NamedTuple):
    """Which slots of a worker are a supervisor's: from number `first` on it has `all`, of which it uses `used`."""

    first: int
    all: int
    used: int


class Link:
    """One supervisor, driven in one epoch. `pid` is set where the supervisor is a child of this process."""

    def __init__(
        self, row: WorkerRow, channel: Channel, *, place: Place | None = None, pid: int | None = None,
        secrets: Secrets | None = None, for_hooks: bool = False,
    ) -> None:  # fmt: skip
        self.place = place or Place(0, row.slots, row.slots)
        self.row = row
        self.grip = row.grip
        self.channel = channel
        self.pid = pid
        self.flights: dict[Key, Flight] = {}
        self._ended = 0
        """The number of flights that have a result. Counted as they come: it is asked for often, and there may be
        thousands.
        """
        self.dismissed = False
        """Whether the store has been asked to forget it. It may have, whatever it said."""
        self.leaving = False
        self.lease: Lease | None = None
        self.in_doubt: frozenset[Key] = frozenset()
        """What was in hand when this line began: of that, what the supervisor knows nothing of has never run."""
        self.asked_at: float | None = None
        """Since when it has been asked how it is, by the monotonic clock; None if it has answered."""
        self.short_of_room_for: Key | None = None
        """The order that waits for its machine, unless it has been started or dropped since."""
        self.for_hooks = for_hooks
        self._secrets = secrets or Secrets(None)
        self._specs: dict[int, tuple[Spec, int]] = {}
        self._specs_sent = 0

    @property
    def own(self) -> bool:
        """Whether this process started it; an adopted one gets no new commands."""
        return self.pid is not None

    @property
    def is_used(self) -> bool:
        """Whether this worker has slots of it, or runs hooks by it."""
        return self.place.used > 0 or self.for_hooks

    def use(self, slots: int) -> None:
        """Limits the slots that it uses from now on."""
        self.place, self.row = self.place._replace(used=slots), self.row._replace(slots=slots)
        self.channel.send(Slots(slots))

    def running(self) -> int:
        """Commands that have started and not ended."""
        return sum(flight.result is None and not flight.is_unstarted() for flight in self.flights.values())

    def free_slots(self) -> int:
        """Slots for which nothing is in hand; below 0 where orders are held ready."""
        return self.row.slots - len(self.flights) + self._ended

    def is_idle(self) -> bool:
        """Whether nothing runs or is about to."""
        return len(self.flights) == self._ended

    def take_end(self, flight: Flight, result: End) -> None:
        """An execution has ended; its first result stands."""
        flight.result = result
        self._ended += 1

    def take_shortage(self, waits: Key) -> None:
        """One order waits until its machine has room again; asks for what is behind it, which others may run."""
        self.short_of_room_for = waits
        for flight in self.flights.values():
            if flight.may_wait() and flight.key != waits:
                self.drop(flight)

    def is_short(self) -> bool:
        """Whether its machine has no room for another command: an order waits for that, and need not be joined."""
        waits = self.flights.get(self.short_of_room_for) if self.short_of_room_for else None
        return waits is not None and waits.may_wait()

    def has_suspect(self, losses: int) -> bool:
        """Whether a job that has lost at least `losses` workers in a row is in hand."""
        return any(flight.job.lost_in_row >= losses for flight in self.flights.values())

    def hello(self) -> None:
        """Claims the right to drive the supervisor, which then tells all that it knows."""
        self.in_doubt = frozenset(self.flights)
        self.channel.send(Hello(PROTOCOL, self.grip.epoch))

    def go_on_over(self, channel: Channel) -> None:
        """The line broke and the supervisor lives: drives it over another one. It tells all that it knows, and has
        forgotten the orders that it had not carried out."""
        self.channel.close()
        self.channel, self.asked_at = channel, None
        self._specs.clear()
        self.hello()
        if self.lease is not None:
            self.lend(self.lease)
        if self.own and not self.for_hooks:
            self.channel.send(Slots(self.place.used))
        for flight in self.flights.values():
            if flight.end_sent is not None:
                self.channel.send(Terminate(flight.job.seq, flight.job.lease, flight.end_sent))

    def start(self, jobs: Sequence[Job], now: float, *, ahead: bool = False) -> None:
        """Sends claimed jobs to be run."""
        messages: list[Message] = []
        for job in jobs:
            key = job.seq, job.lease
            self.flights[key] = Flight(key, job, now, is_ahead=ahead, is_foreseen=job.started_at is not None)
            messages += self._order(job)
        self.channel.send(*messages)

    def start_hook(
        self, hook: Job, command: str | Sequence[str], variables: Mapping[str, str], text: str, job_id: str, queue: str,
        now: float,
    ) -> None:  # fmt: skip
        """Sends a claimed hook of a job to be run, with its input."""
        key, number = (hook.seq, hook.lease), self._specs_sent
        self._specs_sent += 1
        self.flights[key] = Flight(key, hook, now)
        surroundings = self._own_surroundings(hook)
        surroundings["env"] |= variables
        order = _order(hook, number)._replace(
            command=command if isinstance(command, str) else list(command), job_id=job_id, queue=queue, text=text
        )
        self.channel.send(Prepare(number, surroundings), order)

    def _order(self, job: Job) -> list[Message]:
        messages: list[Message] = []
        if job.spec.secrets or _variables(job):  # a spec of its own, for no other job has these variables
            number = self._specs_sent
            self._specs_sent += 1
            return [Prepare(number, self._own_surroundings(job)), _order(job, number)]
        known = self._specs.get(id(job.spec))
        if known is None or self._specs_sent - known[1] > SPECS_MAX:  # others came in between: it is forgotten
            if len(self._specs) >= SPECS_MAX:
                self._specs.clear()
            known = self._specs[id(job.spec)] = (job.spec, self._specs_sent)
            self._specs_sent += 1
            messages.append(Prepare(known[1], _surroundings(job.spec)))
        return [*messages, _order(job, known[1])]

    def _own_surroundings(self, job: Job) -> dict[str, Any]:
        """Surroundings with what is known of the job alone, and its secrets as they are now."""
        found = _surroundings(job.spec)
        found["env"] |= _variables(job)
        if job.spec.secrets:
            try:
                found["env"] |= self._secrets.values(job.spec.secrets)
            except Invalid as error:
                found["unrunnable"] = f"{error.message} ({error.hint})" if error.hint else error.message
        return found

    def drop(self, flight: Flight) -> None:
        """Asks for a start back that has not happened yet."""
        self.channel.send(Drop(flight.job.seq, flight.job.lease))

    def waiting(self) -> list[Flight]:
        """What was claimed ahead and may still wait for a slot."""
        return [flight for flight in self.flights.values() if flight.is_ahead and flight.may_wait()]

    def drop_ahead(self, queues: Collection[str]) -> None:
        """Asks back what waits for a slot and is of one of these queues."""
        for flight in self.waiting():
            if flight.job.queue in queues:
                self.drop(flight)

    def end(self, flight: Flight, cause: Cause) -> None:
        """Has an execution ended, once for each cause."""
        if flight.end_sent != cause:
            flight.end_sent = cause
            self.channel.send(Terminate(flight.job.seq, flight.job.lease, cause))

    def signalled(self) -> None:
        """Tells that this worker has got a signal to stop."""
        self.channel.send(Signalled())

    def recorded(self, keys: Sequence[Key]) -> None:
        """Tells that these results are committed."""
        for key in keys:
            flight = self.flights.pop(key, None)
            if flight is not None and flight.result is not None:
                self._ended -= 1
        self.channel.send(Recorded(keys))

    def ping(self, now: float) -> None:
        """Tells that this dispatcher lives; of one that has something to do, asks whether it does."""
        if not self.flights:
            self.channel.send(Ping())
            return
        self.channel.send(Ping(), Ask(PROTOCOL))
        if self.asked_at is None and not self.channel.closed:
            self.asked_at = now

    def excuse(self, now: float) -> None:
        """Starts to wait for the answer again, if there is one to come."""
        if self.asked_at is not None:
            self.asked_at = now

    def lend(self, lease: Lease) -> None:
        """Tells how long commands may run, as far as is known now."""
        self.lease = lease
        self.channel.send(lease)

    def leave(self) -> None:
        """Lets the supervisor go; it runs nothing any more."""
        self.leaving = True
        self.channel.send(Leave())


_TOLD = [field.name for field in FIELDS if field.told and field.place == "spec"]
_values_told = attrgetter(*_TOLD)


def _surroundings(spec: Spec) -> dict[str, Any]:
    """What of a spec a supervisor needs to run a command."""
    return {**dict(zip(_TOLD, _values_told(spec), strict=True)), "env": dict(spec.env)}


def _variables(job: Job) -> dict[str, str]:
    """The variables that tell a command what is known of its job alone; mostly none."""
    own: dict[str, str] = {} if job.units is None else json.loads(job.units)
    if job.scheduled_at is not None:
        own["QUEUECTL_SCHEDULED_AT"] = format_second(job.scheduled_at)
    return own


def _order(job: Job, spec: int) -> Order:
    number = job.starts + (job.started_at is None)
    return Order(
        job.seq, job.lease, number, job.id, job.queue, spec, job.command, job.spec.timeout, job.spec.kill_grace,
        job.batch,
    )  # fmt: skip


def may_be_poison(job: Job) -> bool:
    """Whether a worker was lost with a claimed job, or an earlier claim ended before its start was on record."""
    return job.lost_in_row > 0 or job.lease > job.starts + 1
