"""The table of a job's keys: complete, and true to `Job` and `Spec`."""

from __future__ import annotations

from queuectl.domain.fields import FIELDS, Place, Setter
from queuectl.domain.job import Job, Spec
from queuectl.wire.jobs import job_to_json
from queuectl.wire.requests import INPUT_KEYS
from tests.builders import a_job


def names(*places: Place) -> list[str]:
    return [field.name for field in FIELDS if field.place in places]


def test_the_keys_of_a_job_stand_in_the_order_of_its_json() -> None:
    assert [field.name for field in FIELDS if field.shown] == list(job_to_json(a_job()))


def test_each_attribute_of_a_spec_is_a_key() -> None:
    assert sorted(names(Place.SPEC)) == sorted(Spec._fields)


def test_each_key_with_a_column_is_an_attribute_of_a_job() -> None:
    assert set(names(Place.COLUMN, Place.LIFE)) <= set(Job._fields)


def test_the_keys_that_users_may_give_are_the_input_keys() -> None:
    given = {field.name for field in FIELDS if field.setter is Setter.USER}
    assert given | {"base_backoff_seconds"} == set(INPUT_KEYS)
