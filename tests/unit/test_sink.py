"""The pipe of a slot: what is kept of an output, and where."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.engine.supervise.leftovers import Leftovers
from queuectl.engine.supervise.output import cut_note, read_capped
from queuectl.engine.supervise.sink import INLINE_BYTES_MAX, Sink
from tests.needs import lacks

ROOM = 1 << 20


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    leftovers = Leftovers()
    made = Sink(tmp_path, "slot-0.out", tmp_path, 4 << 20, leftovers)
    yield made
    made.rest()
    leftovers.close()


def test_a_short_output_touches_no_file(sink: Sink, tmp_path: Path) -> None:
    os.write(sink.open(), b"hello")
    assert sink.collect(False, ROOM) == {"text": "hello", "size": 5}
    assert sink.collect(False, ROOM) is None
    assert list(tmp_path.iterdir()) == []


def test_drained_output_is_readable_and_the_file_is_emptied(sink: Sink, tmp_path: Path) -> None:
    os.write(sink.open(), b"one ")
    sink.drain()
    assert (tmp_path / sink.path).read_bytes() == b"one "
    os.write(sink.open(), b"two")
    assert sink.collect(False, ROOM) == {"text": "one two", "size": 7}
    assert (tmp_path / sink.path).read_bytes() == b""


def test_a_large_output_keeps_its_file_and_the_next_gets_another(sink: Sink, tmp_path: Path) -> None:
    written = os.urandom(INLINE_BYTES_MAX + 1)
    os.write(sink.open(), written)
    path = sink.path
    assert sink.collect(False, ROOM) == {"path": path, "size": len(written)}
    assert (tmp_path / path).read_bytes() == written
    assert sink.path != path


def test_an_open_end_of_the_pipe_gets_no_later_output(sink: Sink) -> None:
    left = os.dup(sink.open())
    os.write(left, b"mine")
    assert sink.collect(True, ROOM) == {"text": "mine", "size": 4}
    next_one = sink.open()
    os.write(left, b"late")
    os.write(next_one, b"next")
    assert sink.collect(False, ROOM) == {"text": "next", "size": 4}
    os.close(left)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB. Needs the right to mount one."""
    place = tmp_path / "tiny"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True).returncode:
        lacks("the right to mount a file system", "run as root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_keeps_an_outputs_beginning_and_end(tiny_disk: Path) -> None:
    sink = Sink(tiny_disk, "slot-0.out", tiny_disk, 4 << 20, Leftovers())
    for _ in range(20):
        os.write(sink.open(), b"x" * 32768)
        sink.drain()
    os.write(sink.open(), b"last")
    kept = sink.collect(False, ROOM)
    assert kept is not None
    assert kept["size"] == 20 * 32768 + 4
    capped = read_capped(tiny_disk, kept["path"], kept["size"], kept["kept"])
    assert set(capped.head) == {ord("x")}
    assert capped.tail.endswith(b"xlast")
    assert set(capped.tail[:-4]) == {ord("x")}
    sink.rest()


def test_bytes_lost_to_a_full_disk_are_counted_in_a_note(tiny_disk: Path) -> None:
    sink = Sink(tiny_disk, "slot-0.out", tiny_disk, 4 << 20, Leftovers())
    filler = tiny_disk / "filler"
    filler.write_bytes(bytes(252 << 10))
    for _ in range(3):
        os.write(sink.open(), b"x" * 4096)
        sink.drain()
    filler.unlink()
    os.write(sink.open(), b"y" * INLINE_BYTES_MAX)
    kept = sink.collect(False, ROOM)
    assert kept is not None
    text = read_capped(tiny_disk, kept["path"], kept["size"], 4 << 20).head
    taken = len(text) - len(text.lstrip(b"x"))
    assert text[taken:].startswith(cut_note(3 * 4096 - taken))
    assert text.endswith(b"\n" + b"y" * INLINE_BYTES_MAX)
    sink.rest()


def test_an_output_of_which_the_disk_took_nothing_keeps_its_beginning(tiny_disk: Path) -> None:
    sink = Sink(tiny_disk, "slot-0.out", tiny_disk, 4 << 20, Leftovers())
    (tiny_disk / "filler").write_bytes(bytes(256 << 10))
    os.write(sink.open(), b"x" * 50_000)
    kept = sink.collect(False, ROOM)
    assert kept is not None
    assert kept["text"].startswith("x" * INLINE_BYTES_MAX + "\n[queuectl: 33,616 bytes cut here")
    sink.rest()
