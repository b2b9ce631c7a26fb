"""The report: one object that every output format renders."""

from __future__ import annotations

from sgldoctor.facts import Facts
from sgldoctor.fix.recipe import Fix
from sgldoctor.rules.schema import Finding
from sgldoctor.typed import Any, NamedTuple

SCHEMA = "sgldoctor.report/1"

HEALTHY, PROBLEMS, UNKNOWN = "healthy", "problems", "unknown"
EXIT = {HEALTHY: 0, PROBLEMS: 1, UNKNOWN: 3}
"""Exit status by report status; 2 is for usage and unreadable input, which have no report."""


class Ignored(NamedTuple):
    """A finding that was silenced on purpose, with the reason and the day until which (``YYYY-MM-DD``)."""

    rule: str
    reason: str
    until: str
    times: int = 0


class Failure(NamedTuple):
    """A failure in a log that no rule explains: the innermost exception of the first failing rank.

    ``place`` is the file and function of SGLang that raised it, ``known`` what the knowledge says of the
    message and of that function, ``ruled_out`` which explanations do not fit, and why.
    """

    type: str
    message: str
    place: str
    line: int
    rank: str
    source: str
    known: str
    ruled_out: str = ""


class Node(NamedTuple):
    """One node of a fleet: its verdict (a status of a report), the titles of its causes, or why it was not examined."""

    name: str
    status: str
    causes: tuple[str, ...] = ()
    because: str = ""


class Report(NamedTuple):
    """Everything that an examination found out."""

    command: str
    facts: Facts
    findings: tuple[Finding, ...]
    fixes: dict[str, tuple[Fix, ...]]
    """Fixes by :func:`key` of the finding."""
    ignored: tuple[Ignored, ...]
    failures: tuple[Failure, ...]
    strict: bool = False
    fixed: dict[str, Any] | None = None
    """What ``--fix`` did, where it was asked for."""
    nodes: tuple[Node, ...] = ()
    """The nodes of a fleet."""

    @property
    def causes(self) -> tuple[Finding, ...]:
        """The findings that nothing else explains, best first."""
        return tuple(finding for finding in self.findings if finding.role == "cause")

    @property
    def status(self) -> str:
        """``problems``, ``unknown`` (nothing found, but something essential could not be judged) or ``healthy``."""
        if any(
            finding.severity == "error" or (self.strict and finding.severity == "warning") for finding in self.causes
        ):
            return PROBLEMS
        if self.failures or any(entry.essential for entry in self.facts.unknown):
            return UNKNOWN
        if any(
            finding.role == "symptom" and finding.severity == "error" and not finding.explained_by
            for finding in self.findings
        ):
            return UNKNOWN
        return HEALTHY

    @property
    def exit_status(self) -> int:
        """0 healthy, 1 problems, 3 nothing wrong found but something essential could not be examined."""
        return EXIT[self.status]


def key(finding: Finding) -> str:
    """What ``explained_by`` and ``fixes`` name a finding by."""
    return f"{finding.rule.slug}:{finding.subject}" if finding.subject else finding.rule.slug
