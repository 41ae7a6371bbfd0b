"""`worker …`.

A worker keeps what it has loaded as long as it runs, so what only the other commands need is imported inside
functions.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from queuectl.cli.call import Call
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.served import Served
from queuectl.typed import TYPE_CHECKING
from queuectl.wire.kinds import JsonObject
from queuectl.wire.words import counted, local_log
from queuectl.wire.workers import check_name, read_options

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from queuectl.client.facade import Client
    from queuectl.client.values import WorkerView
    from queuectl.client.waiting import Patience

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_AGAIN_S = 0.05
NAMES_SHOWN_MAX = 5


def start(call: Call) -> int:
    """Runs a worker here until it is stopped, or starts one in the background."""
    from queuectl.bootstrap import check_worker, run_worker
    from queuectl.engine.dispatch.release import RESTARTED

    is_restarted = os.environ.pop(RESTARTED, None) is not None
    options = read_options(vars(call.args))
    if call.args.check:
        check_worker(call.db, options)
        call.console.note("a worker can start with these options", "can_start")
        return 0
    if call.args.if_none and (serving := _serving(call, options.served)):
        if call.console.as_json:
            call.console.json({"name": serving.name, "slots": serving.slots})
        call.console.note(f"{serving.name} already serves these queues", "already_served")
        return 0
    if call.args.detach:
        from queuectl.detaching import start_detached

        _started(call, start_detached(call.db, options), options.slots)
        return 0
    with _one_end() as serves:

        def on_started(name: str, slots: int) -> None:
            serves()
            if not is_restarted:
                _started(call, name, slots)

        console = call.console
        more = [*(["--json"] if console.as_json else []), *(["--quiet"] if console.quiet else [])]
        return run_worker(call.db, options, on_started, lambda line: _echo(call, line), more)


def _serving(call: Call, served: Served) -> WorkerView | None:
    """A live worker that serves all these queues, or None."""
    with call.client() as client:
        return next((each for each in client.workers() if each.serving and each.served.includes(served)), None)


@contextmanager
def _one_end() -> Iterator[Callable[[], None]]:
    """Makes a worker end with its own exit code, however often Ctrl-C is pressed on the way out. Call the yielded
    function once the worker serves; until then a signal ends it as usual."""
    served = False

    def begun() -> None:
        nonlocal served
        served = True

    def handle(number: int, frame: FrameType | None) -> None:
        if not served:
            raise KeyboardInterrupt

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)
    try:
        yield begun
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _echo(call: Call, line: str) -> None:
    """Prints a line of the worker's log. A closed terminal must not end the worker."""
    if not call.console.quiet:
        try:
            if call.console.as_json:
                for each in line.splitlines():
                    call.console.note(each, "worker_log")
            else:
                sys.stderr.write("".join(map(local_log, line.splitlines(keepends=True))))
                sys.stderr.flush()
        except OSError:
            pass


def _started(call: Call, name: str, slots: int) -> None:
    call.console.answer({"name": name, "slots": slots}, name, f"started {slots} worker(s)")
    call.console.flush()
    runs = f"{name} runs up to {counted(slots, 'command')} at a time"
    if call.args.detach:
        call.console.note(f"{runs}, in the background; stop it with: {call.command(f'worker stop {name}')}", "detached")
    else:
        call.console.note(f"{runs}. Ctrl-C: finish them and exit; twice: end them at once", "how_to_stop")


def stop(call: Call) -> int:
    """Asks workers to stop and waits until they have; drives supervisors that have lost their dispatcher."""
    import shlex

    console = call.console
    with call.client() as client:
        how = {"now": call.args.now, "all_hosts": call.args.all_hosts}
        asked = call.freeing(lambda: client.ask_to_stop(call.words or None, **how, orphaned=True))
        if not asked:
            if console.as_json:
                console.json_array([])
            others = not call.args.all_hosts and client.workers()
            elsewhere = f" on this host; see: {call.command('worker list')}" if others else ""
            console.note(f"no worker is running{elsewhere}", "no_worker")
            return 0
        running = sum(len(worker.running) for worker in asked)
        if running and not call.args.now:
            again = [*call.words, *(["--all-hosts"] if call.args.all_hosts else []), "--now"]
            at_once = call.command(f"worker stop {shlex.join(again)}")
            console.note(f"waiting for {counted(running, 'running command')}; end them with: {at_once}", "waiting")
        if orphans := [worker for worker in asked if worker.orphaned]:
            with client.driving(orphans, now=call.args.now) as guardian:
                _wait_until_gone(call, client, asked, guardian.turn)
        else:
            _wait_until_gone(call, client, asked, console.screen.pause)
    if console.as_json:
        from queuectl.client.documents import WORKER

        console.json_array(WORKER.json(worker) for worker in asked)
    return 0


def _wait_until_gone(call: Call, client: Client, asked: list[WorkerView], let_pass: Callable[[float], None]) -> None:
    """Prints each worker's name once it has exited. `let_pass` waits for a number of seconds between two looks."""
    console, waiting, patience = call.console, asked, _patience(call, client)
    while waiting:
        left = patience.ask(lambda: client.still_there(asked), waiting)
        for worker in waiting:
            if worker not in left and not console.as_json:
                console.print(worker.name if console.quiet else f"stopped {worker.name}")
        waiting = left
        if waiting:
            let_pass(LOOK_AGAIN_S)


def _patience(call: Call, client: Client) -> Patience:
    """Tells people that the store is away, and that it is back."""
    from queuectl.client.here import patience_of

    return patience_of(client, lambda message: call.console.note(message, "store"))


def list_workers(call: Call) -> int:
    """Lists live workers."""
    from queuectl.cli.status import worker_table
    from queuectl.client.documents import WORKER

    console = call.console
    with call.client() as client:
        workers = client.workers()
        now = client.now()
    if console.as_json:
        console.json_array(map(WORKER.json, workers))
    elif console.quiet:
        console.lines(worker.name for worker in workers)
    elif workers:
        console.table(*worker_table(workers, now))
    else:
        console.note(f"no worker is running; start one with: {call.command('worker start')}", "no_worker")
    return 0


# --- logs ------------------------------------------------------------------------------------


def logs(call: Call) -> int:
    """Prints or follows a worker's log."""
    from queuectl.cli.choosing import positive

    tail = positive(call.args.tail, "--tail", least=0)
    if call.console.as_json and call.args.follow:
        raise Invalid("--follow prints lines as they come, not JSON", "leave out --json or --follow")
    with call.client() as client:
        name = call.words[0] if call.words else _only_worker(client, client.logged())
        path = client.log_path(check_name(name))
        if not path.exists():
            if elsewhere := [worker.host for worker in client.workers() if worker.name == name]:
                raise NotFound(f"worker {name} has no log on this host", f"it runs on host {elsewhere[0]}")
            known = ", ".join(client.logged()[:NAMES_SHOWN_MAX]) or "none yet"
            raise NotFound(f"worker {name} has no log on this host", f"workers with a log, latest first: {known}")
        with path.open("rb") as file:
            lines = deque(file, tail)
            if call.console.as_json:
                call.console.json_array(_logged(line) for line in lines)
            else:
                _print_log(call, lines)
            if call.args.follow:
                _follow(call, client, name, path, file)
    return 0


def _follow(call: Call, client: Client, name: str, path: Path, file: BinaryIO) -> None:
    """Prints what is added to a worker's log until the worker has exited. At its limit a log goes on in a new file."""
    from queuectl.client.workers import process_lives

    patience, alive = _patience(call, client), True
    seen: list[WorkerView] = []

    def is_there() -> bool:
        found = [worker for worker in client.workers() if worker.name == name]
        seen[:] = found or seen
        return bool(found) or any(map(process_lives, seen))  # its last words come after its last supervisor

    with ExitStack() as opened:
        while alive:
            alive, goes_on = patience.ask(is_there, meanwhile=True), _is_other(path, file)
            _print_log(call, iter(file.readline, b""))
            if goes_on:
                opened.close()
                file, alive = opened.enter_context(path.open("rb")), True
            elif alive:
                call.console.screen.pause(LOOK_AGAIN_S * 4)


def _is_other(path: Path, file: BinaryIO) -> bool:
    """Whether there is another file at the path by now, so that nothing is added to the open one any more."""
    try:
        return not os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _print_log(call: Call, lines: Iterable[bytes]) -> None:
    """Prints lines of a log, with times in the reader's zone."""
    for line in lines:
        call.console.raw(local_log(line.decode(errors="replace")).encode(errors="replace"))


def _logged(line: bytes) -> JsonObject:
    """A line of a log as an object with its time."""
    at, _, message = line.decode(errors="replace").rstrip("\n").partition(" ")
    return {"at": at, "message": message}


def _only_worker(client: Client, logged: list[str]) -> str:
    """The worker that is meant if none is named: the only live one with a log here, or the last one."""
    names = [worker.name for worker in client.workers() if worker.name in logged] or logged[:1]
    if len(names) != 1:
        raise Invalid("no worker given", f"alive now: {', '.join(names)}" if names else "none has run here yet")
    return names[0]
