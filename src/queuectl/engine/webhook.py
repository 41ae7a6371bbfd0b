"""A small program that a supervisor runs for a hook that calls a URL. It sends its input, signed by Standard Webhooks,
and succeeds if the answer is 2xx. It follows no redirect, so that the input reaches no other address. A call without an
id is a ping: plain text, unsigned."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from queuectl.domain.hooks import ID, SECRET, URL
from queuectl.typed import Any

ANSWER_WITHIN_S = 30.0
SHOWN_BYTES = 1024
PREFIX = "whsec_"


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


def main() -> None:
    """Makes the call that the environment names. Exits with 1 unless the answer is 2xx."""
    url, secret, message_id = os.environ[URL], os.environ.get(SECRET, ""), os.environ.get(ID)
    body = sys.stdin.buffer.read()
    plain = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "queuectl"}
    told = headers(secret, message_id, str(int(time.time())), body) if message_id else plain
    to = urlsplit(url)
    print(f"POST {to.scheme}://{to.hostname}", flush=True)  # the rest of an address may be a secret
    try:
        request = urllib.request.Request(url, data=body, headers=told, method="POST")
        with urllib.request.build_opener(_Stay).open(request, timeout=ANSWER_WITHIN_S) as answer:
            print(answer.status, answer.read(SHOWN_BYTES).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        is_redirect = 300 <= error.code < 400
        print(
            error.code,
            "redirects are not followed" if is_redirect else error.read(SHOWN_BYTES).decode("utf-8", "replace"),
        )
        sys.exit(1)
    except (OSError, ValueError) as error:
        print(f"no answer: {getattr(error, 'reason', error)}")
        sys.exit(1)
