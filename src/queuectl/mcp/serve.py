"""Answers requests from stdin on stdout until stdin ends. Each call of a tool has a thread, so that none waits."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial

from queuectl.cli import hints
from queuectl.cli.call import Call
from queuectl.client.library import Client
from queuectl.mcp import protocol
from queuectl.mcp.protocol import Id, Message, Refused, Request
from queuectl.mcp.threads import Threads
from queuectl.mcp.tool import Cancelled, Context
from queuectl.mcp.tools import INSTRUCTIONS, called, listed
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

CALLS_AT_ONCE = 32


def serve(call: Call) -> int:
    """Serves one client, on the store of this command line."""
    with Client(call.db, make=not call.args.read_only) as client:
        hint = partial(hints.on_store, db=hints.given(call.db))
        Server(client, sys.stdout.buffer, read_only=call.args.read_only, hint=hint).run(sys.stdin.buffer)
    return 0


class Server:
    """One client's requests. `_calls` has the calls that go on, by id, each with the event that cancels it."""

    def __init__(self, client: Client, out: BinaryIO, *, read_only: bool, hint: Callable[[str], str]) -> None:
        self._client, self._out, self._read_only, self._hint = client, out, read_only, hint
        self._sending = threading.Lock()
        self._calls: dict[Id, threading.Event] = {}
        self._threads = Threads(CALLS_AT_ONCE)

    def run(self, source: BinaryIO) -> None:
        """Returns when `source` ends; calls that still wait are given up."""
        try:
            for line in source:
                if not line.isspace():
                    self._take(line)
        except KeyboardInterrupt:
            pass
        finally:
            for cancelled in tuple(self._calls.values()):
                cancelled.set()
            self._threads.end()

    def _take(self, line: bytes) -> None:
        request = None
        try:
            request = protocol.read(line)
            if request is None:
                return
            if request.id is None:
                self._notified(request)
                return
            protocol.check_version(request)
            if request.method == "tools/call":
                self._begin(request, request.id)
            else:
                self._send(protocol.answer(request, self._answered(request)))
        except Refused as error:
            self._send(protocol.refusal(request.id if request else error.id, error))

    def _answered(self, request: Request) -> Message:
        match request.method:
            case "initialize":
                return protocol.initialized(request, INSTRUCTIONS)
            case "server/discover":
                return protocol.discovered(INSTRUCTIONS)
            case "ping":
                return {}
            case "tools/list":
                tools: Message = {"tools": listed(self._read_only)}
                return protocol.kept(tools) if request.stateless else tools
            case _:
                raise Refused(protocol.METHOD_NOT_FOUND, f"unknown method {request.method}")

    def _notified(self, request: Request) -> None:
        if request.method == "notifications/cancelled":
            named = request.params.get("requestId")
            if protocol.is_id(named) and (cancelled := self._calls.get(named)):
                cancelled.set()

    def _begin(self, request: Request, request_id: Id) -> None:
        name, arguments = request.params.get("name"), request.params.get("arguments") or {}
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise Refused(protocol.INVALID_PARAMS, "name must be text, and arguments an object")
        token = request.meta.get("progressToken")
        context = Context(
            self._client, threading.Event(), lambda at, text: self._tell(token, at, text), self._hint
        )  # fmt: skip

        self._calls[request_id] = context.cancelled
        self._threads.give(partial(self._call, request, request_id, name, arguments, context))

    def _call(self, request: Request, request_id: Id, name: str, arguments: Message, context: Context) -> None:
        try:
            message = protocol.answer(request, called(name, arguments, context, self._read_only))
        except Cancelled:
            return  # the client does not expect an answer
        except Exception as error:  # noqa: BLE001  the client must hear of it, or it waits forever
            message = protocol.refusal(request_id, Refused(protocol.INTERNAL_ERROR, f"{type(error).__name__}: {error}"))
        finally:
            self._calls.pop(request_id, None)
        self._send(message)

    def _tell(self, token: Id | None, at: float, text: str) -> None:
        if token is not None:
            self._send(protocol.progress(token, at, text))

    def _send(self, message: Message) -> None:
        with self._sending:
            try:
                self._out.write(protocol.line(message))
                self._out.flush()
            except BrokenPipeError:
                pass  # the client is gone; stdin ends too
