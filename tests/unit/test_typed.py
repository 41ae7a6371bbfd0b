"""Our named tuples behave like those of the standard library."""

from __future__ import annotations

import copy
import pickle
import types
import typing
from typing import Any, Generic, TypeVar

import pytest

from queuectl import typed

T = TypeVar("T")


class Ours(typed.NamedTuple):
    """Some words."""

    new: str
    cls: int | None
    rest: tuple[str, ...] = ()
    named: bool = False

    @property
    def both(self) -> str:
        return f"{self.new}{self.cls}"

    def twice(self) -> str:
        return self.new * 2


class Theirs(typing.NamedTuple):
    """Some words."""

    new: str
    cls: int | None
    rest: tuple[str, ...] = ()
    named: bool = False


class Inner(Ours):
    """A class of a made one."""

    extra = 1


class OfSome(typed.NamedTuple, Generic[T]):
    value: T


class Empty(typed.NamedTuple):
    pass


WAYS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("a", 1), {}), (("a", None, ("b",), True), {}), ((), {"new": "a", "cls": 2}), (("a",), {"named": True, "cls": 0}),
    ((), {}), (("a",), {}), (("a", 1, (), True, 5), {}), (("a", 1), {"new": "b"}), (("a", 1), {"other": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("values", "names"), WAYS)
def test_a_value_is_made_and_refused_like_theirs(values: tuple[Any, ...], names: dict[str, Any]) -> None:
    made = []
    for kind in (Ours, Theirs):
        try:
            made.append(repr(kind(*values, **names)).removeprefix(kind.__name__))
        except TypeError:
            made.append("refused")
    assert made[0] == made[1]


def test_what_one_can_ask_of_a_value_is_the_same() -> None:
    ours: Any = Ours("a", 1, ("b",))
    theirs: Any = Theirs("a", 1, ("b",))
    assert ours == theirs == ("a", 1, ("b",), False)
    assert hash(ours) == hash(theirs)
    assert ours._asdict() == theirs._asdict()
    assert ours._replace(cls=5) == theirs._replace(cls=5)
    assert (Ours._fields, Ours._field_defaults) == (Theirs._fields, Theirs._field_defaults)
    assert Ours._make(theirs) == theirs
    assert (ours.both, ours.twice(), ours.rest, Ours.__doc__) == ("a1", "aa", ("b",), "Some words.")
    assert pickle.loads(pickle.dumps(ours)) == ours
    assert type(copy.deepcopy(ours)) is Ours
    match ours:
        case Ours(new, cls):
            assert (new, cls) == ("a", 1)
    assert not hasattr(ours, "__dict__")
    for kind in (Ours, Theirs):
        with pytest.raises(TypeError):
            kind._make(["a"])
        with pytest.raises((ValueError, TypeError), match="unexpected field names"):  # Python 3.13: a TypeError
            kind("a", 1)._replace(other=2)  # type: ignore[call-arg]
        with pytest.raises(AttributeError):
            setattr(kind("a", 1), "new", "b")  # noqa: B010


def test_a_subclass_a_generic_and_an_empty_one() -> None:
    assert type(Inner("a", 1)) is Inner
    assert repr(Inner("a", 1)) == "Inner(new='a', cls=1, rest=(), named=False)"
    assert OfSome[int](5).value == 5
    assert Empty() == ()


def test_a_default_comes_last() -> None:
    odd = {"__annotations__": {"a": "int", "b": "int"}, "a": 1}
    with pytest.raises(TypeError, match="a default"):
        types.new_class("Odd", (typed.NamedTuple,), exec_body=lambda body: body.update(odd))
