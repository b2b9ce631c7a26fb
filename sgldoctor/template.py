"""Placeholders in rule texts: ``{library}`` of the finding, ``{torch.version}`` of a fact, ``{pin:torch}`` of pins.

``{wanted|more}`` says "more" where nothing is known of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sgldoctor.facts import Facts
from sgldoctor.lazy import lazy
from sgldoctor.typed import Any

_PLACEHOLDER = lazy(r"\{([a-z_][a-z0-9_]*(?:\.[a-z_]+)*|pin:[A-Za-z0-9._{}-]+?)(?:\|([^{}|]*))?\}")


def names(template: str) -> list[str]:
    """The placeholders of a template, in order."""
    return [match.group(1) for match in _PLACEHOLDER.finditer(template)]


def bare(template: str) -> list[str]:
    """The placeholders without words for the case that nothing is known."""
    return [match.group(1) for match in _PLACEHOLDER.finditer(template) if match.group(2) is None]


def fill(
    template: str,
    params: Mapping[str, Any],
    facts: Facts | None = None,
    pin: Callable[[str], str | None] | None = None,
) -> tuple[str, list[str]]:
    """Fill a template; returns the text and the placeholders that stay unknown (left as ``<name>``).

    A placeholder with words of its own is never unknown. Parameters win over facts. ``pin`` resolves ``{pin:NAME}``
    to an exact requirement, or None.
    """
    missing: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        found: Any = None
        if name.startswith("pin:"):
            found = pin(name[4:]) if pin else None
        elif name in params:
            found = params[name]
        elif facts is not None and "." in name:
            fact, _, column = name.rpartition(".")
            found = facts.value(fact, column)
        if found is None or found == "":
            if match.group(2) is not None:
                return str(match.group(2))
            missing.append(name)
            return f"<{name.removeprefix('pin:').replace('_', ' ')}>"
        if isinstance(found, list | tuple):
            return ", ".join(str(entry) for entry in found)
        return str(found)

    return _PLACEHOLDER.sub(value, template), missing
