"""The Model Context Protocol: JSON-RPC messages, one a line.

Two generations of clients are served. Up to 2025-11-25 they begin with `initialize`; from 2026-07-28 on nothing begins,
and each request names its version in `_meta`. See https://modelcontextprotocol.io/specification.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from queuectl import __version__
from queuectl.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing import TypeGuard

Message = dict[str, Any]
Id = str | int

HANDSHAKES = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""Versions that begin with `initialize`, the latest last."""
STATELESS = ("2026-07-28",)
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"
LISTS_STAY_MS = 3_600_000
"""How long a client may keep the list of tools: it changes with the release only."""

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR, UNSUPPORTED_VERSION = -32603, -32022

SERVER = {"name": "queuectl", "title": "queuectl: durable background jobs", "version": __version__}
CAPABILITIES: Message = {"tools": {}}


class Refused(Exception):
    """A request that is answered with an error of the protocol. `id` is the request's, if that can be told."""

    def __init__(self, code: int, message: str, data: Any = None, id: Id | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.id = code, message, data, id


class Request(NamedTuple):
    """A request, or a notification if `id` is None. `stateless`: it is of a client from 2026-07-28 on."""

    id: Id | None
    method: str
    params: Mapping[str, Any]
    stateless: bool = False

    @property
    def meta(self) -> Mapping[str, Any]:
        found = self.params.get("_meta")
        return found if isinstance(found, dict) else {}


def read(line: bytes) -> Request | None:
    """The message in a line; None for an answer, which nobody here has asked for. Raises `Refused`."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise Refused(PARSE_ERROR, "not a JSON message in one line") from None
    if not isinstance(message, dict):
        raise Refused(INVALID_REQUEST, "not a JSON-RPC 2.0 message")
    if "method" not in message and ("result" in message or "error" in message):
        return None
    request_id, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if not is_id(request_id) and request_id is not None:
        raise Refused(INVALID_REQUEST, "id must be text or a whole number")
    if message.get("jsonrpc") != "2.0":
        raise Refused(INVALID_REQUEST, "not a JSON-RPC 2.0 message", id=request_id)
    if not isinstance(method, str) or not isinstance(params, dict):
        raise Refused(INVALID_REQUEST, "method must be text, and params an object", id=request_id)
    request = Request(request_id, method, params)
    return request._replace(stateless=VERSION_KEY in request.meta)


def is_id(value: object) -> TypeGuard[Id]:
    return isinstance(value, str | int) and not isinstance(value, bool)


def check_version(request: Request) -> None:
    """Raises `Refused` for a version that a request names and that is not spoken here."""
    named = request.meta.get(VERSION_KEY)
    if request.stateless and named not in STATELESS:
        known = {"supported": [*STATELESS, *HANDSHAKES], "requested": named}
        raise Refused(UNSUPPORTED_VERSION, f"protocol version {named} is not supported", known)


def initialized(request: Request, instructions: str) -> Message:
    """The answer to `initialize`: the version asked for, or else the latest that begins so."""
    asked = request.params.get("protocolVersion")
    version = asked if asked in HANDSHAKES else HANDSHAKES[-1]
    return {
        "protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": SERVER, "instructions": instructions,
    }  # fmt: skip


def discovered(instructions: str) -> Message:
    """The answer to `server/discover`."""
    return kept({
        "supportedVersions": [*STATELESS, *HANDSHAKES], "capabilities": CAPABILITIES, "instructions": instructions,
        "_meta": {SERVER_KEY: SERVER},
    })  # fmt: skip


def kept(result: Message) -> Message:
    """A result that clients may keep for a while."""
    return {**result, "ttlMs": LISTS_STAY_MS, "cacheScope": "private"}


def answer(request: Request, result: Message) -> Message:
    """The message with a result."""
    told = {"resultType": "complete", **result} if request.stateless else result
    return {"jsonrpc": "2.0", "id": request.id, "result": told}


def refusal(request_id: Id | None, error: Refused) -> Message:
    """The message with an error."""
    told = {"code": error.code, "message": error.message}
    return {"jsonrpc": "2.0", "id": request_id, "error": told if error.data is None else {**told, "data": error.data}}


def progress(token: Id, at: float, message: str) -> Message:
    """The notification that a request goes on."""
    params = {"progressToken": token, "progress": at, "message": message}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def line(message: Message) -> bytes:
    """A message as it is sent."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
