"""The proof: the same probes after the repair, compared with before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sgldoctor.facts import Facts
from sgldoctor.rules.schema import Finding

OURS = {"packages", "libraries", "symbols", "kernel", "torch", "flashinfer", "sglang", "record", "environment"}
"""First words of the facts that a repair can change. A GPU that fills up meanwhile is no fault of it."""


class Verdict(NamedTuple):
    """What the second examination says.

    Attributes:
        gone: titles of the findings that were to be repaired and are gone.
        still: titles of those that are still there.
        new: titles of errors that were not there before.
        pins: violated requirements before and after.
    """

    gone: tuple[str, ...]
    still: tuple[str, ...]
    new: tuple[str, ...]
    pins: tuple[int, int] = (0, 0)

    @property
    def proven(self) -> bool:
        """Whether everything aimed at is gone, nothing new is wrong, and no more requirements are violated."""
        return not self.still and not self.worse

    @property
    def worse(self) -> bool:
        """Whether the environment is in a worse state than before."""
        return bool(self.new) or self.pins[1] > self.pins[0]


def verify(
    before: Sequence[Finding], after: Sequence[Finding], targets: Iterable[tuple[str, str]], facts: tuple[Facts, Facts]
) -> Verdict:
    """Compare two examinations.

    Args:
        before: all findings of the first.
        after: all findings of the second.
        targets: ``(rule, subject)`` of what was to be repaired.
        facts: of both, for the count of violated requirements.
    """
    aimed = set(targets)
    # A finding of a log has another subject than the same rule has on a probe at times: the rule alone decides then.
    present = {(finding.rule.slug, finding.subject) for finding in after}
    titles = {(finding.rule.slug, finding.subject): finding.title for finding in before}
    known = {(finding.rule.slug, finding.subject) for finding in before}
    new = [
        finding.title
        for finding in after
        if finding.severity == "error"
        and finding.role != "notice"
        and (finding.rule.slug, finding.subject) not in known
        and any(match.each.split(".")[0] in OURS for match in finding.rule.facts)
    ]
    return Verdict(
        tuple(titles.get(key, key[0]) for key in titles if key in aimed and key not in present),
        tuple(titles.get(key, key[0]) for key in titles if key in aimed and key in present),
        tuple(dict.fromkeys(new)),
        (violated(facts[0]), violated(facts[1])),
    )


def violated(facts: Facts) -> int:
    """How many requirements of SGLang, torch and their kin are not met."""
    return len(facts.rows("packages.unpinned")) + len(facts.rows("packages.missing"))
