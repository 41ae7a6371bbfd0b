"""The last lines of an output, as a terminal would have ended up showing them."""

from __future__ import annotations

import pytest

from queuectl.client.following import last_lines

BAR = b"Error: quota\n" + b"".join(b"\r%d%%" % number for number in range(1, 5))


@pytest.mark.parametrize(
    ("written", "lines", "shown"),
    [
        (b"1\n2\n3\n", 2, b"2\n3\n"),
        (b"1\n2\n3", 2, b"2\n3"),
        (b"1\n\n", 1, b"\n"),
        (b"1\n2\n", 9, b"1\n2\n"),
        (b"", 3, b""),
        (BAR, 3, b"Error: quota\n4%"),
        (b"\r1%\r2%\ndone\n", 2, b"2%\ndone\n"),
        (b"1%\r2%\r", 1, b"2%"),
        (b"\ra 1%\n\rb 1%\x1b[A\ra 2%\n\n", 3, b"\ra 1%\n\rb 1%\x1b[A\ra 2%\n\n"),
        (b"one\r\ntwo\r\n", 2, b"one\ntwo\n"),
        (b"a\x0bb\x0cc\x1cd\n", 1, b"a\x0bb\x0cc\x1cd\n"),
        ("a\u2028b\x85c\n".encode(), 1, "a\u2028b\x85c\n".encode()),
    ],
)
def test_lines_end_at_newlines_and_a_redrawn_one_shows_its_last_state(written: bytes, lines: int, shown: bytes) -> None:
    assert last_lines(written, lines) == shown
