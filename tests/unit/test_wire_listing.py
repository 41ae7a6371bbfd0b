"""Many jobs as text are each what the JSON of one job is, whatever their values."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuectl.client.reasons import FORM
from queuectl.domain.job import Job, JobState, Spec
from queuectl.domain.limits import Hold, Lock, Pause, Queue
from queuectl.domain.reason import alike, reason
from queuectl.wire.jobs import job_to_json
from queuectl.wire.listing import JobTexts
from tests.builders import NOON, a_job, in_state
from tests.unit.test_reason import Facts

NUMBERS = st.integers(-(1 << 40), 1 << 40)
TEXTS = st.text() | st.sampled_from(["%s", '"%d" \\ %%', "\x00\x1f\x7f\u2028é😀"])
st.register_type_strategy(float, st.floats(0, 5e9) | st.sampled_from([0.0, NOON, NOON + 0.9999999, 1e-7]))
st.register_type_strategy(int, NUMBERS)
st.register_type_strategy(str, TEXTS)

SPECS = st.builds(Spec, **{name: st.from_type(kind) for name, kind in get_type_hints(Spec).items()}).map(
    lambda spec: spec._replace(umask=spec.umask and abs(spec.umask) % 0o1000, env=dict(spec.env))
)
"""Each key as its type allows; keys that are added later are among them by themselves."""
JOBS = st.builds(Job, **{name: st.from_type(kind) for name, kind in get_type_hints(Job).items() if name != "spec"} | {
    "spec": st.shared(SPECS) | SPECS, "result": st.none() | st.sampled_from(["null", '{"a": [1, "%s é"]}'])
})  # fmt: skip


@settings(max_examples=40)  # each of some 300 values
@given(jobs=st.lists(st.tuples(JOBS, st.none() | TEXTS), min_size=1, max_size=6), plain=st.booleans())
def test_jobs_as_text_equal_their_json(jobs: list[tuple[Job, str | None]], plain: bool) -> None:
    texts = JobTexts(plain).of(*map(list, zip(*jobs, strict=True)))
    assert list(texts) == [json.dumps(job_to_json(job, why), ensure_ascii=plain) for job, why in jobs]


def test_a_spec_that_takes_the_place_of_another_has_its_own_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[JobTexts.__module__], "TEMPLATES_MAX", 2)
    texts = JobTexts(plain=False)
    for number in range(20):
        job = a_job(spec=Spec(max_retries=number))
        assert json.loads(*texts.of([job], [None]))["max_retries"] == number


class Surroundings(Facts):
    """A paused queue, a full one, and a lock that another job holds."""

    def __init__(self) -> None:
        super().__init__(slots=2, busy=2, ahead=3)
        self.queues = {"paused": Queue("paused", pause=Pause(NOON)), "full": Queue("full", concurrency=1)}
        self.held = {"gpu": [Hold("other", NOON, ("0",))]}

    def running_in(self, queue: str) -> int:
        return 1

    def lock(self, name: str) -> Lock:
        return Lock(name)

    def kept(self, job: Job, lock: str) -> list[Hold]:
        return []


def test_jobs_that_are_alike_have_the_same_reason() -> None:
    facts = Surroundings()
    jobs = [
        in_state(state, **{"next_retry_at": None, "cancel_requested": cancelled, **given})
        for state in JobState
        for cancelled in (False, True)
        for given in (
            {}, {"queue": "paused"}, {"queue": "full"}, {"locks": ("gpu",)}, {"held": True}, {"start_by": NOON},
            {"run_at": NOON + 9}, {"run_at": NOON + 99}, {"error": "one"}, {"error": "two"}, {"attempts": 2},
        )
    ]  # fmt: skip
    likes = [(alike(job, NOON), reason(job, NOON, facts, FORM)) for job in jobs]
    differ = [pair for pair in combinations(likes, 2) if pair[0][0] == pair[1][0] is not None and len({*pair}) > 1]
    assert not differ
    assert {like for like, _ in likes} > {None, ("paused", ()), ("default", ("gpu",))}
