"""What a supervisor tells its dispatcher, and when."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.engine.channel import Channel, dial, listen
from queuectl.engine.protocol import PROTOCOL, Ask, Dropped, Hello, Ping, Started, State, encoded
from queuectl.engine.supervise.door import FLUSH_AFTER_S, FLUSH_MESSAGES, Door

LATER = FLUSH_AFTER_S * 2


def started(number: int) -> Started:
    return Started(number, 1, 0.0, 100 + number, {})


def ended(number: int) -> Dropped:
    """Any message that is JSON from the beginning, as an end is."""
    return Dropped(number, 1)


def say_start(door: Door, number: int) -> None:
    door.say((number, 1), lambda: started(number))


def say_end(door: Door, number: int) -> None:
    door.say((number, 1), encoded(ended(number)))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with closing(listen(tmp_path)) as listener:
        door = Door(listener, select.poll(), list)
        yield door
        for channel in door._channels.values():
            channel.close()


@pytest.fixture
def driver(door: Door, tmp_path: Path) -> Iterator[Channel]:
    """A dispatcher that has said hello, and been greeted."""
    with closing(dial(tmp_path)) as channel:
        channel.send(Hello(PROTOCOL, 1))
        list(door.receive(door._listener.fileno()))
        for handle in list(door._channels):
            list(door.receive(handle))
        channel.receive()
        yield channel


def test_the_driver_is_answered_over_its_own_line(door: Door, driver: Channel) -> None:
    driver.send(Ping(), Ask(PROTOCOL))
    (handle,) = door._channels
    assert list(door.receive(handle)) == [Ping()]
    (state,) = driver.receive()
    assert isinstance(state, State)
    assert state.about["driven"]


def test_without_waiting_orders_all_is_told_at_once(door: Door, driver: Channel) -> None:
    say_start(door, 1)
    door.flush(0.0, patient=False)
    assert driver.receive() == [started(1)]


def test_a_short_commands_start_is_not_told_while_orders_wait(door: Door, driver: Channel) -> None:
    say_start(door, 1)
    say_end(door, 2)
    now = door._outbox_since + LATER
    door.flush(now, patient=True)
    assert driver.receive() == [ended(2)]
    say_end(door, 1)
    door.flush(now + LATER, patient=True)
    assert driver.receive() == [ended(1)]
    door.flush(now + 2 * LATER, patient=True)
    assert driver.receive() == []


def test_a_longer_commands_start_goes_with_the_next_packet(door: Door, driver: Channel) -> None:
    say_start(door, 1)
    now = door._outbox_since + LATER
    door.flush(now, patient=True)
    assert driver.receive() == []
    assert door.flush_at() == now + FLUSH_AFTER_S
    say_start(door, 2)
    door.flush(now + LATER, patient=True)
    assert driver.receive() == [started(1)]


def test_a_full_packet_does_not_wait(door: Door, driver: Channel) -> None:
    for number in range(FLUSH_MESSAGES):
        say_end(door, number)
    door.flush(door._outbox_since, patient=True)
    assert driver.receive() == list(map(ended, range(FLUSH_MESSAGES)))
