"""Scripts that are kept with their jobs: a fresh file of the slot for each execution, read by its interpreter.

The kernel does not start the file itself: its file system may forbid that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from queuectl.engine.supervise import process
from queuectl.engine.supervise.between import Fresh

NAME_BYTES_MAX = 200


def interpreter(text: str, shell: str) -> list[str]:
    """The words that run a script, without its file: those of its line `#!`, read as the kernel does, or the shell."""
    first = text.partition("\n")[0]
    return (first[2:].strip().split(None, 1) if first.startswith("#!") else []) or [shell]


@contextmanager
def ready(
    fresh: Fresh, command: str | Sequence[str], text: str, shell: str, user: str | None
) -> Iterator[tuple[list[str], Sequence[int]]]:
    """The words that run a script in the slot's folder, and descriptors that they need.

    Another `user` cannot enter the folder, and reads the file by its descriptor. Raises `NotStarted`, `Shortage`.
    """
    name, *arguments = [command] if isinstance(command, str) else command
    try:
        path = _written(fresh.folder(), os.path.basename(name), text)
        handles = [] if user is None else [os.open(path, os.O_RDONLY | os.O_CLOEXEC)]
        for handle in handles:
            os.fchmod(handle, 0o755)
    except OSError as error:
        if error.errno in process.SHORTAGES | process.DISK_SHORTAGES:
            raise process.Shortage from error
        raise process.NotStarted(f"cannot write the script: {error.strerror}") from error
    try:
        yield [*interpreter(text, shell), f"/dev/fd/{handles[0]}" if handles else path, *arguments], handles
    finally:
        for handle in handles:
            os.close(handle)


def _written(folder: Path, name: str, text: str) -> str:
    """The path of a new file with the text."""
    path = folder / (os.fsdecode(os.fsencode(name)[:NAME_BYTES_MAX]) if name not in ("", ".", "..") else "script")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o700)
    with open(handle, "wb") as file:
        file.write(text.encode())
    return str(path)
