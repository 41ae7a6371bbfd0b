"""Records the session below and writes it as docs/recording.svg, an animated picture of a terminal:

make recording

The commands are run by a real shell on a real terminal; what they print appears when they printed it, with long waits
cut short. Nothing is drawn that was not printed, except the prompt and the typing.
"""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import tempfile
import termios
import time
from dataclasses import dataclass
from fcntl import ioctl
from html import escape
from pathlib import Path

from tests.docs.links import ROOT
from tests.docs.stage import Stage

PICTURE = ROOT / "docs" / "recording.svg"
SESSION = (
    "queuectl enqueue --id hello -- echo 'Hello World'",
    "queuectl enqueue --id flaky --backoff-initial 1s -c 'test $QUEUECTL_ATTEMPT -ge 3'",
    "queuectl enqueue --id doomed --max-retries 1 --backoff-initial 1s -- ls /no/such/folder",
    "queuectl enqueue --id after --after flaky -- echo 'flaky has completed'",
    "queuectl worker start --count 2 --drain",
    "queuectl list",
    "queuectl dlq list",
)
COLUMNS, ROWS = 108, 60
TYPING_S, PAUSE_S, WAIT_MOST_S = 0.022, 0.55, 0.8
CHARACTER, LINE, MARGIN = 8.4, 19.0, 18.0
COLOURS = {
    "1": "font-weight:700", "2": "opacity:.62", "31": "fill:#ff7b72", "32": "fill:#7ee787", "33": "fill:#e3b341",
    "34": "fill:#79c0ff", "35": "fill:#d2a8ff", "36": "fill:#76e3ea", "90": "fill:#8b949e",
}  # fmt: skip
ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")


@dataclass(frozen=True, slots=True)
class Shown:
    """A line of the picture: its text with escapes, when it appears, and how long it takes to be typed (0: at once)."""

    text: str
    at_s: float
    typed_s: float = 0.0


def record() -> list[Shown]:
    """Plays the session; its lines with their times from the beginning."""
    lines: list[Shown] = []
    clock = 0.4
    with tempfile.TemporaryDirectory(prefix="queuectl-recording-") as home:
        stage = Stage(Path(home), "recording", None)
        try:
            stage.play("queuectl init")
            for command in SESSION:
                typed = len(command) * TYPING_S
                lines.append(Shown(f"$ {command}", clock, typed))
                clock += typed + 0.15
                for text, waited in printed(stage, command):
                    clock += min(waited, WAIT_MOST_S)
                    lines.append(Shown(text, clock))
                clock += PAUSE_S
        finally:
            stage.close()
    return lines


def printed(stage: Stage, command: str) -> list[tuple[str, float]]:
    """The lines that a command prints on a terminal, each with the time since the one before."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(stage.folder)
        os.execvpe("bash", ["bash", "-c", command], {**stage.environment, "COLUMNS": str(COLUMNS)})
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    lines, rest, before = [], "", time.monotonic()
    while select.select([terminal], [], []):
        try:
            rest += os.read(terminal, 1 << 16).decode()
        except OSError:  # Linux's word for: nobody has the terminal open any more
            break
        *whole, rest = rest.split("\n")
        for line in whole:
            now = time.monotonic()
            lines.append((stage.told(line.rstrip("\r")), now - before))
            before = now
    os.close(terminal)
    os.waitpid(pid, 0)
    return lines


def drawn(lines: list[Shown]) -> str:
    """The picture. It plays once and stays; who wants no motion sees the end."""
    folded = [(piece, line) for line in lines for piece in _fold(line.text)]
    width, height = MARGIN * 2 + CHARACTER * COLUMNS, MARGIN * 2 + LINE * len(folded) + 26
    body = []
    for row, (text, line) in enumerate(folded):
        y = MARGIN + 26 + LINE * row + 13
        kind, timing = ("t", f";--n:{len(text)};--d:{line.typed_s:.2f}s") if line.typed_s else ("l", "")
        style = f"--a:{line.at_s:.2f}s{timing}"
        body.append(f'<text class="{kind}" x="{MARGIN}" y="{y:.0f}" style="{style}">{_spans(text)}</text>')
    dots = "".join(
        f'<circle cx="{22 + 18 * at}" cy="20" r="5.5" fill="{colour}"/>'
        for at, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return (
        f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">
<title>A terminal: jobs are enqueued, a worker runs them, one is retried until it succeeds, one dies</title>
<style>
text {{ font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #e6edf3; white-space: pre }}
@media (prefers-reduced-motion: no-preference) {{
.l {{ animation: show .01s var(--a) both }}
.t {{ animation: type var(--d) steps(var(--n), end) var(--a) both }}
}}
@keyframes show {{ from {{ visibility: hidden }} to {{ visibility: visible }} }}
@keyframes type {{ from {{ clip-path: inset(-4px 100% -4px 0) }} to {{ clip-path: inset(-4px -12px -4px 0) }} }}
</style>
<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="#0d1117"/>
{dots}
"""
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _fold(text: str) -> list[str]:
    """Lines as wide as the terminal; only plain ones are ever longer."""
    if len(ESCAPE.sub("", text)) <= COLUMNS:
        return [text]
    plain = ESCAPE.sub("", text)
    return [plain[at : at + COLUMNS] for at in range(0, len(plain), COLUMNS)]


def _spans(text: str) -> str:
    """Text with its colours as SVG."""
    if text.startswith("$ "):
        return f'<tspan style="fill:#7ee787">$</tspan> <tspan style="font-weight:700">{escape(text[2:])}</tspan>'
    out, style, at = [], "", 0
    for found in [*ESCAPE.finditer(text), None]:
        piece = text[at : found.start() if found else len(text)]
        if piece:
            out.append(f'<tspan style="{style}">{escape(piece)}</tspan>' if style else escape(piece))
        if found:
            at = found.end()
            codes = [code for code in found[1].split(";") if code not in ("", "0")]
            style = ";".join(COLOURS[code] for code in codes)
    return "".join(out)


if __name__ == "__main__":
    PICTURE.write_text(drawn(record()))
