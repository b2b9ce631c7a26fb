"""The stages in order: facts from a machine or a log, derived facts, findings, causes, fixes, report.

``check`` and ``explain`` differ only in where the facts come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NamedTuple

from sgldoctor import derive, log
from sgldoctor.derive.when import holds
from sgldoctor.events import Event
from sgldoctor.facts import Facts
from sgldoctor.probe.target import Target
from sgldoctor.rank import rank
from sgldoctor.report.failures import unexplained
from sgldoctor.report.model import Ignored, Report, key
from sgldoctor.rules.load import load
from sgldoctor.rules.schema import Finding, Rule
from sgldoctor.rules.select import select

INFERRED_FROM = 40
"""How many messages of a log are compared with what each release prints."""


class Options(NamedTuple):
    """What the user chose that changes the verdict: rule folders, silenced rules, warnings that count."""

    folders: tuple[str, ...] = ()
    ignore: tuple[Ignored, ...] = ()
    strict: bool = False


class Asked(NamedTuple):
    """What ``check`` is asked to examine besides the environment: a launch line, a model, some areas only."""

    launch: str = ""
    model: str = ""
    areas: tuple[str, ...] = ()


def explain(
    paths: Sequence[str], options: Options, *, stdin: BinaryIO | None = None, here: Target | None = None
) -> Report:
    """The root cause of logs; with ``here``, what a probe of that environment sees is taken into account."""
    rules = load(options.folders)
    reading = log.read(paths, [match.anchor.encode() for rule in rules for match in rule.logs], stdin=stdin)
    facts = reading.facts
    if here is not None:
        facts.merge(examine(here, Asked()))
    return conclude("explain", facts, reading.events, rules, options)


def check(target: Target, asked: Asked, options: Options) -> Report:
    """What is wrong with a machine and an environment, and with a launch line or a model if one is named."""
    rules = load(options.folders)
    if asked.areas:
        rules = [rule for rule in rules if rule.area in asked.areas]
    facts = examine(target, asked)
    installed = {row.get("name") for row in facts.rows("packages")}
    if facts.known("packages") and "sglang" not in installed:
        facts.put_unknown(
            "sglang", f"it is not installed in the environment of {target.python or target.prefix}", essential=True
        )
    return conclude("check", facts, (), rules, options)


def examine(target: Target, asked: Asked) -> Facts:
    """Run every probe on ``target``; a probe that fails leaves an "unknown, because"."""
    from sgldoctor import probe

    facts = probe.examine(target)
    model = asked.model
    if asked.launch:
        from sgldoctor.launch import facts_of, model_of

        line = facts_of(asked.launch, target.environ)
        facts.merge(line)
        facts.merge(_ports(target, line))
        model = model or model_of(line)
    if model:
        from sgldoctor.probe.model import model as read_model

        facts.merge(read_model(target, model))
    return facts


def _ports(target: Target, line: Facts) -> Facts:
    """Whether the ports that a launch line asks for are free."""
    from sgldoctor.derive.launch import options
    from sgldoctor.probe.network import asked, ports

    wanted = asked(options(line).rows("launch.option"))
    return ports(target, wanted) if wanted and target.live else Facts()


def conclude(command: str, facts: Facts, events: Sequence[Event], rules: Sequence[Rule], options: Options) -> Report:
    """From facts and events to the report; pure, so a snapshot or a fixture gives what the live machine gave."""
    _note_warned_variables(facts, events)
    timed(facts, "derive", lambda: derive.derive(facts))

    def in_release(when: dict[str, str]) -> bool | None:
        _infer_release(facts, events)
        return holds(when, facts)

    findings = timed(facts, "rules", lambda: rank(select(facts, events, rules, in_release)))
    kept, ignored = _silence(findings, options.ignore)
    if any(recipe.when for finding in kept for recipe in finding.rule.fixes):
        _infer_release(facts, events)
    return Report(
        command=command,
        facts=facts,
        findings=tuple(kept),
        fixes=_fixes(kept, facts),
        ignored=ignored,
        failures=unexplained(events, findings),
        strict=options.strict,
    )


def _note_warned_variables(facts: Facts, events: Sequence[Event]) -> None:
    """Which variables a log complains of: the same derivation then judges them as if they had been probed."""
    texts = [(event.text, event.line) for event in events if "nvironment variable" in event.text or "SGL" in event.text]
    if texts and not facts.known("environment.warned"):
        from sgldoctor.derive.environment import warned

        rows = warned(texts)
        if rows:
            facts.put("environment.warned", rows, "log")


def _infer_release(facts: Facts, events: Sequence[Event]) -> None:
    """The releases whose texts the log holds, where none is named: only looked up once something depends on it."""
    if not events or facts.known("sglang") or facts.known("log.releases"):
        return
    from sgldoctor.knowledge.messages import fitting, releases

    texts = [event.text for event in events if event.kind in ("exception", "error", "warning")][:INFERRED_FROM]
    found = fitting(texts)
    if found is None:
        facts.put("log.releases", [], "derived")
        return
    first, last, because = found
    facts.put("log.releases", {"first": releases()[first], "last": releases()[last], "because": because[:3]}, "derived")


def timed(facts: Facts, name: str, work: Callable[[], Any]) -> Any:
    """Run ``work`` and note its seconds under ``name``."""
    begin = time.perf_counter()
    try:
        return work()
    finally:
        facts.seconds[name] = time.perf_counter() - begin


def _silence(findings: Sequence[Finding], ignore: Sequence[Ignored]) -> tuple[list[Finding], tuple[Ignored, ...]]:
    """Take out what is ignored on purpose, counted; an entry whose day has passed silences nothing."""
    today = time.strftime("%Y-%m-%d")
    active = {entry.rule: entry for entry in ignore if entry.until >= today}
    kept = [finding for finding in findings if finding.rule.slug not in active]
    counted = [
        entry._replace(times=sum(finding.rule.slug == entry.rule for finding in findings)) for entry in active.values()
    ]
    return kept, tuple(entry for entry in counted if entry.times)


def _fixes(findings: Sequence[Finding], facts: Facts) -> dict[str, Any]:
    if not any(finding.rule.fixes for finding in findings):
        return {}
    from sgldoctor.derive.pins import pin
    from sgldoctor.fix.recipe import fixes

    return {
        key(finding): fixes(finding, facts, lambda name: pin(name, facts))
        for finding in findings
        if finding.rule.fixes and finding.role != "symptom"
    }
