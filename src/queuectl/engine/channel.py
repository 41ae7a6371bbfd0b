"""The connection between dispatcher and supervisor: a unix stream socket that carries packets of messages.

A packet is a 4-byte length and a JSON array of messages; see protocol.py for what they say.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from queuectl.engine.protocol import SOCKET_NAME, Message, encode, parse, words_of
from queuectl.typed import TypeVar

PACKET_BYTES_MAX = 64 << 20

T = TypeVar("T")

_LENGTH = struct.Struct("!I")


class Channel:
    """One end of a connection, never blocking.

    `closed`: the peer hung up or broke the protocol. The descriptor stays valid until the owner calls `close`; the
    owner first removes it from any selector.
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

    def send(self, *messages: Message) -> None:
        """Sends as much as the peer takes now; the rest goes with `flush`."""
        self._send(messages, lambda part: encode([words_of(message) for message in part]))

    def send_encoded(self, messages: Sequence[str]) -> None:
        """Sends messages that are JSON already, as `send` does."""
        self._send(messages, lambda part: f"[{','.join(part)}]")

    def _send(self, messages: Sequence[T], packed: Callable[[Sequence[T]], str]) -> None:
        """Sends them in one packet; in several if the peer would take it for too large."""
        if self.closed or not messages:
            return
        body = packed(messages).encode("utf-8", "surrogatepass")
        if len(body) > PACKET_BYTES_MAX and len(messages) > 1:
            half = len(messages) // 2
            self._send(messages[:half], packed)
            self._send(messages[half:], packed)
            return
        self._out += _LENGTH.pack(len(body)) + body
        self.flush()

    def flush(self) -> None:
        """Sends what waits, as far as the peer takes it now."""
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
        """All whole messages that have arrived, without those of a newer release that this one does not know."""
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
            packet = json.loads(self._in[_LENGTH.size : end].decode("utf-8", "surrogatepass"))
            messages += [message for message in map(parse, packet) if message is not None]
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
    """A folder by a name short enough for a socket's address, which has 107 bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        self._handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._handle}" if os.path.isdir("/proc/self/fd") else str(self._folder)

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
