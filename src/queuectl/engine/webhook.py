"""A small program that a supervisor runs for a hook that calls a URL. It sends its input, signed by Standard Webhooks,
and succeeds if the answer is 2xx. It follows no redirect, so that the input reaches no other address. A call without an
id is a ping: plain text, unsigned."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import SplitResult, quote, unquote, urlsplit

from queuectl.domain.hooks import ID, SECRET, URL
from queuectl.typed import Any

ANSWER_WITHIN_S, BODY_WITHIN_S = 30, 5
"""How long an answer may take, and then its body, which is only shown."""
SHOWN_BYTES = 1024
PREFIX = "whsec_"
RESERVED = "%/:?#[]@!$&'()*+,;=~"
"""Characters of a path and a query that stay as they are."""


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """The value of `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"


def headers(secret: str, message_id: str, timestamp: str, body: bytes) -> dict[str, str]:
    """The headers of a call, with its signature if there is a secret."""
    found = {
        "Content-Type": "application/json", "User-Agent": "queuectl",
        "webhook-id": message_id, "webhook-timestamp": timestamp,
    }  # fmt: skip
    return {**found, "webhook-signature": signature(secret, message_id, timestamp, body)} if secret else found


def target(to: SplitResult) -> tuple[str, dict[str, str]]:
    """What is requested for a URL, and the header that a name and a password in it stand for."""
    place = to.netloc.rpartition("@")[2]
    if not place.isascii():
        place = place.encode("idna").decode()
    url = to._replace(netloc=place, path=quote(to.path, RESERVED), query=quote(to.query, RESERVED)).geturl()
    if to.username is None:
        return url, {}
    names = f"{unquote(to.username)}:{unquote(to.password or '')}".encode()
    return url, {"Authorization": f"Basic {base64.b64encode(names).decode()}"}


def _too_late(*_: Any) -> None:
    raise TimeoutError("timed out")


def _body(answer: Any) -> str:
    """The beginning of an answer's body, if it comes. Whether the call has succeeded does not depend on it."""
    signal.alarm(BODY_WITHIN_S)
    try:
        return str(answer.read(SHOWN_BYTES).decode("utf-8", "replace"))
    except (OSError, HTTPException):
        return ""
    finally:
        signal.alarm(0)


def _call(to: SplitResult, body: bytes, told: dict[str, str]) -> tuple[int, str]:
    """The status of the answer, and the beginning of its body. Raises `OSError`, `ValueError`, `HTTPException`."""
    url, more = target(to)
    request = urllib.request.Request(url, data=body, headers={**told, **more}, method="POST")
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(ANSWER_WITHIN_S)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=ANSWER_WITHIN_S) as answer:
            return answer.status, _body(answer)
    except urllib.error.HTTPError as error:
        is_redirect = 300 <= error.code < 400
        return error.code, "redirects are not followed" if is_redirect else _body(error)


def main() -> None:
    """Makes the call that the environment names. Exits with 1 unless the answer is 2xx."""
    url, secret, message_id = os.environ[URL], os.environ.get(SECRET, ""), os.environ.get(ID)
    body = sys.stdin.buffer.read()
    plain = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "queuectl"}
    told = headers(secret, message_id, str(int(time.time())), body) if message_id else plain
    try:
        to = urlsplit(url)
        print(f"POST {to.scheme}://{to.hostname}", flush=True)  # the rest of an address may be a secret
        status, said = _call(to, body, told)
    except (OSError, ValueError) as error:
        print(f"no answer: {getattr(error, 'reason', error)}")
        sys.exit(1)
    except HTTPException as error:
        print(f"no answer in HTTP: {str(error)[:SHOWN_BYTES].strip() or type(error).__name__}")
        sys.exit(1)
    print(status, said)
    sys.exit(0 if 200 <= status < 300 else 1)
