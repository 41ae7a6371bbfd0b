"""The composition root: a worker put together, from its store and its options."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from shlex import quote

from queuectl import ids
from queuectl.clock import SystemClock
from queuectl.domain.condition import Condition
from queuectl.domain.errors import Conflict, Invalid, QueuectlError, StoreUnavailable
from queuectl.engine.dispatch.condition import condition_of
from queuectl.engine.dispatch.dispatcher import Dispatcher, MustReopen
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.loop import Loop
from queuectl.engine.dispatch.manager import Manager
from queuectl.engine.dispatch.release import become
from queuectl.engine.dispatch.requests import MustRestart
from queuectl.engine.dispatch.secrets import Secrets
from queuectl.engine.dispatch.stopping import Begun
from queuectl.engine.dispatch.wakeup import wakeup_for
from queuectl.engine.happenings import WorkerCrashed, WorkerFailed, WorkerStopped
from queuectl.engine.lease import RENEWALS_A_TTL, TERM_BEFORE_S
from queuectl.engine.log import Log
from queuectl.engine.signals import Signals
from queuectl.engine.supervise import descriptors
from queuectl.places import is_server, is_writable_by_others, locate_store, log_path, open_store, stat_of
from queuectl.settings import Settings
from queuectl.store.liveness import machine_id
from queuectl.store.port import Store
from queuectl.store.sqlite.connection import refuse_foreign
from queuectl.store.values import ANSWER_WITHIN_S
from queuectl.wire.workers import WorkerOptions, default_name

DISPATCHER_BUSY_TIMEOUT_S = 0.2
SUPERVISORS_MAX, SLOTS_A_SUPERVISOR = 4, 4
"""A supervisor mostly waits for the kernel to start commands: more than cores do not help, nor two for few slots."""

Started = Callable[[str, int], None]
Echo = Callable[[str], None]


class _Beginning:
    """Whether a worker serves, or has served: from then on nobody but its log is told how it ends."""

    def __init__(self, on_started: Started) -> None:
        self._on_started = on_started
        self.log: Log | None = None

    def is_over(self, options: WorkerOptions, log: Log) -> None:
        """The worker serves."""
        if self.log is None:
            self._on_started(options.name, options.slots)
        self.log = log


def run_worker(
    db: str | None, options: WorkerOptions, on_started: Started, echo: Echo, more: Sequence[str] = ()
) -> int:
    """Runs a worker in this process until it is stopped. Returns the exit code.

    `on_started(name, slots)` is called once it serves; `echo` gets every line of its log. If the store is removed or
    replaced, it ends the old store's commands and serves the new one. Asked to restart, it becomes the worker of the
    installed release, with the options that it has then and `more`.
    """
    options = options._replace(
        name=options.name or default_name(os.uname().nodename, ids.random_id(4)),
        supervisors=_supervisors(options.slots),
    )
    _refuse_without_files(options)
    beginning = _Beginning(on_started)
    try:
        return _run(locate_store(db), options, beginning, echo, more)
    except QueuectlError as error:
        if beginning.log is not None:
            beginning.log(WorkerFailed(what=error.message))
        raise


def _run(url: str, options: WorkerOptions, beginning: _Beginning, echo: Echo, more: Sequence[str]) -> int:
    manager = Manager()
    stop: Begun | None = None
    while True:
        try:
            with closing(open_store(url)) as store:
                address = store.address
                _refuse_untrusted(store)
                if beginning.log is None:  # else supervisors that this process started may live on
                    _refuse_taken(store, options.name)
                return _serve(store, options, manager, beginning, echo, stop)
        except MustReopen as again:
            if again.has_stopped:
                assert beginning.log is not None
                beginning.log(WorkerStopped(name=options.name))
                return 0
            stop = again.stop
            slots = 0 if stop else again.options.slots  # while it stops, it starts no command
            options = again.options._replace(slots=slots, supervisors=_supervisors(slots))
        except MustRestart as wanted:
            become(wanted.options, more, {**manager.given, "QUEUECTL_DB": address})
        if not is_server(url) and not os.path.isdir(os.path.dirname(os.path.abspath(url))):
            raise StoreUnavailable(f"the folder of the store {url} is gone", "start a worker where the store is now")


def check_worker(db: str | None, options: WorkerOptions) -> None:
    """Raises what would keep a worker with these options from serving this store, but for the name of a live one."""
    options = options._replace(supervisors=_supervisors(options.slots))
    _refuse_without_files(options)
    Secrets(options.secrets).check()
    with closing(open_store(db)) as store:
        _refuse_untrusted(store)
        store.workers()


def _supervisors(slots: int) -> int:
    return min(-(-slots // SLOTS_A_SUPERVISOR), os.cpu_count() or 1, SUPERVISORS_MAX)


def _serve(
    store: Store, options: WorkerOptions, manager: Manager, beginning: _Beginning, echo: Echo, stop: Begun | None
) -> int:
    store.bring_up_to_date()  # a file that was a backup gets its log, which the wake-up watches
    clock, wakeup = SystemClock(), wakeup_for(store)
    log = Log(log_path(store, options.name), clock, echo)
    host = Host(store.folder)
    dispatcher = Dispatcher(store, options, clock, host, wakeup, log, unfinished=stop)
    with Signals() as signals, closing(Loop(dispatcher, wakeup, signals, manager)) as loop, closing(dispatcher):
        try:
            dispatcher.start() if stop is None else host.prepare()
            store.guard()
            patience_s = _answer_within_s(Settings(store.config())["lease-ttl"])
            store.wait_at_most(DISPATCHER_BUSY_TIMEOUT_S, patience_s)  # from now on its loop tries again
            beginning.is_over(options, log)
            manager.ready(clock.monotonic())
            return loop.run()
        except QueuectlError:
            raise
        except (MustRestart, MustReopen):
            signals.hand_on()
            raise
        except Exception as error:  # a detached worker has only its log
            log(WorkerCrashed(what=_described(error)))
            raise


def _answer_within_s(lease_s: float) -> float:
    """How long a dispatcher waits for a store that says nothing. Where all is well again after that, over another
    connection, it has still renewed in time."""
    spare_s = lease_s - TERM_BEFORE_S - lease_s / RENEWALS_A_TTL
    return min(ANSWER_WITHIN_S, 0.7 * spare_s)


def _described(error: Exception) -> str:
    """An unexpected error and its place in the code, on one line."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    assert at is not None
    code = at.tb_frame.f_code
    place = f"{os.path.basename(code.co_filename)}, line {at.tb_lineno}, in {code.co_name}"
    return f"{type(error).__name__}: {error} ({place})"


def _refuse_without_files(options: WorkerOptions) -> None:
    """Refuses more slots than open files allow: a supervisor has a pipe and a file open for each slot."""
    needed = descriptors.needed(-(-options.slots // options.supervisors))
    if needed > (allowed := descriptors.could_open_max()):
        raise Invalid(
            f"--count {options.slots} needs {needed} open files in a process; {allowed} are allowed here",
            f"ulimit -n {2 * needed}",
        )


def _refuse_taken(store: Store, name: str) -> None:
    """Refuses the name of a live worker. A worker of which only supervisors are left does not count."""
    for row in store.workers():
        is_ours = row.dispatcher == os.getpid() and row.machine == machine_id()  # of before a restart
        if row.name == name and not is_ours and store.alive(row):
            condition = condition_of(row, store.folder)
            if condition is Condition.SUSPENDED:
                raise Conflict(f"a worker named {name} is suspended", f"kill -CONT {row.dispatcher}")
            if condition is not Condition.ORPHANED:
                raise Conflict(f"a worker named {name} is running", "choose another --name, or stop that one first")


def _refuse_untrusted(store: Store) -> None:
    """Refuses to run as root on a store that others can write: they could run commands as root."""
    path = store.url
    if is_server(path):
        store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the server decides who may write the store
    elif not store.folder.is_dir():
        store.bring_up_to_date()  # a backup where nobody may write: raises that it is read-only
    refuse_foreign(str(store.folder), path)
    found = stat_of(path)
    if os.getuid() == 0 and found and (found.st_uid != 0 or is_writable_by_others(found)):
        what = f"{path} is writable for others than root, who could run commands as root"
        fix = f"chown root {quote(path)} && chmod 600 {quote(path)}"
        raise StoreUnavailable(what, f"run the worker as its owner, or: {fix}")
