"""How commands reach their store: by an address without secrets, which names a file that holds the password."""

from __future__ import annotations

import os

from queuectl.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


PASSFILE_NAME = "passfile"


class Access(NamedTuple):
    """A store's address without its secrets, and the password that has to go into a file."""

    address: str
    password: str | None = None

    def by_way_of(self, file: Path) -> str:
        """The address for commands, with the password in `file`, which is made if there is a password."""
        if self.password is None:
            return self.address
        from urllib.parse import quote

        escaped = self.password.replace("\\", r"\\").replace(":", r"\:")
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8") as writing:
            writing.write(f"*:*:*:*:{escaped}\n")  # for whatever the address names: the file is for it alone
        return f"{self.address}{'&' if '?' in self.address else '?'}passfile={quote(str(file))}"
