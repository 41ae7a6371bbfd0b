"""Requests to a queuectl server, over reused connections. Raises its errors as ours.

Any thread may ask. A request that may have been carried out is never sent twice.
"""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
import time
from collections.abc import Generator, Mapping
from urllib.parse import urlencode, urlsplit

from queuectl.client.operation import JSON, Operation
from queuectl.client.remote.request import Request, request_of
from queuectl.domain.errors import Invalid, OperationFailed, QueuectlError, StoreUnavailable, error_of
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl import SSLContext

PROBLEM = "application/problem+json"
IDLE_S = 10.0
"""Longest idle time of a reused connection: the server closes it after 30 s."""
STREAM_SILENCE_S = 1.0
FROM_PROXIES = (http.client.BAD_GATEWAY, http.client.SERVICE_UNAVAILABLE, http.client.GATEWAY_TIMEOUT)
"""How a proxy answers while the server behind it is away."""

Event = tuple[str, Any, str]
"""The name of a server-sent event, its document and its id, which may be empty; all are for a tick."""


class RemoteConnection:
    """A server's address, and the free connections to it."""

    def __init__(self, url: str, token: str, timeout_s: float, ssl: SSLContext | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise Invalid(f"{url!r} is not a server's address", "write it as http://HOST:PORT or https://HOST:PORT")
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            raise Invalid("the token is not valid", "make one with: queuectl token create NAME")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._secure = parts.scheme == "https"
        try:
            self._host, self._port = parts.hostname, parts.port
        except ValueError:
            raise Invalid(f"the port in {url!r} is not valid", "give a whole number up to 65535") from None
        self._base = parts.path.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._ssl = ssl
        self._free: list[tuple[float, http.client.HTTPConnection]] = []
        self._lock = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Closes free connections; one in use is closed after its answer."""
        with self._lock:
            self._closed = True
            while self._free:
                self._free.pop()[1].close()

    def call(self, operation: Operation[Any], body: object = None, **arguments: Any) -> Any:
        """The server's answer, or None if it is empty. Raises the server's error."""
        data = self.read(operation, body, **arguments)
        return json.loads(data) if data else None

    def read(self, operation: Operation[Any], body: object = None, **arguments: Any) -> bytes:
        """The server's answer as bytes."""
        return self._read(request_of(operation, arguments, body))

    def _read(self, request: Request) -> bytes:
        connection = self._take()
        used_before = connection.sock is not None
        try:
            answer = self._send(connection, request)
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if used_before and request.method == "GET":  # the server may have closed the connection
                return self._read(request)
            raise self._lost(error) from None
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, answer)
        self._check(answer, data)
        return data

    def events(self, operation: Operation[Any], after: str = "", **arguments: Any) -> Generator[Event, None, None]:
        """Server-sent events, those `after` the one with that id, until the server ends the stream, with a tick at
        least every second."""
        self._refuse_closed()
        connection = self._new()
        said: queue.SimpleQueue[Event | Exception | None] = queue.SimpleQueue()
        try:
            try:
                answer = self._send(connection, request_of(operation, arguments), after)
                if answer.status != http.client.OK:
                    self._check(answer, answer.read())
            except (OSError, http.client.HTTPException) as error:
                raise self._lost(error) from None
            wire = connection.sock
            wire.settimeout(None)  # a silent stream may be alive; TCP detects a dead one
            threading.Thread(target=_pass_on, args=(answer, said), name="queuectl-events", daemon=True).start()
            while True:
                try:
                    event = said.get(timeout=STREAM_SILENCE_S)
                except queue.Empty:
                    yield "", None, ""
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
        """A recently used connection, or a new one."""
        self._refuse_closed()
        with self._lock:
            while self._free:
                since, connection = self._free.pop()
                if time.monotonic() - since < IDLE_S:
                    return connection
                connection.close()
        return self._new()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise OperationFailed("this client is closed", "make a new one")

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
        self, connection: http.client.HTTPConnection, request: Request, after: str = ""
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": f"{JSON}, */*"}
        if after:
            headers["Last-Event-ID"] = after
        data = None
        if request.body is not None:
            data = json.dumps(request.body, default=_refuse).encode()
            headers["Content-Type"] = JSON
        given = f"?{urlencode(request.query, doseq=True)}" if request.query else ""
        connection.request(request.method, f"{self._base}{request.path}{given}", data, headers)
        return connection.getresponse()

    # --- errors -----------------------------------------------------------------------------

    def _check(self, answer: http.client.HTTPResponse, data: bytes) -> None:
        """Raises the error in an answer, if any."""
        if answer.status < http.client.MULTIPLE_CHOICES:
            return
        kind = (answer.getheader("Content-Type") or "").partition(";")[0]
        if kind != PROBLEM:
            error = NoAnswer if answer.status in FROM_PROXIES else OperationFailed
            raise error(
                f"{self.url} answers {answer.status} {answer.reason}", "is it a queuectl server, or a proxy in between?"
            )
        raise problem_of(json.loads(data))

    def _lost(self, error: Exception) -> NoAnswer:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return NoAnswer(
            f"no answer from {self.url}: {why}", "does the server run there? the request may have been carried out"
        )


class NoAnswer(StoreUnavailable):
    """The server itself cannot be reached, or did not answer."""


def problem_of(document: Mapping[str, Any]) -> QueuectlError:
    """The error of a problem document."""
    error = error_of(document["code"], document["detail"], document["hint"])
    if type(error) is OperationFailed and document["status"] == http.client.SERVICE_UNAVAILABLE:
        return StoreUnavailable(document["detail"], document["hint"])
    return error


def _pass_on(answer: http.client.HTTPResponse, said: queue.SimpleQueue[Event | Exception | None]) -> None:
    """Reads events until the stream ends, in its own thread."""
    name, data, place = "", list[str](), ""
    try:
        for raw in answer:
            line = raw.decode().rstrip("\r\n")
            if not line and data:
                said.put((name, json.loads("\n".join(data)), place))
                name, data, place = "", [], ""
            elif line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("id:"):
                place = line[3:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        said.put(error)  # http.client raises AttributeError if the connection was closed
    else:
        said.put(None)


def _refuse(value: object) -> None:
    raise Invalid(f"{value!r} cannot be sent as JSON", "give text, numbers, lists, mappings, times or paths")
