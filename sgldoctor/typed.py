"""What the modules take from ``typing``, without its cost at start: a type checker sees the originals.

``typing`` takes 5 ms to import, and its ``NamedTuple`` compiles every annotation and a function: 40 small records would
take as long as reading a short log. Here a record is what :func:`collections.namedtuple` makes, with the methods of its
class, but the function that makes a record of three fields is compiled once and then given other names.
"""

from __future__ import annotations

__all__ = ("IO", "TYPE_CHECKING", "Any", "AnyStr", "BinaryIO", "NamedTuple", "Protocol", "TextIO", "cast")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, AnyStr, BinaryIO, NamedTuple, Protocol, TextIO, cast
else:
    from _collections import _tuplegetter

    IO = Any = AnyStr = BinaryIO = TextIO = Protocol = object

    def cast(_type, value):
        """``value``, of whatever type a checker was told."""
        return value

    class _Tuple(tuple):
        """What all records can do."""

        __slots__ = ()

        @classmethod
        def _make(cls, iterable):
            made = tuple.__new__(cls, iterable)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
            return made

        def _replace(self, /, **changes):
            made = self._make(map(changes.pop, self._fields, self))
            if changes:
                raise ValueError(f"Got unexpected field names: {list(changes)!r}")
            return made

        def __repr__(self):
            named = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
            return f"{self.__class__.__name__}({named})"

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self):
            return tuple(self)

    _MAKERS = {}

    def _maker(fields, defaults):
        """The ``__new__`` of a record with these fields."""
        code = _MAKERS.get(len(fields))
        if code is None:
            names = "".join(f"_{number}, " for number in range(len(fields)))
            code = _MAKERS[len(fields)] = eval(f"lambda _cls, {names}: _new(_cls, ({names}))").__code__  # noqa: S307
        named = code.replace(co_varnames=("_cls", *fields), co_name="__new__")
        return type(_maker)(named, {"_new": tuple.__new__, "__builtins__": {}}, "__new__", defaults)

    class _Record(type):
        """Makes a named tuple of a class body: annotated names are its fields, the rest its methods."""

        def __new__(cls, name, bases, space):
            if not bases:
                return super().__new__(cls, name, bases, space)
            if "__annotations__" not in space:  # an interpreter that evaluates them later
                from types import new_class
                from typing import NamedTuple as Typed

                return new_class(name, (Typed,), None, lambda body: body.update(space))
            fields = tuple(space["__annotations__"])
            defaults = {field: space[field] for field in fields if field in space}
            if tuple(defaults) != fields[len(fields) - len(defaults) :]:
                raise TypeError(f"{name}: a field without a default cannot follow one with a default")
            return type(
                name,
                (_Tuple,),
                {
                    "__doc__": f"{name}({', '.join(fields)})",
                    "__slots__": (),
                    "_fields": fields,
                    "_field_defaults": defaults,
                    "__match_args__": fields,
                    "__new__": _maker(fields, tuple(defaults.values())),
                    **space,
                    **{field: _tuplegetter(number, "") for number, field in enumerate(fields)},
                },
            )

    class NamedTuple(metaclass=_Record):
        """The base class of records."""
