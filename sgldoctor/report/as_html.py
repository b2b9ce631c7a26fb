"""The report as one HTML page that needs nothing else: no request leaves it, and it can be read without its script.

Every text is escaped, and the page's own policy (``Content-Security-Policy``) lets run only the one script whose hash
it names, so a log that holds markup shows it and does nothing. Symptoms are folded, facts searched, commands copied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from sgldoctor.report import context, human, telling, topology
from sgldoctor.report.as_json import to_object
from sgldoctor.report.model import Report
from sgldoctor.report.telling import Entry
from sgldoctor.report.text import counted

NODES_LISTED = 2000
"""Rows of the table of nodes; the grid shows every node."""
_LETTERS = {"healthy": "", "problems": "!", "unknown": "?"}
"""What a cell of the grid says besides its colour."""


def render(report: Report) -> str:
    """The report as one HTML document."""
    data = to_object(report)
    around = context.of(report)
    style, script = _asset("page.css"), _asset("page.js")
    word, text, tail = human.verdict(report)
    title = f"{word}: {text}"
    warned = any(finding["severity"] != "error" for finding in telling.of_role(data, "cause"))
    sections = [
        ("nodes", "Nodes", _nodes(data)),
        (
            "causes",
            "Causes and warnings" if warned else "Causes",
            _findings(data, telling.of_role(data, "cause"), around),
        ),
        ("failures", "Failures that no rule explains", "".join(_failure(entry) for entry in data["failures"])),
        ("repair", "Repair", f"<p>{escape(telling.repaired(data))}</p>" if telling.repaired(data) else ""),
        ("symptoms", "Symptoms without their cause", _findings(data, telling.alone(data), around)),
        ("notices", "Notices", _findings(data, telling.of_role(data, "notice"), around)),
        ("topology", "Topology", topology.draw(data)),
        ("facts", "Facts", _facts(data)),
        ("gaps", "Unknown, or ignored", _gaps(data)),
    ]
    sections = [entry for entry in sections if entry[2]]
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{name}-heading" id="{name}"><h2 id="{name}-heading">{escape(heading)}</h2>'
        f"{content}</section>"
        for name, heading, content in sections
    )
    examined = human.examined(report)
    policy = (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>"
        '<a class="skip" href="#content">Skip to the report</a>'
        f'<header><div class="bar"><nav aria-label="Parts of the report">{links}</nav>'
        '<button type="button" id="fold" aria-pressed="false" hidden>Unfold all</button>'
        '<button type="button" id="theme" hidden>Light or dark</button></div></header>\n'
        f'<main id="content"><div class="verdict {data["status"]}"><h1><span class="word">{escape(word)}</span> '
        f"{escape(text)}{escape(tail)}</h1>"
        + (f"<p>Examined: {escape(examined)}</p>" if examined else "")
        + f"</div>\n{body}</main>\n"
        f"<footer><p>sgldoctor {escape(data['tool']['version'])}, command {escape(data['command'])}."
        " Secrets are removed.</p></footer>"
        '<p id="said" class="skip" role="status" aria-live="polite"></p>'
        f"<script>{script}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    import pkgutil  # reads from a zip archive, too

    data = pkgutil.get_data("sgldoctor.report", name)
    assert data is not None
    return data.decode("utf-8").strip()


def _hash(text: str) -> str:
    from base64 import b64encode
    from hashlib import sha256

    return b64encode(sha256(text.encode("utf-8")).digest()).decode("ascii")


def _findings(data: Entry, findings: Sequence[Entry], around: Mapping[tuple[str, int], context.Lines]) -> str:
    return "".join(_finding(data, finding, around) for finding in findings)


def _finding(data: Entry, finding: Entry, around: Mapping[tuple[str, int], context.Lines]) -> str:
    severity = finding["severity"]
    word = "Symptom" if finding["role"] == "symptom" else telling.WORDS[severity]
    sure = "" if finding["confidence"] == "high" else f", {finding['confidence']} confidence"
    parts = [
        f'<article class="{severity}"><h3><span class="tag {severity}">{word}</span>{escape(finding["title"])}</h3>',
        f'<p class="meta"><code>{escape(finding["rule"])}</code>{escape(sure)}</p>',
        _paragraphs(finding["about"]),
    ]
    if finding["evidence"]:
        parts.append(f"<h4>Evidence</h4>{''.join(_evidence(entry, around) for entry in finding['evidence'])}")
        more = finding["count"] - len(finding["evidence"])
        if more > 0:
            parts.append(f'<p class="meta">and {more} more like it</p>')
    parts += [_fix(fix) for fix in finding["fixes"]]
    if finding["references"]:
        items = "".join(f"<li>{_link(entry)}</li>" for entry in finding["references"])
        parts.append(f"<h4>See also</h4><ul>{items}</ul>")
    symptoms = telling.explained(data, finding) if finding["role"] == "cause" else []
    if symptoms:
        inner = _findings(data, symptoms, around)
        label = f"{counted(len(symptoms), 'symptom')} that it explains"
        parts.append(f"<details><summary>{label}</summary>{inner}</details>")
    parts.append("</article>\n")
    return "".join(parts)


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part.strip())}</p>" for part in re.split(r"\n\s*\n", text) if part.strip())


def _evidence(entry: Entry, around: Mapping[tuple[str, int], context.Lines]) -> str:
    where = f'<p class="meta">{escape(telling.place(entry))}</p>'
    lines = around.get((entry.get("file", ""), entry.get("line", 0)))
    if not lines:
        return f"{where}<pre>{escape(entry['text'])}</pre>"
    held = max(entry["text"].count("\n"), 0)
    shown = []
    for number, text in lines:
        hit = entry["line"] <= number <= entry["line"] + held
        body = f'<span class="no">{number:>6}  </span>{escape(text)}'
        shown.append(f'<span class="hit">{body}</span>' if hit else f"{body}\n")
    return f"{where}<pre>{''.join(shown)}</pre>"


def _fix(fix: Entry) -> str:
    parts = [f"<h4>Fix: {escape(fix['title'])} <span class='of'>({escape(fix['safety'])})</span></h4>"]
    for action in fix["actions"]:
        command = telling.command(action)
        if command:
            parts.append(
                f'<div class="typed"><pre>{escape(command)}</pre>'
                '<button type="button" class="copy" aria-label="Copy this command" hidden>Copy</button></div>'
            )
        else:
            parts.append(f"<p>{escape(telling.describe(action))}</p>")
    if fix.get("note"):
        parts.append(f'<p class="meta">{escape(fix["note"])}</p>')
    return "".join(parts)


def _link(text: str) -> str:
    """A reference as a link where it is one; anything but https stays text."""
    if not text.startswith("https://"):
        return escape(text)
    return f'<a href="{escape(text)}" rel="noreferrer noopener">{escape(text)}</a>'


def _failure(failure: Entry) -> str:
    where = f"line {failure['line']}" + (f" of {failure['source']}" if failure["source"] != "-" else "")
    where += f" (rank {failure['rank']})" if failure["rank"] else ""
    said = f"{failure['type']}: {failure['message']}" if failure["message"] else failure["type"]
    rest = "".join(f"<p>{escape(failure[name])}</p>" for name in ("place", "known", "ruled_out") if failure[name])
    return f'<article class="warning"><p class="meta">{escape(where)}</p><pre>{escape(said)}</pre>{rest}</article>'


def _nodes(data: Entry) -> str:
    """The grid of a fleet: one cell for each node, and what was found on those that are not healthy."""
    nodes = data.get("nodes") or []
    if not nodes:
        return ""
    cells: list[str] = []
    rows: list[str] = []
    for node in nodes:
        said = "; ".join(node["causes"]) or node["because"] or node["status"]
        cells.append(
            f'<li class="{node["status"]}" title="{escape(node["name"])}: {escape(said)}">'
            f'<span aria-hidden="true">{_LETTERS[node["status"]]}</span></li>'
        )
        if node["status"] != "healthy" and len(rows) < NODES_LISTED:
            rows.append(
                f"<tr><th scope='row'>{escape(node['name'])}</th><td>{node['status']}</td><td>{escape(said)}</td></tr>"
            )
    opened = " open" if len(rows) <= 64 else ""
    counts = {status: sum(node["status"] == status for node in nodes) for status in _LETTERS}
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    table = (
        "<div class='scroll'><table id='node-table'><thead><tr><th scope='col'>node</th><th scope='col'>status</th>"
        f"<th scope='col'>why</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    return (
        f"<p>{counted(len(nodes), 'node')}: {told}.</p>"
        '<div class="find" id="node-find" hidden><label for="node-search">Find a node or a cause</label>'
        '<input type="search" id="node-search" autocomplete="off"><output id="node-count" role="status"></output></div>'
        f'<ul class="grid" role="img" aria-label="One cell for each node: {told}">{"".join(cells)}</ul>'
        + (f"<details{opened}><summary>Nodes that are not healthy</summary>{table}</details>" if rows else "")
    )


def _facts(data: Entry) -> str:
    parts = []
    for name, source, rows in telling.tables(data):
        columns = list(dict.fromkeys(column for row in rows for column in row))
        head = "".join(f"<th scope='col'>{escape(column)}</th>" for column in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(telling.shown(row.get(column)))}</td>" for column in columns) + "</tr>"
            for row in rows
        )
        of = f"{counted(len(rows), 'row')}, {source}"
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if rows else "<p>none</p>"
        parts.append(
            f'<details data-name="{escape(name)}">'
            f'<summary>{escape(name)} <span class="of">{escape(of)}</span></summary>'
            f"<div class='scroll'>{table}</div></details>"
        )
    if not parts:
        return ""
    return (
        '<div class="find" id="find" hidden><label for="search">Search the facts</label>'
        '<input type="search" id="search" autocomplete="off"><output id="count" role="status"></output></div>'
        + "".join(parts)
    )


def _gaps(data: Entry) -> str:
    unknown = [f"<li>{escape(entry['what'])}: {escape(entry['because'])}</li>" for entry in data["unknown"]]
    ignored = [
        f"<li><code>{escape(entry['rule'])}</code> is ignored until {escape(entry['until'])}"
        f" ({counted(entry['times'], 'finding')}): {escape(entry['reason'])}</li>"
        for entry in data["ignored"]
    ]
    return f"<ul>{''.join(unknown + ignored)}</ul>" if unknown or ignored else ""
