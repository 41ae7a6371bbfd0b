"""Which processes belong to an execution, and how they are signalled.

Three signs tell, for none of them is always there:

- the *tag* (see process.py), which everything inherits as a limit and in its environment, but `sudo`, `su`, PAM and
  containers reset the one and clean the other;
- the *session* of the command's own process: each command begins one;
- *descent*: what a process of the tree has started, and what came to us when its parent died.

A process is named by its pid and the moment it started, so a pid that was given to a stranger meanwhile is never
signalled.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping

from queuectl.engine.supervise import process
from queuectl.engine.supervise.capabilities import pidfd
from queuectl.typed import NamedTuple

NAMES_MAX = 10
"""How many processes are named where there may be thousands."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
SLACK_S = 2 / TICKS_A_SECOND
"""The kernel tells starts in ticks."""
KILL_ROUNDS, ROUND_S = 50, 0.01


class Tree(NamedTuple):
    """What is known of one execution's processes.

    `low` and `high`: the tags they carry. `pid`: the command's own process, 0 where it is not known; it was started
    from `since` to `until`, in seconds of `clock.boottime`. Nothing of the tree is older.
    """

    low: int
    high: int
    pid: int = 0
    since: float = 0.0
    until: float = 0.0


class Seen(NamedTuple):
    """A living process at one look."""

    pid: int
    parent: int
    session: int
    started: int
    """In ticks since the machine's start."""


View = Mapping[int, Seen]


def look(since: float = 0.0) -> View:
    """All living processes that are no older, except the caller. Takes some milliseconds."""
    me, oldest = os.getpid(), (since - SLACK_S) * TICKS_A_SECOND
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (pid := int(name)) != me:
            seen = see(pid)
            if seen is not None and seen.started >= oldest:
                found[pid] = seen
    return found


def see(pid: int) -> Seen | None:
    """One process; None where it has ended, even if nobody has reaped it."""
    words = process.stat_of(pid)
    if not words or words[0] in process.ENDED:
        return None
    return Seen(pid=pid, parent=int(words[1]), session=int(words[3]), started=int(words[process.STARTED]))


def members(
    tree: Tree, view: View, known: Iterable[Seen] = (), tags: Callable[[int], Iterable[int]] = process.tags
) -> dict[int, Seen]:
    """The tree's processes in a view. `known` ones belong to it whatever they look like now. `tags` tells those of a
    process."""
    found = {seen.pid: seen for seen in known if view.get(seen.pid, seen._replace(started=-1)).started == seen.started}
    session = _session(tree, view)
    for pid, seen in view.items():
        if pid not in found and is_younger(seen, tree) and (seen.session == session or _carries_tag(tree, tags(pid))):
            found[pid] = seen
    return _with_descendants(found, view)


def is_younger(seen: Seen, tree: Tree) -> bool:
    """Whether it was started after the tree's first process, or is that one."""
    return seen.started >= (tree.since - SLACK_S) * TICKS_A_SECOND


def _session(tree: Tree, view: View) -> int | None:
    """The session of the command's own process; None where its number may have been given to a stranger's."""
    first = view.get(tree.pid)
    is_strange = first is not None and first.started > (tree.until + SLACK_S) * TICKS_A_SECOND
    return None if is_strange else tree.pid or None


def _carries_tag(tree: Tree, tags: Iterable[int]) -> bool:
    return any(tree.low <= mark <= tree.high for mark in tags)


def _with_descendants(found: dict[int, Seen], view: View) -> dict[int, Seen]:
    children: dict[int, list[Seen]] = {}
    for seen in view.values():
        children.setdefault(seen.parent, []).append(seen)
    rest = list(found)
    while rest:
        for child in children.get(rest.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                rest.append(child.pid)
    return found


def living(trees: Collection[Tree]) -> dict[int, Seen]:
    """All processes of these trees that live now."""
    if not trees:
        return {}
    view = look(min(tree.since for tree in trees))
    found: dict[int, Seen] = {}
    for tree in trees:
        found |= members(tree, view)
    return found


# --- signals --------------------------------------------------------------------------------


def send(targets: Iterable[Seen], signum: int) -> set[int]:
    """Signals each process that is still the one that was seen; the pids of those that we may not signal."""
    refused = set()
    for target in targets:
        try:
            _send(target, signum)
            if signum == signal.SIGTERM:
                _send(target, signal.SIGCONT)  # a stopped process hears nothing else
        except PermissionError:
            refused.add(target.pid)
        except OSError:
            pass  # gone: the next look tells
    return refused


def _send(target: Seen, signum: int) -> None:
    with pidfd(target.pid) as deliver:
        now = see(target.pid)
        if now is not None and now.started == target.started:
            deliver(signum)


def kill(find: Callable[[], Mapping[int, Seen]], rounds: int = KILL_ROUNDS) -> dict[int, Seen]:
    """SIGKILLs what `find` finds until it finds nothing; what could not be ended: another user's, or stuck in the
    kernel."""
    found = find()
    for _ in range(rounds):
        if not found or found.keys() == send(found.values(), signal.SIGKILL):
            break
        signal.sigtimedwait((), ROUND_S)
        found = find()
    return dict(found)


# --- for people -----------------------------------------------------------------------------


def name_of(pid: int) -> str:
    """A process for people: `sleep (pid 123)`, with its user where that is another."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            name = file.read().strip()
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return f"pid {pid}"
    return f"{name} (pid {pid}{_of(uid)})"


def _of(uid: int) -> str:
    if uid == os.geteuid():
        return ""
    import pwd

    try:
        return f", of {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f", of uid {uid}"


def names_of(pids: Collection[int]) -> str:
    """Several processes for people, as `name_of` names one; of many, the first few."""
    first, more = sorted(pids)[:NAMES_MAX], len(pids) - NAMES_MAX
    return ", ".join([*map(name_of, first), *([f"and {more:,} more"] if more > 0 else [])])
