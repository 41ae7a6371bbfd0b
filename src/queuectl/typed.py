"""What typing has for classes and annotations, for a fraction of the time.

Whatever is typed at a shell waits for it. `typing` itself takes a tenth of what an `enqueue` takes, and its
`NamedTuple` a fifth: it compiles each annotation that is text, and a constructor for each class, once the class is
defined, and an `enqueue` defines forty classes and makes values of a dozen. Ours reads no annotations, and compiles a
constructor when the first value is made. To type checkers all is typing's, and it behaves like that.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any as Any
    from typing import Generic as Generic
    from typing import NamedTuple as NamedTuple
    from typing import Protocol as Protocol
    from typing import TypedDict as TypedDict
    from typing import TypeVar as TypeVar
    from typing import overload as overload
else:
    from collections import _tuplegetter
    from collections.abc import Iterable

    Any = object

    class Protocol:
        """Says what others have. Nothing is checked at run time."""

    class Generic:
        """Takes type variables and ignores them."""

        __slots__ = ()

        def __class_getitem__(cls, _: Any) -> type:
            return cls

    def TypeVar(name: str, **_: Any) -> str:
        return name

    class TypedDict(dict):
        """Says what keys a dictionary has."""

    def overload(function: Any) -> Any:
        """One of several ways to call the function that follows."""
        return function

    class _Definition(type):
        """Makes fields of the annotations in a class's body."""

        def __new__(meta, name: str, bases: tuple[type, ...], members: dict[str, Any], **words: Any) -> type:
            members.setdefault("__slots__", ())
            if bases != (tuple,) and not hasattr(bases[0], "_fields"):  # not NamedTuple, and no subclass of a made one
                fields = tuple(members.get("__annotations__", ()))
                defaults = {field: members[field] for field in fields if field in members}
                if tuple(defaults) != fields[len(fields) - len(defaults) :]:
                    raise TypeError(f"{name}: a field without a default follows one with a default")
                members |= {field: _tuplegetter(number, "") for number, field in enumerate(fields)}
                members |= {"_fields": fields, "_field_defaults": defaults, "__match_args__": fields}
            return super().__new__(meta, name, bases, members, **words)

    class NamedTuple(tuple, metaclass=_Definition):
        """See `typing.NamedTuple`."""

        def __new__(cls, /, *values: Any, **named: Any) -> NamedTuple:
            owner = next(each for each in cls.__mro__ if "_fields" in vars(each))
            owner.__new__ = staticmethod(_constructor(owner))
            return owner.__new__(cls, *values, **named)

        @classmethod
        def _make(cls, values: Iterable[Any]) -> NamedTuple:
            made = tuple.__new__(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
            return made

        def _replace(self, /, **changes: Any) -> NamedTuple:
            made = self._make(map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"Got unexpected field names: {list(changes)!r}")
            return made

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self) -> str:
            fields = ", ".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({fields})"

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

    def _constructor(owner: type) -> Any:
        fields = "".join(f"{field}, " for field in owner._fields)
        made = eval(f"lambda _class, {fields}: _new(_class, ({fields}))", {"_new": tuple.__new__})
        made.__defaults__ = tuple(owner._field_defaults.values())
        made.__name__, made.__qualname__ = "__new__", f"{owner.__qualname__}.__new__"
        return made
