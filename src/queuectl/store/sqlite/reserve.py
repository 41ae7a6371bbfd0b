"""A little room on the disk kept for the way out: on a full one, even `delete` needs some before it frees any."""

from __future__ import annotations

import os
from contextlib import suppress

NAME = "reserve"
BYTES = 1 << 20


def keep(folder: str) -> None:
    """Takes the room, in the store's folder, unless it is taken already or there is none."""
    with suppress(OSError):
        handle = os.open(os.path.join(folder, NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, BYTES)
        except OSError:
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)


def release(folder: str) -> bool:
    """Gives the room to whoever writes next; whether there was any."""
    try:
        had = os.stat(os.path.join(folder, NAME)).st_size > 0
        os.unlink(os.path.join(folder, NAME))
    except FileNotFoundError:
        return False
    return had
