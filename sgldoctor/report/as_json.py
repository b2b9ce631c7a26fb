"""The report as JSON: the contract, described by ``report.schema.json`` beside this file."""

from __future__ import annotations

import json

from sgldoctor import __version__
from sgldoctor.report.model import SCHEMA, Report, key
from sgldoctor.report.redact import redact
from sgldoctor.report.text import clean
from sgldoctor.rules.schema import Finding
from sgldoctor.typed import Any


def to_object(report: Report) -> dict[str, Any]:
    """The report as plain values, redacted, in the key order of the contract."""
    shown: dict[str, Any] = cleaned(
        {
            "schema": SCHEMA,
            "tool": {"name": "sgldoctor", "version": __version__},
            "command": report.command,
            "status": report.status,
            "facts": _facts(report),
            "findings": [_finding(finding, report) for finding in report.findings],
            "failures": [failure._asdict() for failure in report.failures],
            "ignored": [entry._asdict() for entry in report.ignored],
            "unknown": [{"what": entry.what, "because": entry.because} for entry in report.facts.unknown],
            "seconds": {name: round(value, 4) for name, value in report.facts.seconds.items()},
            **({"fixed": report.fixed} if report.fixed is not None else {}),
            **({"nodes": [node._asdict() for node in report.nodes]} if report.nodes else {}),
        }
    )
    return shown


def render(report: Report) -> str:
    """The report as one JSON text with a newline at its end."""
    return json.dumps(to_object(report), indent=1, ensure_ascii=False) + "\n"


def _facts(report: Report) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name in report.facts.names():
        rows = [dict(row) for row in report.facts.rows(name)]
        source = report.facts.source(name)
        if name == "packages":  # requirements are long, and anybody can read them where they were read
            rows = [{column: value for column, value in row.items() if column != "requires"} for row in rows]
        facts[name] = (
            {**rows[0], "source": source} if len(rows) == 1 and name in _SINGLE else {"source": source, "rows": rows}
        )
    return facts


_SINGLE = frozenset(
    (
        "python sglang torch kernel driver driver.minimum cuda.init host toolkit hub"
        " rdma.registration model launch failure log.releases"
    ).split()
)
"""Facts that describe one thing: their only row is shown in the place of a table."""


def _finding(finding: Finding, report: Report) -> dict[str, Any]:
    return {
        "rule": finding.rule.slug,
        "cause": finding.rule.cause,
        "role": finding.role,
        "severity": finding.severity,
        "confidence": finding.rule.confidence,
        "title": finding.title,
        "subject": finding.subject,
        "params": finding.params,
        "about": finding.rule.about,
        "explained_by": finding.explained_by,
        "count": finding.times,
        "evidence": [
            {name: value for name, value in entry._asdict().items() if value or name in ("source", "text")}
            for entry in finding.evidence
        ],
        "fixes": [fix.to_json() for fix in report.fixes.get(key(finding), ())],
        "references": list(finding.rule.references),
    }


def cleaned(value: Any) -> Any:
    """A plain value with every text redacted and stripped of control sequences, at any depth."""
    if isinstance(value, str):
        return redact(clean(value))
    if isinstance(value, dict):
        return {str(name): cleaned(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(entry) for entry in value]
    return value
