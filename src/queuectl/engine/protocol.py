"""What dispatcher and supervisor say to each other, over a unix stream socket.

A packet is a 4-byte length and a JSON array of messages; a message is an array whose first element is its kind.
Bytes of output travel as Latin-1 text. A job's execution is named by `[seq, lease]`.

    dispatcher -> supervisor
      hello     protocol, epoch                 the right to drive: the highest epoch wins, others are hung up on
      ask       protocol                        any worker: are you orphaned?
      spec      number, {cwd, umask, env, ...}  surroundings that later starts refer to
      start     seq, lease, number, ...         see Order; only between two sides of one version
      drop      seq, lease                      forget a start that has not happened yet
      end       seq, lease, cause               TERM, grace, KILL to the whole tree
      signalled                                 the worker has got a signal to stop: see supervise/withheld.py
      recorded  [[seq, lease], ...]             committed: drop these results
      ping                                      the dispatcher lives
      lease     term, kill, until               when commands have to end, by the clock that runs in suspension
      leave                                     exit when nothing runs and every result is recorded

    supervisor -> dispatcher
      welcome   {protocol, epoch}               answer to hello, after all that runs and every unrecorded result
      state     {driven, silent, ...}           answer to ask; silent: seconds since a dispatcher's last word
      started   seq, lease, at, pid, file
      ended     {seq, lease, ...}, [cpu, rss]   see execution.result; what it used is known only once it is reaped
      dropped   seq, lease
      short     seq, lease                      it waits, as does all behind it: the machine has no room for it now
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

PROTOCOL = 1
SOCKET_NAME = "socket"
JOURNAL_NAME = "journal"
PACKET_BYTES_MAX = 64 << 20
SPECS_MAX = 5000
"""A dispatcher refers to no more of the last specs that it sent, and a supervisor needs to remember no more, however
many jobs have surroundings of their own."""

Message = list[Any]

Key = tuple[int, int]
"""An execution's name: `jobs.seq` and the lease under which it runs."""


class Order(NamedTuple):
    """A start, as the dispatcher asks for it. `spec` is the number of a `spec` message."""

    seq: int
    lease: int
    number: int
    job_id: str
    queue: str
    spec: int
    command: str | list[str] | tuple[str, ...]
    timeout: float | None
    kill_grace: float

    @property
    def key(self) -> Key:
        return self.seq, self.lease


_LENGTH = struct.Struct("!I")

encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
"""A message, or a part of one, as JSON."""


class Channel:
    """One end of a connection, never blocking.

    `closed` says that the peer hung up or talks nonsense; the descriptor stays valid until its owner calls `close`,
    who must take it out of any selector before.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._in = bytearray()
        self._out = bytearray()
        self.closed = False

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def unsent(self) -> bool:
        """Whether bytes wait for the peer to read."""
        return bool(self._out) and not self.closed

    def send(self, messages: list[Message]) -> None:
        """Sends as much as the peer takes now; the rest goes with `flush`."""
        if messages:
            self._send(encode(messages))

    def send_encoded(self, messages: Sequence[str]) -> None:
        """The same for messages that are JSON already."""
        if messages:
            self._send(f"[{','.join(messages)}]")

    def _send(self, packet: str) -> None:
        if not self.closed:
            body = packet.encode("utf-8", "surrogatepass")
            self._out += _LENGTH.pack(len(body)) + body
            self.flush()

    def flush(self) -> None:
        while self._out and not self.closed:
            try:
                sent = self._sock.send(self._out)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            del self._out[:sent]

    def receive(self) -> list[Message]:
        """All whole messages that have arrived."""
        while not self.closed:
            try:
                data = self._sock.recv(1 << 18)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.closed = True
                break
            self._in += data
        return self._take()

    def _take(self) -> list[Message]:
        messages: list[Message] = []
        while len(self._in) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._in)
            if length > PACKET_BYTES_MAX:
                self.closed = True
                break
            end = _LENGTH.size + length
            if len(self._in) < end:
                break
            messages += json.loads(self._in[_LENGTH.size : end].decode("utf-8", "surrogatepass"))
            del self._in[:end]
        return messages

    def close(self) -> None:
        self.closed = True
        self._sock.close()


def listen(folder: Path) -> socket.socket:
    """A listening socket in `folder`, whatever the length of its path."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with _Short(folder) as short:
        listener.bind(f"{short}/{SOCKET_NAME}")
    listener.listen(16)
    return listener


def dial(folder: Path) -> Channel:
    """A connection to the supervisor in `folder`. Raises `OSError`."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(1.0)
        with _Short(folder) as short:
            sock.connect(f"{short}/{SOCKET_NAME}")
    except BaseException:
        sock.close()
        raise
    return Channel(sock)


class _Short:
    """A folder by a name that fits into the 107 bytes of a socket's address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        self._handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._handle}" if os.path.isdir("/proc/self/fd") else str(self._folder)

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
