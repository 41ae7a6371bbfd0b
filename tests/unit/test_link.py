"""What a dispatcher tells its supervisor of jobs that share surroundings, and of those that do not."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from queuectl.domain.cause import Cause
from queuectl.domain.job import Spec
from queuectl.engine import channel
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.host import Host, Plan
from queuectl.engine.dispatch.link import Link
from queuectl.engine.protocol import (
    PROTOCOL,
    SPECS_MAX,
    Ask,
    Drop,
    Dropped,
    End,
    Ended,
    Hello,
    Message,
    Order,
    Ping,
    Prepare,
    Slots,
    Terminate,
    encoded,
    parse,
)
from queuectl.store.passfile import Access
from tests.builders import a_job, a_worker
from tests.workshop import until


def test_every_start_refers_to_one_of_the_last_surroundings_that_were_sent() -> None:
    near, far = (Channel(end) for end in socket.socketpair())
    link = Link(a_worker(), near)
    shared = Spec(env={"shared": "1"})
    sent: dict[int, dict[str, str]] = {}
    for number in range(2 * SPECS_MAX + 10):
        own = Spec(env={"own": str(number)})
        jobs = [
            a_job(f"{number}-{at}", spec=spec)._replace(seq=2 * number + at) for at, spec in enumerate((own, shared))
        ]
        link.start(jobs, 0.0)
        wanted = [dict(job.spec.env) for job in jobs]
        for message in far.receive():
            if isinstance(message, Prepare):
                assert message.number == len(sent)
                sent[message.number] = message.spec["env"]
            else:
                assert isinstance(message, Order)
                assert len(sent) - message.spec <= SPECS_MAX
                assert sent[message.spec] == wanted.pop(0)
        link.recorded(list(link.flights))
        far.receive()
    assert len(sent) < 2 * SPECS_MAX + 20, "shared surroundings are sent anew only now and then"
    near.close()
    far.close()


def test_surroundings_that_many_others_have_followed_are_sent_anew() -> None:
    near, far = (Channel(end) for end in socket.socketpair())
    link, shared = Link(a_worker(), near), Spec()
    known: list[int] = []
    for number in range(SPECS_MAX + 3):
        units = json.dumps({"QUEUECTL_LOCK_GPU": "0"}) if 0 < number < SPECS_MAX + 2 else None
        link.start([a_job(str(number), spec=shared, units=units)._replace(seq=number)], 0.0)
        for message in far.receive():
            if isinstance(message, Prepare):
                known = [*known[1 - SPECS_MAX :], message.number]  # as a supervisor remembers them
            else:
                assert isinstance(message, Order)
                assert message.spec in known
        link.recorded(list(link.flights))
        far.receive()
    near.close()
    far.close()


def test_a_line_that_breaks_is_followed_by_another() -> None:
    near, far = (Channel(end) for end in socket.socketpair())
    link = Link(a_worker(), near, pid=1)
    link.hello()
    link.start([a_job("runs")._replace(seq=1), a_job("waits")._replace(seq=2)], 0.0)
    link.flights[1, 0].pid = 7
    link.end(link.flights[1, 0], Cause.CANCEL)
    far.close()
    link.ping(1.0)
    assert (link.channel.closed, link.asked_at) == (True, None)
    near, far = (Channel(end) for end in socket.socketpair())
    link.go_on_over(near)
    link.start([a_job("later")._replace(seq=3)], 1.0)
    hello, slots, ends, *rest = far.receive()
    assert (hello, slots) == (Hello(PROTOCOL, link.grip.epoch), Slots(link.place.used))
    assert ends == Terminate(1, 0, Cause.CANCEL)
    assert [type(each) for each in rest] == [Prepare, Order], "the other end may not know them"
    assert link.in_doubt == {(1, 0), (2, 0)}
    near.close()
    far.close()


def test_what_is_too_large_for_a_packet_goes_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "PACKET_BYTES_MAX", 1000)
    near, far = (Channel(end) for end in socket.socketpair())
    sent = [Dropped(number, 1) for number in range(200)]
    near.send(*sent)
    near.send_encoded([encoded(message) for message in sent])
    assert (far.receive(), far.closed) == ([*sent, *sent], False)
    near.close()
    far.close()


def test_of_what_was_claimed_ahead_jobs_of_a_limited_queue_are_asked_back() -> None:
    near, far = (Channel(end) for end in socket.socketpair())
    link = Link(a_worker(), near)
    link.start([a_job("at once", queue="q")._replace(seq=1)], 0.0)
    link.start([a_job(f"{seq}", queue=queue)._replace(seq=seq) for seq, queue in ((2, "q"), (3, "r"))], 0.0, ahead=True)
    link.drop_ahead({"q"})
    dropped = [message.seq for message in far.receive() if isinstance(message, Drop)]
    assert dropped == [2]
    link.flights[3, 0].pid = 1
    assert [flight.job.seq for flight in link.waiting()] == [2]
    near.close()
    far.close()


def test_a_supervisor_that_has_something_to_do_is_asked_how_it_is() -> None:
    near, far = (Channel(end) for end in socket.socketpair())
    link = Link(a_worker(), near)
    link.ping(1.0)
    assert (far.receive(), link.asked_at) == ([Ping()], None)
    link.start([a_job()], 2.0)
    far.receive()
    for now in (3.0, 4.0):
        link.ping(now)
        assert (far.receive(), link.asked_at) == ([Ping(), Ask(PROTOCOL)], 3.0)
    near.close()
    far.close()


def test_what_a_newer_release_adds_to_messages_is_ignored() -> None:
    assert parse(["news", 1]) is None
    assert parse(["dropped", 1, 2, "news"]) == Dropped(1, 2)
    assert End.of({"seq": 1, "lease": 2, "started_at": 3.0, "finished_at": 4.0, "news": 5}) == End(1, 2, 3.0, 4.0)


def test_what_waits_in_line_keeps_its_surroundings_however_many_others_are_sent(tmp_path: Path) -> None:
    host = Host(tmp_path)
    plan = Plan(name="w", access=Access(""), first_slot=0, slots=1, output_bytes_max=1)
    launched = host.launch(plan)
    link = Link(a_worker(launched.worker), launched.channel, pid=launched.pid)
    gate, out = tmp_path / "gate", tmp_path / "out"
    first = a_job("first", command=f"while [ ! -e {gate} ]; do sleep 0.02; done")
    waits = a_job("waits", command="echo $OWN", spec=Spec(env={"OWN": "mine"}, output_path=str(out)))
    others = [a_job(str(number), spec=Spec(env={"OWN": str(number)})) for number in range(2 * SPECS_MAX + 10)]
    try:
        link.hello()
        link.start([job._replace(seq=seq) for seq, job in enumerate([first, waits])], 0.0)
        for seq, job in enumerate(others, 2):  # each is dropped again, as where a queue is cancelled
            link.start([job._replace(seq=seq)], 0.0)
            link.drop(link.flights[seq, job.lease])
        told: list[Message] = []

        def is_told(kind: type[Message], seq: int) -> bool:
            link.channel.flush()
            told.extend(link.channel.receive())
            ends = [each.result["seq"] for each in told if isinstance(each, Ended)]
            return seq in (ends if kind is Ended else [each.seq for each in told if isinstance(each, Dropped)])

        until(lambda: is_told(Dropped, len(others) + 1), "all of it is heard")
        gate.touch()
        until(lambda: is_told(Ended, 1), "the one that waited has run")
        assert out.read_text() == "mine\n"
    finally:
        link.channel.close()
        host.kill_child(launched.pid)
