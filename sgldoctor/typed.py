"""What the modules take from ``typing``, without its cost at start: a type checker sees the originals.

``typing`` takes 5 ms to import, and its ``NamedTuple`` compiles every annotation: 40 small records would take as long
as reading a short log. Here a record is a :func:`collections.namedtuple` with the methods of its class.
"""

from __future__ import annotations

__all__ = ("TYPE_CHECKING", "Any", "AnyStr", "BinaryIO", "NamedTuple", "Protocol", "TextIO", "cast")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AnyStr, BinaryIO, NamedTuple, Protocol, TextIO, cast
else:
    from collections import namedtuple

    Any = AnyStr = BinaryIO = TextIO = Protocol = object

    def cast(_type, value):
        """``value``, of whatever type a checker was told."""
        return value

    class _Record(type):
        """Makes a named tuple of a class body: annotated names are its fields, the rest its methods."""

        def __new__(cls, name, bases, space):
            if not bases:
                return super().__new__(cls, name, bases, space)
            if "__annotations__" not in space:  # an interpreter that evaluates them later
                from types import new_class
                from typing import NamedTuple as Typed

                return new_class(name, (Typed,), None, lambda body: body.update(space))
            fields = space["__annotations__"]
            defaults = [space[field] for field in fields if field in space]
            made = namedtuple(name, fields, defaults=defaults, module=space["__module__"])  # noqa: PYI024
            for key, value in space.items():
                if key not in fields and key not in ("__module__", "__qualname__", "__dict__", "__weakref__"):
                    setattr(made, key, value)
            made.__qualname__ = space["__qualname__"]
            return made

    class NamedTuple(metaclass=_Record):
        """The base class of records."""
