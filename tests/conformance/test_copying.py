"""Every store can be copied into every other one, whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from shlex import quote

import psycopg
import pytest

from queuectl import Client as Library
from queuectl import ids, places
from queuectl.client import copying, tokens
from queuectl.client.facade import Client
from queuectl.domain.errors import Conflict, Invalid, QueuectlError, StoreUnavailable
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import Ended
from queuectl.domain.selector import Selector
from queuectl.store.postgres.address import parse_address
from queuectl.store.shared.archive import TABLES
from queuectl.store.shared.limits import GATES_SCHEMA
from queuectl.store.sqlite.connection import connect
from queuectl.store.values import FIRST_EPOCH, Change, Moved, Output, WorkerRow
from queuectl.wire.kinds import JsonObject
from queuectl.wire.requests import parse_request
from tests.builders import a_grip
from tests.server import drop_schema, new_schema
from tests.unit.test_json_everywhere import typed
from tests.workshop import PATIENCE_S, until

Places = Callable[[str], str]


@pytest.fixture
def place(tmp_path: Path, postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    """Makes places for stores of a kind that are not there yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made: list[str] = []

    def new(kind: str) -> str:
        if kind == "sqlite":
            return str(tmp_path / f"{ids.random_id(8)}.db")
        made.append(new_schema(postgres_server))
        return made[-1]

    yield new
    for url in made:
        drop_schema(url)


def opened(url: str) -> Client:
    return Client(places.open_store(url))


def enqueue(client: Client, *documents: JsonObject) -> list[Job]:
    return client.enqueue([parse_request(document, time.time()) for document in documents])


def fill(client: Client) -> None:
    """Jobs in several states, with an output that is compressed, notes and a setting."""
    store = client.store
    client.set_setting("max-retries", "7")
    enqueue(client, {"id": "done", "command": "echo 'ü'", "tags": ["a", "b"], "env": {"A": "1"}})
    enqueue(client, {"id": "fails", "command": ["false", "x y"], "max_retries": 2, "timeout": "5s"})
    row = WorkerRow(
        id="w~1", name="w", epoch=FIRST_EPOCH, host="h", machine="none", pid=1, dispatcher=1, slots=2, queues=(),
        tag=0, version="0", started_at=store.now(),
    )  # fmt: skip
    store.register(row)
    for job, code in zip(store.claim(row.grip, "h", 2, ()), (0, 1), strict=True):
        end = Ended(started_at=store.now(), finished_at=store.now(), exit_code=code, output_bytes=5003)
        store.record(row.grip, [Change(job=job, event=end, outputs=[Output(stream=1, head=b"\0\xffx" + b"y" * 5000)])])
    store.deregister(row.grip)
    enqueue(client, {"id": "waits", "command": "true", "queue": "other", "priority": 3}, {"command": "later"})
    client.hold(["waits"])


def all_of(client: Client) -> list[object]:
    """What there is to know of a store's jobs."""
    store = client.store
    told: list[object] = [store.config(), store.counts()]
    for job in store.find(Selector()):
        attempts = store.attempts(job)
        told += [job, attempts, store.notes(job), [store.outputs(job, each.number) for each in attempts]]
    return told


def copy(source: Client, to: str, *, keep: bool = False, replace: bool = False) -> dict[str, int]:
    return copying.copy(source, to, keep=keep, replace=replace, say=lambda _line: None, progress=None)


@pytest.mark.parametrize("to", ["sqlite", "postgres"])
@pytest.mark.parametrize("source", ["sqlite", "postgres"])
def test_a_copy_is_complete_and_the_source_points_to_it(place: Places, source: str, to: str) -> None:
    source_url, to_url = place(source), place(to)
    client = opened(source_url)
    fill(client)
    before = all_of(client)
    assert copy(client, to_url)["jobs"] == 4
    with pytest.raises(QueuectlError, match="moved"):
        enqueue(client, {"command": "true"})
    client.close()
    with pytest.raises(StoreUnavailable, match="has moved to") as refused:
        places.open_store(source_url)
    assert refused.value.hint == f"use that one: --db {quote(to_url)}"
    copied = opened(to_url)
    assert all_of(copied) == before
    (new,) = enqueue(copied, {"command": "true"})
    assert copied.job(new.id).seq > max(job.seq for job in copied.find(Selector(queues=("other",))))
    assert copied.job("done").state is JobState.COMPLETED
    copied.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_open_store_that_has_moved_refuses_every_change(place: Places, kind: str) -> None:
    source_url, to_url = place(kind), place("sqlite")
    client = opened(source_url)
    enqueue(client, {"id": "a", "command": "true"})
    tokens.create(client.store, "me", "t")
    made = client.tokens()
    long_open = opened(source_url)
    copy(client, to_url)
    acts: list[Callable[[], object]] = [
        lambda: long_open.cancel(["a"]), lambda: long_open.delete(["a"]), lambda: long_open.hold(["a"]),
        lambda: long_open.set_setting("timeout", "1h"), lambda: long_open.pause_queues("default"),
        lambda: enqueue(long_open, {"id": "b", "command": "true"}),
        lambda: long_open.revoke_token("t"),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(StoreUnavailable, match=f"has moved to {to_url}"):
            act()
    assert long_open.is_outdated()
    assert (long_open.job("a").state, long_open.tokens()) == (JobState.PENDING, made)
    for each in (client, long_open):
        each.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_program_whose_store_moves_is_told_by_reads(place: Places, kind: str) -> None:
    url, to_url = place(kind), place("sqlite")
    reads: list[Callable[[Library], object]] = [
        Library.status, Library.find, Library.counts, Library.queues, lambda program: program.job("a"),
        lambda program: program.output("a"), lambda program: list(program.jobs()), lambda program: program.explain("a"),
        lambda program: next(program.follow("a")),
    ]  # fmt: skip
    with Library(url) as program, ThreadPoolExecutor(1) as another_thread:
        program.enqueue(command="true", id="a")
        another_thread.submit(program.status).result(PATIENCE_S)
        with closing(opened(url)) as client:
            copy(client, to_url)
        until(lambda: is_moved(program))
        for read in reads:
            for told in (another_thread.submit(read, program).exception(PATIENCE_S), raised(read, program)):
                assert isinstance(told, Moved)
                assert (told.message, told.hint) == (
                    f"the store {program.url} has moved to {to_url}", f"use that one: --db {quote(to_url)}"
                )  # fmt: skip
        with closing(opened(to_url)) as client:
            copy(client, url, replace=True)
        assert program.job("a").id == "a"


def is_moved(program: Library) -> bool:
    return isinstance(raised(Library.status, program), Moved)


def raised(read: Callable[[Library], object], program: Library) -> Exception | None:
    try:
        read(program)
    except StoreUnavailable as error:
        return error
    return None


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_store_that_has_moved_can_be_emptied(place: Places, kind: str) -> None:
    source_url, to_url = place(kind), place("sqlite")
    client = opened(source_url)
    enqueue(client, {"id": "a", "command": "true"})
    copy(client, to_url)
    client.close()
    places.reset_store(source_url)
    again = opened(source_url)
    enqueue(again, {"id": "b", "command": "true"})
    again.cancel(["b"])
    again.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_who_waits_for_a_store_that_moves_hears_of_it(place: Places, kind: str) -> None:
    source_url, to_url = place(kind), place("sqlite")
    client = opened(source_url)
    enqueue(client, {"id": "a", "command": "true", "batch": "b"})
    waits: list[Callable[[Client], object]] = [
        lambda waiting: waiting.wait("a"), lambda waiting: waiting.wait_batch("b"),
        lambda waiting: list(waiting.follow("a")),
        lambda waiting: list(waiting.watch().happening(60.0, 10)),
    ]  # fmt: skip

    def heard(wait: Callable[[Client], object]) -> str:
        with closing(opened(source_url)) as waiting:
            begun.release()
            with pytest.raises(Moved) as refused:
                wait(waiting)
            return refused.value.message

    begun = threading.Semaphore(0)
    with ThreadPoolExecutor(len(waits)) as pool:
        told = [pool.submit(heard, wait) for wait in waits]
        for _ in waits:
            assert begun.acquire(timeout=PATIENCE_S)
        copy(client, to_url)
        for each in told:
            assert f"has moved to {to_url}" in each.result(PATIENCE_S)
    client.close()


@pytest.mark.parametrize(("source", "to"), [("sqlite", "postgres"), ("postgres", "sqlite")])
def test_unique_keys_and_batches_hold_in_a_copy(place: Places, source: str, to: str) -> None:
    to_url, client = place(to), opened(place(source))
    enqueue(
        client, {"id": "first", "command": "true", "unique_key": "k", "batch": "b", "at_most": 2, "max_fails": "5%"}
    )
    enqueue(client, {"id": "next", "command": "true", "depends_on": "batch:b"})
    copy(client, to_url)
    client.close()
    copied = opened(to_url)
    assert [job.id for job in enqueue(copied, {"command": "x", "unique_key": "k"})] == ["first"]
    (batch,) = copied.batches()
    assert (batch.name, batch.total, batch.at_most, batch.max_fails) == ("b", 1, 2, "5%")
    copied.cancel(["first"])
    assert copied.job("next").error == "batch b has failed"
    copied.close()


@pytest.mark.parametrize("to", ["sqlite", "postgres"])
@pytest.mark.parametrize("source", ["sqlite", "postgres"])
def test_limits_hold_in_a_copy_and_parked_jobs_start_there(place: Places, source: str, to: str) -> None:
    to_url, client = place(to), opened(place(source))
    client.set_queue("rated", concurrency=3, rate="1/h", max_retries=1)
    client.pause_queues("paused", reason="not yet")
    client.set_lock("gpu", units=["x"], env="GPUS")
    enqueue(client, *({"id": id, "command": "true", "locks": ["gpu"]} for id in "abc"))
    enqueue(client, *({"id": id, "command": "true", "queue": "rated"} for id in ("first", "second")))
    enqueue(client, {"id": "d", "command": "true", "queue": "paused", "start_by": "2099-01-01T00:00:00Z"})
    assert worked_off(client, 2) == ["a", "first"]
    before = [client.store.queues(), client.store.locks(), client.store.needs(), all_of(client)]
    copy(client, to_url)
    client.close()
    copied = opened(to_url)
    assert [copied.store.queues(), copied.store.locks(), copied.store.needs(), all_of(copied)] == before
    assert worked_off(copied, 9) == ["b"]
    assert worked_off(copied, 9) == ["c"]
    assert worked_off(copied, 9) == []
    text = "SELECT value FROM {schema}.meta WHERE name LIKE ?"
    readers = copied.store._select(text, ["oldest reader%"])  # type: ignore[attr-defined]
    assert {int(reader) for (reader,) in readers} == {GATES_SCHEMA}
    copied.close()


def worked_off(client: Client, slots: int) -> list[str]:
    """The jobs that a worker claims at once, and completes."""
    store, grip = client.store, a_grip(client.store, f"w{ids.random_id(4)}")
    claimed = store.claim(grip, "h", slots, ())
    end = Ended(started_at=store.now(), finished_at=store.now(), exit_code=0)
    store.record(grip, [Change(job=job, event=end) for job in claimed])
    store.deregister(grip)
    return [job.id for job in claimed]


def test_a_store_that_is_kept_goes_on(place: Places) -> None:
    source_url = place("sqlite")
    client = opened(source_url)
    fill(client)
    copy(client, place("postgres"), keep=True)
    enqueue(client, {"id": "more", "command": "true"})
    assert client.job("more").state is JobState.PENDING
    client.close()
    opened(source_url).close()


def test_a_copy_on_a_server_needs_no_whole_tables_read_from_the_beginning(place: Places) -> None:
    source, to_url = opened(place("sqlite")), place("postgres")
    fill(source)
    copy(source, to_url)
    address = parse_address(to_url)
    with psycopg.connect(address.server, autocommit=True) as db:
        known = "FROM pg_stats WHERE schemaname = %s AND tablename IN ('jobs', 'attempts')"
        assert db.execute(f"SELECT count(DISTINCT tablename) {known}", [address.schema]).fetchone() == (2,)
        # By that an index alone may answer, unless somebody else's old snapshot was in the way.
        vacuumed = "SELECT sum(vacuum_count) FROM pg_stat_user_tables WHERE schemaname = %s"
        vacuumed += " AND relname IN ('jobs', 'attempts')"
        until(lambda: db.execute(vacuumed, [address.schema]).fetchone() == (2,), "both tables are vacuumed")


def test_a_target_with_jobs_is_refused_unless_they_may_be_replaced(place: Places) -> None:
    source, to_url = opened(place("sqlite")), place("postgres")
    fill(source)
    there = opened(to_url)
    enqueue(there, {"id": "old", "command": "true"})
    with pytest.raises(Conflict, match="is not empty"):
        copy(source, to_url)
    assert there.job("old")
    there.close()
    copy(source, to_url, replace=True)
    copied = opened(to_url)
    assert [job.id for job in copied.find(Selector())][:2] == ["done", "fails"]
    copied.close()
    source.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_copy_that_is_cut_off_leaves_what_it_was_to_replace(place: Places, kind: str) -> None:
    source, to_url = opened(place("sqlite")), place(kind)
    enqueue(source, *({"command": "true"} for _ in range(1000)))
    with closing(opened(to_url)) as there:
        fill(there)
        before = all_of(there)

    def cut_off(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying.copy(source, to_url, keep=False, replace=True, say=lambda _line: None, progress=cut_off)
    with closing(opened(to_url)) as there:
        assert all_of(there) == before
        enqueue(there, {"command": "true"})
    enqueue(source, {"id": "goes-on", "command": "true"})
    source.close()


def test_where_nobody_can_be_asked_replacing_a_store_wants_yes(tmp_path: Path) -> None:
    db, to = tmp_path / "queuectl.db", tmp_path / "to.db"
    assert typed(db, "enqueue --id new -- true")[0] == typed(to, "enqueue --id old -- true")[0] == 0
    told = f"queuectl: all jobs of {to} would be removed; confirm with --yes\n"
    assert typed(db, f"copy --to {to} --replace") == (2, "", told)
    assert typed(to, "list --quiet")[1] == "old\n"
    assert typed(db, f"copy --to {to} --replace --yes")[0] == 0
    assert typed(to, "list --quiet")[1] == "new\n"


def test_a_store_is_not_copied_onto_itself_by_another_name(place: Places, tmp_path: Path) -> None:
    url = place("sqlite")
    client = opened(url)
    fill(client)
    (tmp_path / "alias.db").symlink_to(url)
    with pytest.raises(Invalid, match="is the source itself"):
        copy(client, str(tmp_path / "alias.db"), replace=True)
    assert client.job("done")
    client.close()


def test_a_store_may_come_back_to_where_it_was(place: Places) -> None:
    first, second = place("postgres"), place("sqlite")
    client = opened(first)
    fill(client)
    before = all_of(client)
    copy(client, second)
    client.close()
    client = opened(second)
    copy(client, first, replace=True)
    client.close()
    client = opened(first)
    assert all_of(client) == before
    client.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_every_column_of_every_table_is_copied(place: Places, kind: str) -> None:
    url = place(kind)
    opened(url).close()
    own = {"specs": {"digest"}, "queues": {"is_full"}}
    for table, columns in TABLES.items():
        assert _columns(kind, url, table) - own.get(table, set()) == set(columns)


def _columns(kind: str, url: str, table: str) -> set[str]:
    if kind == "sqlite":
        db = connect(url, 10.0)
        names = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        db.close()
        return names
    address = parse_address(url)
    with psycopg.connect(address.server) as server:
        found = server.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
            [address.schema, table],
        )
        return {name for (name,) in found}
