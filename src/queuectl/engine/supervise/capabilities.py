"""What a kernel, a Python or a container may lack, and what queuectl does then.

Everything that is not there everywhere is asked for here and nowhere else; docs/platforms.md is the same table for
people. Most answers are found once a process.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

from queuectl.typed import NamedTuple

RLIMIT_LOCKS = 10
TAG_MAX = (1 << 63) - 1


class Lack(NamedTuple):
    """Something that is missing here: its name, and what happens without it."""

    name: str
    without: str


class Capability(NamedTuple):
    """How to tell whether something is there, and what happens where it is not."""

    name: str
    is_there: Callable[[], bool]
    without: str


def missing() -> list[Lack]:
    """What this process lacks."""
    return [Lack(each.name, each.without) for each in CAPABILITIES if not each.is_there()]


@cache
def can_tag() -> bool:
    """Whether this process may mark what it starts by its limit RLIMIT_LOCKS. Raises the hard one where it may."""
    soft, hard = resource.getrlimit(RLIMIT_LOCKS)
    for wanted in (hard, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(RLIMIT_LOCKS, (TAG_MAX, wanted))
        except (OSError, ValueError):
            continue
        resource.setrlimit(RLIMIT_LOCKS, (soft, wanted))
        return True
    return False


@cache
def own_locks() -> tuple[int, int] | None:
    """This process's own limits RLIMIT_LOCKS; None where it may mark nothing by them."""
    return resource.getrlimit(RLIMIT_LOCKS) if can_tag() else None


@cache
def can_read_tags() -> bool:
    """Whether /proc tells the limits of processes."""
    try:
        with open("/proc/self/limits", "rb") as file:
            return b"Max file locks" in file.read()
    except OSError:
        return False


@cache
def can_spawn_sessions() -> bool:
    """Whether `posix_spawn` of this Python starts sessions: one that was built for an old C library says no."""
    try:
        os.posix_spawn("/", ["/"], {}, setsid=True)
    except NotImplementedError:
        return False
    except OSError:
        pass  # a folder is no program, and that was found out by trying
    return True


@cache
def has_pidfd() -> bool:
    """Whether a process can be held while it is signalled."""
    try:
        handle = os.pidfd_open(os.getpid())
    except (AttributeError, OSError):
        return False  # a sandbox may refuse what its author did not know
    try:
        signal.pidfd_send_signal(handle, 0)
    except (AttributeError, OSError):
        return False
    finally:
        os.close(handle)
    return True


@contextmanager
def pidfd(pid: int) -> Iterator[Callable[[int], None]]:
    """A function that signals this process and never one that got its pid meanwhile. Without pidfd the caller's look
    just before must do. Raises `OSError`, and so does the function."""
    if not has_pidfd():
        yield lambda signum: os.kill(pid, signum)
        return
    handle = os.pidfd_open(pid)
    try:
        yield lambda signum: signal.pidfd_send_signal(handle, signum)
    finally:
        os.close(handle)


@cache
def _peak_file() -> int | None:
    """Where this process can have the kernel forget the most memory that it held, opened; None where it cannot."""
    try:
        return os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return None


def forget_own_peak() -> None:
    """Has the figures of children begin with what this process holds now, and not with the most it ever held."""
    if (file := _peak_file()) is not None:
        with suppress(OSError):
            os.pwrite(file, b"5", 0)


def children_file() -> str | None:
    """Where the kernel lists the children of this process; None where it does not."""
    path = f"/proc/self/task/{os.getpid()}/children"
    return path if os.path.exists(path) else None


CAPABILITIES = (
    Capability(
        "tags (a high enough hard limit RLIMIT_LOCKS, and a readable /proc/PID/limits)",
        lambda: can_tag() and can_read_tags(),
        "a command's processes are found by environment, session and parent only: a daemon without these is not found",
    ),
    Capability(
        "pidfd (Linux 5.3, and a Python and a sandbox that let it through)",
        has_pidfd,
        "a process is signalled by its pid, right after its start time was checked",
    ),
    Capability(
        "sessions in posix_spawn (a Python built for glibc 2.26 or newer)",
        can_spawn_sessions,
        "commands are started by fork, which is slower",
    ),
    Capability(
        "/proc/PID/task/TID/children (a kernel with CONFIG_PROC_CHILDREN)",
        lambda: children_file() is not None,
        "children are found by reading all of /proc at each command's end, which is slower",
    ),
    Capability(
        "/proc/PID/clear_refs (a kernel with CONFIG_PROC_PAGE_MONITOR)",
        lambda: _peak_file() is not None,
        "a command's peak memory is never told as less than the most that its supervisor ever held",
    ),
)
