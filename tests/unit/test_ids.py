"""Ids and random draws."""

from __future__ import annotations

from queuectl import ids
from queuectl.wire.requests import parse_request


def test_ids_are_short_words_of_the_alphabet_that_do_not_repeat() -> None:
    drawn = {ids.job_id() for _ in range(2000)}
    assert len(drawn) == 2000
    assert {len(word) for word in drawn} == {ids.JOB_ID_LENGTH}
    assert set("".join(drawn)) == set(ids.ALPHABET)


def test_a_generated_id_may_be_typed_as_an_id() -> None:
    assert parse_request({"command": "true", "id": ids.job_id()}, 0).id


def test_a_draw_lies_in_the_half_open_unit_interval() -> None:
    draws = [ids.draw() for _ in range(1000)]
    assert all(0 <= draw < 1 for draw in draws)
    assert len(set(draws)) == 1000


def test_a_tag_has_31_bits_and_is_never_0() -> None:
    assert all(0 < ids.tag_bits() < 1 << 31 for _ in range(1000))
