"""The report as JUnit XML, for CI servers: each rule that found something is a case, and so is what was not examined.

Causes that the verdict counts are failures (errors, with ``--strict`` warnings, too); the rest passes with its text in
``system-out``, what is ignored is skipped, an essential gap is an error. The shape is the one that Jenkins,
GitLab and GitHub's reporters share: ``testsuites/testsuite/testcase/{failure,error,skipped,system-out}``.
"""

from __future__ import annotations

import re

from sgldoctor.report import telling
from sgldoctor.report.as_json import to_object
from sgldoctor.report.model import Report
from sgldoctor.report.telling import Entry

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not have, not even as references."""


def render(report: Report) -> str:
    """The report as one XML document with a newline at its end."""
    data = to_object(report)
    cases: list[str] = []
    failures = errors = skipped = 0
    for finding in data["findings"]:
        failed = finding["role"] == "cause" and (
            finding["severity"] == "error" or (report.strict and finding["severity"] == "warning")
        )
        failures += failed
        cases.append(_case(finding["rule"], finding["subject"] or finding["title"], *_finding(finding, failed=failed)))
    for failure in data["failures"]:
        failures += 1
        said = f"{failure['type']}: {failure['message']}".strip(": ")
        rest = "\n".join(failure[name] for name in ("place", "known", "ruled_out"))
        text = f"{failure['source']}:{failure['line']}\n{rest}".strip()
        cases.append(_case("unexplained", said[:200], "failure", said, text))
    for entry in data["ignored"]:
        skipped += 1
        cases.append(_case(entry["rule"], "ignored", "skipped", f"until {entry['until']}: {entry['reason']}", ""))
    essential = {entry.what for entry in report.facts.unknown if entry.essential}
    for entry in data["unknown"]:
        gap = entry["what"] in essential
        errors, skipped = errors + gap, skipped + (not gap)
        cases.append(_case("examined", entry["what"], "error" if gap else "skipped", entry["because"], ""))
    if not cases:
        cases.append(_case("verdict", "no problem found", "", "", ""))
    spent = sum(data["seconds"].values())
    figures = f'tests="{len(cases)}" failures="{failures}" errors="{errors}" time="{spent:.3f}"'
    name = f"sgldoctor {data['command']}"
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<testsuites name="{_attribute(name)}" {figures}>',
            f'<testsuite name="{_attribute(name)}" {figures} skipped="{skipped}">',
            "<properties>"
            + _property("version", data["tool"]["version"])
            + _property("status", data["status"])
            + "</properties>",
            *cases,
            "</testsuite>",
            "</testsuites>\n",
        ]
    )


def _finding(finding: Entry, *, failed: bool) -> tuple[str, str, str]:
    lines = [f"{telling.place(entry)}: {entry['text']}" for entry in finding["evidence"]]
    lines.append(finding["about"])
    for fix in finding["fixes"]:
        lines.append(f"fix ({fix['safety']}): {fix['title']}")
        lines += [f"  {telling.command(action) or telling.describe(action)}" for action in fix["actions"]]
    return "failure" if failed else "system-out", f"{finding['severity']}: {finding['title']}", "\n".join(lines)


def _case(rule: str, name: str, kind: str, message: str, text: str) -> str:
    head = f'<testcase classname="sgldoctor.{_attribute(rule)}" name="{_attribute(name)}" time="0">'
    if not kind:
        return f"{head}</testcase>"
    if kind == "system-out":
        return f"{head}<system-out>{_text(f'{message}{chr(10)}{text}')}</system-out></testcase>"
    what = f' type="{_attribute(rule)}"' if kind in ("failure", "error") else ""
    return f'{head}<{kind} message="{_attribute(message)}"{what}>{_text(text)}</{kind}></testcase>'


def _property(name: str, value: str) -> str:
    return f'<property name="{name}" value="{_attribute(value)}"/>'


def _text(text: str) -> str:
    from html import escape

    return escape(_FORBIDDEN.sub("", text), quote=False)


def _attribute(text: object) -> str:
    from html import escape

    return escape(" ".join(_FORBIDDEN.sub("", str(text)).split()))
