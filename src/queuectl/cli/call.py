"""A call of a command: the words typed, the console, and the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace

from queuectl.cli import hints
from queuectl.typed import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from queuectl.cli.console import Console
    from queuectl.client.facade import Client
    from queuectl.domain.finding import Finding
    from queuectl.wire.kinds import JsonObject


Done = TypeVar("Done")


def open_client(db: str | None) -> Client:
    """A client of the store `db`, or of the default store here."""
    from queuectl.client.facade import Client
    from queuectl.places import open_store

    return Client(open_store(db))


def open_existing(db: str | None) -> Client:
    """The same for a command that makes no store. Raises `StoreUnavailable` if the named one does not exist."""
    from queuectl.client.facade import Client
    from queuectl.places import open_existing

    return Client(open_existing(db))


def open_rehearsal(db: str | None) -> Client:
    """The same for a command that would make the store: where there is none, an empty one in memory."""
    from queuectl.client.facade import Client
    from queuectl.places import open_or_empty

    return Client(open_or_empty(db))


class Call(NamedTuple):
    """The argument of a command's function. `after` has the words after `--`, or None without `--`."""

    args: SimpleNamespace
    words: Sequence[str]
    after: Sequence[str] | None
    console: Console
    open_client: Callable[[str | None], Client] = open_client
    frees_room: str = ""
    """The command's name, if it may use the reserved space on a full disk."""

    @property
    def db(self) -> str | None:
        """The store given with `--db`."""
        given: str | None = self.args.db
        return given

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Opens the store and closes it at the end."""
        client = self.freeing(lambda: self.open_client(self.db))
        try:
            yield client
        finally:
            client.close()

    def freeing(self, change: Callable[[], Done]) -> Done:
        """Calls a function that changes the store. If the disk is full and the command frees room, calls it once more
        with the reserved space."""
        from queuectl.domain.errors import DiskFull

        try:
            return change()
        except DiskFull as error:
            if not self.frees_room or not self._release_reserve():
                raise
            self.console.note(f"{error.message}; using the space reserved for {self.frees_room}", "reserve_used")
            return change()

    def _release_reserve(self) -> bool:
        from queuectl.places import file_of, is_server, locate_store
        from queuectl.store.sqlite import reserve
        from queuectl.store.sqlite.connection import folder_of

        url = locate_store(self.db)
        return not is_server(url) and reserve.release(folder_of(file_of(url)))

    def command(self, words: str) -> str:
        """A command line for the user to type, on the same store."""
        return hints.command(words, self.db)

    def on_this_store(self, hint: str) -> str:
        """A hint whose commands are on the same store."""
        return hints.on_store(hint, self.db)

    def findings(self, found: Iterable[Finding]) -> list[JsonObject]:
        """Findings as JSON; the commands in their fixes are on the same store."""
        from queuectl.client.documents import finding_to_json

        return [finding_to_json(each._replace(fix=self.on_this_store(each.fix))) for each in found]
