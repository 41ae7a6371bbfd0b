"""`from queuectl import Client`: facade.py's client for many threads, with keyword arguments instead of JSON."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence

from queuectl.client import facade as client
from queuectl.client import following, waiting
from queuectl.client.asynchronous import asynchronously
from queuectl.client.following import Piece
from queuectl.client.stores import Stores
from queuectl.client.values import WorkerView
from queuectl.domain.errors import Invalid
from queuectl.domain.job import Job
from queuectl.places import shown
from queuectl.store.port import Store
from queuectl.typed import TYPE_CHECKING, Any, overload
from queuectl.wire.keywords import Duration, JobKeys, as_json, each_id, seconds_of, stream_name
from queuectl.wire.requests import NOTHING, JobRequest, parse_each, parse_request

if TYPE_CHECKING:
    from ssl import SSLContext
    from typing import Unpack

    from queuectl.client.actions import Action
    from queuectl.client.remote.client import RemoteClient
    from queuectl.client.values import Changed, Progress
    from queuectl.store.selections import Refs

LOOK_EVERY_S = 0.05


class Client(client.Client):
    """A queue, for any number of threads. Close it, or use it in a `with` statement."""

    def __init__(
        self, url: str | os.PathLike[str] | None = None, *, who: str | None = None, make: bool = True
    ) -> None:  # fmt: skip
        """Opens a store, and makes it if it is missing. Without `make` one that is named has to be there.

        `url` is a file or `postgresql://…` (default: the store that the command line would use here). `who` is the
        owner of new jobs and the name in events (default: the login name). Raises `StoreUnavailable`.
        """
        self._stores = Stores(None if url is None else os.fspath(url), make)
        super().__init__(self._stores.of_this_thread(), who)

    @staticmethod
    def remote(url: str, token: str, *, timeout: float = 30.0, ssl: SSLContext | None = None) -> RemoteClient:
        """The same over HTTP: `url` is the address of `queuectl serve`, `token` comes from `queuectl token create`.

        `timeout` is the limit of an answer in seconds; `ssl` says which certificates to trust.
        """
        from queuectl.client.remote.client import RemoteClient

        return RemoteClient(url, token, timeout=timeout, ssl=ssl)

    @property
    def store(self) -> Store:
        """This thread's own connection to the store."""
        return self._stores.of_this_thread()

    def close(self) -> None:
        """Closes the connections of all threads. No thread may still be using one."""
        self._stores.close()

    def __repr__(self) -> str:
        return f"<queuectl.Client of {shown(self._stores.address)}>"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- enqueue ----------------------------------------------------------------------------

    @overload
    def enqueue(
        self, requests: Iterable[JobRequest | Mapping[str, Any]], *, connection: Any = None,
        on_conflict: str | None = None,
    ) -> list[Job]: ...  # fmt: skip

    @overload
    def enqueue(self, *, connection: Any = None, on_conflict: str | None = None, **keys: Unpack[JobKeys]) -> Job: ...

    def enqueue(
        self, requests: Iterable[JobRequest | Mapping[str, Any]] | None = None, *, connection: Any = None,
        on_conflict: str | None = None, **keys: Any,
    ) -> list[Job] | Job:  # fmt: skip
        """Adds a job with these keys, or many (each a mapping of the same keys), all or none. Durable on return.

        `on_conflict` says what to do where an id or unique key is taken: "error" refuses, "ignore" returns the existing
        job in the new one's place, "replace" gives a job that waits with the same key the new one's command, input and
        time. None: "ignore" for keys, "error" for ids. With `connection`, an application's own to the PostgreSQL
        database of this store, the jobs are added in its open transaction, and their owner is its login role. Raises
        `Invalid`, `Conflict`, `StoreUnavailable`.
        """
        if requests is None:
            rule = {} if on_conflict is None else {"on_conflict": on_conflict}
            (job,) = super().enqueue([self._request({**keys, **rule})], connection=connection)
            return job
        if keys or isinstance(requests, (str, Mapping)):
            raise Invalid("give many jobs as a list, or one by keywords", "enqueue(command='echo hello')")
        wanted = parse_each(requests, self._request)
        return super().enqueue(wanted, connection=connection, on_conflict=on_conflict)

    def clone(self, ref: str, changes: Mapping[str, Any] = NOTHING, *, on_conflict: str | None = None) -> Job:
        """Adds a copy of a job under another id, with `changes` such as `{"timeout": "2h"}`.

        With `on_conflict` "ignore", returns the job that has the given id or the unique key, if there is one.
        """
        return super().clone(ref, as_json(changes), on_conflict=on_conflict)

    def _request(self, given: JobRequest | Mapping[str, Any]) -> JobRequest:
        if isinstance(given, JobRequest):
            return given
        return parse_request(as_json(given), self.now())

    # --- act --------------------------------------------------------------------------------

    def act(self, action: Action, refs: Refs, progress: Progress | None = None) -> Changed:
        """Does it to the jobs with these ids, in batches."""
        return super().act(action, list(each_id(refs)), progress)

    # --- wait, follow -----------------------------------------------------------------------

    def output(
        self, ref: str, *, attempt: int | None = None, stream: int | None = None, tail: int | None = None
    ) -> bytes:
        """A job's output so far, of its latest attempt or of number `attempt`.

        `stream` is 1 or 2 for a job with `split_output`; `tail` is the number of last lines.
        """
        stream_name(stream)
        return b"".join(data for _, data in self.pieces(self.job(ref), attempt, stream, tail))

    def follow(
        self, ref: str, *, stream: int | None = None, tail: int | None = None, ticks: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> Generator[Piece, None, None]:  # fmt: skip
        """Yields a job's output as it comes, until the job has ended: pairs of a stream (1 or 2) and bytes.

        With `ticks`, an empty piece of stream 0 comes at least every second, so that the caller can do something else.
        `say` is called with a message when the store is unavailable, and when it is back.
        """
        stream_name(stream)
        store = self._stores.another()
        try:
            yield from following.follow(store, store.get(ref).id, stream, tail, ticks, say)
        finally:
            store.close()

    def afollow(self, ref: str, *, stream: int | None = None, tail: int | None = None) -> AsyncGenerator[Piece, None]:
        """`follow` for asyncio, read in threads. To stop early, cancel it or `aclose` it."""
        return asynchronously(self.follow(ref, stream=stream, tail=tail, ticks=True))

    # --- workers ----------------------------------------------------------------------------

    def stop_workers(
        self, names: str | Sequence[str] | None = None, *, now: bool = False, all_hosts: bool = False,
        timeout: Duration | None = None,
    ) -> list[WorkerView]:  # fmt: skip
        """Stops workers: all of this host, of all hosts, or those named. Waits until they have exited. Returns them.

        They finish their commands; `now` ends these. Raises `NotFound`, `Invalid` for an empty list, and `TimeoutError`
        while they still stop.
        """
        deadline = None if timeout is None else time.monotonic() + seconds_of(timeout)
        asked = self.ask_to_stop([names] if isinstance(names, str) else names, now=now, all_hosts=all_hosts)
        left, patience = asked, waiting.Patience(self.store, None)
        while left := patience.ask(lambda: self.still_there(asked), left):
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(waiting.not_yet("stopped", [worker.name for worker in left]))
            time.sleep(LOOK_EVERY_S)
        return asked
