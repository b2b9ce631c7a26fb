"""Whether a rule or a recipe holds for the release at hand."""

from __future__ import annotations

from sgldoctor.facts import Facts


def holds(when: dict[str, str], facts: Facts) -> bool | None:
    """True or False where the release of SGLang is known (or all that fit agree), None where it is not."""
    wanted = when.get("sglang")
    if not wanted:
        return True
    version = facts.value("sglang", "version")
    if version:
        return _within(str(version), wanted)
    first, last = facts.value("log.releases", "first"), facts.value("log.releases", "last")
    if first and last:
        ends = {_within(str(first), wanted), _within(str(last), wanted)}
        # Both ends outside may still enclose the range; only an agreement on "inside" is certain then.
        return True if ends == {True} else None
    return None


def _within(version: str, wanted: str) -> bool | None:
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except InvalidVersion:
        return None
