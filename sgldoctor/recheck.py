"""Judging a snapshot as if it were the machine it was taken of, and comparing an examination with an earlier one."""

from __future__ import annotations

from sgldoctor import pipeline, snapshot
from sgldoctor.derive.changes import About, changes
from sgldoctor.errors import InputError
from sgldoctor.facts import Facts
from sgldoctor.pipeline import Asked, Options
from sgldoctor.report.model import Report, key
from sgldoctor.rules.load import load


def check(path: str, asked: Asked, options: Options) -> Report:
    """The report of ``check`` on the snapshot in the file ``path``; raises InputError where it is not usable.

    ``asked.launch`` is judged with the variables of the snapshot.
    """
    taken = snapshot.read(path)
    facts = taken.facts
    if asked.launch:
        _launch(facts, asked.launch, path)
    facts.put("snapshot", taken.row(), "snapshot")
    name = facts.value("python", "executable") or facts.value("python", "prefix") or "the snapshot"
    return pipeline.judge(facts, str(name), asked.areas, options)


def _launch(facts: Facts, line: str, path: str) -> None:
    from sgldoctor.launch import facts_of, model_of
    from sgldoctor.report.redact import REDACTED

    if facts.known("launch"):
        raise InputError(f"{path}: it holds a launch line already; --launch cannot add another")
    values = {str(row.get("name")): str(row.get("value")) for row in facts.rows("environment")}
    found = facts_of(line, {name: value for name, value in values.items() if REDACTED not in value})
    facts.merge(found)
    if model_of(found) and not facts.known("model"):
        facts.put_unknown("model", "the snapshot does not hold it: take one with --model to judge sizes")


def against(report: Report, path: str, options: Options) -> Report:
    """``report`` with what changed since the snapshot in the file ``path``: the fact ``changes`` and its findings."""
    from sgldoctor.derive import derive

    before = snapshot.read(path)
    derive(before.facts)
    compared = Facts()
    compared.put("changes.base", before.row(), "snapshot")
    compared.put("changes", changes(before.facts, report.facts, _causes(report), before.taken), "derived")
    rules = load(options.folders).about("changes")
    told = pipeline.conclude("check", compared, (), rules, options)
    report.facts.merge(told.facts)
    return report._replace(
        findings=(*report.findings, *told.findings),
        fixes={**report.fixes, **told.fixes},
        ignored=(*report.ignored, *told.ignored),
    )


def _causes(report: Report) -> list[About]:
    """What each cause is about and, for errors, names besides (its fixes included), best cause first."""
    out = []
    for finding in report.causes:
        named: list[str] = []
        if finding.severity != "error":
            out.append(About(finding.rule.slug, finding.rule.area, finding.subject, ()))
            continue
        for value in finding.params.values():
            named += [str(entry) for entry in value] if isinstance(value, list | tuple) else [str(value)]
        for fix in report.fixes.get(key(finding), ()):
            for action in fix.actions:
                named += [str(entry) for entry in action.to_json().get("packages", ())]
        out.append(About(finding.rule.slug, finding.rule.area, finding.subject, tuple(named)))
    return out
