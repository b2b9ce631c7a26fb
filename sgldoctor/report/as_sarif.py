"""The report as SARIF 2.1.0 (OASIS, 2020): for GitHub code scanning, editors and whatever else reads it.

Launch files and logs are locations. What stands in no file (a package, a driver) has a logical location instead.
Causes and notices are results; a symptom is a related location of its cause, or a result where it has none.
"""

from __future__ import annotations

import json
import os

from sgldoctor.knowledge.causes import causes
from sgldoctor.report import telling
from sgldoctor.report.as_json import to_object
from sgldoctor.report.model import Report
from sgldoctor.report.telling import Entry
from sgldoctor.typed import Any

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def render(report: Report) -> str:
    """The report as one SARIF log with a newline at its end."""
    return json.dumps(to_log(report), indent=1, ensure_ascii=False) + "\n"


def to_log(report: Report) -> Entry:
    """The report as the plain values of a SARIF log."""
    data = to_object(report)
    findings = [entry for entry in data["findings"] if entry["role"] != "symptom" or not entry["explained_by"]]
    order = list(dict.fromkeys(finding["rule"] for finding in findings))
    first = {finding["rule"]: finding for finding in reversed(findings)}
    results = [_result(data, finding, order.index(finding["rule"])) for finding in findings]
    results += [_failure(failure) for failure in data["failures"]]
    driver: Entry = {
        "name": "sgldoctor",
        "version": data["tool"]["version"],
        "rules": [_rule(first[slug]) for slug in order],
    }
    if data["failures"]:
        driver["rules"].append(
            {
                "id": "unexplained-failure",
                "shortDescription": {"text": "A failure that no rule explains"},
                "defaultConfiguration": {"level": "error"},
            }
        )
    run: Entry = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": report.exit_status,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": f"unknown: {entry['what']}: {entry['because']}"}}
                    for entry in data["unknown"]
                ],
            }
        ],
        "results": results,
        "properties": {"status": data["status"], "command": data["command"]},
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(finding: Entry) -> Entry:
    """The reporting descriptor of a rule, from the first of its findings."""
    known = causes().get(finding["cause"])
    entry: Entry = {
        "id": finding["rule"],
        "shortDescription": {"text": known.meaning if known else finding["cause"]},
        "fullDescription": {"text": finding["about"] or finding["title"]},
        "help": {"text": finding["about"] or finding["title"]},
        "defaultConfiguration": {"level": LEVELS[finding["severity"]]},
        "properties": {"tags": [finding["cause"]], "precision": _precision(finding["confidence"])},
    }
    web = [text for text in finding["references"] if text.startswith("https://") and not set(text) & set(' <>"{}|\\^`')]
    if web:
        entry["helpUri"] = web[0]
    return entry


def _precision(confidence: str) -> str:
    return {"high": "very-high", "medium": "high"}.get(confidence, "medium")


def _result(data: Entry, finding: Entry, index: int) -> Entry:
    located = [_location(entry, finding) for entry in finding["evidence"]] or [{"logicalLocations": _machine(finding)}]
    symptoms = telling.explained(data, finding) if finding["role"] == "cause" else []
    related = located[1:] + [
        {**_location(entry, symptom), "message": {"text": f"symptom: {symptom['title']}"}}
        for symptom in symptoms
        for entry in symptom["evidence"][:1]
    ]
    result: Entry = {
        "ruleId": finding["rule"],
        "ruleIndex": index,
        "level": LEVELS[finding["severity"]],
        "message": {"text": _message(finding)},
        "locations": located[:1],
        "partialFingerprints": {"sgldoctor/1": telling.key(finding)},
        "occurrenceCount": max(finding["count"], 1),
        "properties": {"role": finding["role"], "confidence": finding["confidence"], "subject": finding["subject"]},
    }
    if related:
        result["relatedLocations"] = [{"id": number, **entry} for number, entry in enumerate(related, 1)]
    return result


def _message(finding: Entry) -> str:
    lines = [finding["title"]]
    for fix in finding["fixes"]:
        lines.append(f"Fix ({fix['safety']}): {fix['title']}")
        lines += [f"  {telling.command(action) or telling.describe(action)}" for action in fix["actions"]]
    return "\n".join(lines)


def _location(evidence: Entry, finding: Entry) -> Entry:
    """A physical location where a file is known, else the thing at fault as a logical one."""
    file = evidence.get("file", "")
    if file in ("", "-"):
        return {"logicalLocations": _machine(finding), "message": {"text": evidence["text"] or finding["title"]}}
    region: Entry = {"snippet": {"text": evidence["text"]}}
    region["startLine"] = max(int(evidence.get("line") or 1), 1)
    location: Entry = {"physicalLocation": {"artifactLocation": {"uri": uri(file)}, "region": region}}
    if evidence.get("rank"):
        location["message"] = {"text": f"rank {evidence['rank']}"}
    return location


def _machine(finding: Entry) -> list[Entry]:
    name = finding["subject"] or finding["cause"]
    return [{"name": name, "fullyQualifiedName": f"{finding['cause']}/{name}", "kind": "resource"}]


def uri(path: str) -> str:
    """A path as SARIF wants it: relative ones stay relative (to the checkout), absolute ones become ``file:///``."""
    from urllib.parse import quote

    slashed = path.replace(os.sep, "/") if os.sep != "/" else path
    if slashed.startswith("/"):
        return "file://" + quote(slashed)
    # "./a" is "a", and a first part with a colon would read as a scheme.
    return quote(os.path.normpath(slashed)) if slashed else ""


def _failure(failure: Entry) -> Entry:
    said = f"{failure['type']}: {failure['message']}".strip(": ") or "a failure"
    evidence: dict[str, Any] = {
        "file": failure["source"],
        "line": failure["line"],
        "text": said,
        "rank": failure["rank"],
    }
    named = {"subject": failure["type"], "cause": "unexplained", "title": said}
    more = "".join(f"\n{failure[name]}" for name in ("place", "known", "ruled_out") if failure[name])
    return {
        "ruleId": "unexplained-failure",
        "level": "error",
        "message": {"text": said + more},
        "locations": [_location(evidence, named)],
    }
