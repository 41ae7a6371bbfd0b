"""The table of a job's keys: complete, and true to `Job` and `Spec`."""

from __future__ import annotations

from queuectl.domain.fields import FIELDS, INPUT
from queuectl.domain.job import Job, Spec
from queuectl.wire.jobs import job_to_json
from queuectl.wire.requests import ALIASES, INPUT_KEYS
from tests.builders import a_job
from tests.docs import job_keys


def names(*places: str) -> list[str]:
    return [field.name for field in FIELDS if field.place in places]


def test_no_key_comes_twice() -> None:
    assert len({field.name for field in FIELDS}) == len(FIELDS)


def test_the_keys_of_a_job_stand_in_the_order_of_its_json() -> None:
    assert [field.name for field in FIELDS if field.shown] == list(job_to_json(a_job()))


def test_each_attribute_of_a_spec_is_a_key() -> None:
    assert sorted(names("spec")) == sorted(Spec._fields)


def test_each_key_with_a_column_is_an_attribute_of_a_job() -> None:
    assert set(names("column", "life")) <= set(Job._fields)


def test_input_shows_the_keys_of_the_spec_last_and_in_its_order() -> None:
    assert [*(field.name for field in INPUT), *ALIASES] == list(INPUT_KEYS)
    assert [field.name for field in INPUT if field.place == "spec"] == [
        name for name in Spec._fields if name != "captured"
    ]


def test_keyword_arguments_are_written_from_the_table() -> None:
    again = "write them again: python -m tests.docs.job_keys"
    assert job_keys.MODULE.read_text() == job_keys.written(), again
