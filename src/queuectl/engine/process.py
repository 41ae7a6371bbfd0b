"""The only place that starts, finds, signals and reaps processes.

Every command starts in its own session, with the soft limit `RLIMIT_LOCKS` set to a 63-bit tag. That limit has
had no effect since Linux 2.4, but every descendant inherits it, through `env -i`, `setsid` and double forks, and
anybody can read it in `/proc/PID/limits`. So a whole tree can be found and ended without cgroups or root.

A tag is 31 random bits of the supervisor and 32 bits that count its executions.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from queuectl.engine.shell import plain_words

RLIMIT_LOCKS = 10
PAGE_BYTES = 4096
TAG_SHIFT = 32

NAMES_MAX = 10
"""So many processes are named where there may be thousands."""

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


class NotStarted(Exception):
    """A command could not be started; `exit_code` is what a shell would say (none: its surroundings were wrong)."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


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
    actions = [(os.POSIX_SPAWN_DUP2, stdout, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
    if stdin is not None:
        actions.append((os.POSIX_SPAWN_DUP2, stdin, 0))
    resource.setrlimit(RLIMIT_LOCKS, (tag, _OWN_LOCKS[1]))
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
        resource.setrlimit(RLIMIT_LOCKS, _OWN_LOCKS)  # the supervisor is no part of the tree


def fork_tagged(tag: int) -> int:
    """As `os.fork`; the child carries this tag. Raises `Shortage`."""
    resource.setrlimit(RLIMIT_LOCKS, (tag, _OWN_LOCKS[1]))
    pid = -1
    try:
        pid = os.fork()
    except OSError as error:
        raise Shortage from error
    finally:
        if pid:
            resource.setrlimit(RLIMIT_LOCKS, _OWN_LOCKS)
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
        return os.posix_spawn(
            path, list(words), env, file_actions=actions, setsid=True, setsigmask=(), setsigdef=DEFAULTED_SIGNALS
        )
    except OSError as error:
        raise _not_started(path, error) from error


_OWN_LOCKS = resource.getrlimit(RLIMIT_LOCKS)


def _not_started(path: str, error: OSError) -> NotStarted:
    if isinstance(error, FileNotFoundError):
        return NotStarted(f"command not found: {path}", EXIT_NOT_FOUND)
    reason = os.strerror(error.errno) if error.errno else str(error)
    return NotStarted(f"cannot execute {path}: {reason}", EXIT_NOT_EXECUTABLE)


def find_program(name: str, path: bytes) -> str:
    """The file that a shell would run for `name` under this PATH. Raises `NotStarted`."""
    if "/" in name:
        return name
    found_unusable = False
    for folder in os.fsdecode(path).split(":"):
        candidate = f"{folder or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
        found_unusable = found_unusable or os.path.isfile(candidate)
    if found_unusable:
        raise NotStarted(f"cannot execute {name}: Permission denied", EXIT_NOT_EXECUTABLE)
    raise NotStarted(f"command not found: {name}", EXIT_NOT_FOUND)


# --- finding and ending trees ---------------------------------------------------------------


def read_tag(pid: int) -> int | None:
    """The tag a process carries; none where it has none or is gone."""
    try:
        with open(f"/proc/{pid}/limits", "rb", buffering=0) as file:
            limits = file.read(4096)
    except OSError:
        return None
    at = limits.find(b"Max file locks")
    word = limits[at + 14 : at + 80].split(None, 1)[0] if at >= 0 else b""
    return int(word) if word.isdigit() else None


def tagged(low: int, high: int) -> list[int]:
    """The living processes, except the caller, whose tag lies in [low, high]. One scan takes about 2 ms."""
    me = os.getpid()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and (pid := int(name)) != me:
            mark = read_tag(pid)
            if mark is not None and low <= mark <= high and not is_zombie(pid):
                found.append(pid)
    return found


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and only waits to be reaped (or is gone)."""
    return state_of(pid) in ENDED


ENDED = frozenset({None, b"Z", b"X"})
SUSPENDED = frozenset({b"T", b"t"})
"""States of a process: over, if not reaped; stopped by SIGSTOP, Ctrl-Z or a debugger."""


def state_of(pid: int) -> bytes | None:
    """The letter that the kernel has for what a process does; None where there is none."""
    fields = _stat(pid)
    return fields[0] if fields else None


def began(pid: int) -> int | None:
    """When a process was started, in ticks since the machine was; None where there is none."""
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on; empty where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read(2048).rpartition(b") ")[2].split()
    except OSError:
        return []


def resume(pid: int) -> None:
    """Continues a suspended process. Raises `PermissionError` where it is another user's."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def signal_tagged(low: int, high: int, signum: int) -> list[int]:
    """Signals every process with such a tag, each held by a pidfd so that no stranger is hit; returns those found.

    A process that belongs to another user cannot be signalled, but is returned too.
    """
    found = tagged(low, high)
    for pid in found:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            mark = read_tag(pid)
            if mark is not None and low <= mark <= high:
                signal.pidfd_send_signal(handle, signum)
                if signum == signal.SIGTERM:
                    signal.pidfd_send_signal(handle, signal.SIGCONT)  # a stopped process hears nothing else
        except OSError:
            pass  # gone, or not ours: the next scan tells
        finally:
            os.close(handle)
    return found


def whole_range(supervisor_bits: int) -> tuple[int, int]:
    """The lowest and highest tag of a supervisor's commands."""
    return tag(supervisor_bits, 0), tag(supervisor_bits, 0xFFFFFFFF)


def kill_tagged(low: int, high: int, rounds: int = 50) -> list[int]:
    """SIGKILLs all such processes until a scan finds none; returns those that cannot be ended (another user's)."""
    left: list[int] = []
    for _ in range(rounds):
        left = signal_tagged(low, high, signal.SIGKILL)
        if not left:
            break
        signal.sigtimedwait((), 0.01)
    return left


def name_of(pid: int) -> str:
    """A process for people: `sleep (pid 123)`."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return f"{file.read().strip()} (pid {pid})"
    except OSError:
        return f"pid {pid}"


def names_of(pids: Collection[int]) -> str:
    """The same for several, of many the first few."""
    first, more = sorted(pids)[:NAMES_MAX], len(pids) - NAMES_MAX
    return ", ".join([*map(name_of, first), *([f"and {more:,} more"] if more > 0 else [])])


# --- children -------------------------------------------------------------


def exceeds_own_peak(kib: int) -> bool:
    """Whether a child held more memory than this process ever did; a figure below that is only inherited."""
    global _own_peak_kib
    if kib > _own_peak_kib:
        _own_peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib > _own_peak_kib


_own_peak_kib = 0


def become_subreaper() -> None:
    """Makes orphaned descendants children of this process, so that their end can be seen."""
    import ctypes

    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Children:
    """The children of this single-threaded process, as the kernel lists them; kept open, since opening costs most."""

    def __init__(self) -> None:
        self._list = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)

    def pids(self) -> set[int]:
        """All of them; those that have ended and were not reaped too."""
        text = os.pread(self._list, PAGE_BYTES, 0)
        while len(text) > PAGE_BYTES // 2 and (more := os.pread(self._list, PAGE_BYTES, len(text))):
            text += more  # the kernel gives about a page at a time
        return set(map(int, text.split()))


def reap(pid: int) -> int | None:
    """The wait status of a child that has ended; none where it runs, or is no child of ours."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if found else None


def reap_strays(children: Children, but: set[int]) -> None:
    """Reaps children that came to us as their parents died; `but` are the ones somebody waits for."""
    for pid in children.pids() - but:
        reap(pid)
