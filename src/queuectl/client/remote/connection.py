"""Requests to a queuectl server: connections that are used again, its errors as ours, events as they come.

Any thread may ask. A request that may have been carried out is never sent twice.
"""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from queuectl.domain.errors import Invalid, OperationFailed, QueuectlError, StoreUnavailable, error_of

if TYPE_CHECKING:
    from ssl import SSLContext

API = "/api/v1"
JSON = "application/json"
PROBLEM = "application/problem+json"
IDLE_S = 10.0
"""A connection that idled for longer is not used again: the server may be closing it just now (it does after 30 s)."""
STREAM_SILENCE_S = 1.0

Query = Mapping[str, str | int | Sequence[str | int]]
Event = tuple[str, Any]
"""The name of a server-sent event and its document; both empty for a moment of silence."""


class RemoteConnection:
    """Where a server is, and the connections to it that are free."""

    def __init__(self, url: str, token: str, timeout_s: float, ssl: SSLContext | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise Invalid(f"{url!r} is no address of a server", "write it as http://HOST:PORT or https://HOST:PORT")
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            raise Invalid("that is no token", "make one with: queuectl token create NAME")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._secure = parts.scheme == "https"
        try:
            self._host, self._port = parts.hostname, parts.port
        except ValueError:
            raise Invalid(f"{url!r} has no such port", "a whole number up to 65535") from None
        self._base = parts.path.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._ssl = ssl
        self._free: list[tuple[float, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Closes what is free; what is in use is closed when its answer has come."""
        with self._lock:
            self._closed = True
            while self._free:
                self._free.pop()[1].close()

    def get(self, path: str, query: Query | None = None) -> Any:
        """What the API answers to a question."""
        return self.ask("GET", API + path, query)

    def post(self, path: str, body: object) -> Any:
        """What the API answers to an order."""
        return self.ask("POST", API + path, None, body)

    def ask(self, method: str, path: str, query: Query | None = None, body: object = None) -> Any:
        """The document that the server answers, none where it has nothing to say. Raises the error it tells."""
        data = self.read(method, path, query, body)
        return json.loads(data) if data else None

    def read(self, method: str, path: str, query: Query | None = None, body: object = None) -> bytes:
        """The same as bytes."""
        connection = self._take()
        used_before = connection.sock is not None
        try:
            answer = self._send(connection, method, path, query, body)
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if used_before and method == "GET":  # the server may have closed it, as after a restart
                return self.read(method, path, query, body)
            raise self._lost(error) from None
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, answer)
        self._check(answer, data)
        return data

    def events(self, path: str, query: Query | None = None) -> Generator[Event, None, None]:
        """Server-sent events, until the server ends them; at least every second something, be it silence."""
        connection = self._new()
        said: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()
        try:
            try:
                answer = self._send(connection, "GET", path, query, None)
                if answer.status != http.client.OK:
                    self._check(answer, answer.read())
            except (OSError, http.client.HTTPException) as error:
                raise self._lost(error) from None
            wire = connection.sock
            wire.settimeout(None)  # a silent stream is no dead one; TCP finds out whether its other end is there
            threading.Thread(target=_pass_on, args=(answer, said), name="queuectl-events", daemon=True).start()
            while True:
                try:
                    event = said.get(timeout=STREAM_SILENCE_S)
                except queue.Empty:
                    yield "", None
                    continue
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise self._lost(event)
                yield event
        finally:
            if connection.sock is not None:
                try:
                    connection.sock.shutdown(socket.SHUT_RDWR)  # the thread that reads wakes up
                except OSError:
                    pass
            connection.close()

    # --- connections ------------------------------------------------------------------------

    def _take(self) -> http.client.HTTPConnection:
        """A connection that has just been in use, or a new one."""
        with self._lock:
            if self._closed:
                raise OperationFailed("this client is closed", "make a new one")
            while self._free:
                since, connection = self._free.pop()
                if time.monotonic() - since < IDLE_S:
                    return connection
                connection.close()
        return self._new()

    def _give_back(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        with self._lock:
            if answer.will_close or self._closed:
                connection.close()
            else:
                self._free.append((time.monotonic(), connection))

    def _new(self) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._ssl)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, query: Query | None, body: object
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": f"{JSON}, */*"}
        data = None
        if body is not None:
            data = json.dumps(body, default=_refuse).encode()
            headers["Content-Type"] = JSON
        given = f"?{urlencode(query, doseq=True)}" if query else ""
        connection.request(method, f"{self._base}{path}{given}", data, headers)
        return connection.getresponse()

    # --- errors -----------------------------------------------------------------------------

    def _check(self, answer: http.client.HTTPResponse, data: bytes) -> None:
        """Raises what the server told instead of an answer."""
        if answer.status < http.client.MULTIPLE_CHOICES:
            return
        kind = (answer.getheader("Content-Type") or "").partition(";")[0]
        if kind != PROBLEM:
            raise OperationFailed(
                f"{self.url} answers {answer.status} {answer.reason}", "is it a queuectl server, or what stands before?"
            )
        raise problem_of(json.loads(data))

    def _lost(self, error: Exception) -> StoreUnavailable:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return StoreUnavailable(
            f"no answer from {self.url}: {why}", "is queuectl serve running there? what was asked may have been done"
        )


def problem_of(document: Mapping[str, Any]) -> QueuectlError:
    """A problem as the error that it was."""
    error = error_of(document["code"], document["detail"], document["hint"])
    if type(error) is OperationFailed and document["status"] == http.client.SERVICE_UNAVAILABLE:
        return StoreUnavailable(document["detail"], document["hint"])
    return error


def _pass_on(answer: http.client.HTTPResponse, said: queue.SimpleQueue[Event | Exception | None]) -> None:
    """Reads events in a thread of its own, until there are no more."""
    name, data = "", list[str]()
    try:
        for raw in answer:
            line = raw.decode().rstrip("\r\n")
            if not line and data:
                said.put((name, json.loads("\n".join(data))))
                name, data = "", []
            elif line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        said.put(error)  # AttributeError: http.client's answer to a connection that was closed meanwhile
    else:
        said.put(None)


def _refuse(value: object) -> None:
    raise Invalid(f"{value!r} cannot be sent as JSON", "give text, numbers, lists, mappings, times or paths")
