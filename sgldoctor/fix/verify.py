"""The proof: the same probes after the repair, compared with before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sgldoctor.facts import Facts
from sgldoctor.rules.schema import Finding
from sgldoctor.typed import NamedTuple

OURS = {"packages", "libraries", "symbols", "kernel", "torch", "flashinfer", "sglang", "record", "environment"}
"""First words of the facts that a repair can change. A GPU that fills up meanwhile is no fault of it."""


class Verdict(NamedTuple):
    """What the second examination says.

    Attributes:
        gone: titles of the findings that were to be repaired and are gone.
        unseen: titles of those that no examination of a machine can see, only a log of the next start.
        still: titles of those that are still there.
        new: titles of errors that were not there before.
        pins: violated requirements before and after.
    """

    gone: tuple[str, ...]
    still: tuple[str, ...]
    new: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    pins: tuple[int, int] = (0, 0)

    @property
    def proven(self) -> bool:
        """Whether nothing aimed at is seen any more, nothing new is wrong, and no more requirements are violated."""
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
    present = {(finding.rule.slug, finding.subject) for finding in after}
    titles = {(finding.rule.slug, finding.subject): finding.title for finding in before}
    blind = {(finding.rule.slug, finding.subject) for finding in before if not finding.rule.facts}
    known = {(finding.rule.slug, finding.subject) for finding in before}
    new = [
        finding.title
        for finding in after
        if finding.severity == "error"
        and finding.role != "notice"
        and (finding.rule.slug, finding.subject) not in known
        and any(match.each.split(".")[0] in OURS for match in finding.rule.facts)
    ]
    mine = [key for key in titles if key in aimed]
    return Verdict(
        gone=tuple(titles[key] for key in mine if key not in present and key not in blind),
        still=tuple(titles[key] for key in mine if key in present),
        new=tuple(dict.fromkeys(new)),
        unseen=tuple(titles[key] for key in mine if key not in present and key in blind),
        pins=(violated(facts[0]), violated(facts[1])),
    )


def violated(facts: Facts) -> int:
    """How many requirements of SGLang, torch and their kin are not met."""
    return len(facts.rows("packages.unpinned")) + len(facts.rows("packages.missing"))
