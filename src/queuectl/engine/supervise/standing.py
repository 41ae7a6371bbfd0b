"""What a child takes on before it becomes a command that asks for it: a niceness, and another user."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from queuectl.engine.supervise.process import NotStarted
from queuectl.engine.supervise.starting import Step

PERSONAL = (b"HOME", b"USER", b"LOGNAME")
"""Variables of a user: a command that runs as another one never has the worker's."""
AUTOGROUP_TRIES, AUTOGROUP_WAIT_S = 20, 0.1


def take_niceness(nice: int, step: Step) -> None:
    """Raises `NotStarted`."""
    step(f"cannot run with niceness {nice}")
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError as error:
        why = "only root may set it so low" if isinstance(error, PermissionError) else error.strerror
        raise NotStarted(f"cannot run with niceness {nice} on host {os.uname().nodename}: {why}") from error
    for _ in range(AUTOGROUP_TRIES):  # where each session is a group, niceness only counts within it
        with suppress(FileNotFoundError, PermissionError):
            try:
                with open("/proc/self/autogroup", "w") as file:
                    file.write(str(nice))
            except BlockingIOError:  # who is not root may do so ten times a second, all users together
                time.sleep(AUTOGROUP_WAIT_S)
                continue
        return


def become_user(name: str, step: Step) -> dict[bytes, bytes]:
    """Becomes this user, with all its groups; the variables that tell who that is. Raises `NotStarted`."""
    import pwd

    host = os.uname().nodename
    step(f"cannot look up user {name}")  # whose directory may be on another machine
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise NotStarted(f"cannot run as user {name}: host {host} has no such user") from None
    if user.pw_uid != os.geteuid():
        try:
            os.initgroups(name, user.pw_gid)
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        except PermissionError:
            raise NotStarted(f"cannot run as user {name} on host {host}: the worker is not root") from None
    return dict(zip(PERSONAL, map(os.fsencode, (user.pw_dir, name, name)), strict=True))
