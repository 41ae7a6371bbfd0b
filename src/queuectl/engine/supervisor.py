"""The process side of a worker: starts, watches and ends commands, and outlives the dispatcher that drives it.

It knows no store and imports nothing but the standard library's small parts. It is single-threaded, in a session
of its own, with nothing of the terminal it came from. Its rules:

- It reports an end (journal and message) before it reaps the process, so no exit status is ever only in memory.
- A result is kept until its dispatcher says `recorded`.
- Once it has signalled an execution, the outcome is that cause; an exit before the signal stands.
- Without a dispatcher it starts nothing new, runs its commands to their end and leaves.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queuectl.engine import process
from queuectl.engine.journal import Journal
from queuectl.engine.output import STDERR, STDOUT, Sink, UserFile
from queuectl.engine.protocol import JOURNAL_NAME, LOCK_NAME, PROTOCOL, Channel, Message, listen

Key = tuple[int, int]
"""An execution's name: `jobs.seq` and the lease under which it runs."""

CANCEL, TIMEOUT, STOP = "cancel", "timeout", "stop"

FLUSH_AFTER_S = 0.003
FLUSH_MESSAGES = 64
SCAN_EVERY_S = 0.05
UNKILLABLE_AFTER_S = 5.0
PUNCH_EVERY_S = 1.0
HELLO_WITHIN_S = 10.0
JOURNAL_RESERVE_BYTES = 2048
"""Kept free in the journal for the result of each running command."""


@dataclass(slots=True)
class Order:
    """A start as the dispatcher asked for it."""

    seq: int
    lease: int
    number: int
    job_id: str
    queue: str
    spec: int
    command: str | list[str]
    timeout: float | None
    kill_grace: float

    @property
    def key(self) -> Key:
        return self.seq, self.lease


@dataclass(slots=True)
class Surroundings:
    """Where commands run: the worker's environment with the jobs' laid over it, as bytes, prepared once."""

    cwd: str | None
    umask: int
    env: dict[bytes, bytes]
    shell: str
    stdin: str | None
    output_path: str | None
    split_output: bool


@dataclass(slots=True, eq=False)
class Run:
    """A command that runs. `status` is set once it has been reaped while others of its tree still live."""

    order: Order
    slot: Slot
    tag: int
    pid: int
    started_at: float
    sinks: dict[int, Sink | UserFile]
    cause: str | None = None
    kill_at: float = 0.0
    exit: tuple[int | None, int | None] | None = None
    cpu_time: float | None = None
    max_rss: int | None = None


@dataclass(slots=True, eq=False)
class Slot:
    """A place for one command at a time, with the files it writes to."""

    index: int
    out: Sink
    err: Sink
    run: Run | None = None


@dataclass(slots=True)
class Config:
    """What a supervisor is told when it is started."""

    below: Path
    """The store's folder."""
    folder: Path
    """Its own folder."""
    bits: int
    first_slot: int
    slots: int
    store_url: str
    output_bytes_max: int


class Supervisor:
    """See the module. `serve` runs until there is nothing left to do."""

    def __init__(self, config: Config, listener: socket.socket) -> None:
        self._config = config
        self._listener = listener
        self._journal = Journal(config.folder / JOURNAL_NAME)
        self._slots = [self._slot(config.first_slot + n) for n in range(config.slots)]
        self._free = list(reversed(self._slots))
        self._specs: dict[int, Surroundings] = {}
        self._waiting: deque[Order] = deque()
        self._runs: dict[int, Run] = {}
        self._by_key: dict[Key, Run] = {}
        self._results: dict[Key, dict[str, Any]] = {}
        self._timers: list[tuple[float, int, Run]] = []
        self._orphans: dict[int, int | None] = {}
        """Children that no run started: what commands left behind, with the tag that tells whose it was."""
        self._executions = 0
        self._outbox: list[Message] = []
        self._outbox_since = 0.0
        self._punch_at = 0.0
        self._epoch = 0
        self._driver: Channel | None = None
        self._heard_at = self._lonely_since = time.monotonic()
        self._leaving = False
        self._channels: dict[int, Channel] = {}
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._base_env = {k: v for k, v in os.environb.items() if not k.startswith(b"QUEUECTL_")}
        self._base_env[b"QUEUECTL_DB"] = os.fsencode(config.store_url)
        self._wakeup = _signal_pipe()
        self._poll.register(self._wakeup, select.POLLIN)

    def _slot(self, index: int) -> Slot:
        folder, below = self._config.folder, self._config.below
        return Slot(
            index=index, out=Sink(folder, f"slot-{index}.out", below), err=Sink(folder, f"slot-{index}.err", below)
        )

    # --- the loop ---------------------------------------------------------------------------

    def serve(self) -> None:
        """Serves until told to leave, or until nothing is left to do and nobody drives it."""
        while True:
            self._reap()
            self._start_next()
            now = time.monotonic()
            self._run_timers(now)
            self._send_due(now)
            if self._done():
                return
            for handle, _ in self._poll.poll(self._pause_ms(now)):
                self._handle(handle)

    def _done(self) -> bool:
        if self._runs or self._waiting:
            return False
        if self._driver is None:
            waited = time.monotonic() - self._lonely_since
            return self._epoch > 0 or waited > HELLO_WITHIN_S
        return self._leaving and not self._results

    def _pause_ms(self, now: float) -> float | None:
        if self._can_start():
            return 0
        wake = [self._timers[0][0]] if self._timers else []
        if self._outbox:
            wake.append(self._outbox_since + FLUSH_AFTER_S)
        if self._runs:
            wake.append(max(self._punch_at, now + 0.001))
        if self._epoch == 0:
            wake.append(self._lonely_since + HELLO_WITHIN_S + 0.01)
        return max(0.0, (min(wake) - now) * 1000 + 0.5) if wake else None

    def _handle(self, handle: int) -> None:
        if handle == self._wakeup:
            os.read(handle, 4096)
        elif handle == self._listener.fileno():
            self._accept()
        else:
            self._listen_to(self._channels[handle])

    # --- talking ----------------------------------------------------------------------------

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        channel = Channel(sock)
        self._channels[channel.fileno()] = channel
        self._poll.register(channel.fileno(), select.POLLIN)

    def _listen_to(self, channel: Channel) -> None:
        handle = channel.fileno()
        for message in channel.receive():
            if handle in self._channels:
                self._obey(channel, message)
        channel.flush()
        if handle not in self._channels:
            return  # hung up on
        if channel.closed:
            self._forget(handle, channel)
        else:
            self._poll.modify(handle, select.POLLIN | (select.POLLOUT if channel.unsent else 0))

    def _forget(self, handle: int, channel: Channel) -> None:
        del self._channels[handle]
        self._poll.unregister(handle)
        channel.close()
        if channel is self._driver:
            self._driver = None
            self._lonely_since = time.monotonic()
            self._waiting.clear()  # whoever takes over sees that they never ran

    def _hang_up(self, channel: Channel) -> None:
        self._forget(channel.fileno(), channel)

    def _obey(self, channel: Channel, message: Message) -> None:
        kind, *words = message
        if kind == "ask":
            channel.send([["state", self._state()]])
        elif kind == "hello":
            self._welcome(channel, *words)
        elif channel is not self._driver:
            self._hang_up(channel)
        else:
            self._heard_at = time.monotonic()
            self._drive(kind, words)

    def _state(self) -> dict[str, Any]:
        """Whether a dispatcher is connected, and for how many seconds none has said a word."""
        since = self._lonely_since if self._driver is None else self._heard_at
        silent = time.monotonic() - since
        return {"protocol": PROTOCOL, "epoch": self._epoch, "driven": self._driver is not None, "silent": silent}

    def _welcome(self, channel: Channel, protocol: int, epoch: int) -> None:
        if protocol != PROTOCOL or epoch < self._epoch:
            self._hang_up(channel)
            return
        if self._driver is not None and self._driver is not channel:
            self._hang_up(self._driver)
        self._epoch, self._driver, self._heard_at = epoch, channel, time.monotonic()
        self._outbox.clear()
        running = [self._started(run) for run in self._by_key.values()]
        results = [["ended", result] for result in self._results.values()]
        channel.send([["welcome", {"protocol": PROTOCOL, "epoch": epoch}], *running, *results])

    def _drive(self, kind: str, words: list[Any]) -> None:
        match kind:
            case "start":
                self._waiting.append(Order(**words[0]))
            case "recorded":
                self._drop_results(words[0])
            case "spec":
                number, spec = words
                env = {k.encode(): v.encode() for k, v in spec.pop("env").items()}
                umask = spec.pop("umask")
                self._specs[number] = Surroundings(
                    env={**self._base_env, **env}, umask=0o022 if umask is None else umask, **spec
                )
            case "drop":
                self._drop(tuple(words))
            case "end":
                seq, lease, cause = words
                self._end_by_wish((seq, lease), cause)
            case "leave":
                self._leaving = True
            case _:
                pass  # ping, or a word of a newer protocol that needs no answer

    def _drop(self, key: tuple[Any, ...]) -> None:
        for order in self._waiting:
            if order.key == key:
                self._waiting.remove(order)
                self._say(["dropped", *key])
                return

    def _drop_results(self, keys: list[list[int]]) -> None:
        for seq, lease in keys:
            result = self._results.pop((seq, lease), None)
            for kept in result["outputs"].values() if result else ():
                if "text" not in kept and not kept["path"].startswith("/"):
                    (self._config.below / kept["path"]).unlink(missing_ok=True)
        if not self._results:
            self._journal.clear()

    def _say(self, message: Message) -> None:
        if self._driver is not None:
            if not self._outbox:
                self._outbox_since = time.monotonic()
            self._outbox.append(message)

    def _send_due(self, now: float) -> None:
        """Sends at once what the dispatcher may be waiting for; while orders wait here, packets may fill up."""
        if not self._outbox:
            return
        enough = len(self._outbox) >= FLUSH_MESSAGES or now - self._outbox_since >= FLUSH_AFTER_S
        if enough or not self._waiting:
            messages, self._outbox = self._outbox, []
            if (driver := self._driver) is not None:
                handle = driver.fileno()
                driver.send(messages)
                if driver.closed:
                    self._forget(handle, driver)
                elif driver.unsent:
                    self._poll.modify(handle, select.POLLIN | select.POLLOUT)

    # --- starting ---------------------------------------------------------------------------

    def _can_start(self) -> bool:
        reserve = JOURNAL_RESERVE_BYTES * (len(self._runs) + 1)
        return bool(self._waiting and self._free and self._journal.free > reserve)

    def _start_next(self) -> None:
        if not self._can_start():
            return
        order = self._waiting.popleft()
        slot = self._free.pop()
        started_at = time.time()
        try:
            self._start(order, slot, started_at)
        except process.NotStarted as failure:
            self._free.append(slot)
            self._keep(_result(order, started_at, exit_code=failure.exit_code, error=str(failure)))

    def _start(self, order: Order, slot: Slot, started_at: float) -> None:
        spec = self._specs[order.spec]
        self._executions += 1
        mark = process.tag(self._config.bits, self._executions)
        stdin = None
        sinks: dict[int, Sink | UserFile] = {}
        _enter(spec)
        try:
            stdin = _open_stdin(spec.stdin)
            sinks = _open_sinks(spec, slot)
            pid = process.spawn(
                order.command, shell=spec.shell, env=self._environment(spec, order, slot), stdin=stdin,
                stdout=sinks[STDOUT].open(), stderr=sinks[STDERR if spec.split_output else STDOUT].open(), tag=mark,
            )  # fmt: skip
        except BaseException:
            for sink in sinks.values():
                if isinstance(sink, UserFile):
                    sink.close()
            raise
        finally:
            os.umask(0o077)
            os.chdir("/")
            if stdin is not None:
                os.close(stdin)
        run = slot.run = Run(order=order, slot=slot, tag=mark, pid=pid, started_at=started_at, sinks=sinks)
        self._runs[pid] = self._by_key[order.key] = run
        if order.timeout is not None:
            self._set_timer(time.monotonic() + order.timeout, run)
        self._say(self._started(run))

    def _started(self, run: Run) -> Message:
        files = {stream: sink.path for stream, sink in run.sinks.items()}
        return ["started", *run.order.key, run.started_at, run.pid, files]

    def _environment(self, spec: Surroundings, order: Order, slot: Slot) -> dict[bytes, bytes]:
        return {
            **spec.env,
            b"QUEUECTL_JOB_ID": order.job_id.encode(),
            b"QUEUECTL_ATTEMPT": b"%d" % order.number,
            b"QUEUECTL_QUEUE": order.queue.encode(),
            b"QUEUECTL_SLOT": b"%d" % slot.index,
            b"QUEUECTL_LEASE": b"%d" % order.lease,
        }

    # --- ending -----------------------------------------------------------------------------

    def _set_timer(self, at: float, run: Run) -> None:
        heapq.heappush(self._timers, (at, run.tag, run))

    def _run_timers(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, _, run = heapq.heappop(self._timers)
            if self._by_key.get(run.order.key) is run:
                if run.cause is None:
                    self._end(run, TIMEOUT, now)
                else:
                    self._pursue(run, now)
        if self._runs and now >= self._punch_at:
            self._punch_at = now + PUNCH_EVERY_S
            for run in self._runs.values():
                for sink in run.sinks.values():
                    sink.punch(self._config.output_bytes_max)

    def _end_by_wish(self, key: Key, cause: str) -> None:
        for order in self._waiting:
            if order.key == key:
                self._waiting.remove(order)
                self._say(["dropped", *key])
                return
        run = self._by_key.get(key)
        if run is not None and run.cause is None:
            self._reap()  # an exit before the signal stands
            if self._by_key.get(key) is run:
                self._end(run, cause, time.monotonic())

    def _end(self, run: Run, cause: str, now: float) -> None:
        run.cause = cause
        run.kill_at = now + run.order.kill_grace
        process.signal_tagged(run.tag, run.tag, signal.SIGTERM)
        self._set_timer(min(run.kill_at, now + SCAN_EVERY_S), run)

    def _pursue(self, run: Run, now: float) -> None:
        """Goes on ending a tree until nothing of it is left."""
        if now >= run.kill_at:
            left = process.signal_tagged(run.tag, run.tag, signal.SIGKILL)
        else:
            left = process.tagged(run.tag, run.tag)
        if not left and run.exit is not None:
            self._finish(run, None)
        elif now > run.kill_at + UNKILLABLE_AFTER_S:
            names = ", ".join(process.name_of(pid) for pid in left)
            self._finish(run, f"could not be ended: {names}")
        else:
            self._set_timer(min(max(run.kill_at, now + 0.01), now + SCAN_EVERY_S), run)

    def _reap(self) -> None:
        """Reports and reaps every child that has ended."""
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            run = self._runs.pop(info.si_pid, None)
            if run is None:
                self._orphans.pop(info.si_pid, None)
                os.waitpid(info.si_pid, 0)
                continue
            exited = info.si_code == os.CLD_EXITED
            run.exit = (info.si_status, None) if exited else (None, info.si_status)
            if run.cause is None:
                self._finish(run, None)
            else:
                self._account(run)
                self._pursue(run, time.monotonic())

    def _finish(self, run: Run, error: str | None) -> None:
        """Makes the result, keeps it, frees the slot, and only then reaps."""
        left = set() if run.cause else self._left_by(run)
        outputs = {}
        for stream, sink in run.sinks.items():
            room = self._journal.free // 4 - JOURNAL_RESERVE_BYTES * (len(self._runs) + 1)
            if kept := sink.collect(still_written=bool(left), room=room):
                outputs[stream] = kept
        exit_code, signum = run.exit or (None, None)
        result = _result(
            run.order, run.started_at, exit_code=exit_code, signal=signum, error=error, cause=run.cause,
            cpu_time=run.cpu_time, max_rss=run.max_rss, outputs=outputs,
            leftover=", ".join(process.name_of(pid) for pid in sorted(left)) or None,
        )  # fmt: skip
        del self._by_key[run.order.key]
        run.slot.run = None
        self._free.append(run.slot)
        self._keep(result, run)

    def _left_by(self, run: Run) -> set[int]:
        """The processes that this run left behind."""
        for pid in process.children({run.pid, *self._runs, *self._orphans}):
            self._orphans[pid] = process.read_tag(pid)
        return {pid for pid, mark in self._orphans.items() if mark == run.tag}

    def _keep(self, result: dict[str, Any], run: Run | None = None) -> None:
        self._journal.append(result)
        if run is not None and run.cause is None:
            self._account(run)
            result["cpu_time"], result["max_rss"] = run.cpu_time, run.max_rss
        self._results[result["seq"], result["lease"]] = result
        self._say(["ended", result])

    def _account(self, run: Run) -> None:
        """Reaps the process and takes down what it used; no peak memory where it is below this process's own."""
        _, _, usage = os.wait4(run.pid, 0)
        run.cpu_time = usage.ru_utime + usage.ru_stime
        if usage.ru_maxrss > _own_peak():
            run.max_rss = usage.ru_maxrss * 1024


def _own_peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _result(order: Order, started_at: float, **known: Any) -> dict[str, Any]:
    """What is told of an execution's end. `outputs`: per stream `{text}` or `{path, size}`."""
    return {
        "seq": order.seq, "lease": order.lease, "started_at": started_at, "finished_at": time.time(),
        "exit_code": None, "signal": None, "error": None, "cause": None, "cpu_time": None, "max_rss": None,
        "outputs": {}, "leftover": None, **known,
    }  # fmt: skip


def _enter(spec: Surroundings) -> None:
    """Goes where the command shall run. The caller goes back."""
    if spec.cwd is not None:
        try:
            os.chdir(spec.cwd)
        except OSError as error:
            raise process.NotStarted(
                f"cannot enter folder {spec.cwd} on host {os.uname().nodename}: {error.strerror}"
            ) from error
    os.umask(spec.umask)


def _open_stdin(path: str | None) -> int | None:
    if path is None:
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise process.NotStarted(f"cannot read stdin file {path}: {error.strerror}") from error


def _open_sinks(spec: Surroundings, slot: Slot) -> dict[int, Sink | UserFile]:
    try:
        out = slot.out if spec.output_path is None else UserFile(spec.output_path)
    except OSError as error:
        raise process.NotStarted(f"cannot write output file {spec.output_path}: {error.strerror}") from error
    return {STDOUT: out, STDERR: slot.err} if spec.split_output else {STDOUT: out}


def _signal_pipe() -> int:
    """A descriptor that becomes readable when a child ends. SIGHUP, SIGINT and SIGTERM do not concern us."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    return reader


def main() -> None:
    """The process: takes its lock, opens its door, tells the dispatcher (descriptor 3), and serves."""
    below, folder, bits, first_slot, slots, store_url, output_bytes_max = sys.argv[1:]
    config = Config(
        below=Path(below), folder=Path(folder), bits=int(bits), first_slot=int(first_slot), slots=int(slots),
        store_url=store_url, output_bytes_max=int(output_bytes_max),
    )  # fmt: skip
    os.umask(0o077)
    lock = os.open(config.folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    process.become_subreaper()
    supervisor = Supervisor(config, listen(config.folder))
    os.write(3, b"\n")
    os.close(3)
    os.chdir("/")
    supervisor.serve()
