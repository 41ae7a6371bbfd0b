"""What a new key of a job costs: its row, its attribute, what it does, and one migration if it is a column.

The tests make a copy of the source tree, add two made-up keys in these places alone, and look for them everywhere.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

import queuectl
from queuectl.domain.job import Spec
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.shared import migrations
from queuectl.wire.jobs import spec_to_text
from tests.builders import a_job
from tests.workshop import PATIENCE_S, clean_environment

SOURCE = Path(queuectl.__file__).parent
OLDER = Path(__file__).parents[1] / "compat" / "stores" / "0.2.0.dev1.db"

ROW = """    Field(
        "niceness", "whole number", "spec", high=19, told=True,
        option="--niceness", metavar="N", help="give way to other processes",
        label="Niceness", hint="0 to 19",
    ),
"""
ATTRIBUTE = "    niceness: int = 0\n"
BEHAVIOUR = '        spec["env"]["NICENESS"] = str(spec["niceness"])\n'

MADE_UP_KEY = (
    ("domain/fields.py", '    Field("owner", "text"', ROW),
    ("domain/job.py", "\n    def __hash__", ATTRIBUTE),
    ("engine/supervise/surroundings.py", "        own_env = {", BEHAVIOUR),
)
"""File, the text before which something is added, and what."""

COLUMN_ROW = """    Field(
        "color", "name", "column", nullable=True, option="--color-of-job", metavar="COLOR", help="its color",
    ),
"""
MADE_UP_COLUMN = (
    ("domain/fields.py", '    Field("owner", "text"', COLUMN_ROW),
    ("domain/job.py", "\n    @property\n    def due_at", "    color: str | None = None\n"),
)
MIGRATION = "-- A color.\n-- oldest reader: 2\n\nALTER TABLE {schema}.jobs ADD COLUMN color text;\n"
"""For both databases."""

VERB = """    def set_label(self, queue: str, text: str) -> None:
        with self.transaction():
            self._execute("DELETE FROM {schema}.meta WHERE name = ?", [f"label {queue}"])
            self._execute("INSERT INTO {schema}.meta VALUES (?, ?)", [f"label {queue}", text])

"""
FUNCTION_WITH_ROW = """def label(store: KeptSettings, who: str, queue: str, text: str = "none") -> Label:
    store.set_label(queue, text)
    return Label(queue, text)


LABEL_QUEUE = plain(
    "label_queue", "POST", "/queues/{queue}/label", ADMINISTRATION, "Label a queue", label, LABEL.kind, "the label",
    arguments=(Argument("queue", NAME), Argument("text", TEXT, "its label (default: none)", "none", "--text TEXT")),
    deed=("QueueLabelled", "{queue}: {text}"),
    command=Command(
        name="queue label", group=SETUP, help="label a queue", description="Label a queue.",
        said="{queue} is {text}", confirm="queue {queue} would be labelled {text}",
        examples=("queuectl queue label video --text slow",),
    ),
)


"""
ITS_ANSWER = """from typing import NamedTuple
from queuectl.client import shapes
from queuectl.client.operation import NAME, TEXT
from queuectl.store.shared.settings import KeptSettings

class Label(NamedTuple):
    queue: str
    text: str

LABEL = shapes.Shape("", Label, shapes.Key("queue", shapes.TEXT), shapes.Key("text", shapes.TEXT))

"""
METHOD = """    def label_queue(self, queue: str, text: str = "none") -> Any:
        from queuectl.client import config

        return self.do(config.LABEL_QUEUE, queue=queue, text=text)

"""
MADE_UP_COMMAND = (
    ("store/shared/settings.py", "    def moved_to(", VERB),
    ("client/config.py", "def unset_value(", ITS_ANSWER + FUNCTION_WITH_ROW),
    ("client/verbs.py", "    def unset_setting(", METHOD),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree with both keys and the command."""
    root = tmp_path_factory.mktemp("grown")
    shutil.copytree(SOURCE, root / "queuectl")  # with what is compiled: it stays true of the files that are not changed
    for name, before, added in (*MADE_UP_KEY, *MADE_UP_COLUMN, *MADE_UP_COMMAND):
        path = root / "queuectl" / name
        text = path.read_text()
        assert text.count(before) == 1, f"{name} has no single {before!r} any more"
        path.write_text(text.replace(before, added + before))
    number = max(max(migrations.numbered(dialect)) for dialect in migrations.WORDS) + 1
    (root / "queuectl" / "store" / "sql" / f"{number:04d}_color.sql").write_text(MIGRATION)
    run(root, "-m", "queuectl", "--db", str(root / "jobs.db"), "init")
    return root


def run(tree: Path, *words: str) -> str:
    environment = clean_environment(PYTHONPATH=str(tree), QUEUECTL_DB=str(tree / "jobs.db"), COLUMNS="200")
    command = [sys.executable, *words]
    done = subprocess.run(command, env=environment, cwd=tree, text=True, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def queuectl_in(tree: Path, *words: str) -> Any:
    return json.loads(run(tree, "-m", "queuectl", "--json", *words))


def test_a_new_key_is_an_option_with_help(tree: Path) -> None:
    text = run(tree, "-m", "queuectl", "enqueue", "--help")
    assert "--niceness N" in text
    assert "give way to other processes" in text


def test_a_new_key_is_read_kept_and_shown(tree: Path) -> None:
    (by_option,) = queuectl_in(tree, "enqueue", "--niceness", "7", "--", "true")
    (by_json,) = queuectl_in(tree, "enqueue", '{"command": "true", "niceness": 8}')
    (usual,) = queuectl_in(tree, "enqueue", "--", "true")
    assert [job["niceness"] for job in (by_option, by_json, usual)] == [7, 8, 0]
    (again,) = queuectl_in(tree, "clone", by_option["id"])
    assert again["niceness"] == 7


def test_a_new_key_changes_no_spec_that_lacks_it(tree: Path) -> None:
    written = (
        "from queuectl.domain.job import Spec; from queuectl.wire.jobs import spec_to_text; print(spec_to_text(Spec()))"
    )
    assert run(tree, "-c", written).strip() == spec_to_text(Spec())


def test_a_new_key_reaches_the_command(tree: Path) -> None:
    run(tree, "-m", "queuectl", "enqueue", "--id", "told", "--niceness", "9", "-c", "echo niceness $NICENESS")
    run(tree, "-m", "queuectl", "worker", "start", "--drain")
    assert run(tree, "-m", "queuectl", "logs", "told") == "niceness 9\n"


ELSEWHERE = """
import json
from queuectl.client.remote.answers import job_of
from queuectl.domain.job import Job, Spec
from queuectl.settings import Settings
from queuectl.web import spelling
from queuectl.client.schemas import COMPONENTS
from queuectl.wire.jobs import job_to_json
from queuectl import Client
job = Job(id="a", command="true", spec=Spec(niceness=5), created_at=1.0, run_at=1.0, updated_at=1.0)
print(json.dumps({
    "given": COMPONENTS["NewJob"]["properties"]["niceness"],
    "shown": COMPONENTS["Job"]["properties"]["niceness"],
    "spelled": spelling.command_line(job, Settings({})),
    "keyword": Client("made.db").enqueue(command="true", niceness=6).spec.niceness,
    "remote": job_of(job_to_json(job)).spec.niceness,
}))
"""


def test_a_new_key_is_in_rest_and_what_is_made_of_it(tree: Path) -> None:
    found = json.loads(run(tree, "-c", ELSEWHERE))
    assert found["given"] == {"type": "integer", "minimum": 0, "maximum": 19}
    assert found["shown"] == {"type": "integer", "minimum": 0}
    assert found["spelled"] == "queuectl enqueue --niceness 5 -c true"
    assert (found["keyword"], found["remote"]) == (6, 5)


def test_a_new_column_is_read_kept_and_shown(tree: Path) -> None:
    (job,) = queuectl_in(tree, "enqueue", "--color-of-job", "red", "--", "true")
    (plain,) = queuectl_in(tree, "enqueue", "--", "true")
    assert (job["color"], plain["color"]) == ("red", None)
    run(tree, "-m", "queuectl", "worker", "start", "--drain")
    (ended,) = queuectl_in(tree, "show", job["id"])
    (again,) = queuectl_in(tree, "clone", job["id"])
    assert (ended["state"], ended["color"], again["color"]) == ("completed", "red", "red")


def test_a_new_column_is_read_from_a_store_that_lacks_it(tree: Path, tmp_path: Path) -> None:
    shutil.copy(OLDER, tmp_path / "older.db")
    (job,) = queuectl_in(tree, "--db", str(tmp_path / "older.db"), "list", "--state", "failed")
    status = queuectl_in(tree, "--db", str(tmp_path / "older.db"), "status")
    assert [job["color"], *(each["color"] for each in status["next_retries"])] == [None, None]


def test_the_sql_function_has_both_and_older_releases_keep_it(tree: Path, postgres_url: str, tmp_path: Path) -> None:
    older = PostgresStore(postgres_url, tmp_path)  # of this tree, which knows neither key
    older.insert([a_job("made-before")])
    (job,) = queuectl_in(tree, "--db", postgres_url, "list")
    assert job["color"] is None
    queuectl_in(tree, "--db", postgres_url, "enqueue", "--", "true")
    older.close()
    older = PostgresStore(postgres_url, tmp_path)
    older.insert([a_job("made-after")])
    older.close()
    address = parse_address(postgres_url)

    def enqueued(**keys: object) -> list[Any]:
        found = db.execute(call, [json.dumps({"command": "true", **keys})]).fetchone()
        assert found is not None
        (job,) = queuectl_in(tree, "--db", postgres_url, "show", found[0])
        return [job["niceness"], job["color"]]

    with psycopg.connect(address.server, autocommit=True) as db:
        call = f"SELECT {address.schema}.enqueue(%s)".encode()
        assert enqueued() == [0, None]
        assert enqueued(niceness=7, color="red") == [7, "red"]
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="niceness must be a whole number from 0 to 19"):
            enqueued(niceness=20)


def test_a_new_command_is_typed_like_any_other(tree: Path) -> None:
    assert re.search("^  queue label +label a queue$", run(tree, "-m", "queuectl", "--help"), re.MULTILINE)
    text = run(tree, "-m", "queuectl", "queue", "label", "--help")
    assert "usage: queuectl queue label [options] QUEUE" in text
    assert "--text TEXT" in text
    assert "-y, --yes" in text
    label = ("queue", "label", "made/up", "--text", "loud", "--yes")
    assert queuectl_in(tree, *label) == {"queue": "made/up", "text": "loud"}
    assert run(tree, "-m", "queuectl", *label) == "made/up is loud\n"
    with pytest.raises(AssertionError, match="queue made/up would be labelled none; confirm with --yes"):
        run(tree, "-m", "queuectl", "queue", "label", "made/up")
    assert [deed["detail"] for deed in queuectl_in(tree, "audit")][-1] == "made/up: loud"


OVER_HTTP = """
import json, sys
sys.path.append(sys.argv[1])
from queuectl import Client
from tests.web.service import serving
with serving("served.db") as service, Client("served.db") as here:
    with Client.remote(service.url, service.tokens["full"]) as there:
        print(json.dumps({
            "document": service.full.get("/openapi.json").json()["paths"]["/api/v1/queues/{queue}/label"]["post"],
            "rest": service.full.post("/api/v1/queues/made%2Fup/label", json={"text": "loud"}).json(),
            "refused": service.read_only.post("/api/v1/queues/a/label", json={}).status_code,
            "wrong": [service.full.post("/api/v1/queues/a/label", json={"txt": "b"}).json()["detail"],
                      service.full.post("/api/v1/queues/a%20b/label", json={}).status_code],
            "client": here.label_queue("a", "b"), "remote": there.label_queue("c/d", "e"),
            "audit": [[deed.kind, deed.who, deed.detail] for deed in there.audit(limit=3)],
            "events": [deed["event"] for deed in service.full.get("/api/v1/audit?limit=3").json()],
            "console": service.full.get("/console/commands").json()["entries"],
        }))
"""


def test_a_new_command_is_in_rest_and_both_clients(tree: Path) -> None:
    found = json.loads(run(tree, "-c", OVER_HTTP, str(Path(__file__).parents[2])))
    document = found["document"]
    assert (document["operationId"], document["summary"]) == ("label_queue", "Label a queue")
    body = document["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"] == {"text": {"type": "string", "pattern": r"^[^\u0000]*$"}}
    answer = document["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["required"] == ["queue", "text"]
    assert found["rest"] == {"queue": "made/up", "text": "loud"}
    assert (found["refused"], found["wrong"]) == (403, ["unknown key 'txt'", 404])
    assert (found["client"], found["remote"]) == (["a", "b"], ["c/d", "e"])
    assert [deed[0] for deed in found["audit"]] == ["QueueLabelled"] * 3
    assert [deed[2] for deed in found["audit"]] == ["c/d: e", "a: b", "made/up: loud"]
    assert found["events"] == ["queue_labelled"] * 3
    assert "queue label" in {entry["name"] for entry in found["console"]}
