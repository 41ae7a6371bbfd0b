"""A job as the command line, or the form, that would enqueue it again: only what is not usual is spelled out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from shlex import join
from typing import Any

from queuectl.domain.job import DEFAULT_QUEUE, Job, Spec
from queuectl.settings import Settings
from queuectl.wire.jobs import command_line as wire_command_line

MASKED = "***"
"""Stands for a variable's value, which no page shows."""

DURATIONS = frozenset({"timeout", "kill_grace", "backoff_initial", "backoff_max"})
FLAGS = {"output_path": "--output", "tags": "--tag", "held": "--hold", "split_output": "--split-output"}
"""Options that are not named like their key."""


def document(job: Job, settings: Settings) -> dict[str, Any]:
    """The job's input, without its id: the command, and the keys in which it differs from a new job's.

    Values of variables are `MASKED`; variables that every job takes from its surroundings are left out.
    """
    found: dict[str, Any] = {"command": job.command if isinstance(job.command, str) else list(job.command)}
    if job.queue != DEFAULT_QUEUE:
        found["queue"] = job.queue
    if job.priority:
        found["priority"] = job.priority
    if job.tags:
        found["tags"] = list(job.tags)
    if job.held:
        found["held"] = True
    return found | _policy(job.spec, settings) | _surroundings(job.spec, settings)


def _policy(spec: Spec, settings: Settings) -> dict[str, Any]:
    usual = Spec()._replace(**settings.spec_defaults())
    names = (
        "max_retries", "backoff_base", "backoff_initial", "backoff_max", "backoff_jitter", "retry_on", "fatal_on",
        "timeout", "kill_grace", "shell", "stdin", "output_path", "split_output",
    )  # fmt: skip
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(spec, name)
        if value == getattr(usual, name) or value is None:
            continue
        if name in DURATIONS:
            value = f"{value:g}s"
        found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _surroundings(spec: Spec, settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {"cwd": spec.cwd} if spec.cwd else {}
    captured = settings["env-capture"]
    own = [name for name in spec.env if not any(fnmatchcase(name, pattern) for pattern in captured)]
    own = [name for name in own if name != "TRACEPARENT"]
    return found | ({"env": dict.fromkeys(own, MASKED)} if own else {})


def command_line(job: Job, settings: Settings) -> str:
    """What one would type in a shell. Variables are taken from that shell: their values are not told."""
    given = document(job, settings)
    command = given.pop("command")
    words: list[str] = ["queuectl", "enqueue"]
    for key, value in given.items():
        option = FLAGS.get(key, f"--{key.replace('_', '-')}")
        if key == "env":
            words += [part for name in value for part in (option, name)]
        elif key == "tags":
            words += [part for tag in value for part in (option, tag)]
        elif value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [option, ",".join(map(str, value))]
        elif str(value).startswith("-"):
            words.append(f"{option}={value}")
        else:
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    if isinstance(command, str):
        return f"{join([*words, '-c', command])}"
    return f"{join(words)} -- {wire_command_line(tuple(command))}"
