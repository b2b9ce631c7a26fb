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


def test_a_class_without_annotations_at_hand_is_left_to_typing() -> None:
    base: Any = NamedTuple
    made: Any = type(base)("Other", (base,), {"__module__": __name__, "__qualname__": "Other"})
    assert made._fields == ()
