"""The report for people: the verdict first, then each cause with its evidence, why, and what to type.

The layout is a list of lines of styled spans, the same on a terminal and in a pipe; only the painter differs. rich is
imported on a terminal alone, because it costs more start-up time than everything else together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sgldoctor.facts import Row
from sgldoctor.fix.recipe import Fix
from sgldoctor.report.model import HEALTHY, PROBLEMS, Report, key
from sgldoctor.report.redact import redact
from sgldoctor.report.text import clean, counted, shorten, wrap
from sgldoctor.rules.schema import Evidence, Finding
from sgldoctor.typed import TextIO

Span = tuple[str, str]
"""A style name and a text."""
Line = list[Span]

STYLES = {
    "bad": "bold red",
    "good": "bold green",
    "doubt": "bold yellow",
    "cause": "bold red",
    "warning": "bold yellow",
    "notice": "bold blue",
    "title": "bold",
    "label": "cyan",
    "command": "bold green",
    "dim": "dim",
    "text": "",
}
MARGIN = 10
"""Columns of the label in front of each paragraph."""
SYMPTOMS = 8
"""How many symptoms are named where nobody asked for all."""
EVIDENCE_SHOWN = 3
EVIDENCE_LINES = 6


def layout(report: Report, width: int, verbosity: int = 0) -> list[Line]:
    """The lines of the report; ``verbosity`` -1 shows causes and commands only, 1 shows everything."""
    width = max(width, 40)
    lines: list[Line] = [_verdict(report)]
    if verbosity >= 0 and (about := examined(report)):
        lines += paragraph("examined", about, width)
    if verbosity >= 0 and report.facts.value("launch.memory", "note"):
        lines += paragraph("memory", safe(str(report.facts.value("launch.memory", "note"))), width)
    causes = [finding for finding in report.findings if finding.role == "cause"]
    for number, finding in enumerate(causes, 1):
        lines.append([])
        lines += _cause(finding, report, number if len(causes) > 1 else 0, width, verbosity)
    if report.facts.known("changes"):
        from sgldoctor.report.changes import layout as changed

        lines += changed(report.facts, width, verbosity)
    lines += _rest(report, width, verbosity)
    return lines


def render(report: Report, width: int, verbosity: int = 0) -> str:
    """The report as plain text."""
    return plain(layout(report, width, verbosity))


def plain(lines: Iterable[Line]) -> str:
    """Lines without their styles."""
    return "\n".join("".join(text for _, text in line).rstrip() for line in lines) + "\n"


def paint(report: Report, stream: TextIO, width: int, verbosity: int = 0) -> None:
    """Write the report in colour, for a terminal."""
    paint_lines(layout(report, width, verbosity), stream, width)


def paint_lines(lines: Iterable[Line], stream: TextIO, width: int) -> None:
    """Write lines in colour."""
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=stream, force_terminal=True, width=max(width, 40), highlight=False, soft_wrap=True, emoji=False
    )
    for line in lines:
        console.print(Text.assemble(*((text, STYLES[style]) for style, text in line)))


def _verdict(report: Report) -> Line:
    errors = sum(finding.severity == "error" for finding in report.causes)
    warnings = sum(finding.severity == "warning" for finding in report.causes)
    lines = len(report.facts.rows("launch"))
    launch = "in the launch line" if lines == 1 else f"in {lines} launch lines"
    where = {"explain": "in this log", "check": "here", "launch": launch, "fleet": "on these nodes"}.get(
        report.command, ""
    )
    if report.status == PROBLEMS:
        first = report.causes[0]
        more = errors + (warnings if report.strict else 0) - 1
        tail = f", and {more} more problem{'s' if more > 1 else ''}" if more > 0 else ""
        return [("bad", "PROBLEM  "), ("title", safe(first.title)), ("dim", tail)]
    if report.status == HEALTHY:
        if report.command == "launch" and not lines:
            return [("good", "HEALTHY  "), ("title", "no launch line of SGLang found")]
        tail = f" ({counted(warnings, 'warning')})" if warnings else ""
        return [("good", "HEALTHY  "), ("title", f"no problem found {where}".rstrip()), ("dim", tail)]
    if report.failures:
        failure = report.failures[0]
        what = shorten(safe(f"{failure.type}: {failure.message}" if failure.message else failure.type), 100)
        return [("doubt", "UNKNOWN  "), ("title", "something failed, and no rule knows why: "), ("text", what)]
    frames = [finding for finding in report.findings if finding.role == "symptom" and finding.severity == "error"]
    if frames:
        return [("doubt", "UNKNOWN  "), ("title", "the log shows only a consequence; the cause is not in it")]
    essential = ", ".join(entry.what for entry in report.facts.unknown if entry.essential)
    return [("doubt", "UNKNOWN  "), ("title", f"no problem found, but essential and unknown: {essential}")]


def verdict(report: Report) -> tuple[str, str, str]:
    """The first line of the report in three parts: the word, what is wrong, and what else there is."""
    word, *rest = _verdict(report)
    title = "".join(text for style, text in rest if style != "dim")
    return word[1].strip(), title, "".join(text for style, text in rest if style == "dim")


def examined(report: Report) -> str:
    """What the verdict is about, in one line: logs, the environment and why this one, the versions that matter."""
    facts = report.facts
    parts = [
        f"{safe(str(row['name']))} ({counted(row['lines'], 'line')})"
        for row in facts.rows("log")
        if row.get("name") != "-"
    ]
    parts += [
        safe(" ".join(f"snapshot {row['file']} {row['taken']} {row['host']}".split())) for row in facts.rows("snapshot")
    ]
    for row in facts.rows("fleet"):
        alike = f", {counted(row['groups'], 'kind')} of them" if row["nodes"] > 1 else ""
        parts.append(
            f"{counted(row['nodes'], 'node')}{alike}" + (f", {row['unread']} not read" if row["unread"] else "")
        )
    if facts.value("python", "executable"):
        chosen = facts.value("python", "chosen")
        parts.append(safe(f"{facts.value('python', 'executable')}" + (f" ({chosen})" if chosen else "")))
    if report.command == "launch":
        parts += [safe(f"{row['file']} (line {row['line']})") for row in facts.rows("launch") if row.get("file")]
        parts += [f"model {safe(str(row['path']))}" for row in facts.rows("model")]
    for name in ("sglang", "torch", "driver"):
        version = facts.value(name, "version")
        cuda = facts.value(name, "cuda") if name == "torch" else ""
        if version:
            parts.append(safe(f"{name} {version}" + (f" (CUDA {cuda})" if cuda else "")))
            if facts.source(name) == "launch":
                parts[-1] += f" ({facts.value(name, 'inferred')})"
    if not facts.value("sglang", "version") and facts.value("log.releases", "range"):
        by = "source lines in its tracebacks" if facts.value("log.releases", "by") == "lines" else "its messages"
        parts.append(safe(f"sglang {facts.value('log.releases', 'range')} (by {by})"))
    if facts.source("gpus") == "launch":
        return ", ".join([*parts, safe(_given_gpus(facts.rows("gpus")))])
    names = [str(row["name"]) for row in facts.rows("gpus") if row.get("name")]
    parts += [f"{names.count(name)} x {safe(name)}" for name in dict.fromkeys(names)]
    return ", ".join(parts)


def _given_gpus(rows: Sequence[Row]) -> str:
    """GPUs that nobody has seen: how many, if that was said, and of which kind."""
    kind = [f"compute capability {rows[0]['capability']}"] if rows[0].get("capability") else []
    kind += [f"{rows[0]['memory_total_mib'] / 1024:g} GiB"] if rows[0].get("memory_total_mib") else []
    count = "GPUs" if rows[0].get("index") == "any" else counted(len(rows), "GPU")
    return f"{count} ({', '.join(kind)})" if kind else count


def _cause(finding: Finding, report: Report, number: int, width: int, verbosity: int) -> list[Line]:
    style = {"error": "cause", "warning": "warning", "info": "notice"}[finding.severity]
    word = {"error": "Cause", "warning": "Warning", "info": "Notice"}[finding.severity] + (
        f" {number}" if number else ""
    )
    sure = "" if finding.rule.confidence == "high" else f", {finding.rule.confidence} confidence"
    lines: list[Line] = [
        [(style, f"{word + ' ':<{MARGIN}}"), ("title", safe(finding.title)), ("dim", f"  [{finding.rule.slug}{sure}]")]
    ]
    if verbosity >= 0:
        lines += _evidence(finding, width, verbosity)
        lines += paragraph("why", safe(finding.rule.about), width)
        lines += paragraph("stands in", safe(_standing(finding)), width) if finding.rule.when else []
    elif places := [_place(entry) for entry in finding.evidence if entry.line and entry.file not in ("", "-")]:
        more = f" and {len(places) - EVIDENCE_SHOWN} more" if len(places) > EVIDENCE_SHOWN else ""
        lines += paragraph("at", ", ".join(places[:EVIDENCE_SHOWN]) + more, width)
    fixes = report.fixes.get(key(finding), ())
    for fix in fixes:
        lines += _fix(fix, width)
    if not fixes and verbosity >= 0:
        lines += paragraph(
            "fix",
            "no recipe is known for this" + ("; the references say more" if finding.rule.references else ""),
            width,
        )
    if verbosity > 0 or not fixes:
        lines += [line for entry in finding.rule.references for line in paragraph("see", entry, width)]
    return lines


def _standing(finding: Finding) -> str:
    """The releases in which a rule holds, in words."""
    if "releases" not in finding.params:
        return f"SGLang {finding.rule.when.get('sglang', '')}"
    cured = finding.params.get("cured")
    return f"{finding.params['releases']}" + (f"; cured in {cured}" if cured else "; no release known here cures it")


def _evidence(finding: Finding, width: int, verbosity: int) -> list[Line]:
    lines: list[Line] = []
    shown = finding.evidence if verbosity > 0 else finding.evidence[:EVIDENCE_SHOWN]
    for entry in shown:
        lines += _one_evidence(entry, width, verbosity)
    more = finding.times - len(shown)
    if more > 0:
        lines.append([("text", " " * MARGIN), ("dim", f"and {more} more like it")])
    return lines


def _place(entry: Evidence) -> str:
    place = f"line {entry.line}" if entry.line else entry.source
    place += f" of {safe(entry.file)}" if entry.file not in ("", "-") else ""
    return place + (f" (rank {safe(entry.rank)})" if entry.rank else "")


def _one_evidence(entry: Evidence, width: int, verbosity: int) -> list[Line]:
    place = _place(entry)
    texts = [line for line in safe(entry.text).splitlines() if line.strip()]
    match = safe(entry.match)
    room = max(width - MARGIN, 30) * 3
    limit = len(texts) if verbosity > 0 else EVIDENCE_LINES
    body = [
        shorten(text, room - len(place) - 2 if not index else room, match) for index, text in enumerate(texts[:limit])
    ]
    if len(texts) > limit:
        decisive = next((text for text in texts[limit:] if match and match in text), "")
        body += [f"… {len(texts) - limit} more lines", *([shorten(decisive, room, match)] if decisive else [])]
    body = [f"{place}: {body[0]}" if body else place, *body[1:]]
    label: Span = ("label", f"{'evidence':<{MARGIN}}")
    return [[label if not index else ("text", " " * MARGIN), ("text", text)] for index, text in enumerate(body)]


def _fix(fix: Fix, width: int) -> list[Line]:
    lines = paragraph("fix", f"{safe(fix.title)} ({fix.safety})", width)
    for action in fix.actions:
        command = action.command()
        if command:
            lines += [[("text", " " * (MARGIN + 2)), ("command", safe(line))] for line in command.splitlines()]
        if not command or action.do == "manual":
            lines += [
                [("text", " " * (MARGIN + 2)), ("text", line)]
                for line in wrap(safe(action.describe()), width - MARGIN - 2)
            ]
    if fix.note:
        lines += [[("text", " " * MARGIN), ("dim", line)] for line in wrap(safe(fix.note), width - MARGIN)]
    return lines


def paragraph(label: str, text: str, width: int) -> list[Line]:
    """``text`` wrapped beside its label."""
    return [
        [("label" if not index else "text", f"{label if not index else '':<{MARGIN}}"), ("text", line)]
        for index, line in enumerate(wrap(text, width - MARGIN))
    ]


def _rest(report: Report, width: int, verbosity: int) -> list[Line]:
    """Failures without a rule, symptoms, notices, what was ignored, what is unknown: one line each."""
    lines: list[Line] = []
    for failure in report.failures:
        place = f"line {failure.line}" + (f" (rank {safe(failure.rank)})" if failure.rank else "")
        text = safe(f"{failure.type}: {failure.message}" if failure.message else failure.type)
        lines += paragraph("failure", f"{place}: {shorten(text, 400)}", width)
        if failure.place:
            lines += paragraph("raised in", safe(failure.place), width)
        if failure.known:
            lines += paragraph("known", safe(failure.known), width)
        if failure.ruled_out:
            lines += paragraph("ruled out", safe(failure.ruled_out), width)
    symptoms = [finding for finding in report.findings if finding.role == "symptom"]
    own = {(entry.file, entry.line) for finding in report.causes for entry in finding.evidence if entry.line}
    told = [finding for finding in symptoms if finding.explained_by and not _same_lines(finding, own)]
    for finding in symptoms:
        if not finding.explained_by or verbosity > 0:
            lines += paragraph("symptom", f"{safe(finding.title)} {_lines(finding)}", width)
            if not finding.explained_by:
                lines += paragraph("look for", safe(finding.rule.about), width)
    if told and verbosity == 0:
        names = [f"{safe(finding.title)} {_lines(finding)}".rstrip() for finding in told[:SYMPTOMS]]
        more = len(told) - len(names)
        names += [f"and {more} more (-v shows them)"] if more else []
        lines += paragraph("symptoms", "; ".join(names), width)
    if verbosity >= 0:
        for finding in report.findings:
            if finding.role == "notice":
                lines += paragraph("notice", f"{safe(finding.title)} {_lines(finding)}", width)
    for entry in report.ignored:
        lines += paragraph(
            "ignored",
            f"{entry.rule} ({counted(entry.times, 'finding')}) until {entry.until}: {safe(entry.reason)}",
            width,
        )
    if verbosity >= 0:
        for unknown in report.facts.unknown:
            lines += paragraph("unknown", safe(f"{unknown.what}: {unknown.because}"), width)
    return [[], *lines] if lines else []


def _same_lines(finding: Finding, own: set[tuple[str, int]]) -> bool:
    """Whether a symptom only says once more what a cause says of the same lines: nothing that a reader may look for."""
    return bool(finding.evidence) and all((entry.file, entry.line) in own for entry in finding.evidence)


def _lines(finding: Finding) -> str:
    numbers = [str(entry.line) for entry in finding.evidence if entry.line]
    if not numbers:
        return ""
    more = f" and {finding.times - len(numbers)} more" if finding.times > len(numbers) else ""
    return f"(line {', '.join(numbers)}{more})"


def safe(text: str) -> str:
    """``text`` without secrets and control sequences."""
    return redact(clean(text))
