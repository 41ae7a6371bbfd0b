"""The only place that starts and reaps processes (trees.py finds and signals them).

Every command starts in its own session, with the soft limit `RLIMIT_LOCKS` set to a 63-bit tag. That limit has
had no effect since Linux 2.4, but descendants inherit it, through `env -i`, `setsid` and double forks, and
anybody can read it in `/proc/PID/limits`. So a tree can be found and ended without cgroups or root.

A tag is 31 random bits of the supervisor and 32 bits that count its executions. The environment has it too, for what
resets its limits.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from queuectl.engine.supervise import capabilities
from queuectl.engine.supervise.shell import plain_words
from queuectl.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import NoReturn

PAGE_BYTES = 4096
TAG_SHIFT = 32
TAG_NAME = b"QUEUECTL_TAG"

EXIT_NOT_FOUND = 127
EXIT_NOT_EXECUTABLE = 126

DEFAULTED_SIGNALS = (
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD,
    signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
)  # fmt: skip
"""What Python, a shell's `&` or nohup may have set to be ignored: commands start without that legacy."""


FileActions = Sequence[tuple[int, int, int]]


def tag(supervisor_bits: int, execution: int) -> int:
    """The mark of one execution's processes."""
    return supervisor_bits << TAG_SHIFT | execution & 0xFFFFFFFF


class Unrunnable(NamedTuple):
    """Why a command does not run. `exit_code` is what a shell would say; None: its surroundings are wrong."""

    reason: str
    exit_code: int | None = None


class NotStarted(Exception):
    """A command could not be started."""

    def __init__(self, reason: str, exit_code: int | None = None) -> None:
        super().__init__(reason)
        self.why = Unrunnable(reason, exit_code)


SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
DISK_SHORTAGES = frozenset({errno.ENOSPC, errno.EDQUOT})


class Shortage(Exception):
    """The machine has no process, memory, descriptor or disk space left for a command. It is not the job's fault."""


def spawn(
    command: str | Sequence[str], *, shell: str, may_skip_shell: bool, env: Mapping[bytes, bytes], stdin: int | None,
    stdout: int, stderr: int, tag: int,
) -> int:  # fmt: skip
    """Starts a command in its own session, in the caller's folder and umask; returns its pid.

    A line of plain words is started without the shell where it `may_skip_shell`. `stdin` none leaves the caller's,
    which is /dev/null. Raises `NotStarted`.
    """
    capabilities.forget_own_peak()
    actions = [(os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
    if stdin is not None:
        actions.append((os.POSIX_SPAWN_DUP2, stdin, 0))
    if locks := capabilities.own_locks():
        resource.setrlimit(capabilities.RLIMIT_LOCKS, (tag, locks[1]))
    try:
        if not isinstance(command, str):
            return _spawn_words(command, env, actions)
        if may_skip_shell and (words := plain_words(command)):
            try:
                return _spawn_words(words, env, actions)
            except NotStarted:
                pass  # the shell tells the user why, in its own words, or runs what is a script without saying so
        return _spawn_file(shell, [shell, "-c", command], env, actions)
    finally:
        if locks:
            resource.setrlimit(capabilities.RLIMIT_LOCKS, locks)  # the supervisor is no part of the tree


def fork_tagged(tag: int) -> int:
    """As `os.fork`; the child carries this tag. Raises `Shortage`."""
    pid = -1
    if locks := capabilities.own_locks():
        resource.setrlimit(capabilities.RLIMIT_LOCKS, (tag, locks[1]))
    try:
        pid = os.fork()
    except OSError as error:
        raise Shortage from error
    finally:
        if locks and pid:
            resource.setrlimit(capabilities.RLIMIT_LOCKS, locks)
    return pid


def execute(
    command: str | Sequence[str], *, shell: str, may_skip_shell: bool, env: Mapping[bytes, bytes],
    chosen: Callable[[str], None],
) -> NoReturn:  # fmt: skip
    """Becomes a command, by the same rules as `spawn`. `chosen` is told the program before. Raises `NotStarted`."""
    words = plain_words(command) if isinstance(command, str) else command
    if words and (may_skip_shell or not isinstance(command, str)):
        try:
            program = find_program(words[0], env.get(b"PATH", os.fsencode(os.defpath)))
            chosen(program)
            _execute_file(program, words, env)
        except NotStarted:
            if not isinstance(command, str):
                raise
    chosen(shell)
    _execute_file(shell, [shell, "-c", str(command)], env)


def _execute_file(path: str, words: Sequence[str], env: Mapping[bytes, bytes]) -> NoReturn:
    try:
        os.execve(path, list(words), env)
    except OSError as error:
        raise _not_started(path, error) from error


def _spawn_words(words: Sequence[str], env: Mapping[bytes, bytes], actions: FileActions) -> int:
    path = env.get(b"PATH", os.fsencode(os.defpath))
    return _spawn_file(find_program(words[0], path), words, env, actions)


def _spawn_file(path: str, words: Sequence[str], env: Mapping[bytes, bytes], actions: FileActions) -> int:
    try:
        return spawn_session(path, words, env, actions)
    except OSError as error:
        raise _not_started(path, error) from error


def spawn_session(
    path: str, words: Sequence[str], env: Mapping[bytes, bytes] | Mapping[str, str], actions: Sequence[Any]
) -> int:
    """Starts a program in a session of its own, with no signal blocked or ignored; its pid. Raises `OSError`."""
    if not capabilities.can_spawn_sessions():
        return _fork_session(path, words, env, actions)
    return os.posix_spawn(
        path, list(words), env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=DEFAULTED_SIGNALS
    )


def _fork_session(
    path: str, words: Sequence[str], env: Mapping[bytes, bytes] | Mapping[str, str], actions: Sequence[Any]
) -> int:
    """The same by hand, for a Python whose `posix_spawn` makes no sessions. The child tells why it could not become
    the program through a pipe that becoming it closes."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for signum in DEFAULTED_SIGNALS:
                signal.signal(signum, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            for action in actions:
                _act(*action)
            os.execve(path, list(words), env)
        except OSError as error:
            os.write(writer, b"%d" % (error.errno or 0))
        finally:
            os._exit(EXIT_NOT_FOUND)
    os.close(writer)
    with open(reader, "rb") as told:
        number = int(told.read() or 0)
    if number:
        os.waitpid(pid, 0)
        raise OSError(number, os.strerror(number), path)
    return pid


def _act(kind: int, handle: int, *rest: Any) -> None:
    """Carries out a file action of `posix_spawn`."""
    if kind == os.POSIX_SPAWN_OPEN:
        path, flags, mode = rest
        opened = os.open(path, flags, mode)
        os.dup2(opened, handle)
        if opened != handle:
            os.close(opened)
    else:
        os.dup2(handle, rest[0])


def _not_started(path: str, error: OSError) -> NotStarted:
    if isinstance(error, FileNotFoundError):
        return NotStarted(f"command not found: {path}", EXIT_NOT_FOUND)
    reason = os.strerror(error.errno) if error.errno else str(error)
    return NotStarted(f"cannot execute {path}: {reason}", EXIT_NOT_EXECUTABLE)


def find_program(name: str, path: bytes) -> str:
    """The file that a shell would run for `name` under this PATH. Raises `NotStarted`."""
    if "/" in name:
        return name
    candidates = [f"{folder or '.'}/{name}" for folder in os.fsdecode(path).split(":")]
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    if any(map(os.path.isfile, candidates)):
        raise NotStarted(f"cannot execute {name}: Permission denied", EXIT_NOT_EXECUTABLE)
    raise NotStarted(f"command not found: {name}", EXIT_NOT_FOUND)


def tags(pid: int) -> Iterator[int]:
    """The tags a process carries: its limit, and what its environment says; empty if it is gone."""
    limits = content(f"/proc/{pid}/limits")
    at = limits.find(b"Max file locks")
    if at >= 0 and (word := limits[at + 14 : at + 80].split(None, 1)[0]).isdigit():
        yield int(word)
    _, found, rest = (b"\0" + content(f"/proc/{pid}/environ")).partition(b"\0%s=" % TAG_NAME)
    if found and (word := rest.partition(b"\0")[0]).isdigit():
        yield int(word)


def content(path: str) -> bytes:
    """What a file of /proc says; empty where it may not be read, or is gone."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


ENDED = frozenset({None, b"Z", b"X"})
SUSPENDED = frozenset({b"T", b"t"})
"""States of a process: over, if not reaped; stopped by SIGSTOP, Ctrl-Z or a debugger."""
THREADS, STARTED = 17, 19
"""Which fields of /proc/PID/stat, from the state on: how many threads it has; when it was started."""


def state_of(pid: int) -> bytes | None:
    """The kernel's letter for a process's state. None if there is no such process."""
    fields = stat_of(pid)
    return fields[0] if fields else None


def began(pid: int) -> int | None:
    """When a process was started, in ticks since boot. None if there is no such process."""
    fields = stat_of(pid)
    return int(fields[STARTED]) if fields else None


def stat_of(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on; empty where there is no such process.

    A program may end its main thread and go on in others. It looks like one that has ended then, so another thread
    tells how it is.
    """
    fields = _fields(f"/proc/{pid}/stat")
    if fields and fields[0] == b"Z" and int(fields[THREADS]) > 1:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                lively = _fields(f"/proc/{pid}/task/{thread}/stat")
                if lively and lively[0] not in ENDED:
                    lively[STARTED] = fields[STARTED]
                    return lively
    return fields


def _fields(path: str) -> list[bytes]:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(2048).rpartition(b") ")[2].split()
    except OSError:
        return []


def resume(pid: int) -> None:
    """Continues a suspended process. Raises `PermissionError` where it is another user's."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def whole_range(supervisor_bits: int) -> tuple[int, int]:
    """The lowest and highest tag of a supervisor's commands."""
    return tag(supervisor_bits, 0), tag(supervisor_bits, 0xFFFFFFFF)


# --- children -------------------------------------------------------------


helpers: set[int] = set()
"""Children of this process that are no commands, such as its sentry."""


def start_helper(words: Sequence[str], actions: Sequence[Any]) -> None:
    """Starts a program in a session of its own, to which nothing is done that is done to commands."""
    helpers.add(spawn_session(words[0], words, os.environ, actions))


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process, so that their end can be seen."""
    import ctypes

    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Children:
    """The children of this single-threaded process, as the kernel lists them; kept open, since opening costs most."""

    def __init__(self) -> None:
        listed = capabilities.children_file()
        self._list = os.open(listed, os.O_RDONLY | os.O_CLOEXEC) if listed else -1

    def pids(self) -> set[int]:
        """All of them; those that have ended and were not reaped too."""
        if self._list < 0:
            return set(_children_by_scan())
        text = os.pread(self._list, PAGE_BYTES, 0)
        while len(text) > PAGE_BYTES // 2 and (more := os.pread(self._list, PAGE_BYTES, len(text))):
            text += more  # the kernel gives about a page at a time
        return set(map(int, text.split()))


def _children_by_scan() -> Iterator[int]:
    """The same on a kernel that keeps no list."""
    me = b"%d" % os.getpid()
    for name in os.listdir("/proc"):
        if name.isdigit() and (words := stat_of(int(name))) and words[1] == me:
            yield int(name)


def close_from(lowest: int, but: Collection[int] = ()) -> None:
    """Closes every descriptor from this one on, however many there could be."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= lowest and int(name) not in but:
            with suppress(OSError):  # the listing's own is closed already
                os.close(int(name))


def reap(pid: int) -> int | None:
    """The wait status of a child that has ended. None if it runs or is not a child of this process."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if found else None


def reap_strays(children: Children, but: set[int]) -> None:
    """Reaps children that came to us as their parents died; `but` are the ones somebody waits for."""
    for pid in children.pids() - but:
        reap(pid)
