"""Records that are made without ``typing`` behave as those of ``typing`` do."""

from __future__ import annotations

import pickle
import typing

import pytest

from sgldoctor.typed import Any, NamedTuple


class Ours(NamedTuple):
    """A record."""

    name: str
    size: int = 3
    tags: tuple[str, ...] = ()
    """A field may be described."""

    @property
    def half(self) -> float:
        """Half of its size."""
        return self.size / 2

    def longer(self, by: int) -> Ours:
        """The same, but larger."""
        return self._replace(size=self.size + by)

    @classmethod
    def of(cls, text: str) -> Ours:
        """From a text."""
        return cls(text, len(text))


class Theirs(typing.NamedTuple):
    """A record."""

    name: str
    size: int = 3
    tags: tuple[str, ...] = ()


def test_a_record_is_a_tuple_with_names_defaults_and_methods() -> None:
    ours = Ours("a")
    assert tuple(ours) == tuple(Theirs("a")) == ("a", 3, ())
    assert ours._asdict() == Theirs("a")._asdict()
    assert Ours._fields == Theirs._fields
    assert Ours._field_defaults == Theirs._field_defaults
    assert repr(ours) == "Ours(name='a', size=3, tags=())"
    assert (ours.half, ours.longer(2).size, Ours.of("abc").size) == (1.5, 5, 3)
    assert Ours.__doc__ == "A record."
    assert Ours.__module__ == __name__
    assert pickle.loads(pickle.dumps(ours)) == ours
    with pytest.raises(TypeError):
        Ours()  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        ours.name = "b"  # type: ignore[misc]


def test_a_record_takes_replaces_and_refuses_as_one_of_typing_does() -> None:
    for made in (Ours, Theirs):
        record: Any = made
        assert record(size=1, name="b") == record("b", 1) == record._make(["b", 1, ()]) == ("b", 1, ())
        assert record("b")._replace(tags=("x",)).tags == ("x",)
        assert record.__match_args__ == ("name", "size", "tags")
        assert (record.name.__get__(record("c")), record.__new__.__defaults__) == ("c", (3, ()))
        for given, named in ((("a", 1, (), 4), {}), (("a",), {"nme": 1}), (("a",), {"name": "b"})):
            with pytest.raises(TypeError):
                record(*given, **named)
        with pytest.raises(TypeError):
            record._make(["a"])
        with pytest.raises((TypeError, ValueError)):
            record("a")._replace(nme=1)
        with pytest.raises(AttributeError):
            record("a").other = 1
    base: Any = NamedTuple
    with pytest.raises(TypeError, match="default"):
        type(base)("Other", (base,), {"__annotations__": {"a": int, "b": int}, "a": 1})


def test_a_class_without_annotations_at_hand_is_left_to_typing() -> None:
    base: Any = NamedTuple
    made: Any = type(base)("Other", (base,), {"__module__": __name__, "__qualname__": "Other"})
    assert made._fields == ()
