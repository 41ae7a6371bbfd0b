"""Static files, read once and compressed once. Browsers keep them until their address changes.

`address("app.css")` contains a digest of the content, so a changed file gets a new address.
"""

from __future__ import annotations

import gzip
import mimetypes
import os
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from queuectl import program
from queuectl.typed import NamedTuple
from queuectl.web import problems

FOLDER = "web/static"
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
COMPRESS_FROM_BYTES = 512
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}


class Asset(NamedTuple):
    """A file ready to send. `compressed` is None where gzip saves little."""

    media_type: str
    version: str
    body: bytes
    compressed: bytes | None


_read: dict[str, tuple[int, Asset]] = {}


def asset(name: str) -> Asset | None:
    """The file of this name, or None. A file that has changed is read again."""
    if ".." in name.split("/"):
        return None
    try:
        changed_at = program.changed_at(f"{FOLDER}/{name}")
        known = _read.get(name)
        if known is None or known[0] != changed_at:
            known = _read[name] = (changed_at, _asset(name))
    except (FileNotFoundError, NotADirectoryError, ValueError, OSError):
        return None
    return known[1]


def _asset(name: str) -> Asset:
    body = program.read(f"{FOLDER}/{name}")
    media_type = TYPES.get(os.path.splitext(name)[1]) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    compressed = gzip.compress(body, 9, mtime=0) if len(body) >= COMPRESS_FROM_BYTES else None
    if compressed is not None and len(compressed) > 0.9 * len(body):
        compressed = None
    return Asset(media_type, sha256(body).hexdigest()[:16], body, compressed)


def address(name: str) -> str:
    """The address of a file, for a page. Raises `LookupError` if there is no such file."""
    found = asset(name)
    if found is None:
        raise LookupError(f"no static file {name}")
    return f"/static/{name}?v={found.version}"


class Assets:
    """Serves the folder."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        name = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        found = asset(name)
        if found is None:
            await problems.response(problems.NoSuchPage(f"no file {name[:200]!r}"))(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):
            error = problems.MethodNotAllowed("a file can only be read", "GET, HEAD")
            await problems.response(error)(scope, receive, send)
            return
        tag = f'"{found.version}"'
        current = f"v={found.version}".encode() == scope["query_string"]
        kept = {"Cache-Control": FOREVER if current else ASK_AGAIN, "ETag": tag, "Vary": "Accept-Encoding"}
        if headers.get("if-none-match") == tag:
            await Response(status_code=304, headers=kept)(scope, receive, send)
            return
        body = found.body
        if found.compressed is not None and "gzip" in headers.get("accept-encoding", ""):
            body, kept["Content-Encoding"] = found.compressed, "gzip"
        media_type = found.media_type + ("; charset=utf-8" if found.media_type.startswith("text/") else "")
        answer = Response(body, 200, kept, media_type)
        await answer(scope, receive, send)
