"""Plays the examples of the pages, for real:

python -m tests.docs.play [--write] [PAGE…]

All pages unless some are named (`docs/limits.md`). `--write` writes the outputs of sessions again. Prints a line for
each page; exits with 1 if an example fails or prints something else than the page shows. Needs
jq, curl, git and openssl.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.docs.blocks import FENCED, LEFT_OUT, Block, block_at, blocks_of, pages, steps_of
from tests.docs.links import ROOT
from tests.docs.stage import Stage, stage

LOGGED = "TIME "
"""A worker's log may say more where the machine is slow, such as that a command has started."""
VARYING = (
    (r"([MTWFS][a-z]{2} )?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| ?[+-]\d\d:?\d\d)?|\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"\blaptop-[0-9a-z]{4}\b", "WORKER"),  # before ages: one may be called laptop-306d
    (r"(\bin |\b|-)\d+(\.\d+)?(ms|s|m|h|d)(\d+[smh])?( ago)?\b|\bnow\b", "AGE"),
    (r"\b(?=[a-z]*\d)[0-9a-z]{10}\b", "ID"),
    (r"\b\d+(\.\d+)? (B|KiB|MiB|GiB)\b", "SIZE"),
    (r"\b\d+\.\d{4,}\b", "FRACTION"),
    (r"[─━]+", "─"),
    (r"\s+", " "),
)


def loosely(lines: tuple[str, ...]) -> Counter[str]:
    """The lines without times, sizes and random names, in any order: two streams meet in them."""
    found = []
    for line in lines:
        for pattern, name in VARYING:
            line = re.sub(pattern, name, line)
        found.append(line.strip())
    return Counter(found)


def complaints(page: Path) -> Iterator[str]:
    """Plays a page, and says what is otherwise than it says."""
    with stage(page) as opened:
        for block in blocks_of(page):
            if block.played:
                where = f"{page.relative_to(ROOT)}, block at line {block.line}"
                yield from (f"{where}: {text}" for text in complaints_of(opened, block))


def complaints_of(opened: Stage, block: Block) -> Iterator[str]:
    """Plays a block, and says what is otherwise than it says."""
    opened.begin(block.text)
    if block.language == "sh":
        output = opened.play(block.text)
        if failures := opened.failures():
            yield "\n".join([*failures, *output])
        return
    for step in steps_of(block.text):
        output = opened.play(step.command)
        opened.failures()
        shown, printed = loosely(step.output), loosely((*output, LEFT_OUT))
        missing, more = shown - printed, printed - shown - Counter([LEFT_OUT])
        more = Counter([line for line in more if not line.startswith(LOGGED)])
        if missing or (more and LEFT_OUT not in step.output):
            yield "\n".join([f"$ {step.command}", *output, f"shown, not printed: {sorted(missing)}"])


def rewrite(page: Path) -> None:
    """Plays a page, and writes the outputs of its sessions into it."""
    text = page.read_text()
    with stage(page) as opened:

        def played(found: re.Match[str]) -> str:
            block = block_at(text, found)
            if not block.played:
                return found[0]
            if block.language == "sh":
                opened.play(block.text)
                return found[0]
            lines = []
            for step in steps_of(block.text):
                typed = step.command.splitlines()
                lines += [f"$ {typed[0]}", *(f"> {line}" for line in typed[1:])]
                lines += shortened(opened.play(step.command), step.output)
            return "\n".join(["```console", *lines, "```"])

        page.write_text(FENCED.sub(played, text))


def shortened(output: tuple[str, ...], as_in: tuple[str, ...]) -> tuple[str, ...]:
    """The output with its middle left out where it was before."""
    if LEFT_OUT not in as_in:
        return output
    at = as_in.index(LEFT_OUT)
    return (*output[:at], LEFT_OUT, *output[len(output) - (len(as_in) - at - 1) :])


def main() -> int:
    asked = argparse.ArgumentParser()
    asked.add_argument("--write", action="store_true")
    asked.add_argument("pages", nargs="*", type=Path)
    given = asked.parse_args()
    wrong = 0
    for page in [page.resolve() for page in given.pages] or pages():
        if not any(block.played for block in blocks_of(page)):
            continue
        began = time.monotonic()
        if given.write:
            rewrite(page)
        found = [] if given.write else list(complaints(page))
        wrong += len(found)
        print(
            f"{page.relative_to(ROOT)!s:<34}{time.monotonic() - began:>7.1f}s  {'WRONG' if found else 'ok'}", flush=True
        )
        for text in found:
            print(text, flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
