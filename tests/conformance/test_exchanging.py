"""Jobs leave a store as lines of JSON, and come into any other one as they were."""

from __future__ import annotations

import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from queuectl.client.facade import Client
from queuectl.domain.errors import Conflict, IdTaken, Invalid, NotFound, QueuectlError
from queuectl.domain.job import HOOKS, JobState
from queuectl.domain.lifecycle import Expired
from queuectl.domain.selector import ALL_JOBS, Selector
from tests.conformance.test_backups import running
from tests.conformance.test_copying import Places, enqueue, fill, opened, place
from tests.unit.test_json_everywhere import typed

__all__ = ["place"]

EACH_PAIR = [
    pytest.mark.parametrize("to", ["sqlite", "postgres"]), pytest.mark.parametrize("source", ["sqlite", "postgres"]),
]  # fmt: skip


def exported(client: Client, selector: Selector = ALL_JOBS) -> list[dict[str, Any]]:
    out = io.StringIO()
    number = client.export(selector, out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(lines) == number
    return lines


def take(client: Client, documents: list[dict[str, Any]]) -> int:
    lines = [json.dumps(document).encode() + b"\n" for document in documents]
    return client.import_jobs(io.BytesIO(b"".join(lines)), "jobs.jsonl")


def alike(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The jobs without what is computed of times that have been rounded, and when a blocked one was last looked at."""
    gone = {"blocked": {"duration", "updated_at"}}
    return [
        {key: value for key, value in each.items() if key not in gone.get(each["state"], {"duration"})}
        for each in documents
    ]


def fill_more(client: Client) -> None:
    """Jobs that depend on others, hold a key, belong to a batch, wait for long."""
    fill(client)
    client.set_lock("gpu", 2)
    enqueue(
        client,
        {"id": "after", "command": "true", "depends_on": ["done", "fails:any"], "locks": ["gpu=2"]},
        {"id": "open", "command": "true", "depends_on": ["waits"], "unique_key": "K", "unique_for": "1h"},
        {"id": "other", "command": "true", "batch": "B", "at_most": 2, "expires": "3d", "delay": "1d", "nice": 5},
    )
    client.cancel(["other"])
    client.hold(["after"])


def test_a_hook_that_nobody_could_add_any_more_comes_along_as_it_was(place: Places) -> None:
    with closing(opened(place("sqlite"))) as client:
        old = {"id": "old", "command": "true", "state": "completed", "on_dead": "http://"}
        assert take(client, [old]) == 1
        assert exported(client)[0]["on_dead"] == "http://"


@EACH_PAIR[0]
@EACH_PAIR[1]
def test_jobs_come_back_with_their_state_and_results(place: Places, source: str, to: str) -> None:
    with closing(opened(place(source))) as client, closing(opened(place(to))) as target:
        fill_more(client)
        lines = exported(client)
        with pytest.raises(Invalid, match="job after needs 2 units of lock gpu, which has 1"):
            take(target, lines)
        target.set_lock("gpu", 2)
        target.store.set_batch("B", 2, None)  # as those of locks, limits of batches do not come along
        assert take(target, lines) == len(lines) == 7
        assert alike(exported(target)) == alike(lines)
        assert target.counts() == client.counts()
        assert [deed.kind for deed in target.audit()] == ["Imported", "LockSet"]
        with pytest.raises(Conflict, match=r"^jobs.jsonl, line 1: job done exists already"):
            take(target, lines)
        assert alike(exported(target)) == alike(lines)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_was_imported_goes_on_as_what_it_was(place: Places, kind: str) -> None:
    with closing(opened(place("sqlite"))) as client, closing(opened(place(kind))) as target:
        fill_more(client)
        _, runs = running(client)
        target.set_lock("gpu", 2)
        take(target, exported(client))
        again = target.job("runs")
        assert (again.state, again.worker, again.started_at, again.lease) == (JobState.PENDING, None, None, runs.lease)
        with pytest.raises(Conflict, match="'K' is taken by job open"):
            enqueue(target, {"command": "true", "unique_key": "K", "on_conflict": "error"})
        target.cancel(["waits"])
        assert (target.job("open").state, target.job("open").error) == (JobState.CANCELLED, "job waits is cancelled")
        target.retry(["waits"])
        assert target.job("open").state is JobState.BLOCKED
        target.retry(["done"], cascade=True)
        assert [parent.id for parent in target.graph("after").jobs][:1] == ["done"]
        generated = next(job.id for job in target.jobs() if job.command == "later")
        assert target.job(generated[:6]).id == generated


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_retry_revives_what_was_imported_as_it_would_have_where_it_was(place: Places, kind: str) -> None:
    with closing(opened(place("sqlite"))) as client, closing(opened(place(kind))) as target:
        enqueue(client, *({"id": id, "command": "true", "batch": "B", "at_most": 1} for id in ("a", "b")))
        enqueue(client, *({"id": id, "command": "true", "held": True} for id in ("slow", "p")))
        after = {"batch": ["batch:B"], "both": ["p", "slow"], "by-hand": ["p"], "late": ["p"], "over": ["batch:B:any"]}
        enqueue(client, *({"id": id, "command": "true", "depends_on": refs} for id, refs in after.items()))
        client.store.change(["late"], Expired("expired: not started within 1s"), None)
        client.cancel(["by-hand"])
        client.cancel(["a", "b", "p"])
        client.store.settle()
        take(target, exported(client))
        for each in (client, target):
            each.retry(["p", "a", "over"])
            each.store.settle()
        found = [{job.id: (job.state, job.error, job.unmet) for job in each.jobs()} for each in (client, target)]
        assert found[0] == found[1]
        states = {id: state.value for id, (state, *_) in found[1].items()}
        assert {id: states[id] for id in after} == {
            "batch": "blocked", "both": "blocked", "by-hand": "cancelled", "late": "cancelled", "over": "blocked",
        }  # fmt: skip
        waits = [side.store.parents(side.job("both"), undecided=True) for side in (client, target)]
        assert [{each.job for each in some} for some in waits] == [{"p", "slow"}] * 2


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_jobs_that_are_imported_into_a_batch_mind_its_limit_there(place: Places, kind: str) -> None:
    with closing(opened(place("sqlite"))) as client, closing(opened(place(kind))) as target:
        enqueue(client, *({"id": id, "command": "true", "batch": "B", "at_most": 3} for id in ("ended", "waits")))
        enqueue(client, {"id": "other", "command": "true", "batch": "C"})
        enqueue(target, {"id": "there", "command": "true", "batch": "C", "at_most": 2})
        client.cancel(["ended"])
        take(target, exported(client))
        assert [target.job(id).locks for id in ("ended", "waits", "other")] == [(), (), ("batch:C",)]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_finished_job_holds_its_key_as_long_as_where_it_was(place: Places, kind: str) -> None:
    with closing(opened(place("sqlite"))) as client, closing(opened(place(kind))) as target:
        enqueue(client, {"id": "a", "command": "true", "unique_key": "K", "unique_for": "1h"})
        enqueue(client, {"id": "b", "command": "true", "unique_key": "L"})
        client.cancel(["a", "b"])
        take(target, exported(client))
        assert target.job("a").unique_until == pytest.approx(client.job("a").unique_until)
        found = enqueue(target, *({"command": "true", "unique_key": key} for key in "KL"))
        assert [each.id == held for each, held in zip(found, "ab", strict=True)] == [True, False]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_cannot_be_imported_is_told_with_the_file(place: Places, kind: str) -> None:
    with closing(opened(place(kind))) as target:
        with pytest.raises(Invalid, match=r"jobs\.jsonl, line 1: this is a hook of another job") as refused:
            take(target, [{"id": "a", "command": "true", "queue": HOOKS}])
        assert "export without --hooks" in refused.value.hint
        with pytest.raises(Invalid, match=r"jobs\.jsonl: job a needs 2 units of lock gpu") as refused:
            take(target, [{"id": "a", "command": "true", "locks": ["gpu=2"]}])
        assert "nothing was imported" in refused.value.hint
        assert target.count() == 0


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_all_or_none_are_imported(place: Places, kind: str) -> None:
    plain: dict[str, Any] = {"id": "a", "command": "true"}
    with closing(opened(place(kind))) as client:
        enqueue(client, {"id": "there", "command": "true", "unique_key": "K"})
        refused: list[tuple[dict[str, Any], type[QueuectlError], str]] = [
            ({"id": "b", "command": "true", "colour": "red"}, Invalid, "line 2: unknown key 'colour'"),
            ({"id": "b", "command": "true", "state": "gone"}, Invalid, "line 2: unknown state"),
            ({"id": "b", "command": "true", "lost": -1}, Invalid, "line 2: lost must be"),
            ({"command": "true"}, Invalid, "line 2: the job has no id"),
            ({"id": "there", "command": "true"}, Conflict, "line 2: job there exists already"),
            ({"id": "a", "command": "true"}, Conflict, "line 1 and 2: id a comes twice"),
            ({"id": "b", "command": "true", "unique_key": "K"}, Conflict, "unique key 'K' is taken by job there"),
            ({"id": "b", "command": "true", "state": "blocked", "depends_on": ["x"]}, NotFound, "no job x"),
        ]  # fmt: skip
        for wrong, error, told in refused:
            with pytest.raises(error, match=told) as raised:
                take(client, [plain, wrong])
            assert "" not in raised.value.hint.split("; "), "a hint is empty"
            assert raised.value.hint.endswith("nothing was imported")
            assert [job.id for job in client.jobs()] == ["there"]
        done: dict[str, Any] = {"id": "b", "command": "true", "state": "completed", "depends_on": ["x"]}
        assert take(client, [plain, done]) == 2  # what it no longer waits for need not come along
        assert client.job("b").depends_on == ("x",)
        with pytest.raises(IdTaken):
            enqueue(client, plain)


def test_no_store_and_no_device_is_written_over(place: Places, tmp_path: Path) -> None:
    db, other, saved = Path(place("sqlite")), Path(place("sqlite")), tmp_path / "saved.db"
    assert typed(db, "enqueue --id here -- true")[0] == typed(other, "enqueue --id there -- true")[0] == 0
    assert typed(db, f"backup {saved}")[0] == 0
    for words in (f"export {db}", f"export {other}", f"export {saved}", f"backup {other}", f"backup {db}"):
        code, _, told = typed(db, f"{words} --replace")
        assert (code, "is a queuectl store, with its jobs" in told) == (4, True)
    for words in ("export /dev/null", "export /dev/stdout", "backup /dev/fd/1", f"export {tmp_path}"):
        assert typed(db, f"{words} --replace")[0] == 2
    assert [typed(each, "list --quiet")[1] for each in (db, other, saved)] == ["here\n", "there\n", "here\n"]
    assert typed(db, f"backup {saved} --replace")[0] == 0


def test_the_commands_write_and_read_a_file(place: Places, tmp_path: Path) -> None:
    source, target, file = Path(place("sqlite")), Path(place("sqlite")), tmp_path / "jobs.jsonl"
    with closing(opened(str(source))) as client:
        fill(client)
    assert typed(source, f"export {file}")[:2] == (0, f"exported 4 jobs to {file}\n")
    assert file.stat().st_mode & 0o777 == 0o600
    code, _, told = typed(source, f"export {file}")
    assert (code, f"queuectl: {file} is there already" in told) == (4, True)
    assert json.loads(typed(source, f"export {file} --replace --json --state completed")[1])["jobs"] == 1
    assert typed(source, f"export {file} --replace -q other -q default")[0] == 0
    assert json.loads(typed(target, f"import {file} --json")[1]) == {"imported": 4}
    assert typed(target, "export -") == typed(target, "export")
    printed = [json.loads(line) for line in typed(target, "export")[1].splitlines()]
    assert alike(printed) == alike([json.loads(line) for line in file.read_text().splitlines()])
    assert typed(target, f"import {file}")[0] == 4
    assert typed(target, "import")[0] == typed(target, f"import {tmp_path}/none")[0] == 2
    assert typed(target, "export --state cancelled") == (0, "", "0 jobs\n")
    assert [path.name for path in tmp_path.glob(".export*")] == []
