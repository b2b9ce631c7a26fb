"""The report for people: the verdict first, then each cause with its evidence, why, and what to type.

The layout is a list of lines of styled spans, the same on a terminal and in a pipe; only the painter differs. rich is
imported on a terminal alone, because it costs more start-up time than everything else together.
"""

from __future__ import annotations

from typing import TextIO

from sgldoctor.fix.recipe import Fix
from sgldoctor.report.model import HEALTHY, PROBLEMS, Report, key
from sgldoctor.report.redact import redact
from sgldoctor.report.text import clean, shorten, wrap
from sgldoctor.rules.schema import Evidence, Finding

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
EVIDENCE_SHOWN = 3
EVIDENCE_LINES = 6


def layout(report: Report, width: int, verbosity: int = 0) -> list[Line]:
    """The lines of the report; ``verbosity`` -1 shows causes and commands only, 1 shows everything."""
    width = max(width, 40)
    lines: list[Line] = [_verdict(report)]
    if verbosity >= 0 and (examined := _examined(report)):
        lines += _paragraph("examined", examined, width)
    causes = [finding for finding in report.findings if finding.role == "cause"]
    for number, finding in enumerate(causes, 1):
        lines.append([])
        lines += _cause(finding, report, number if len(causes) > 1 else 0, width, verbosity)
    lines += _rest(report, width, verbosity)
    return lines


def render(report: Report, width: int, verbosity: int = 0) -> str:
    """The report as plain text."""
    lines = ("".join(text for _, text in line).rstrip() for line in layout(report, width, verbosity))
    return "\n".join(lines) + "\n"


def paint(report: Report, stream: TextIO, width: int, verbosity: int = 0) -> None:
    """Write the report in colour, for a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=stream, force_terminal=True, width=max(width, 40), highlight=False, soft_wrap=True, emoji=False
    )
    for line in layout(report, width, verbosity):
        console.print(Text.assemble(*((text, STYLES[style]) for style, text in line)))


def _verdict(report: Report) -> Line:
    errors = sum(finding.severity == "error" for finding in report.causes)
    warnings = len(report.causes) - errors
    where = {"explain": "in this log", "check": "here"}.get(report.command, "")
    if report.status == PROBLEMS:
        first = report.causes[0]
        more = errors + (warnings if report.strict else 0) - 1
        tail = f", and {more} more problem{'s' if more > 1 else ''}" if more > 0 else ""
        return [("bad", "PROBLEM  "), ("title", _safe(first.title)), ("dim", tail)]
    if report.status == HEALTHY:
        tail = f" ({_count(warnings, 'warning')})" if warnings else ""
        return [("good", "HEALTHY  "), ("title", f"no problem found {where}".rstrip()), ("dim", tail)]
    if report.failures:
        failure = report.failures[0]
        what = shorten(_safe(f"{failure.type}: {failure.message}" if failure.message else failure.type), 100)
        return [("doubt", "UNKNOWN  "), ("title", "something failed, and no rule knows why: "), ("text", what)]
    frames = [finding for finding in report.findings if finding.role == "symptom" and finding.severity == "error"]
    if frames:
        return [("doubt", "UNKNOWN  "), ("title", "the log shows only a consequence; the cause is not in it")]
    essential = ", ".join(entry.what for entry in report.facts.unknown if entry.essential)
    return [("doubt", "UNKNOWN  "), ("title", f"no problem found, but not examined: {essential}")]


def _examined(report: Report) -> str:
    """What the verdict is about, in one line: logs, the environment and why this one, the versions that matter."""
    facts = report.facts
    parts = [f"{_safe(str(row['name']))} ({row['lines']} lines)" for row in facts.rows("log") if row.get("name") != "-"]
    if facts.value("python", "executable"):
        chosen = facts.value("python", "chosen")
        parts.append(_safe(f"{facts.value('python', 'executable')}" + (f" ({chosen})" if chosen else "")))
    for name in ("sglang", "torch", "driver"):
        version = facts.value(name, "version")
        cuda = facts.value(name, "cuda") if name == "torch" else ""
        if version:
            parts.append(_safe(f"{name} {version}" + (f" (CUDA {cuda})" if cuda else "")))
    names = [str(row["name"]) for row in facts.rows("gpus") if row.get("name")]
    parts += [f"{names.count(name)} x {_safe(name)}" for name in dict.fromkeys(names)]
    return ", ".join(parts)


def _cause(finding: Finding, report: Report, number: int, width: int, verbosity: int) -> list[Line]:
    style = {"error": "cause", "warning": "warning", "info": "notice"}[finding.severity]
    word = {"error": "Cause", "warning": "Warning", "info": "Notice"}[finding.severity] + (
        f" {number}" if number else ""
    )
    sure = "" if finding.rule.confidence == "high" else f", {finding.rule.confidence} confidence"
    lines: list[Line] = [
        [(style, f"{word:<{MARGIN}}"), ("title", _safe(finding.title)), ("dim", f"  [{finding.rule.slug}{sure}]")]
    ]
    if verbosity >= 0:
        lines += _evidence(finding, width, verbosity)
        lines += _paragraph("why", _safe(finding.rule.about), width)
    fixes = report.fixes.get(key(finding), ())
    for fix in fixes:
        lines += _fix(fix, width)
    if not fixes and verbosity >= 0:
        lines += _paragraph("fix", "no recipe is known for this; the references say more", width)
    if verbosity > 0 or not fixes:
        lines += [line for entry in finding.rule.references for line in _paragraph("see", entry, width)]
    return lines


def _evidence(finding: Finding, width: int, verbosity: int) -> list[Line]:
    lines: list[Line] = []
    shown = finding.evidence if verbosity > 0 else finding.evidence[:EVIDENCE_SHOWN]
    for entry in shown:
        lines += _one_evidence(entry, width, verbosity)
    more = finding.times - len(shown)
    if more > 0:
        lines.append([("text", " " * MARGIN), ("dim", f"and {more} more like it")])
    return lines


def _one_evidence(entry: Evidence, width: int, verbosity: int) -> list[Line]:
    place = f"line {entry.line}" if entry.line else entry.source
    place += f" of {_safe(entry.file)}" if entry.file not in ("", "-") else ""
    place += f" (rank {_safe(entry.rank)})" if entry.rank else ""
    texts = [line for line in _safe(entry.text).splitlines() if line.strip()]
    limit = len(texts) if verbosity > 0 else EVIDENCE_LINES
    cut = [f"… {len(texts) - limit} more lines"] if len(texts) > limit else []
    body = [f"{place}: {texts[0].strip()}" if texts else place, *texts[1:limit], *cut]
    label: Span = ("label", f"{'evidence':<{MARGIN}}")
    return [[label if not index else ("text", " " * MARGIN), ("text", shorten(text, max(width - MARGIN, 30) * 3))]
            for index, text in enumerate(body)]  # fmt: skip


def _fix(fix: Fix, width: int) -> list[Line]:
    lines = _paragraph("fix", f"{_safe(fix.title)} ({fix.safety})", width)
    for action in fix.actions:
        command = action.command()
        if command:
            lines += [[("text", " " * (MARGIN + 2)), ("command", _safe(line))] for line in command.splitlines()]
        else:
            lines += [
                [("text", " " * (MARGIN + 2)), ("text", line)]
                for line in wrap(_safe(action.describe()), width - MARGIN - 2)
            ]
    if fix.note:
        lines += [[("text", " " * MARGIN), ("dim", line)] for line in wrap(_safe(fix.note), width - MARGIN)]
    return lines


def _paragraph(label: str, text: str, width: int) -> list[Line]:
    return [
        [("label" if not index else "text", f"{label if not index else '':<{MARGIN}}"), ("text", line)]
        for index, line in enumerate(wrap(text, width - MARGIN))
    ]


def _rest(report: Report, width: int, verbosity: int) -> list[Line]:
    """Failures without a rule, symptoms, notices, what was ignored, what could not be examined: one line each."""
    lines: list[Line] = []
    for failure in report.failures:
        place = f"line {failure.line}" + (f" (rank {_safe(failure.rank)})" if failure.rank else "")
        text = _safe(f"{failure.type}: {failure.message}" if failure.message else failure.type)
        lines += _paragraph("failure", f"{place}: {shorten(text, 400)}", width)
        if failure.place:
            lines += _paragraph("raised in", _safe(failure.place), width)
        if failure.known:
            lines += _paragraph("known", _safe(failure.known), width)
    symptoms = [finding for finding in report.findings if finding.role == "symptom"]
    told = [finding for finding in symptoms if finding.explained_by]
    for finding in symptoms:
        if not finding.explained_by or verbosity > 0:
            lines += _paragraph("symptom", f"{_safe(finding.title)} {_lines(finding)}", width)
            if not finding.explained_by:
                lines += _paragraph("look for", _safe(finding.rule.about), width)
    if told and verbosity == 0:
        names = "; ".join(f"{_safe(finding.title)} {_lines(finding)}".rstrip() for finding in told)
        lines += _paragraph("symptoms", names, width)
    if verbosity >= 0:
        for finding in report.findings:
            if finding.role == "notice":
                lines += _paragraph("notice", f"{_safe(finding.title)} {_lines(finding)}", width)
    for entry in report.ignored:
        lines += _paragraph(
            "ignored",
            f"{entry.rule} ({_count(entry.times, 'finding')}) until {entry.until}: {_safe(entry.reason)}",
            width,
        )
    if verbosity >= 0:
        for unknown in report.facts.unknown:
            lines += _paragraph("unknown", _safe(f"{unknown.what}: {unknown.because}"), width)
    return [[], *lines] if lines else []


def _lines(finding: Finding) -> str:
    numbers = [str(entry.line) for entry in finding.evidence if entry.line]
    if not numbers:
        return ""
    more = f" and {finding.times - len(numbers)} more" if finding.times > len(numbers) else ""
    return f"(line {', '.join(numbers)}{more})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _safe(text: str) -> str:
    return redact(clean(text))
