"""What commands print with --json is what docs/schema says, on both stores."""

from __future__ import annotations

import io
import json
import re
import shlex
import signal
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from queuectl.cli import answers, main
from queuectl.cli.commands import commands
from queuectl.cli.console import Screen
from queuectl.engine.signals import STOPPING
from queuectl.wire.schema import Schema
from tests.docs import schemas
from tests.goldens import session
from tests.stores import on_each_store
from tests.workshop import Workshop

SESSION = (Path(__file__).parent / "answers.txt").read_text().splitlines()
ELSEWHERE = {"serve"}
"""Tried in tests/web/test_serve.py."""
BY_HAND = {"service install", "service status", "service remove"}
"""Tried in tests/engine/test_manager.py."""
CRONTAB = "PATH=/bin\n0 3 * * * true\n@reboot echo up\n"


@cache
def closed(name: str) -> Draft202012Validator:
    """A validator of a command's answer, or of one of `BESIDES`. It takes no key that the schema does not name."""
    schema = answers.BESIDES[name][0] if name in answers.BESIDES else answers.schema_of(commands()[name])
    return Draft202012Validator(answers.document(name, schema, "", is_closed=True))


def typed(address: str, line: str) -> tuple[str, str]:
    """What a command line prints to each stream as JSON."""
    written, told = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(each, "utf-8", newline="", write_through=True) for each in (written, told))
    screen = Screen(out=out, err=err, terminal=False, width=None, height=None, answer=None, progress=False)
    heeded = {signum: signal.getsignal(signum) for signum in STOPPING}
    main.execute(["--db", address, "--json", *shlex.split(line)], screen)
    for signum, handler in heeded.items():  # a worker that ends ignores them to its process's end
        signal.signal(signum, handler)
    return written.getvalue().decode(), told.getvalue().decode()


def answer_of(line: str) -> str:
    """The command of a line, or the other answer that it gives."""
    if line.startswith("help ") or line.endswith(" --help"):
        return answers.HELP
    if line.endswith(" --version"):
        return answers.SHORT_VERSION
    first, second, *_ = [*line.split(), ""]
    both = f"{first} {second}"
    return both if both in commands() else first


@on_each_store
def test_every_command_answers_as_its_schema_says(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(shop.folder))  # as its worker has it
    (shop.folder / "crontab").write_text(CRONTAB)
    worker = shop.worker(2)
    name = shop.client.workers()[0].name
    places = {"CRONTAB": "crontab", "BACKUP": "backup.db", "COPY": "copy.db", "LINES": "jobs.jsonl"}
    answered = set()
    for line in SESSION:
        words = [str(shop.folder / places[word]) if word in places else word for word in line.split(" ")]
        out, err = typed(shop.address, " ".join(words).replace("NAME", name))
        for each in map(json.loads, err.splitlines()):
            (kind,) = each
            closed(kind).validate(each)
        wanted = answer_of(line)
        if out:
            closed(wanted).validate(json.loads(out))
            if json.loads(out) != []:
                answered.add(wanted)
    assert worker.wait() == 0
    assert answered == (set(answers.BESIDES) - {"error", "note", "new-job"}) | (
        set(commands()) - answers.UNANSWERED - ELSEWHERE - BY_HAND
    )


def test_the_schemas_are_written_from_the_code() -> None:
    written = {path.name: path.read_text() for path in schemas.FOLDER.iterdir()}
    assert written == schemas.files(), "write them again with: python -m tests.docs.schemas"


def test_the_schemas_are_valid_and_open_for_new_keys() -> None:
    for name, text in schemas.files().items():
        schema: Schema = json.loads(text)
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"urn:queuectl:schema:{answers.VERSION}:{name.removesuffix('.json')}"
        assert ('"additionalProperties": false' in text) == (name == "new-job.json")


def test_an_answer_with_a_key_too_few_or_too_many_is_refused(tmp_path: Path) -> None:
    (job,) = json.loads(typed(str(tmp_path / "queuectl.db"), "enqueue -- true")[0])
    assert closed("list").is_valid([job])
    assert not closed("list").is_valid([{**job, "colour": "red"}])
    assert not closed("list").is_valid([{key: value for key, value in job.items() if key != "state"}])


def test_every_reference_of_the_openapi_document_leads_somewhere() -> None:
    named = set(re.findall(r'"#/components/schemas/(\w+)"', session.openapi()))
    assert named - set(json.loads(session.openapi())["components"]["schemas"]) == set()
