"""One call of a command: what was typed, where to write, and the store it is about."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from queuectl.cli.console import Console
from queuectl.client.facade import Client


def open_client(db: str | None) -> Client:
    """A client of the store that was typed, or else is meant here."""
    from queuectl.bootstrap import open_store

    return Client(open_store(db))


def open_existing(db: str | None) -> Client:
    """The same for a command that makes no store. Raises `StoreUnavailable` where the one named is not there."""
    from queuectl.bootstrap import open_existing

    return Client(open_existing(db))


class Call(NamedTuple):
    """What a command's function gets. `after` has the words behind `--`, none where there was no `--`."""

    args: Namespace
    words: Sequence[str]
    after: Sequence[str] | None
    console: Console
    open_client: Callable[[str | None], Client] = open_client

    @property
    def db(self) -> str | None:
        """The store as typed with `--db`."""
        given: str | None = self.args.db
        return given

    @contextmanager
    def client(self) -> Iterator[Client]:
        """The open store, for as long as it is needed."""
        client = self.open_client(self.db)
        try:
            yield client
        finally:
            client.close()

    def command(self, words: str) -> str:
        """A command line for the user to type, which means the same store."""
        if self.db is None:
            return f"queuectl {words}"
        from shlex import quote

        from queuectl.bootstrap import shown

        return f"queuectl --db {quote(shown(self.db))} {words}"
