"""Jobs as answers of tools: what an agent needs to go on, in a few kilobytes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from queuectl.client.following import as_redrawn
from queuectl.client.library import Client
from queuectl.domain.job import Job, JobState
from queuectl.typed import Any
from queuectl.wire import schema
from queuectl.wire.jobs import command_line, job_to_json
from queuectl.wire.schema import Schema
from queuectl.wire.schema import listed as listed_schema
from queuectl.wire.words import ESCAPES

ANSWER_BYTES = 7700
"""Most bytes of an answer, which is sent twice: as text and as a value."""
TAIL_LINES = 40
TAIL_MIN_BYTES = 100
LINE_MAX, TEXT_MAX = 400, 300
PART_BYTES = ANSWER_BYTES // 2
AROUND = 200
"""Bytes of an answer around its output, or around its list."""


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def size(value: Any) -> int:
    """The bytes of a value, once as it is and once as text within JSON."""
    text = dumped(value)
    return sum(len(each.encode("utf-8", "replace")) for each in (text, dumped(text)))


BRIEF = ("id", "state", "command", "queue", "attempts", "exit_code", "error", "reason", "duration", "finished_at")
JOB: Schema = {
    "type": "object", "properties": {"id": schema.TEXT, "state": schema.STATE}, "required": ["id", "state"],
}  # fmt: skip
JOBS = listed_schema(JOB)


def brief(job: Job, reason: str | None) -> dict[str, Any]:
    """What an agent has to know of a job; nothing of its environment."""
    document = job_to_json(job, reason if reason != job.error else None)
    document["command"] = cut(command_line(job.command))
    return {key: document[key] for key in BRIEF if document.get(key) is not None}


def cut(text: str, most: int = TEXT_MAX) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


CONTROLS = re.compile(rf"{ESCAPES}|[\x00-\x08\x0b-\x1f\x7f]")


def tail_of(client: Client, job: Job, most: int) -> str:
    """The last lines of a job's output, without colours, in at most this many bytes."""
    data = client.output(job.id, tail=TAIL_LINES) if job.starts else b""
    lines = [cut(line, LINE_MAX) for line in readable(data).removesuffix("\n").split("\n")]
    while lines and size("\n".join(lines)) > most:
        lines.pop(0)
    return "\n".join(lines)


def readable(data: bytes) -> str:
    """Output without colours, each line in its last state."""
    return CONTROLS.sub("", as_redrawn(data).decode("utf-8", "replace"))


def part(data: bytes, start: int, most: int) -> tuple[str, int]:
    """A part of an output as an answer holds it, and where the next one begins. No character is torn."""
    end = _between(data, min(len(data), start + most))
    while size(told := readable(data[start:end])) > ANSWER_BYTES - AROUND and end > start + 1:
        end = _between(data, start + (end - start) // 2)
    return told, end


def _between(data: bytes, at: int) -> int:
    """The beginning of the character at `at`, if it is UTF-8."""
    for begin in range(at, max(at - 4, 0), -1):
        if begin == len(data) or data[begin] & 0xC0 != 0x80:
            return begin
    return at


def ended(client: Client, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Jobs in brief, those that have failed with the end of their output, as much as fits."""
    told = [brief(job, None) for job in jobs]
    bad = [at for at, job in enumerate(jobs) if job.state in (JobState.DEAD, JobState.FAILED)]
    for left, at in zip(range(len(bad), 0, -1), bad, strict=True):
        room = (ANSWER_BYTES - AROUND - size(told)) // left
        if room > TAIL_MIN_BYTES and (output := tail_of(client, jobs[at], room - 50)):
            told[at]["output_tail"] = output
    return told


def bounded(value: dict[str, Any]) -> dict[str, Any]:
    """An answer that is not too long: its largest part is cut short until it fits, and `cut` says so."""
    if size(value) <= ANSWER_BYTES:
        return value
    value = {**value, "cut": True}
    while size(value) > ANSWER_BYTES:
        value = _shorter(value)
    return value


def _shorter(value: Any) -> Any:
    """The beginning of a text or list. Of an object the largest value is made shorter, or the last small ones go."""
    kept = len(value) // 2 if size(value) > 2 * ANSWER_BYTES else len(value) * 7 // 8
    if isinstance(value, str):
        return cut(value, kept)
    if isinstance(value, list):
        return value[:kept] if len(value) > 1 else [_shorter(value[0])]
    name = max(value, key=lambda each: size(value[each]))
    if size(value[name]) > TEXT_MAX:
        return {**value, name: _shorter(value[name])}
    return dict(list(value.items())[:kept])


def fitting(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of them as an answer holds, at least one."""
    while len(told) > 1 and size(told) > ANSWER_BYTES - AROUND:
        told = told[:-1]
    return told
