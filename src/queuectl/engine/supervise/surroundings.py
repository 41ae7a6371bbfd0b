"""What a command finds around it: its folder, environment and files, and its limits. Prepared once for many jobs."""

from __future__ import annotations

import os

from queuectl.engine.supervise import process
from queuectl.engine.supervise.shell import is_plain_shell
from queuectl.engine.supervise.standing import PERSONAL
from queuectl.environment import is_captured
from queuectl.typed import Any, NamedTuple


class Surroundings(NamedTuple):
    """Where commands run, prepared once. What comes from a spec is named as there.

    `env` is the worker's environment with the jobs' laid over it, as bytes. A variable that jobs capture where they are
    enqueued is unset if it was unset there, whatever the worker has.
    """

    cwd: str | None
    umask: int
    env: dict[bytes, bytes]
    shell: str
    stdin: str | None
    output_path: str | None
    split_output: bool
    may_skip_shell: bool
    local: dict[str, int]
    """The programs that were found on local file systems with all other paths, and of which mounts that is true."""
    memory_max: int | None = None
    nice: int | None = None
    user: str | None = None
    script: str | None = None

    @classmethod
    def prepare(cls, spec: dict[str, Any], base_env: dict[bytes, bytes]) -> Surroundings:
        """From a `spec` message."""
        known = {name: spec[name] for name in cls._fields if name in spec and name != "env"}
        own_env = {os.fsencode(key): os.fsencode(value) for key, value in spec["env"].items()}
        workers = {key: value for key, value in base_env.items() if not is_captured(os.fsdecode(key), spec["captured"])}
        if spec.get("user") is not None:
            workers = {name: value for name, value in workers.items() if name not in PERSONAL}
        env = {**workers, b"PWD": os.fsencode(spec["cwd"] or "/"), **own_env}
        known["umask"] = 0o022 if spec["umask"] is None else spec["umask"]
        return cls(**known, env=env, may_skip_shell=is_plain_shell(spec["shell"], env), local={})

    @property
    def is_limited(self) -> bool:
        """Whether a command needs its niceness, user or memory limit set before it begins."""
        return (self.memory_max, self.nice, self.user) != (None, None, None)

    def enter(self, *, is_hook: bool) -> None:
        """Goes to the folder. A hook does without one that is not there: that may be what it is to tell of. Raises
        `NotStarted`."""
        try:
            if self.cwd is not None:
                os.chdir(self.cwd)
        except OSError as error:
            if not is_hook:
                host = os.uname().nodename
                raise process.NotStarted(f"cannot enter folder {self.cwd} on host {host}: {error.strerror}") from error
            os.chdir("/")
        os.umask(self.umask)


def prepared(spec: dict[str, Any], base_env: dict[bytes, bytes]) -> Surroundings | process.Unrunnable:
    """The surroundings of a `spec` message, or why nothing can run in them: its jobs fail, and nobody else's. The
    dispatcher may know that already."""
    if "unrunnable" in spec:
        return process.Unrunnable(spec["unrunnable"])
    try:
        return Surroundings.prepare(spec, base_env)
    except ValueError as error:
        return process.Unrunnable(f"cannot be run with this environment: {error}")


def in_memory(text: str) -> int:
    """A file in memory with this text, to be read from its beginning."""
    handle = os.memfd_create("stdin", os.MFD_CLOEXEC)
    with open(handle, "wb", closefd=False) as file:
        file.write(text.encode("utf-8", "surrogatepass"))
    os.lseek(handle, 0, os.SEEK_SET)
    return handle
