"""Running rules over fixtures: what ``sgldoctor rules test`` and the tests of the rule base share.

A fixture is a log (``.log``) or facts (``.json``: an object of fact names to lists of rows). In ``fixtures/<slug>/``
the rule must fire on ``fires-*`` and stay quiet on ``quiet-*``. ``<name>.finding.json`` beside a case holds what was
accepted in review: the finding's role, subject, parameters and commands.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence

from sgldoctor import pipeline, whole
from sgldoctor.errors import InputError, RuleError
from sgldoctor.report.as_json import to_object
from sgldoctor.report.model import Report
from sgldoctor.rules.lint import facts_of_fixture
from sgldoctor.rules.schema import Rule
from sgldoctor.rules.select import literals, witnesses
from sgldoctor.typed import Any, NamedTuple


class Case(NamedTuple):
    """One fixture: the rule it belongs to, its path, and whether that rule must fire."""

    slug: str
    path: str
    fires: bool


def cases(fixtures: str, slugs: Sequence[str] = ()) -> Iterator[Case]:
    """All cases of the folder, or those of some rules."""
    for slug in sorted(os.listdir(fixtures)) if os.path.isdir(fixtures) else []:
        folder = os.path.join(fixtures, slug)
        if slug.startswith("_") or not os.path.isdir(folder) or (slugs and slug not in slugs):
            continue
        for name in sorted(os.listdir(folder)):
            if (
                name.startswith(("fires-", "quiet-"))
                and name.endswith((".log", ".json"))
                and not name.endswith(".finding.json")
            ):
                yield Case(slug, os.path.join(folder, name), name.startswith("fires-"))


def report(path: str, rules: Sequence[Rule]) -> Report:
    """The report that all ``rules`` give on one fixture."""
    if path.endswith(".json"):
        try:
            with open(path, encoding="utf-8") as stream:
                facts = facts_of_fixture(json.load(stream))
        except (ValueError, RuleError) as error:
            raise InputError(f"{path}: {error}") from error
        return pipeline.conclude("check", facts, (), rules, pipeline.Options())
    from sgldoctor import log

    reading = log.read([path], literals(rules), witnesses(rules))
    return pipeline.conclude("explain", reading.facts, reading.events, rules, pipeline.Options())


def accepted(case: Case, found: Report) -> list[dict[str, Any]]:
    """What a review of the case looks at: every finding's role, subject, parameters and fixes."""
    kept = []
    for finding in to_object(found)["findings"]:
        if finding["rule"] == case.slug or finding["role"] == "cause":
            fixes = [
                {"title": fix["title"], "safety": fix["safety"],
                 "commands": [action.get("command") or action.get("text", "") for action in fix["actions"]]}
                for fix in finding["fixes"]
            ]  # fmt: skip
            kept.append(
                {name: finding[name] for name in ("rule", "cause", "role", "severity", "title", "subject", "params")}
                | {"fixes": fixes}
            )
    return kept


def verdict(case: Case, found: Report) -> str:
    """What is wrong with the case, or an empty text."""
    fired = any(finding.rule.slug == case.slug for finding in found.findings)
    if case.fires and not fired:
        return "does not fire"
    if not case.fires and fired:
        return "fires, and must not"
    return ""


def test(rules: Sequence[Rule], names: Sequence[str], fixtures: str, *, accept: bool) -> int:
    """Run the fixtures of ``names`` (of all rules where none is named); returns the exit status."""
    known = {rule.slug for rule in rules}
    for name in names:
        if name not in known:
            raise InputError(f"no rule named {name!r}")
    failed = total = 0
    for case in cases(fixtures, names):
        total += 1
        found = report(case.path, rules)
        wrong = verdict(case, found)
        failed += bool(wrong)
        label = os.path.join(case.slug, os.path.basename(case.path))
        causes = ", ".join(finding.rule.slug for finding in found.findings if finding.role == "cause") or "no cause"
        if wrong or names:
            print(
                f"{'FAIL' if wrong else 'ok  '} {label}: {wrong or causes}" + (f" (causes: {causes})" if wrong else "")
            )
        if case.fires and accept and not wrong:
            text = json.dumps(accepted(case, found), indent=1, ensure_ascii=False) + "\n"
            whole.save(os.path.splitext(case.path)[0] + ".finding.json", text.encode())
    print(f"{total - failed} passed, {failed} failed")
    return 1 if failed or not total else 0
