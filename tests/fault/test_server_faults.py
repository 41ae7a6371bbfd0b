"""A database server that restarts, vanishes, or answers to nobody costs no acknowledged job, and repeats no result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import psycopg
import pytest

from queuectl import Client as Library
from queuectl.client.facade import Client
from queuectl.domain.errors import StoreBusy, StoreUnavailable
from queuectl.domain.job import JobState, Outcome
from queuectl.domain.selector import Selector
from queuectl.store.liveness import supervisor_folder
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.values import WorkerRow
from queuectl.wire.requests import parse_request
from tests.builders import a_worker
from tests.fault.history import beating_until, check, diary_command
from tests.proxy import Proxy
from tests.server import Server, new_schema, start_server
from tests.web.service import serving
from tests.workshop import PATIENCE_S, Workshop, clean_environment, open_workshop, until

LEASE_S = 10.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own: it is going to be killed."""
    found = start_server()
    yield found
    found.remove()


@pytest.fixture
def shop(server: Server, tmp_path: Path) -> Iterator[Workshop]:
    with open_workshop(tmp_path, new_schema(server.url)) as workshop:
        yield workshop


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    found = Proxy(server.port)
    yield found
    found.close()


def through(proxy: Proxy, shop: Workshop, server: Server) -> str:
    """The store's address by way of the proxy."""
    return shop.address.replace(f":{server.port}", f":{proxy.port}")


def waiting_for(gate: Path) -> str:
    return f"while [ ! -e {gate} ]; do sleep 0.05; done"


def log_of(shop: Workshop) -> str:
    return "".join(path.read_text() for path in shop.folder.glob("**/logs/*.log"))


# --- restarts -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["fast", "immediate", "crash"])
def test_a_restart_of_the_server_ends_no_command_and_loses_no_job(
    shop: Workshop, server: Server, tmp_path: Path, how: int
) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    long = shop.enqueue_all([{"command": diary_command(diary, waiting_for(gate))} for _ in range(2)])
    short = shop.enqueue_all([{"command": diary_command(diary, "true")} for _ in range(50)])
    shop.worker(4)
    shop.started(*long)
    server.stop(how)
    until(lambda: "cannot reach the store" in log_of(shop) or "shutting down" in log_of(shop))
    gate.touch()
    until(lambda: len([words for words in shop.events(diary) if words[0] in long]) == 4)
    server.start()
    until(lambda: reachable(shop))
    done = shop.finished(*long, *short)
    assert {(job.state, job.lost) for job in done} == {(JobState.COMPLETED, 0)}
    assert {job.starts for job in done if job.id in long} == {1}
    until(lambda: "the store is back" in log_of(shop))
    check(shop, diary, long + short)


def reachable(shop: Workshop) -> bool:
    """Whether our own connection works again."""
    try:
        shop.store.config()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told by who waits in vain
        print(error)
        return False
    return True


def test_without_a_server_commands_end_before_their_lease(shop: Workshop, server: Server, tmp_path: Path) -> None:
    shop.store.set_config("lease-ttl", f"{LEASE_S:g}s")
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, waiting_for(gate)))
    stubborn = shop.enqueue(f"trap '' TERM; test $QUEUECTL_LEASE -gt 1 || {{ {waiting_for(gate)}; }}", kill_grace=60)
    worker = shop.worker(2)
    shop.started(job, stubborn)
    left = shop.commands()
    began = time.monotonic()
    server.stop(signal.SIGQUIT)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in left))
    took = time.monotonic() - began
    assert LEASE_S * 0.4 < took < LEASE_S
    assert "commands go on as long as their lease lasts, nothing new is started" in log_of(shop)
    until(lambda: log_of(shop).count(" was ended, as its lease could not be renewed; it runs again\n") == 2)
    server.start()
    until(lambda: reachable(shop))
    until(lambda: shop.job(job).starts == 2)
    gate.touch()
    done = shop.finished(job, stubborn)
    assert {(each.state, each.attempts, each.lost) for each in done} == {(JobState.COMPLETED, 1, 0)}
    for each in done:
        assert (shop.store.attempts(each)[0].note or "").startswith("ended as its worker could not renew its lease")
    assert worker.process.poll() is None
    check(shop, diary, [job])


LEFT = "leaving without the store; results for the next worker to record: {0}"


def test_a_stop_without_a_server_says_what_it_waits_for(shop: Workshop, server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"trap '' TERM; {waiting_for(gate)}", kill_grace=60)
    worker = shop.worker(1)
    shop.started(job)
    worker.signal(signal.SIGTERM)
    until(lambda: "SIGTERM: stopping; 1 running command will finish first" in log_of(shop))
    server.stop(signal.SIGQUIT)
    until(lambda: "stopping waits for the store; 2 more signals would leave without it" in log_of(shop))
    worker.signal(signal.SIGTERM)
    until(lambda: "stopping waits for the store; 1 more signal would leave without it" in log_of(shop))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 5
    assert log_of(shop).splitlines()[-1].endswith(LEFT.format(0))
    gate.touch()
    server.start()
    until(lambda: reachable(shop))
    shop.worker(1)
    assert shop.finished(job)[0].state == JobState.COMPLETED


@pytest.mark.parametrize("is_away_first", [True, False])
def test_an_idle_worker_does_not_wait_for_a_server_that_is_away(
    shop: Workshop, server: Server, *, is_away_first: bool
) -> None:
    worker = shop.worker(1)
    if is_away_first:
        server.stop(signal.SIGQUIT)
        until(lambda: "cannot reach the store" in log_of(shop))
        worker.signal(signal.SIGTERM)
    else:
        worker.signal(signal.SIGSTOP)
        server.stop(signal.SIGQUIT)
        worker.signal(signal.SIGTERM)
        worker.signal(signal.SIGCONT)
    assert worker.wait() == 5
    assert log_of(shop).splitlines()[-1].endswith(f"SIGTERM: {LEFT.format(0)}")
    server.start()
    until(lambda: reachable(shop))
    job = shop.enqueue("true")
    shop.worker(1)
    assert shop.finished(job)[0].state == JobState.COMPLETED


# --- other hosts ----------------------------------------------------------------------------


def test_the_log_of_a_worker_of_another_host_is_said_to_be_there(shop: Workshop) -> None:
    shop.store.register(a_worker("far~1", host="box-2", machine="another"), LEASE_S)
    shop.worker(1, "--name", "near")

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        surroundings = clean_environment(QUEUECTL_DB=shop.address, XDG_STATE_HOME=str(shop.folder))
        command = [sys.executable, "-m", "queuectl", "worker", "logs", *words]
        return subprocess.run(command, capture_output=True, text=True, env=surroundings, timeout=60)

    assert typed("far").stderr == "queuectl: worker far has no log on this host; it runs on host box-2\n"
    assert "worker near started" in typed().stdout, "the only one with a log here"


def test_a_dead_hosts_jobs_run_elsewhere_after_its_lease(shop: Workshop, tmp_path: Path) -> None:
    shop.store.set_config("lease-ttl", f"{LEASE_S:g}s")
    diary = tmp_path / "diary"
    job = shop.enqueue(diary_command(diary, "test $QUEUECTL_LEASE -gt 1 || sleep 300"))
    worker = shop.worker(1)
    shop.started(job)
    (row,) = shop.supervisors()
    left = shop.commands()
    shop.worker(1, XDG_STATE_HOME=str(tmp_path / "another host"))
    for pid in (worker.pid, row.pid, *left):
        os.kill(pid, signal.SIGKILL)
    (done,) = shop.finished(job)
    assert (done.state, done.lost, done.lease) == (JobState.COMPLETED, 1, 2)
    check(shop, diary, [job])


def test_a_cut_off_worker_ends_its_commands_in_time_and_goes_on(
    shop: Workshop, server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    shop.store.set_config("lease-ttl", f"{LEASE_S:g}s")
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, waiting_for(gate)))
    cut_off = shop.worker(1, "--name", "cut-off", QUEUECTL_DB=through(proxy, shop, server))
    shop.started(job)
    shop.commands()
    shop.worker(1, "--name", "there", XDG_STATE_HOME=str(tmp_path / "another host"))
    proxy.silent = True
    until(lambda: shop.job(job).starts == 2)
    assert shop.job(job).lost == 1, "nobody there can tell why it was not renewed"
    proxy.silent = False
    proxy.cut()
    until(lambda: "the lease of cut-off" in log_of(shop))
    until(lambda: shop.job(job).lost == 0, "it has told that it had ended the command")
    assert shop.job(job).state is JobState.PROCESSING
    gate.touch()
    (done,) = shop.finished(job)
    assert (done.state, done.lost, done.attempts) == (JobState.COMPLETED, 0, 1)
    outcomes = [attempt.outcome for attempt in shop.store.attempts(done)]
    assert outcomes == [Outcome.STOPPED, Outcome.COMPLETED]
    assert cut_off.process.poll() is None
    second_gate = tmp_path / "second"
    both = shop.enqueue_all([{"command": diary_command(diary, waiting_for(second_gate))}] * 2)
    shop.started(*both)  # which takes the slots of both
    second_gate.touch()
    shop.finished(*both)
    assert {shop.store.attempts(shop.job(each))[0].worker.partition("~")[0] for each in both} == {"cut-off", "there"}
    check(shop, diary, [job, *both])


def test_a_found_journal_takes_back_losses_of_a_killed_dispatcher(shop: Workshop, tmp_path: Path) -> None:
    shop.store.set_config("lease-ttl", f"{LEASE_S:g}s")
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, waiting_for(gate)))
    worker = shop.worker(1)
    shop.started(job)
    (row,) = shop.supervisors()
    shop.worker(1, XDG_STATE_HOME=str(tmp_path / "another host"))
    worker.kill()
    until(lambda: shop.job(job).starts == 2, "it runs elsewhere")
    assert shop.job(job).lost == 1
    left = supervisor_folder(shop.store.folder, row.id)
    os.utime(left, (0, 0))  # folders of supervisors that are just starting are left alone
    shop.worker(1)
    until(lambda: shop.job(job).lost == 0, "it had ended the command itself")
    until(lambda: not left.exists(), "the folder is removed once it has told")
    gate.touch()
    assert shop.finished(job)[0].state is JobState.COMPLETED
    check(shop, diary, [job])


# --- connections that fall silent -----------------------------------------------------------


def test_a_worker_replaces_silent_connections_well_before_its_lease_expires(
    shop: Workshop, server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    shop.store.set_config("lease-ttl", f"{LEASE_S:g}s")
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    proxy.mute = b"LISTEN"
    shop.worker(2, QUEUECTL_DB=through(proxy, shop, server))
    long = shop.enqueue(diary_command(diary, waiting_for(gate)))
    short = [shop.enqueue(diary_command(diary, "true"))]
    shop.started(long)
    until(lambda: proxy.given_up == 1, "it no longer waits to be heard as a listener")
    for given_up, word in enumerate((b"SKIP LOCKED", b"attempts", b"SET expires_at"), 2):  # claim, record, renew
        proxy.mute = word
        short += shop.enqueue_all([{"command": diary_command(diary, "true")} for _ in range(5)])
        until(lambda given_up=given_up: proxy.given_up == given_up, f"{word!r}: given up")  # type: ignore[misc]
        shop.finished(*short)
    gate.touch()
    done = shop.finished(long, *short)
    assert {(job.state, job.starts, job.lost) for job in done} == {(JobState.COMPLETED, 1, 0)}
    check(shop, diary, [long, *short])


def test_jobs_of_a_worker_frozen_in_a_transaction_run_elsewhere(
    shop: Workshop, server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    shop.store.set_config("lease-ttl", f"{LEASE_S:g}s")
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    shop.worker(1, QUEUECTL_DB=through(proxy, shop, server))
    job = shop.enqueue(diary_command(diary, waiting_for(gate)))
    shop.started(job)
    shop.commands()
    shop.worker(2, XDG_STATE_HOME=str(tmp_path / "another host"))
    proxy.strand = b"SET expires_at"  # from now on the server answers somebody who has gone
    until(lambda: shop.job(job).starts == 2, "it runs elsewhere")
    gate.touch()
    assert shop.finished(job)[0].state is JobState.COMPLETED
    check(shop, diary, [job])


FREEZE_WITHIN_A_TRANSACTION = """
import os, signal, sys
from pathlib import Path
from queuectl.store.postgres.store import PostgresStore
store = PostgresStore(sys.argv[1], Path(sys.argv[2]))
with store.transaction():
    row, = store.workers()
    asked = store.send("drives", **row.grip._asdict())
    if sys.argv[3] == "answered":
        assert asked.fetchone()
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.parametrize("state", ["asked", "answered"])
def test_every_version_releases_locks_of_a_process_frozen_in_a_transaction(
    postgres_url: str, tmp_path: Path, state: str
) -> None:
    store = PostgresStore(postgres_url, tmp_path)
    store.register(a_worker())
    (row,) = store.workers()
    words = [sys.executable, "-c", FREEZE_WITHIN_A_TRANSACTION, postgres_url, str(tmp_path), state]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as holder:
        try:
            assert os.waitid(os.P_PID, holder.pid, os.WSTOPPED) is not None
            until(lambda: is_locked(postgres_url), "the server has heard what was sent before the freeze")
            store.wait_at_most(0.1, 1.5)
            with pytest.raises(StoreBusy):
                store.adopt(row, 99)
            until(lambda: is_adopted(store, row), "somebody else gets the row")
            os.kill(holder.pid, signal.SIGCONT)
            assert "StoreUnavailable" in holder.communicate(timeout=60)[1], "it is refused when it goes on"
        finally:
            holder.kill()
            store.close()


def is_locked(postgres_url: str) -> bool:
    """Whether somebody's transaction holds the one worker's row."""
    address = parse_address(postgres_url)
    with psycopg.connect(address.server) as db:
        free = f"SELECT 1 FROM {address.schema}.workers FOR UPDATE SKIP LOCKED"
        return db.execute(free.encode()).fetchone() is None


def is_adopted(store: PostgresStore, row: WorkerRow) -> bool:
    try:
        return store.adopt(row, 99) is not None
    except StoreBusy:
        return False


def test_late_packets_cost_time_and_nothing_else(shop: Workshop, server: Server, proxy: Proxy, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    shop.worker(2, QUEUECTL_DB=through(proxy, shop, server))
    proxy.delay_s = 0.05
    jobs = shop.enqueue_all([{"command": diary_command(diary, "true")} for _ in range(8)])
    assert {(job.state, job.starts, job.lost) for job in shop.finished(*jobs)} == {(JobState.COMPLETED, 1, 0)}
    check(shop, diary, jobs)


def test_an_enqueue_over_a_silent_connection_ends_with_a_clear_error(
    shop: Workshop, server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    store = PostgresStore(through(proxy, shop, server), tmp_path)
    store.wait_at_most(0.2, 1.0)
    client = Client(store)
    try:
        proxy.mute = b"INSERT"
        with pytest.raises(StoreUnavailable, match="no answer within"):
            client.enqueue([parse_request({"id": "job", "command": "true"}, time.time())])
        assert sum(shop.store.counts().values()) == 0
        store.wait_at_most(5.0)
        client.enqueue([parse_request({"id": "job", "command": "true"}, time.time())])
    finally:
        client.close()
    assert sum(shop.store.counts().values()) == 1


def test_commands_of_a_fully_killed_worker_end_with_their_lease(shop: Workshop, tmp_path: Path) -> None:
    shop.store.set_config("lease-ttl", f"{LEASE_S:g}s")
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    worker = shop.worker(1)
    job = shop.enqueue(diary_command(diary, beating_until(gate, diary)))
    shop.started(job)
    (row,) = shop.supervisors()
    shop.worker(1, XDG_STATE_HOME=str(tmp_path / "another host"))
    for pid in (row.pid, worker.pid):
        os.kill(pid, signal.SIGKILL)
    until(lambda: shop.job(job).starts == 2, "it runs elsewhere")
    gate.touch()
    assert shop.finished(job)[0].state is JobState.COMPLETED
    check(shop, diary, [job])


# --- replies that never come ----------------------------------------------------------------


def test_a_commit_whose_reply_is_lost_neither_loses_nor_repeats_anything(
    shop: Workshop, server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    shop.worker(2, QUEUECTL_DB=through(proxy, shop, server))
    jobs: list[str] = []
    for _ in range(10):
        proxy.swallow = b"COMMIT"
        jobs += shop.enqueue_all([{"command": diary_command(diary, "true")} for _ in range(3)])
        until(lambda: proxy.swallow is None)
    done = shop.finished(*jobs)
    assert proxy.swallowed >= 5
    assert {(job.state, job.lost, job.attempts) for job in done} == {(JobState.COMPLETED, 0, 1)}
    check(shop, diary, jobs)


def test_an_enqueue_whose_commit_goes_unanswered_adds_its_jobs_once(
    shop: Workshop, server: Server, proxy: Proxy, tmp_path: Path
) -> None:
    client = Client(PostgresStore(through(proxy, shop, server), tmp_path))
    try:
        for number in range(5):
            proxy.swallow = b"COMMIT"
            client.enqueue([parse_request({"id": f"job{number}", "command": "true"}, time.time())])
            proxy.cut()  # and now the request itself does not arrive
            client.enqueue([parse_request({"id": f"more{number}", "command": "true"}, time.time())])
    finally:
        client.close()
    assert proxy.swallowed == 5
    assert sum(shop.store.counts().values()) == 10


def test_a_server_that_is_away_is_one_clear_error(shop: Workshop, server: Server) -> None:
    nowhere = shop.address.replace(f":{server.port}", ":1").replace("postgres@", "postgres:s3cret@")
    command = [sys.executable, "-m", "queuectl", "enqueue", "--", "true"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=clean_environment(QUEUECTL_DB=nowhere), timeout=60
    )
    assert done.returncode == 5
    assert "cannot reach the store" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_who_waits_outlives_a_restart_of_the_server(shop: Workshop, server: Server, tmp_path: Path) -> None:
    shop.worker(2)
    gate = tmp_path / "gate"
    line = waiting_for(gate)
    (job,) = shop.enqueue_all([{"command": f"echo begun; {line}; echo ended", "id": "waited-for"}])
    shop.started(job)
    surroundings = clean_environment(QUEUECTL_DB=shop.address, XDG_STATE_HOME=str(tmp_path))
    words = [["wait", job], ["logs", "-f", job], ["run", "-c", f"{line}; exit 7"]]
    waits = [
        subprocess.Popen(
            [sys.executable, "-m", "queuectl", *each], env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        for each in words
    ]  # fmt: skip
    until(lambda: len(shop.store.find(Selector(states=(JobState.PROCESSING,)))) == 2, "both run")
    assert waits[1].stdout
    assert waits[1].stdout.readline() == "begun\n"
    with psycopg.connect(server.url, autocommit=True) as db:  # within a transaction every look shows the first one
        looking = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%jobs%id IN (%' AND state = 'idle'"
        until(lambda: db.execute(looking).fetchone() == (1,), "it waits")
    server.stop()
    for each in waits:
        assert each.stderr
        assert each.stderr.readline().endswith("; waiting until it is back\n")
    server.start()
    gate.touch()
    ended = [each.communicate(timeout=60) for each in waits]
    assert [each.returncode for each in waits] == [0, 0, 7], ended
    assert [out for out, _ in ended[:2]] == [f"{job} completed\n", "ended\n"]
    assert all("the store is back" in err for _, err in ended), ended


def test_who_waits_for_a_workers_end_outlives_a_restart_of_the_server(
    shop: Workshop, server: Server, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    shop.worker(1, "--name", "night")
    shop.started(shop.enqueue(waiting_for(gate)))
    surroundings = clean_environment(QUEUECTL_DB=shop.address, XDG_STATE_HOME=str(shop.folder))
    watchers = [
        subprocess.Popen(
            [sys.executable, "-m", "queuectl", "worker", *words], env=surroundings, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for words in (("stop", "night"), ("logs", "-f", "night"))
    ]  # fmt: skip
    (_, told), (log, complaints) = [(each.stdout, each.stderr) for each in watchers]
    assert told
    assert log
    assert complaints
    assert told.readline().startswith("waiting for 1 running command")
    until(lambda: "worker stop" in log.readline(), "it follows the log")
    server.stop()
    assert complaints.readline().endswith("; waiting until it is back\n")
    server.start()
    gate.touch()
    ended = [each.communicate(timeout=60) for each in watchers]
    assert [each.returncode for each in watchers] == [0, 0], ended
    assert ended[0] == ("stopped night\n", "")
    assert "worker night stopped" in ended[1][0]


def test_who_follows_events_outlives_a_restart_of_the_server(shop: Workshop, server: Server, tmp_path: Path) -> None:
    surroundings = clean_environment(QUEUECTL_DB=shop.address, XDG_STATE_HOME=str(tmp_path))
    shop.enqueue("true", id="before")
    follower = subprocess.Popen(
        [sys.executable, "-m", "queuectl", "events", "--follow"], env=surroundings, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert follower.stdout
    assert follower.stderr
    try:
        assert "before  enqueued" in follower.stdout.readline()
        server.stop()
        assert follower.stderr.readline().endswith("; waiting until it is back\n")
        server.start()
        assert follower.stderr.readline() == "the store is back\n"
        until(lambda: shop.enqueue("true", id="after") == "after", "the store is back")
        assert "after  enqueued" in follower.stdout.readline()
    finally:
        follower.kill()
        follower.communicate()


def test_who_waits_over_http_outlives_a_restart_of_the_databases_server(
    shop: Workshop, server: Server, tmp_path: Path
) -> None:
    shop.worker(1)
    gate = tmp_path / "gate"
    job = shop.enqueue(f"echo begun; {waiting_for(gate)}; echo ended")
    shop.started(job)
    with serving(shop.address) as service, ThreadPoolExecutor(2) as threads:
        remote = Library.remote(service.url, service.tokens["full"])
        pieces = remote.follow(job)
        assert next(pieces) == (1, b"begun\n")
        found = Event()

        def jobs() -> Iterator[str]:
            yield job
            found.set()

        waits, rest = threads.submit(remote.wait, jobs()), threads.submit(list, pieces)  # type: ignore[arg-type]
        assert found.wait(PATIENCE_S)
        server.stop()
        until(lambda: service.full.get(f"/api/v1/jobs/{job}").status_code == 503, "the server notices")
        time.sleep(1.5)  # both have asked meanwhile
        server.start()
        gate.touch()
        assert [done.state for done in waits.result(60)] == [JobState.COMPLETED]
        assert rest.result(60) == [(1, b"ended\n")]
        remote.close()
