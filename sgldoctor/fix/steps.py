"""The package transaction of a plan: which calls of the installer, in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from sgldoctor.actions.base import Action
from sgldoctor.actions.kinds.install import Install
from sgldoctor.actions.kinds.uninstall import Uninstall
from sgldoctor.facts import Facts
from sgldoctor.fix import lane
from sgldoctor.typed import Any, NamedTuple

Sharers = Callable[[Iterable[str], Iterable[str]], "list[tuple[str, str]]"]
"""From what goes and what is replaced to pairs of a distribution that stays and one that takes files with it."""


class Step(NamedTuple):
    """One call of the installer. ``uninstall`` or ``install``; the rest counts for ``install`` only."""

    verb: str
    packages: tuple[str, ...]
    deps: bool = True
    reinstall: bool = False

    def to_json(self) -> dict[str, Any]:
        """A plain object."""
        return self._asdict()


def name_of(requirement: str) -> str:
    """The distribution of a canonical requirement."""
    return re.split(r"[\[<>=!~@ ]", requirement, maxsplit=1)[0]


def exact(requirement: str) -> str:
    """The version of ``name==version``, else ``""``."""
    match = re.fullmatch(r"[^<>=!~@ ]+==([^,*]+)", requirement)
    return match[1] if match else ""


def steps(
    actions: Sequence[Action], have: dict[str, str], facts: Facts, sharers: Sharers | None, notes: list[str]
) -> tuple[Step, ...]:
    """Uninstalls, then what brings its dependencies along, then exact wheels alone: these have the last word.

    Args:
        actions: of all fixes; others than those of packages are left out.
        have: name to version of what is installed.
        facts: of the examination.
        sharers: reads in the environment who shares files with whom; None where it cannot be read: then the facts
            have to do, which know of libraries only.
        notes: gets a line for each wheel that is reinstalled for another's sake.
    """
    gone = [name for act in actions if isinstance(act, Uninstall) for name in act.packages if name in have]
    wanted = [
        (action, lane.localised(text, have, facts))
        for action in actions
        if isinstance(action, Install)
        for text in action.packages
    ]
    torch = next((text for _, text in wanted if name_of(text) == "torch" and exact(text) != have.get("torch")), "")
    if torch:
        # The wheels that the wrong torch brought own files of the right ones, and nobody removes them with it.
        gone += [str(row["unwanted"]) for row in facts.rows("packages.mixed_cuda") if row["unwanted"] in have]
        gone += _of_other_cuda(have, facts)
        gone += _left_over(torch, have, facts)
        # What it moved along is not moved back by the right torch where that one does not name it.
        named = {name_of(text) for _, text in wanted}
        along = [row for row in facts.rows("packages.unpinned") if row.get("mover") == "torch" and row.get("pin")]
        wanted += [(Install((row["pin"],), deps=False), row["pin"]) for row in along if row["name"] not in named]
    wanted += [(Install((text,)), text) for text in _brought([text for _, text in wanted], have, facts)]
    gone = list(dict.fromkeys(gone))
    whole: list[str] = []  # with dependencies
    alone: list[str] = []
    anew: list[str] = []  # alone, and written even where the version is right
    for action, text in wanted:
        name = name_of(text)
        # What is absent, or of another version, is written anew in any case.
        stale = action.reinstall and name in have and name not in gone and exact(text) in ("", have[name])
        if action.deps:
            whole.append(text)
        elif not stale:
            alone.append(text)
        if stale:  # never with dependencies: that would download gigabytes again
            anew.append(text)
    replaced = [name_of(text) for text in (*whole, *alone) if have.get(name_of(text), exact(text)) != exact(text)]
    pairs = [*_known_pairs(gone, facts), *(sharers(gone, replaced) if sharers is not None else ())]
    for name, other in dict.fromkeys(pairs):
        if name in gone or name not in have:
            continue
        # What is written anew in any case needs no more than its turn after the others.
        if not any(name_of(text) == name and exact(text) not in ("", have[name]) for text in (*whole, *alone)):
            text = lane.localised(f"{name}=={have[name]}", have, facts)
            alone = [other for other in alone if other != text]
            anew.append(text)
        how = "uninstalled" if other in gone else "replaced"
        notes.append(f"{name} shares files with {other}, which is {how}: it is reinstalled")
    found = [Step("uninstall", tuple(gone))] if gone else []
    for texts, deps, reinstall in ((whole, True, False), (alone, False, False), (anew, False, True)):
        if texts:
            found.append(Step("install", tuple(dict.fromkeys(texts)), deps, reinstall))
    return tuple(found)


def _brought(texts: Sequence[str], have: dict[str, str], facts: Facts) -> list[str]:
    """What an absent distribution needs that is absent, too: installed alone, it would be the next fault.

    Known of flashinfer and its kin; torch and its family are left to fixes of their own.
    """
    from sgldoctor.derive.needs import at, table

    named = {name_of(text) for text in texts}
    new = [(name_of(text), exact(text)) for text in texts if name_of(text) not in have and exact(text)]
    found = [need for name, version in new if name not in lane.TORCH for need in at(name, version, facts)]
    lacking = [need for need in found if need.name not in have and need.name not in named | lane.TORCH]
    pins = table(facts).pins if lacking else {}
    return list(dict.fromkeys(pins.get(need.name, need).pin for need in lacking))


def _of_other_cuda(have: dict[str, str], facts: Facts) -> list[str]:
    """Installed wheels of a library that the right torch brings for another CUDA major: both write the same files."""
    from sgldoctor.derive.needs import table

    pins = table(facts).pins
    families = {match[1] for name in pins if (match := re.fullmatch(r"(nvidia-.+)-cu\d+", name))}
    return [
        name
        for name in have
        if name not in pins and (match := re.fullmatch(r"(nvidia-.+)-cu\d+", name)) and match[1] in families
    ]


def _left_over(torch: str, have: dict[str, str], facts: Facts) -> list[str]:
    """NVIDIA wheels of another CUDA major that the wrong torch brought, and that nobody else who stays asks for.

    The right torch would load some of them in place of its own: from one release on it looks into their folders first.
    """
    from sgldoctor.derive.lanes import asked_by
    from sgldoctor.derive.needs import installed, table

    known = table(facts)
    major = lane.major(torch, facts)
    suffix = re.compile(r"nvidia-.+-cu(\d+)")
    found = [
        name
        for name in known.torch_spare
        if name in have and name not in known.pins and (match := suffix.fullmatch(name)) and major not in ("", match[1])
    ]
    rows = installed(facts)
    while True:  # these wheels ask for each other
        asked = [name for name in found if asked_by(name, rows, facts, frozenset((*found, "torch")))]
        if not asked:
            return found
        found = [name for name in found if name not in asked]


def _known_pairs(gone: Sequence[str], facts: Facts) -> list[tuple[str, str]]:
    """What the examination knows of wheels that share files with one that goes."""
    rows = [(str(row["first"]), str(row["second"])) for row in facts.rows("record.shared")]
    rows += [(str(row["wanted"]), str(row["unwanted"])) for row in facts.rows("packages.mixed_cuda")]
    return [pair for first, second in rows for pair in ((first, second), (second, first)) if pair[1] in gone]
