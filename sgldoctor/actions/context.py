"""What the templates of a recipe are filled from, and why an action cannot be formed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sgldoctor.actions import validate
from sgldoctor.actions.base import Place
from sgldoctor.facts import Facts
from sgldoctor.knowledge.libraries import family
from sgldoctor.lazy import lazy
from sgldoctor.template import fill
from sgldoctor.typed import Any, NamedTuple

Pin = Callable[[str], "str | None"]
"""From a distribution (or a family such as ``nvidia-cudnn``, or ``kernel``) to an exact requirement, or None."""

_NESTED = lazy(r"\{pin:\{([a-z_][a-z0-9_]*)\}\}")


class Refused(Exception):  # noqa: N818  it is not an error of the program: the action becomes advice
    """Why an action cannot be formed; ``shown`` says in words what was meant, without anything invalid."""

    def __init__(self, because: str, shown: str) -> None:
        super().__init__(because)
        self.because = because
        self.shown = shown


class Context(NamedTuple):
    """What the templates of one finding are filled from."""

    params: Mapping[str, Any]
    facts: Facts
    pin: Pin
    place: Place
    sglang: str

    def text(self, template: str) -> str:
        """The template filled; raises Refused where something is unknown."""
        filled, missing = self.filled(template)
        if missing:
            raise Unresolved(missing, filled)
        return filled

    def filled(self, template: str) -> tuple[str, list[str]]:
        """The template filled, and what stays unknown."""
        if "{pin}" in template and not self.params.get("pin"):
            # A log names the library, an examination the wheel that ships it: the library tells the family of wheels.
            shipped = family(str(self.params.get("library") or ""))
            template = template.replace("{pin}", "{pin:" + shipped + "}") if shipped else template
        return fill(_NESTED.sub(self._inner, template), self.params, self.facts, self.pin)

    def _inner(self, match: re.Match[str]) -> str:
        name = str(self.params.get(match[1]) or "")
        return "{pin:" + name + "}" if validate.NAME.fullmatch(name) else "{" + match[1] + "}"


class Unresolved(Refused):
    """A placeholder has no value."""

    def __init__(self, missing: list[str], shown: str) -> None:
        names = ", ".join(word.removeprefix("pin:").replace("_", " ") for word in missing)
        super().__init__(f"not known here: {names}", shown)
        self.missing = missing
