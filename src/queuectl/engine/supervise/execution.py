"""One execution of a command, on the supervisor's side: where it runs, how it is started, what is told of its end."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from queuectl.clock import boottime
from queuectl.domain.cause import Cause
from queuectl.engine.protocol import Order, Started, Stuck, encoded
from queuectl.engine.supervise import descriptors, process, script
from queuectl.engine.supervise.between import Fresh
from queuectl.engine.supervise.cgroups import Group
from queuectl.engine.supervise.config import Config
from queuectl.engine.supervise.hanging import Mounts
from queuectl.engine.supervise.leftovers import Leftovers
from queuectl.engine.supervise.output import cut_note, may_hang, read_capped
from queuectl.engine.supervise.shell import plain_words
from queuectl.engine.supervise.sink import STDERR, STDOUT, Sink, UserFile
from queuectl.engine.supervise.standing import become_user, take_niceness
from queuectl.engine.supervise.starting import LOCAL, Start, Step, start_apart
from queuectl.engine.supervise.surroundings import Surroundings, in_memory
from queuectl.engine.supervise.told import Telling
from queuectl.engine.supervise.trees import Tree
from queuectl.typed import NamedTuple
from queuectl.wire.sizes import SMALL_BYTES

CLOCK_SET_S = 0.5
"""A clock that is so far off after a command was set while it ran."""

SIGNS_MAX = 500
"""What an execution's end may say of what went wrong."""


class Began(NamedTuple):
    """When an execution begins, by the clock that people read and by `boottime`."""

    at: float
    since: float


class Slot:
    """A place for one command at a time, its files. `row` counts those of a supervisor, `index` all of a worker."""

    def __init__(self, index: int, row: int, out: Sink, err: Sink, telling: Telling, scripts: Fresh) -> None:
        self.index, self.row = index, row
        self.out, self.err, self.telling, self.scripts = out, err, telling, scripts

    @classmethod
    def all_of(cls, config: Config) -> list[Slot]:
        """The slots of a supervisor."""
        kept = Path(config.below), config.output_bytes_max, Leftovers()
        slots = []
        for row, index in enumerate(range(config.first_slot, config.first_slot + config.slots)):
            out, err = (Sink(config.home, f"slot-{index}.{name}", *kept) for name in ("out", "err"))
            telling = Telling(config.home, f"told-{index}", Path(config.below))
            slots.append(cls(index, row, out, err, telling, Fresh(config.home, f"script-{index}")))
        return slots


class Run:
    """A command that runs. `exit` (code, signal) is set once it was reaped while others of its tree still live.

    `stuck` says what of it could not be ended, if anything.
    """

    def __init__(
        self, order: Order, slot: Slot, tree: Tree, started_at: float, sinks: dict[int, Sink | UserFile],
        start: Start | None = None, user_file: str | None = None, memory_max: int | None = None,
        group: Group | None = None,
    ) -> None:  # fmt: skip
        """`start`: where it was started apart. `user_file`: what it writes to in place of its slot's pipe, where only
        a child may touch that; to be copied at its end. `group` keeps the memory limit; None: looks at its memory do.
        """
        self.order, self.slot, self.tree = order, slot, tree
        self.started_at = started_at
        self.sinks = sinks
        self.start, self.user_file = start, user_file
        self.memory_max, self.group = memory_max, group
        self.copier: Start | None = None
        self.abandoned = False
        """Whether a child of it goes on hanging."""
        self.cause: Cause | None = None
        self.stuck: str | None = None
        self.exit: tuple[int | None, int | None] | None = None
        self.trouble: str | None = None
        """What else is known of why it ended."""
        self.cpu_time: float | None = None
        self.max_rss: int | None = None

    @property
    def pid(self) -> int:
        """The command's own process."""
        return self.tree.pid

    @property
    def runs(self) -> bool:
        """Whether nothing has ended it yet."""
        return self.cause is None and self.exit is None

    def judge_start(self) -> process.Unrunnable | None:
        """Why the command, which has ended, never began; None where it did."""
        if self.start is None:
            return None
        self.start.judge()
        return self.start.failure

    def copied(self, whole: bool) -> None:
        """The copier has ended."""
        assert self.copier is not None
        self.copier.judge()
        self.copier = None
        if not whole:
            self.slot.out.drain()
            os.write(self.slot.out.open(), b"[queuectl: the file of --output could not be read to its end]\n")

    def started(self) -> Started:
        """The message that the command runs, with the files it writes to."""
        files = {str(stream): sink.path for stream, sink in self.sinks.items()}
        if self.user_file is not None:
            files[str(STDOUT)] = may_hang(self.user_file)
        return Started(*self.order.key, self.started_at, self.tree.pid, files)

    def messages(self) -> str:
        """All that is known of it: only the last thing said of an execution is sent, and its start may not have been
        sent yet."""
        messages = [encoded(self.started())]
        if self.stuck:
            messages.append(encoded(Stuck(*self.order.key, self.stuck)))
        messages += map(encoded, self.slot.telling.messages(self.order.key))
        return ",".join(messages)

    def times(self) -> tuple[float, float]:
        """When it started and when it ends, which is now. If the clock was set meanwhile both are by the new time, so
        that they are as far apart as it took."""
        finished_at, took_s = time.time(), boottime() - self.tree.since
        was_set = abs(finished_at - self.started_at - took_s) > CLOCK_SET_S
        return (finished_at - took_s if was_set else self.started_at), finished_at

    def used(self) -> str:
        """What it used, as far as is known, as JSON."""
        cpu_time, max_rss = self.cpu_time, self.max_rss
        return f"[{'null' if cpu_time is None else cpu_time},{'null' if max_rss is None else max_rss}]"

    def account(self) -> None:
        """Reaps the process if it has ended, and takes down what it used. The kernel's figure of its memory begins with
        that of this process, so a low one is not kept; its control group knows better."""
        if self.exit is None or self.cpu_time is not None:
            return
        _, _, usage = os.wait4(self.tree.pid, 0)
        self.cpu_time = usage.ru_utime + usage.ru_stime
        most = usage.ru_maxrss * 1024
        if most >= SMALL_BYTES:
            self.max_rss = most
        elif self.group is not None and (held := self.group.peak()) is not None:
            self.max_rss = min(held, most)


class Leased(Exception):
    """A file could not be opened without waiting: another process holds a lease on it."""


def start(
    order: Order,
    spec: Surroundings | process.Unrunnable,
    slot: Slot,
    tag: int,
    began: Began,
    mounts: Mounts,
    groups: str | None = None,
) -> Run:
    """Starts a command, in a child of its own where a path of it may hang, or where it has limits. `groups` is where
    control groups can be made.

    Raises `process.NotStarted`, or `process.Shortage` where it may start later.
    """
    if isinstance(spec, process.Unrunnable):
        raise process.NotStarted(*spec)
    if spec.script is None:
        return _start(order, spec, slot, tag, began, mounts, groups)
    with script.ready(slot.scripts, order.command, spec.script, spec.shell, spec.user) as (words, handles):
        return _start(order._replace(command=words), spec, slot, tag, began, mounts, groups, handles)


def _start(
    order: Order, spec: Surroundings, slot: Slot, tag: int, began: Began, mounts: Mounts, groups: str | None,
    handles: Sequence[int] = (),
) -> Run:  # fmt: skip
    if spec.is_limited:
        return _start_apart(order, spec, slot, tag, began, mounts, groups, handles)
    if mounts.any and spec.local.get(_program(order, spec)) != mounts.generation:
        return _start_apart(order, spec, slot, tag, began, mounts)
    try:
        return _start_here(order, spec, slot, tag, began)
    except Leased:
        return _start_apart(order, spec, slot, tag, began, mounts)


def _program(order: Order, spec: Surroundings) -> str:
    """The program that is started, by the name under which it is looked for."""
    if isinstance(order.command, str):
        words = plain_words(order.command) if spec.may_skip_shell else None
        return words[0] if words else spec.shell
    return order.command[0]


def _start_apart(
    order: Order, spec: Surroundings, slot: Slot, tag: int, began: Began, mounts: Mounts, groups: str | None = None,
    handles: Sequence[int] = (),
) -> Run:  # fmt: skip
    """`handles` are descriptors that the command needs."""
    env, program, generation = _environment(spec, order, slot, tag), _program(order, spec), mounts.generation
    try:
        out, err = slot.out.open(), (slot.err if spec.split_output else slot.out).open()
    except OSError as error:
        raise process.Shortage from error

    limit = spec.memory_max
    group = Group.made(groups, str(tag), limit) if groups is not None and limit is not None else None

    def become(step: Step) -> None:
        own = _take_on(spec, group, step)
        _take_files(order, spec, out, err, handles, step)

        def chosen(file: str) -> None:
            step(f"cannot execute {file}")
            folders = os.fsdecode(env.get(b"PATH", b"")).split(":")
            if not mounts.hold_any(filter(None, (file, *folders, spec.cwd, spec.stdin, spec.output_path))):
                step(LOCAL)
                step(f"cannot execute {file}")

        process.execute(
            order.command, shell=spec.shell, may_skip_shell=spec.may_skip_shell, env={**own, **env},
            chosen=chosen,
        )  # fmt: skip

    try:
        child = start_apart(become, tag, (out, err, *handles), lambda: spec.local.update({program: generation}))
    except process.Shortage:
        if group is not None:
            group.remove()
        raise
    sinks: dict[int, Sink | UserFile] = {STDOUT: slot.out, **({STDERR: slot.err} if spec.split_output else {})}
    return Run(
        order=order, slot=slot, tree=Tree(tag, tag, child.pid, began.since, boottime()), started_at=began.at,
        sinks=sinks, start=child, user_file=spec.output_path, memory_max=limit, group=group,
    )  # fmt: skip


def _take_files(order: Order, spec: Surroundings, out: int, err: int, handles: Sequence[int], step: Step) -> None:
    """Enters the folder of a command, and opens its files; `handles` stay open in it."""
    files = {1: out, 2: err}
    step(f"cannot enter folder {spec.cwd}")
    spec.enter(is_hook=order.text is not None)
    if spec.stdin is not None or order.text is not None:
        step(f"cannot read stdin file {spec.stdin}")
        files[0] = _open_input(order, spec, wait=True) or 0
    if spec.output_path is not None:
        step(f"cannot write output file {spec.output_path}")
        files[1] = os.dup(_open_user_file(spec.output_path, wait=True).open())
        files[2] = err if spec.split_output else files[1]
    for target, handle in files.items():
        os.dup2(handle, target)
    for handle in handles:
        os.set_inheritable(handle, True)


def _take_on(spec: Surroundings, group: Group | None, step: Step) -> dict[bytes, bytes]:
    """Takes on the limits of a command, and its user last; that user's variables."""
    if group is not None:
        step("cannot enter its control group")
        group.enter()
    if spec.nice is not None:
        take_niceness(spec.nice, step)
    return become_user(spec.user, step) if spec.user is not None else {}


def copy_user_file(run: Run, bytes_max: int) -> Start:
    """Forks a child that writes what the run's command wrote to its user's file into the slot's pipe.

    Raises `process.Shortage`.
    """
    pipe, path = run.slot.out.open(), run.user_file
    assert path is not None

    def become(step: Step) -> None:
        capped = read_capped(Path("/"), path, os.stat(path).st_size, bytes_max)
        text = capped.head + (cut_note(capped.cut_bytes) if capped.cut_bytes else b"") + capped.tail
        while text:
            text = text[os.write(pipe, text) :]
        os._exit(0)

    return start_apart(become, run.tree.low, (pipe,), lambda: None)


def _start_here(order: Order, spec: Surroundings, slot: Slot, tag: int, began: Began) -> Run:
    """Goes to the command's folder and umask, starts it, and comes back."""
    stdin = None
    sinks: dict[int, Sink | UserFile] = {}
    try:
        spec.enter(is_hook=order.text is not None)
        stdin = _open_input(order, spec)
        sinks = _open_sinks(spec, slot)
        descriptors.lower()
        pid = process.spawn(
            order.command, shell=spec.shell, may_skip_shell=spec.may_skip_shell,
            env=_environment(spec, order, slot, tag), stdin=stdin,
            stdout=sinks[STDOUT].open(), stderr=sinks[STDERR if spec.split_output else STDOUT].open(), tag=tag,
        )  # fmt: skip
    except (process.NotStarted, ValueError, OSError) as error:
        for sink in sinks.values():
            sink.abandon()
        if _is_shortage(error):
            raise process.Shortage from error
        if isinstance(error, ValueError):  # a text that no system call takes: nobody else may suffer from it
            raise process.NotStarted(f"cannot be started: {error}") from error
        raise
    finally:
        descriptors.restore()
        os.umask(0o077)
        os.chdir("/")
        if stdin is not None:
            os.close(stdin)
    return Run(order, slot, Tree(tag, tag, pid, began.since, boottime()), began.at, sinks)


def _is_shortage(error: Exception) -> bool:
    """Whether it is the machine that is short of something; of disk space, only where our own file has none."""
    if isinstance(error, OSError):
        return error.errno in process.SHORTAGES | process.DISK_SHORTAGES
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in process.SHORTAGES


def _open_stdin(path: str | None, wait: bool = False) -> int | None:
    """The command's stdin. A named pipe is refused: opening it waits for a writer. Unless it may `wait`, raises
    `Leased` where another process holds the file."""
    if path is None:
        return None
    how = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY
    try:
        try:
            handle = os.open(path, how | os.O_NONBLOCK)
        except BlockingIOError as error:
            if not wait:
                raise Leased from error
            handle = os.open(path, how)
    except OSError as error:
        raise process.NotStarted(f"cannot read stdin file {path}: {error.strerror}") from error
    if stat.S_ISFIFO(os.fstat(handle).st_mode):
        os.close(handle)
        raise process.NotStarted(f"cannot read stdin file {path}: it is a named pipe; have the command open it")
    os.set_blocking(handle, True)
    return handle


def _open_input(order: Order, spec: Surroundings, wait: bool = False) -> int | None:
    return _open_stdin(spec.stdin, wait) if order.text is None else in_memory(order.text)


def _open_user_file(path: str, wait: bool = False) -> UserFile:
    """Raises `NotStarted`; unless it may `wait`, `Leased` where another process holds the file."""
    try:
        return UserFile(path, wait)
    except BlockingIOError as error:
        raise Leased from error
    except OSError as error:
        raise process.NotStarted(f"cannot write output file {path}: {error.strerror}") from error


def _open_sinks(spec: Surroundings, slot: Slot) -> dict[int, Sink | UserFile]:
    out = slot.out if spec.output_path is None else _open_user_file(spec.output_path)
    return {STDOUT: out, STDERR: slot.err} if spec.split_output else {STDOUT: out}


def _environment(spec: Surroundings, order: Order, slot: Slot, tag: int) -> dict[bytes, bytes]:
    return {
        **spec.env,
        **({} if spec.user else slot.telling.begin()),  # no other user can reach the folder
        process.TAG_NAME: b"%d" % tag,
        b"QUEUECTL_JOB_ID": order.job_id.encode(),
        b"QUEUECTL_LEASE": b"%d" % order.lease,
        b"QUEUECTL_ATTEMPT": b"%d" % order.number,
        b"QUEUECTL_QUEUE": order.queue.encode(),
        b"QUEUECTL_SLOT": b"%d" % slot.index,
        **({} if order.batch is None else {b"QUEUECTL_BATCH": order.batch.encode()}),
    }


def cut(error: str) -> str:
    """A command's name may be as long as a program; the journal has room for a line."""
    return error if len(error) <= SIGNS_MAX else f"{error[: SIGNS_MAX - 1]}…"
