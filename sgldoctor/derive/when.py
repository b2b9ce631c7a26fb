"""Whether a rule or a recipe holds for the release at hand."""

from __future__ import annotations

from collections.abc import Callable

from sgldoctor.facts import Facts
from sgldoctor.versions import satisfies, valid


def holds(when: dict[str, str], facts: Facts) -> bool | None:
    """True or False where the release of SGLang is known (or all that fit agree), None where it is not.

    ``sglang`` is a version specifier, ``defect`` the name of a known defect, which must stand in the release, or with
    ``!`` before it must not.
    """
    answers = []
    if when.get("sglang"):
        answers.append(_holds(lambda version: _within(version, when["sglang"]), facts))
    if when.get("defect"):
        answers.append(_holds(lambda version: _stands(when["defect"], version), facts))
    if False in answers:
        return False
    return None if None in answers else True


def _holds(test: Callable[[str], bool | None], facts: Facts) -> bool | None:
    version = facts.value("sglang", "version")
    if version:
        return test(str(version))
    fitting = facts.value("log.releases", "among")
    if not fitting:
        return None
    answers = {test(str(release)) for release in fitting}
    if answers == {True}:
        return True
    # Texts are copied from release to release and say only "not before"; source lines are those of one build.
    return False if answers == {False} and facts.value("log.releases", "by") == "lines" else None


def _stands(wanted: str, version: str) -> bool | None:
    from sgldoctor.knowledge.defects import stands

    found = stands(wanted.removeprefix("!"), version)
    return found if found is None else found is not wanted.startswith("!")


def _within(version: str, wanted: str) -> bool | None:
    return satisfies(version, wanted) if valid(version) else None
