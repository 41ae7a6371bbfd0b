#!/bin/sh
# requests 2.34.2, urllib3 2.8.0, Python 3.11
#
# What: `HTTPAdapter(max_retries=2)`, which is for connections that fail; a server answers 503 with `Retry-After: 1`. Each
# request has a time limit of half a second.
# Expected: one request, and its answer: no connection failed, and no status is named as one to retry.
# Seen: three requests, with sleeps of a second between them: urllib3 obeys the header for 413, 429 and 503 whatever it was
# told to retry, up to six hours a time, and no time limit covers the sleep. Without the header there is one request.
# urllib3 itself does the same with `Retry(connect=2, total=2)`; with requests' own default there is one request.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'requests==2.34.2' 'urllib3==2.8.0'
"$place/venv/bin/python" - <<'PYTHON'
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer

import requests
import urllib3
from requests.adapters import HTTPAdapter

LIMIT_S = 0.5
seen: list[float] = []


class Busy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        seen.append(time.monotonic())
        self.send_response(503)
        if self.path == "/later":
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *values: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()
session, plain = requests.Session(), requests.Session()
session.trust_env = plain.trust_env = False
session.mount("http://", HTTPAdapter(max_retries=2))


def by_urllib3(url: str) -> int:
    return urllib3.PoolManager().request("GET", url, timeout=LIMIT_S, retries=urllib3.Retry(connect=2, total=2)).status


def sent(ask: Callable[[str], object], path: str) -> list[float]:
    """How long each request came after the first."""
    seen.clear()
    try:
        ask(f"http://127.0.0.1:{server.server_port}{path}")
    except urllib3.exceptions.MaxRetryError:
        pass
    return [at - seen[0] for at in seen]


later = sent(lambda url: session.get(url, timeout=LIMIT_S), "/later")
print("requests, with max_retries=2:", later)
assert len(sent(lambda url: session.get(url, timeout=LIMIT_S), "/")) == 1
assert len(sent(lambda url: plain.get(url, timeout=LIMIT_S), "/later")) == 1
assert len(later) == 3, "an answer is not repeated now"
assert later[2] > 2 * LIMIT_S
assert urllib3.Retry.DEFAULT_RETRY_AFTER_MAX == 6 * 60 * 60
assert len(sent(by_urllib3, "/later")) == 3, "urllib3 itself does not repeat it now"
PYTHON
echo "as seen"
