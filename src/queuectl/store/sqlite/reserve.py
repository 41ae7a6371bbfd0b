"""Some reserved disk space: on a full disk, even `delete` needs some before it frees any."""

from __future__ import annotations

import os
from contextlib import suppress

NAME = "reserve"
BYTES = 1 << 20


def keep(folder: str) -> None:
    """Reserves the space in the store's folder, unless it is reserved already or the disk is full."""
    with suppress(OSError):
        handle = os.open(os.path.join(folder, NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, BYTES)
        except OSError:
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)


def release(folder: str) -> bool:
    """Frees the reserved space for the next writer. Returns whether there was any."""
    try:
        had = os.stat(os.path.join(folder, NAME)).st_size > 0
        os.unlink(os.path.join(folder, NAME))
    except FileNotFoundError:
        return False
    return had
