"""What the ordinary packages that SGLang stands on require of each other: what ``uv pip check`` says of them. Pure.

SGLang, torch, the kernels and FlashInfer are judged in ``pins``, with all that is known of their pins. Here come the
rest of what they bring (transformers and its tokenizers, fastapi and pydantic), by nothing but their own METADATA.
"""

from __future__ import annotations

import re

from sgldoctor.derive import needs
from sgldoctor.derive.needs import Table
from sgldoctor.facts import Facts, Row
from sgldoctor.knowledge.releases import normalise
from sgldoctor.lazy import lazy
from sgldoctor.versions import satisfies

LINE = lazy(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?\s*\(?([^;()@]*)\)?\s*(;.*)?$")
SPECIFIER = lazy(r"(?:\s*[=~!<>]=?=?\s*[\w.!+*]+\s*(?:,|$))*")
RELEASE = lazy(r"\d{1,9}(?:\.\d{1,9}){0,4}")
EXTRA = lazy(r"\bextra\b")


class Lack(tuple[str, str, str, str]):
    """``(name, specifier, by, by_version)`` of a requirement that is not met."""

    __slots__ = ()


def lacks(facts: Facts, known: Table, have: dict[str, Row]) -> list[Lack]:
    """Requirements that are not met, of everything that SGLang needs and that is no owner of pins itself."""
    found: list[Lack] = []
    seen = {"sglang"}
    todo = [need.name for wants in known.needs.values() for need in wants]
    while todo:
        name = todo.pop(0)
        row = have.get(name)
        if name in seen or row is None:
            continue
        seen.add(name)
        if needs.OWNER.fullmatch(name):
            continue
        for line in row.get("requires") or ():
            match = LINE.match(line)
            if match is None or (match[3] and (EXTRA.search(match[3]) or not needs.applies(line, facts))):
                continue
            other, specifier = normalise(match[1]), match[2].strip()
            if not SPECIFIER.fullmatch(specifier):
                continue  # damaged metadata asks for nothing that could be installed
            todo.append(other)
            there = have.get(other)
            if there is None or not satisfies(str(there["version"]), specifier):
                found.append(Lack((other, specifier, name, str(row["version"]))))
    # transformers refuses to load; that tells more than what anybody else thinks of the same package.
    return sorted(found, key=lambda lack: lack[2] != "transformers")


def behind(version: str, specifier: str) -> bool:
    """Whether a release is of an older major than the least that is asked for."""
    bounds = [_numbers(bound)[:1] for bound in re.findall(r"(?:>=|==|~=|>)\s*(\d{1,9}(?:\.\d{1,9}){0,4})", specifier)]
    return (
        bool(bounds) and RELEASE.match(version) is not None and int(version.partition(".")[0]) < max((*bounds, (0,)))[0]
    )


def _numbers(release: str) -> tuple[int, ...]:
    """``(1, 2)`` of ``1.2.0``: trailing zeros do not count."""
    numbers = [int(part) for part in release.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
