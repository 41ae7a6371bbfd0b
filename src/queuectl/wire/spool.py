"""Values in their order, however many: in memory, and beyond some megabytes in a temporary file."""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from typing import BinaryIO

from queuectl.domain.errors import SystemFailure
from queuectl.typed import Any

MEMORY_BYTES = 8 << 20


class Spool:
    """Pieces of plain values (None, numbers, text, bytes, tuples, lists, dicts), read as often as needed once written.

    The file is in the system's folder for such files ($TMPDIR), has no name, and is gone with the process.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._bytes = 0
        self._file: BinaryIO | None = None

    def add(self, values: Any) -> None:
        """Adds a piece."""
        piece = marshal.dumps(values)
        if self._file is None:
            self._held.append(piece)
            self._bytes += len(piece)
            if self._bytes > MEMORY_BYTES:
                self._spill()
        else:
            self._write(piece)

    def __iter__(self) -> Iterator[Any]:
        if self._file is None:
            yield from map(marshal.loads, self._held)
            return
        self._file.seek(0)
        while head := self._file.read(8):
            yield marshal.loads(self._file.read(int.from_bytes(head)))

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        from tempfile import TemporaryFile

        try:
            self._file = TemporaryFile(prefix="queuectl-", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise SystemFailure(f"cannot keep the input in a file: {error.strerror}", "set TMPDIR") from None
        for piece in self._held:
            self._write(piece)
        self._held.clear()

    def _write(self, piece: bytes) -> None:
        assert self._file is not None
        rest = memoryview(len(piece).to_bytes(8) + piece)
        try:
            while rest:  # without a buffer: nothing is left over that a full disk would refuse later
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            from tempfile import gettempdir

            raise SystemFailure(
                f"cannot keep the input in {gettempdir()}: {error.strerror}", "free some space, or set TMPDIR"
            ) from None
