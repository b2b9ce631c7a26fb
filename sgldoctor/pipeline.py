"""The stages in order: facts from a machine or a log, derived facts, findings, causes, fixes, report.

``check`` and ``explain`` differ only in where the facts come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sgldoctor import derive
from sgldoctor.derive import telling
from sgldoctor.derive.when import holds
from sgldoctor.errors import known
from sgldoctor.events import Event
from sgldoctor.facts import Facts
from sgldoctor.rank import rank
from sgldoctor.report.failures import unexplained
from sgldoctor.report.model import Ignored, Report, key
from sgldoctor.rules.load import load
from sgldoctor.rules.schema import Finding, Rule
from sgldoctor.rules.select import claimed, literals, select, witnesses
from sgldoctor.typed import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

UPSTREAM = "sglang-bug"
"""The cause of which the release is the first thing to know."""


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
    deep: bool = False


def explain(
    paths: Sequence[str],
    options: Options,
    *,
    stdin: BinaryIO | None = None,
    here: Target | None = None,
    sglang: str = "",
) -> Report:
    """The root cause of logs; with ``here``, what a probe of that environment sees is taken into account.

    ``sglang`` is the release that wrote them, where the user knows it; what a log itself tells counts more.
    """
    from sgldoctor import log  # the largest part of the package, and only this command reads logs

    rules = load(options.folders)
    reading = log.read(paths, literals(rules), witnesses(rules), stdin=stdin)
    facts = reading.facts
    if here is not None:
        facts.merge(examine(here, Asked()))
    if sglang and not facts.known("sglang"):
        given(facts, sglang)
    return conclude("explain", facts, reading.events, rules, options)


def given(facts: Facts, release: str) -> None:
    """Note the release of SGLang that the user named."""
    from sgldoctor.knowledge import releases

    row = {"version": release, "known": releases.known(release), "inferred": "given with --sglang"}
    facts.put("sglang", row, "launch")


def check(target: Target, asked: Asked, options: Options) -> Report:
    """What is wrong with a machine and an environment, and with a launch line or a model if one is named."""
    facts = examine(target, asked)
    name = target.python or target.prefix
    if not asked.deep:
        return judge(facts, name, asked.areas, options)
    from sgldoctor.probe.deep import deep

    more, output = deep(target)
    facts.merge(more)
    return judge(facts, name, asked.areas, options, output)


def judge(facts: Facts, name: str, areas: Sequence[str], options: Options, output: bytes = b"") -> Report:
    """The report of ``check`` on what was seen of the environment ``name``, now or when a snapshot was taken.

    ``output`` is what programs printed that were tried there and failed; it is read as a log.
    """
    rules: Sequence[Rule] = load(options.folders)
    if areas:
        known("--area", areas, {rule.area for rule in rules})
        rules = [rule for rule in rules if rule.area in areas]
    there = any(row.get("name") == "sglang" for row in facts.rows("packages")) or facts.value(
        "sglang.source", "version"
    )
    if facts.known("packages") and not there:
        because = (
            f"it is not installed in the environment of {name}; if another one serves, name that with --python or "
            "--venv where it is examined"
        )
        facts.put_unknown("sglang", because, essential=True)
    if facts.known("python") and not facts.value("python", "executable"):
        facts.put_unknown("python", f"no interpreter is there: {facts.value('python', 'chosen')}")
    events: Sequence[Event] = ()
    if output:
        import io

        from sgldoctor import log

        reading = log.read(["-"], literals(rules), witnesses(rules), stdin=io.BytesIO(output))
        events = reading.events
    return conclude("check", facts, events, rules, options)


def examine(target: Target, asked: Asked) -> Facts:
    """Run every probe on ``target``; a probe that fails leaves an "unknown, because"."""
    from sgldoctor import probe

    facts = probe.examine(target)
    model, command = asked.model, asked.launch
    if target.pid and not command:
        command = _of_process(target)
    if command:
        from sgldoctor.launch import facts_of, model_of

        line = facts_of(command, target.environ)
        facts.merge(line)
        if asked.launch:  # a server that runs holds its ports itself
            facts.merge(ports(target, line))
        model = model or model_of(line)
    if model:
        from sgldoctor.probe.model import model as read_model

        facts.merge(read_model(target, model, with_memory=True))
        if asked.model:
            from sgldoctor.probe.modelfiles import modelfiles

            facts.merge(modelfiles(target, asked.model))
    return facts


def _of_process(target: Target) -> str:
    """The launch line of a running server, ``""`` where its process is no server or has renamed itself."""
    import shlex

    from sgldoctor.probe.process import command

    words = command(target.pid)
    starts = any(word.endswith(("launch_server", "launch_server.py", "/sglang")) for word in words)
    return shlex.join(words) if starts else ""


def ports(target: Target, line: Facts) -> Facts:
    """Whether the ports that a launch line asks for are free."""
    from sgldoctor.derive.launch import options
    from sgldoctor.probe import network

    wanted = network.asked(options(line).rows("launch.option"))
    return network.ports(target, wanted) if wanted and target.live else Facts()


def conclude(
    command: str,
    facts: Facts,
    events: Sequence[Event],
    rules: Sequence[Rule],
    options: Options,
    stages: Sequence[str] = (),
) -> Report:
    """From facts and events to the report; pure, so a snapshot or a fixture gives what the live machine gave.

    ``stages`` names the derivations to run where not all are wanted.
    """
    telling.warned_variables(facts, events)
    timed(facts, "derive", lambda: derive.derive(facts, stages))

    def in_release(when: dict[str, str]) -> bool | None:
        telling.releases(facts, events)
        return holds(when, facts)

    if facts.rows("log.ignored_import"):
        from sgldoctor.log.claims import imports

        events = imports(events, facts.rows("log.ignored_import"))
    findings = timed(facts, "rules", lambda: rank(select(facts, events, rules, in_release)))
    failures = unexplained(events, findings)
    if failures and telling.origins(facts, events):
        # No text that a rule knows: where in SGLang it was raised may still tell.
        findings = rank(select(facts, events, rules, in_release))
        failures = unexplained(events, findings)
    if events and not any(finding.role == "cause" and finding.severity == "error" for finding in findings):
        from sgldoctor.log.claims import claims

        said = claims(events)
        named = telling.foreign_names(facts, [*events, *said])
        lines = {row["line"] for row in facts.rows("log.foreign_name")}
        lines |= {event.line for finding in findings for event in finding.events}
        told = claimed(facts, [claim for claim in said if claim.line not in lines], rules, in_release)
        if named or told:
            findings = rank([*select(facts, events, rules, in_release), *told])
            failures = unexplained(events, findings)
    if failures and not any(finding.role == "cause" and finding.severity == "error" for finding in findings):
        from sgldoctor.rules.cutoff import cut

        if broken_off := cut(facts, events, rules, in_release):
            findings = rank([*select(facts, events, rules, in_release), *broken_off])
            failures = unexplained(events, findings)
    if failures:
        findings = rank([_aside(finding) for finding in findings])
        from sgldoctor.rules.considered import ruled_out

        failures = unexplained(events, findings, lambda event: ruled_out(event, rules, in_release))
    kept, ignored = _silence(findings, options.ignore)
    if failures or any(finding.role == "cause" and finding.rule.cause == UPSTREAM for finding in kept):
        telling.releases(facts, events)
    if any(recipe.when for finding in kept for recipe in finding.rule.fixes):
        telling.releases(facts, events)
    fixes = _fixes(kept, facts)
    if _open(fixes) and _more(events, kept):
        telling.releases(facts, events)
        fixes = _fixes(kept, facts)
    return Report(
        command=command,
        facts=facts,
        findings=tuple(kept),
        fixes=fixes,
        ignored=ignored,
        failures=failures,
        strict=options.strict,
    )


def timed(facts: Facts, name: str, work: Callable[[], Any]) -> Any:
    """Run ``work`` and note its seconds under ``name``."""
    begin = time.perf_counter()
    try:
        return work()
    finally:
        facts.seconds[name] = time.perf_counter() - begin


def _aside(finding: Finding) -> Finding:
    """While a failure is unexplained, a mere warning of the same log must not pass for its cause."""
    return (
        finding._replace(role="notice")
        if finding.role == "cause" and finding.severity != "error" and finding.events
        else finding
    )


def _silence(findings: Sequence[Finding], ignore: Sequence[Ignored]) -> tuple[list[Finding], tuple[Ignored, ...]]:
    """Take out what is ignored on purpose, counted; an entry whose day has passed silences nothing."""
    today = time.strftime("%Y-%m-%d")
    active = {entry.rule: entry for entry in ignore if entry.until >= today}
    kept = [finding for finding in findings if finding.rule.slug not in active]
    counted = [
        entry._replace(times=sum(finding.rule.slug == entry.rule for finding in findings)) for entry in active.values()
    ]
    return kept, tuple(entry for entry in counted if entry.times)


def _more(events: Sequence[Event], findings: Sequence[Finding]) -> bool:
    """Whether a log holds messages besides those that the findings stand on: only these may be SGLang's own."""
    used = {id(event) for finding in findings for event in finding.events if not finding.rule.frame}
    return any(event.kind in ("exception", "error", "warning") and id(event) not in used for event in events)


def _open(fixes: dict[str, Any]) -> bool:
    """Whether a fix waits for the release of SGLang."""
    return any(name.startswith("pin:") for found in fixes.values() for fix in found for name in fix.unresolved)


def _fixes(findings: Sequence[Finding], facts: Facts) -> dict[str, Any]:
    if not any(finding.rule.fixes for finding in findings):
        return {}
    from sgldoctor.derive.pins import pin
    from sgldoctor.fix import recipe

    return {
        key(finding): recipe.telling(recipe.fixes(finding, facts, lambda name: pin(name, facts)))
        for finding in findings
        if finding.rule.fixes and finding.role != "symptom"
    }
