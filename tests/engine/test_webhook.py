"""The program that calls a URL for a hook, with servers that answer as servers do."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from queuectl import program
from queuectl.domain.hooks import URL

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Answering:
    """A server on loopback that answers each call with these bytes, and what it heard. One that `hangs` then leaves the
    connection open."""

    def __init__(self, answer: bytes, hangs: bool) -> None:
        self._answer, self._hangs = answer, hangs
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.heard = b""
        self.is_over = threading.Event()

    def serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            while b"\r\n\r\n{}" not in self.heard and (said := connection.recv(65536)):
                self.heard += said
            connection.sendall(self._answer)
            if self._hangs:
                self.is_over.wait()

    def close(self) -> None:
        self.is_over.set()
        socket.create_connection(("127.0.0.1", self.port)).close()  # in case that nobody has called
        self._listening.close()


@contextmanager
def answering(answer: bytes, hangs: bool = False) -> Iterator[Answering]:
    server = Answering(answer, hangs)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


def call(url: str) -> tuple[int, str]:
    """Its exit code, and what it wrote, errors included."""
    environment = {**{k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}, URL: url}
    words = [sys.executable, "-I", "-c", program.part("engine.webhook")]
    done = subprocess.run(
        words, input=b"{}", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.returncode, done.stdout.decode()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"SSH-2.0-OpenSSH\r\n", "no answer in HTTP: SSH-2.0-OpenSSH"),
        (b"", "no answer: Remote end closed connection without response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "no answer in HTTP: got more than 65536 bytes"),
        (b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "500"),
    ],
)
def test_an_answer_that_is_not_understood_is_one_line(answer: bytes, says: str) -> None:
    with answering(answer) as server:
        code, written = call(f"http://127.0.0.1:{server.port}/")
    first, second = written.splitlines()
    assert (code, first) == (1, "POST http://127.0.0.1")
    assert second.startswith(says)


@pytest.mark.parametrize(
    ("answer", "hangs"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", True),
    ],
)
def test_a_call_has_succeeded_whatever_becomes_of_the_body(answer: bytes, hangs: bool) -> None:
    with answering(answer, hangs) as server:
        assert call(f"http://127.0.0.1:{server.port}/") == (0, "POST http://127.0.0.1\n200 \n")


def test_a_name_and_a_password_in_a_url_are_sent_as_a_header() -> None:
    with answering(OK) as server:
        code, written = call(f"http://ada:s%40c:ret@127.0.0.1:{server.port}/hook")
    assert (code, written) == (0, "POST http://127.0.0.1\n204 \n")
    assert server.heard.startswith(b"POST /hook HTTP/1.1\r\n")
    assert b"Authorization: Basic " + base64.b64encode(b"ada:s@c:ret") in server.heard.splitlines()
    assert f"Host: 127.0.0.1:{server.port}".encode() in server.heard.splitlines()


def test_characters_beyond_ascii_are_sent_as_browsers_send_them() -> None:
    with answering(OK) as server:
        code, _ = call(f"http://127.0.0.1:{server.port}/für?x=ä%20b&y=c/d")
    assert code == 0
    assert server.heard.startswith(b"POST /f%C3%BCr?x=%C3%A4%20b&y=c/d HTTP/1.1\r\n")
