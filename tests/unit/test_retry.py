"""When a failed job runs again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.domain import retry
from queuectl.domain.job import Spec


@pytest.mark.parametrize(
    ("spec", "delays"),
    [
        (Spec(), [2, 4, 8]),
        (Spec(backoff_initial=5), [5, 10, 20]),
        (Spec(backoff_base=3, backoff_initial=3), [3, 9, 27]),
        (Spec(backoff_base=1, backoff_initial=7), [7, 7, 7]),
        (Spec(backoff_max=5), [2, 4, 5]),
        (Spec(backoff_initial=0), [0, 0, 0]),
    ],
)
def test_delays_grow_by_the_base_up_to_the_longest(spec: Spec, delays: list[float]) -> None:
    assert [retry.delay(spec, attempt, draw=0.5) for attempt in (1, 2, 3)] == delays


@pytest.mark.parametrize("attempt", [1023, 1025, 10**6])
def test_a_delay_too_large_to_compute_is_the_longest(attempt: int) -> None:
    assert retry.delay(Spec(), attempt, draw=0) == 3600
    assert retry.delay(Spec(backoff_initial=0), attempt, draw=0) == 0


def test_jitter_takes_off_up_to_its_fraction() -> None:
    spec = Spec(backoff_initial=100, backoff_jitter=0.25)
    assert retry.delay(spec, 1, draw=0) == 100
    assert retry.delay(spec, 1, draw=0.5) == 87.5
    assert retry.delay(spec, 1, draw=0.999999) == pytest.approx(75, abs=0.001)


@given(
    spec=st.builds(
        Spec,
        backoff_base=st.floats(1, 1000),
        backoff_initial=st.floats(0, 1e9),
        backoff_max=st.floats(0, 1e9),
        backoff_jitter=st.floats(0, 1),
    ),
    attempt=st.integers(1, 1_000_001),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_lies_between_nothing_and_the_longest(spec: Spec, attempt: int, draw: float) -> None:
    assert 0 <= retry.delay(spec, attempt, draw) <= spec.backoff_max


def test_only_exit_codes_are_permanent() -> None:
    spec = Spec(retry_on=(75,), fatal_on=(75, 2))
    assert retry.is_permanent(spec, 75, None)  # what is fatal is fatal
    assert retry.is_permanent(spec, 1, None)
    assert not retry.is_permanent(spec, None, None)
    assert not retry.is_permanent(spec, None, 9)
    assert not retry.is_permanent(Spec(), 255, None)


def test_a_signal_is_fatal_by_the_code_that_a_shell_gives_it() -> None:
    assert retry.is_permanent(Spec(fatal_on=(137,)), None, 9)
    assert not retry.is_permanent(Spec(fatal_on=(9,)), None, 9)
