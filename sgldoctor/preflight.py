"""Launch lines judged before they run: the same stages as ``check``, over the line, its model and the GPUs it is for.

What the line does not say comes from the machine and the environment: the installed SGLang, the visible GPUs, the
local hub cache. Each can be given instead, so that a line is judged where it will never run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sgldoctor import pipeline
from sgldoctor.facts import Facts, Row
from sgldoctor.fix.recipe import Fix
from sgldoctor.launch.files import Located, facts_of
from sgldoctor.pipeline import Options
from sgldoctor.probe.target import Target
from sgldoctor.report.model import Ignored, Report, key
from sgldoctor.rules.load import load
from sgldoctor.rules.schema import ROLES, SEVERITIES, Evidence, Finding, Rule
from sgldoctor.rules.select import EVIDENCE_LIMIT
from sgldoctor.typed import NamedTuple

SUBJECTS = ("launch.", "environment.", "gpus.unsupported", "ports")
"""Facts, by the beginning of their names, that decide about a launch line; the rest is what ``check`` judges."""

STAGES = ("driver", "environment", "launch")
"""Derivations that a launch line needs."""


UNJUDGED = "launch options"
"""What ``derive.launch`` calls the options as a whole, where it could judge none of them."""


class Given(NamedTuple):
    """What the user says instead of the machine; empty or None where the machine decides.

    Attributes:
        sglang: release that judges the line.
        model: folder or hub id that the dimensions are read from.
        gpus: how many GPUs there are.
        memory_mib: memory of each, in MiB.
        capability: compute capability of each, such as ``9.0``.
        why: where :attr:`sglang` comes from.
    """

    sglang: str = ""
    model: str = ""
    gpus: int | None = None
    memory_mib: int | None = None
    capability: str = ""
    why: str = "given with --sglang"


class Place(NamedTuple):
    """Where lines are judged: the machine, and why its environment is none of their business (``""`` if it is)."""

    target: Target
    elsewhere: str = ""


def nowhere(environ: Mapping[str, str]) -> Target:
    """This machine without any Python environment: its files, variables and GPUs."""
    return Target("/", "", "", (), "", environ, "", "")


def launch(lines: Sequence[Located], file: str, given: Given, place: Place, options: Options) -> Report:
    """What is wrong with launch lines; ``file`` is where they stand, ``""`` for a line given as words."""
    reports = each(lines, file, given, place, options)
    return together(reports, options)


def each(lines: Sequence[Located], file: str, given: Given, place: Place, options: Options) -> list[Report]:
    """One report for each line; see :func:`launch`."""
    rules = about_lines(load(options.folders))
    here = surroundings(given, place)
    models: dict[str, Facts] = {}
    return [_judge(line, file, here, given, place, rules, options, models) for line in lines]


def about_lines(rules: Sequence[Rule]) -> list[Rule]:
    """The rules as far as they judge launch lines: by facts of the line, its variables and its GPUs alone."""
    from sgldoctor.rules.base import RuleBase

    base = RuleBase.of(rules)
    # Only rules that ask for such facts are made at all.
    numbers = {number for fact, held in base.facts.items() if fact.startswith(SUBJECTS) for number in held}
    found: list[Rule] = [base[number] for number in sorted(numbers)]
    kept = [
        rule._replace(logs=(), facts=tuple(fact for fact in rule.facts if fact.each.startswith(SUBJECTS)))
        for rule in found
    ]
    return [rule for rule in kept if rule.facts]


def surroundings(given: Given, place: Place) -> Facts:
    """What holds for every line: the release, the GPUs, and what the environment has installed."""
    from sgldoctor.knowledge import flags, releases

    facts = Facts()
    if given.sglang:
        known = releases.known(given.sglang)
        facts.put("sglang", {"version": given.sglang, "known": known, "inferred": given.why}, "launch")
    if place.elsewhere:
        facts.put_unknown("packages", place.elsewhere)
    else:
        facts.merge(_installed(place.target, facts))
    if not facts.known("sglang"):
        where = place.target.python or place.target.prefix
        missing = f"SGLang is not installed in the environment of {where}" if where else "no Python environment is here"
        facts.put_unknown("sglang", f"{missing}; name the release with --sglang", essential=True)
    judged = flags.judges(facts.value("sglang", "version"))
    if not judged.exact:
        facts.put_unknown("flags", judged.note)
    facts.merge(pipeline.timed(facts, "gpus", lambda: _gpus(given, place.target)))
    return facts


def _installed(target: Target, held: Facts) -> Facts:
    """Release and packages of the environment; where it has no SGLang, nobody will start a server from it."""
    from sgldoctor.derive.pins import derive as pins
    from sgldoctor.probe.packages import packages

    out = Facts()
    found = packages(target)
    release = pins(found).rows("sglang")
    if release and not held.known("sglang"):
        out.put("sglang", release, "probe")
    named = target.chosen.startswith("--")
    if release or named:
        for name in ("python", "packages", "torch", "components"):
            if found.known(name):
                out.put(name, found.rows(name), "probe")
        for entry in found.unknown:
            out.put_unknown(entry.what, entry.because)
    return out


def _gpus(given: Given, target: Target) -> Facts:
    """The fact ``gpus``: those of the machine, with what is given in their place."""
    out = Facts()
    rows: tuple[Row, ...] = ()
    if given.gpus is None or not given.capability:
        from sgldoctor.probe.gpu import gpus

        found = gpus(target)
        rows = found.rows("gpus")
        if not rows and given.gpus is None and not given.capability:
            for entry in found.unknown:
                if entry.what == "gpus":
                    out.put_unknown("gpus", f"{entry.because}; name them with --gpus and --compute-capability")
    overrides: Row = {}
    if given.capability:
        overrides["capability"] = given.capability
    if given.memory_mib is not None:
        overrides |= {"memory_total_mib": given.memory_mib}
    if given.gpus is None and not overrides:
        if rows:
            out.put("gpus", rows, "probe")
        return out
    like = {name: rows[0].get(name) for name in ("capability", "memory_total_mib")} if rows else {}
    each = {**like, **overrides}
    if given.gpus is None and not rows:
        out.put("gpus", {"index": "any", "name": "as given", **each}, "launch")
        out.put_unknown("number of GPUs", "no GPU is here; name how many there are with --gpus")
        return out
    count = len(rows) if given.gpus is None else given.gpus
    out.put("gpus", [{"index": index, "name": "as given", **each} for index in range(count)], "launch")
    if not each.get("capability"):
        out.put_unknown("kind of GPU", "no GPU is here; name its --compute-capability")
    return out


def _judge(
    line: Located,
    file: str,
    here: Facts,
    given: Given,
    place: Place,
    rules: Sequence[Rule],
    options: Options,
    models: dict[str, Facts],
) -> Report:
    """The report of one line; ``models`` keeps what was read of each model."""
    from sgldoctor.knowledge import flags
    from sgldoctor.launch import model_of

    said = facts_of(line)
    row = said.one("launch")
    image = str(row.pop("release", ""))
    if image and not given.sglang:
        here = _in_image(here, image)
    facts = Facts()
    facts.merge(here)
    facts.put("environment", _variables(given, place, shell=line.kind in ("", "shell")), "probe")
    row["sglang"] = flags.judges(here.value("sglang", "version")).release
    if file:
        row |= {"file": file, "line": line.line}
    facts.merge(said)
    model = given.model or model_of(said)
    if model:
        facts.merge(_model(model, facts, place.target, models, named=bool(given.model)))
    else:
        facts.put_unknown("model", "the line names none that is known here")
    if not file and not place.elsewhere and given.gpus is None:
        facts.merge(pipeline.ports(place.target, facts))
    report = pipeline.conclude("launch", facts, (), rules, options, STAGES)
    # A server with options of its own (diffusion models): then no option at all was judged.
    facts.unknown = [entry._replace(essential=entry.essential or entry.what == UNJUDGED) for entry in facts.unknown]
    return report._replace(findings=tuple(_placed(finding, line, file, facts) for finding in report.findings))


def _in_image(here: Facts, release: str) -> Facts:
    """``here`` with the release of the image in which the line runs: what is installed here is none of its business."""
    from sgldoctor.knowledge import flags, releases

    out = Facts()
    for name in here.names():
        if name not in ("sglang", "packages", "components", "torch", "python"):
            out.put(name, here.rows(name), here.source(name))
    for entry in here.unknown:
        if entry.what not in ("sglang", "flags", "packages"):
            out.put_unknown(entry.what, entry.because, essential=entry.essential)
    out.put_unknown("packages", "not judged: the line runs in an image of its own")
    row = {"version": release, "known": releases.known(release), "inferred": "named by the image"}
    out.put("sglang", row, "launch")
    judged = flags.judges(release)
    if not judged.exact:
        out.put_unknown("flags", judged.note)
    return out


def _variables(given: Given, place: Place, *, shell: bool) -> list[Row]:
    """Variables that the server inherits: all of the shell where the line is to run here, none inside a container.

    ``CUDA_VISIBLE_DEVICES`` goes with the GPUs: it counts where those of the machine do.
    """
    from sgldoctor.probe.environment import environment

    if not shell:
        return []
    rows = environment(place.target).rows("environment")
    devices = "CUDA_VISIBLE_DEVICES"
    return [row for row in rows if (given.gpus is None if row["name"] == devices else not place.elsewhere)]


def _model(name: str, line: Facts, target: Target, models: dict[str, Facts], *, named: bool) -> Facts:
    from sgldoctor.derive.launch import options
    from sgldoctor.probe.model import model

    if name not in models:
        given = {row["flag"]: str(row["value"]) for row in options(line).rows("launch.option") if row.get("known")}
        cache, revision = given.get("--download-dir", ""), given.get("--revision", "main")
        models[name] = model(target, name, cache="" if named else cache, revision=revision, with_memory=True)
    out = Facts()
    out.merge(models[name])
    if named and not out.known("model"):
        out.unknown = [entry._replace(essential=True) for entry in out.unknown]
    return out


def _placed(finding: Finding, line: Located, file: str, facts: Facts) -> Finding:
    """The finding with evidence that says where in the line or file it stands."""
    rows = finding.rows if len(finding.rows) == len(finding.evidence) else (None,) * len(finding.evidence)
    ours = {name for name, _, _ in line.command.environment}
    return finding._replace(
        evidence=tuple(
            _evidence(entry, row or {}, finding, line, file, ours, facts)
            for entry, row in zip(finding.evidence, rows, strict=True)
        )
    )


def _evidence(
    entry: Evidence, row: Row, finding: Finding, line: Located, file: str, ours: set[str], facts: Facts
) -> Evidence:
    name, _, shown = entry.text.partition(": ")
    if name == "gpus.unsupported":
        return entry._replace(source=facts.source("gpus") or "probe")
    if name == "ports" or (name.startswith("environment.") and finding.params.get("name") not in ours):
        return entry._replace(source="probe")
    number = 0
    if file:
        number = _line_of(row, line)
    elif row.get("line", 0) > 1:
        number = row["line"]
    text = str(row.get("note") or shown)
    if row.get("kind") == "choice" and row.get("choices"):
        text += f"; it takes {', '.join(row['choices'])}"
    if name == "launch.indivisible" and row.get("works"):
        text += f"; sizes that work: {', '.join(map(str, row['works']))}"
    return Evidence("launch", text, number, "", file)


def _line_of(row: Row, line: Located) -> int:
    """The line of the file in which the argument stands, else that of the command."""
    from sgldoctor.knowledge import flags

    if line.kind != "shell":
        return line.line
    if row.get("line"):
        return int(row["line"])
    wanted = [str(flag) for flag in [row.get("flag"), *(row.get("flags") or ())] if flag]
    for flag in wanted:
        for word in line.command.arguments:
            given = word.text.partition("=")[0]
            if given == flag or (flags.canonical(given) or given) == (flags.canonical(flag) or flag):
                return word.line
    return line.line


def together(reports: Sequence[Report], options: Options) -> Report:
    """One report of several lines: what was found in more than one is one finding with several places."""
    if len(reports) == 1:
        return reports[0]
    facts = Facts()
    findings: dict[str, Finding] = {}
    ignored: dict[str, Ignored] = {}
    fixes: dict[str, tuple[Fix, ...]] = {}
    for report in reports:
        at = report.facts.value("launch", "line")
        for name in report.facts.names():
            own = name.split(".")[0] == "launch"
            rows = [{**row, "line": at} if own else row for row in report.facts.rows(name)]
            held = facts.rows(name)
            facts.put(name, [row for row in rows if row not in held], report.facts.source(name))
        for entry in report.facts.unknown:
            facts.put_unknown(entry.what, entry.because, essential=entry.essential)
        for name, seconds in report.facts.seconds.items():
            facts.seconds[name] = facts.seconds.get(name, 0.0) + seconds if name in ("derive", "rules") else seconds
        for finding in report.findings:
            before = findings.get(key(finding))
            findings[key(finding)] = _added(before, finding) if before else finding
        for silenced in report.ignored:
            times = ignored[silenced.rule].times if silenced.rule in ignored else 0
            ignored[silenced.rule] = silenced._replace(times=times + silenced.times)
        fixes = {**report.fixes, **fixes}
    ranked = tuple(sorted(findings.values(), key=lambda one: (ROLES.index(one.role), SEVERITIES.index(one.severity))))
    return Report("launch", facts, ranked, fixes, tuple(ignored.values()), (), options.strict)


def _added(held: Finding, more: Finding) -> Finding:
    best = held if held.role == "cause" or more.role != "cause" else more
    return best._replace(
        evidence=(*held.evidence, *more.evidence)[:EVIDENCE_LIMIT],
        times=held.times + more.times,
        rows=(*held.rows, *more.rows),
    )
