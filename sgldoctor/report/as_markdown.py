"""The report as Markdown, ready to be pasted into an issue: causes open, everything long folded.

Nothing of a log can act there: names of people and numbers of issues are not linked, HTML is escaped, and a block of
code is fenced by more backticks than it holds.
"""

from __future__ import annotations

import re
from html import escape

from sgldoctor.report import human, telling
from sgldoctor.report.as_json import to_object
from sgldoctor.report.model import Report
from sgldoctor.report.telling import Entry
from sgldoctor.report.text import counted

LONGEST = 60_000
"""Characters; GitHub refuses a text of more than 65,536."""
EVIDENCE_SHOWN = 5
_SPECIAL = re.compile(r"([\\`*_\[\]#|~])")
_ENTITY = {"@": "@<!-- -->", "#": "#<!-- -->"}
"""GitHub makes links of ``@name`` and ``#12`` even where the sign is escaped; an empty comment stops it."""


def render(report: Report) -> str:
    """The report as one Markdown text with a newline at its end."""
    data = to_object(report)
    word, text, tail = human.verdict(report)
    parts = [f"### {word}: {inline(text)}{inline(tail)}\n"]
    if examined := human.examined(report):
        parts.append(f"Examined: {inline(examined)}\n")
    causes = telling.of_role(data, "cause")
    parts += [_cause(data, finding, number if len(causes) > 1 else 0) for number, finding in enumerate(causes, 1)]
    parts += [_failure(failure) for failure in data["failures"]]
    if repaired := telling.repaired(data):
        parts.append(f"**Repair**: {inline(repaired)}\n")
    parts += [_folded(f"Symptom: {finding['title']}", _finding(finding)) for finding in telling.alone(data)]
    notices = telling.of_role(data, "notice")
    if notices:
        parts.append(_folded(counted(len(notices), "notice"), "\n".join(_finding(entry) for entry in notices)))
    if data["ignored"]:
        listed = [
            f"- `{entry['rule']}` ({counted(entry['times'], 'finding')}) until {entry['until']}: "
            + inline(entry["reason"])
            for entry in data["ignored"]
        ]
        parts.append(_folded(counted(len(listed), "rule") + " ignored", "\n".join(listed) + "\n"))
    if data["unknown"]:
        listed = [f"- {inline(entry['what'])}: {inline(entry['because'])}" for entry in data["unknown"]]
        parts.append(_folded("Unknown", "\n".join(listed) + "\n"))
    end = f"<sub>sgldoctor {inline(data['tool']['version'])}, {data['command']}; secrets are removed.</sub>\n"
    room = LONGEST - sum(map(len, parts)) - len(end)
    facts = _facts(data)
    if len(facts) > room:
        facts = _folded("Facts", "Too long for an issue: `--format json` holds them.\n")
    text = "\n".join([*parts, facts, end])
    return text if len(text) <= LONGEST else _cut(text)


def inline(text: object) -> str:
    """A text from outside as part of a line: no markup, no mention, no link of it works."""
    # GitHub links bare addresses as well, but an address is what it says.
    line = " ".join(str(text).split())
    out = _SPECIAL.sub(r"\\\1", escape(line, quote=False))
    return re.sub(r"@|\\#", lambda match: _ENTITY[match.group()[-1]], out)


def block(text: str, language: str = "text") -> str:
    """A text as a block of code, whatever backticks are in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{escape(' '.join(title.split()))}</summary>\n\n{body}\n</details>\n"


def _cause(data: Entry, finding: Entry, number: int) -> str:
    word = telling.WORDS[finding["severity"]] + (f" {number}" if number else "")
    lines = [f"#### {word}: {inline(finding['title'])}\n", _finding(finding, heading=False)]
    symptoms = telling.explained(data, finding)
    if symptoms:
        title = f"{counted(len(symptoms), 'symptom')} of it"
        lines.append(_folded(title, "\n".join(_finding(symptom) for symptom in symptoms)))
    return "\n".join(lines)


def _finding(finding: Entry, *, heading: bool = True) -> str:
    lines = [f"**{inline(finding['title'])}**\n"] if heading else []
    lines.append(f"{inline(finding['about'])} (`{finding['rule']}`)\n")
    evidence = finding["evidence"]
    if evidence:
        shown = "\n".join(f"{telling.place(entry)}: {entry['text']}" for entry in evidence[:EVIDENCE_SHOWN])
        more = finding["count"] - min(len(evidence), EVIDENCE_SHOWN)
        lines.append(block(shown + (f"\n... and {more} more like it" if more > 0 else "")))
    for fix in finding["fixes"]:
        lines.append(f"Fix: {inline(fix['title'])} ({fix['safety']})\n")
        typed = [telling.command(action) for action in fix["actions"]]
        if any(typed):
            lines.append(block("\n".join(line for line in typed if line), "sh"))
        lines += [f"- {inline(telling.describe(action))}\n" for action in fix["actions"] if not telling.command(action)]
        if fix.get("note"):
            lines.append(f"{inline(fix['note'])}\n")
    lines += [f"- {_reference(entry)}\n" for entry in finding["references"]]
    return "\n".join(lines)


def _reference(text: str) -> str:
    return f"<{text}>" if re.fullmatch(r"https://[\w./?=&%#:~+,;-]{1,500}", text) else inline(text)


def _failure(failure: Entry) -> str:
    where = f"line {failure['line']} of {failure['source']}" if failure["source"] != "-" else f"line {failure['line']}"
    rank = f" (rank {failure['rank']})" if failure["rank"] else ""
    said = f"{failure['type']}: {failure['message']}" if failure["message"] else failure["type"]
    lines = [f"#### A failure that no rule explains, {inline(where + rank)}\n", block(said)]
    lines += [f"{inline(failure[name])}\n" for name in ("place", "known", "ruled_out") if failure[name]]
    return "\n".join(lines)


def _facts(data: Entry) -> str:
    lines = []
    for name, source, rows in telling.tables(data):
        lines.append(f"{name} ({source})")
        for row in rows:
            cells = [f"{column}={telling.shown(value)}" for column, value in row.items() if value not in (None, "", [])]
            lines.append("  " + " ".join(" ".join(cells).split()))
    return _folded("Facts", block("\n".join(lines)))


def _cut(text: str) -> str:
    """The beginning of a text that is too long, with every fence and fold closed again."""
    head = text[: LONGEST - 200]
    head = head[: head.rfind("\n") + 1]
    fence = ""
    for line in head.splitlines():
        run = re.match(r"`{3,}", line)
        if run and not fence:
            fence = run.group()
        elif fence and line == fence:
            fence = ""
    folds = head.count("<details>") - head.count("</details>")
    return head + (f"{fence}\n" if fence else "") + "\n</details>\n" * folds + "\nCut: the report is longer.\n"
