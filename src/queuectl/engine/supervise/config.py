"""What a supervisor is told when it is started."""

from __future__ import annotations

import json
from pathlib import Path

from queuectl.typed import NamedTuple


class Config(NamedTuple):
    """`below` is the store's folder, `folder` the supervisor's own. `bits` mark its commands (see process.py). `groups`
    is where it may make control groups."""

    below: str
    folder: str
    bits: int
    first_slot: int
    slots: int
    output_bytes_max: int
    groups: str | None = None

    @property
    def home(self) -> Path:
        """The supervisor's own folder."""
        return Path(self.folder)

    def words(self) -> list[str]:
        """As words of a command line. The folder is a word of its own, by which others know the process (see
        store/liveness.py)."""
        return [self.folder, json.dumps(self._asdict())]

    @classmethod
    def of_words(cls, words: list[str]) -> Config:
        """From the words of a supervisor's command line, as `words` makes them."""
        _, rest = words
        return cls(**json.loads(rest))
