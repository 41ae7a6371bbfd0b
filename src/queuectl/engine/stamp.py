"""Whether a folder's entries are the same as at the looks before, at the price of one system call."""

from __future__ import annotations

import os


class FolderStamp:
    """Looks at one folder. Between two looks there are many ticks of the kernel's clock."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._stamp: tuple[int, int, int] | None = None
        self._is_settled = False

    def is_unchanged(self) -> bool:
        """Whether no entry has come, gone or been replaced since the look before the last, so that
        they need not be read again. One look is not enough: a change within the same tick has the same time."""
        try:
            found = os.stat(self._folder)
        except OSError:
            self.forget()
            return False
        stamp = found.st_dev, found.st_ino, found.st_mtime_ns
        settled, self._is_settled = self._is_settled, stamp == self._stamp
        self._stamp = stamp
        return settled and self._is_settled

    def forget(self) -> None:
        """The entries are not what they should be: the next looks count as the first ones."""
        self._stamp, self._is_settled = None, False
