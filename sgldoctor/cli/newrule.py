"""``sgldoctor rules new``: a first draft of a rule and of its two fixtures, from a log if there is one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence

from sgldoctor.errors import InputError, UsageError
from sgldoctor.events import Event
from sgldoctor.report.redact import redact
from sgldoctor.rules.schema import DEFAULT_KINDS, Rule
from sgldoctor.typed import NamedTuple

LONGEST = 64 << 10
"""Bytes of a log that become a fixture; of a longer one, what stands round the failure."""
_MESSAGE = 240
"""Characters of a message that a draft looks for."""
_PARTS = re.compile(
    r"(?P<path>(?:/[\w.+@-]+){2,})|(?P<quoted>'[^'\n]{1,200}'|\"[^\"\n]{1,200}\")|(?P<hex>\b0x[0-9a-fA-F]+\b)"
    r"|(?P<number>(?<![\w.])\d[\d.,]*(?![\w]))"
)
"""What differs from one occurrence of a message to the next."""


class Draft(NamedTuple):
    """What a rule looks for: a literal, a pattern round it (``""``: the literal alone), type, kind, and the message."""

    anchor: str
    pattern: str
    type: str
    kind: str
    message: str
    line: int
    place: str


def new(name: str, folder: str, fixtures: str, area: str, cause: str, log: str, rules: Sequence[Rule]) -> int:
    """Write the draft; returns the exit status. Nothing that exists is overwritten."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise UsageError(f"{name!r}: a rule is named by words of a-z and 0-9 joined by '-'")
    if any(rule.slug == name for rule in rules):
        raise UsageError(f"a rule named {name!r} exists already: 'sgldoctor rules show {name}'")
    area = area or _area(cause)
    path = os.path.join(folder, area, f"{name}.toml")
    cases = os.path.join(fixtures, name)
    fires, quiet = os.path.join(cases, "fires-first.log"), os.path.join(cases, "quiet-mention.log")
    for target in (path, fires, quiet):
        if os.path.exists(target):
            raise UsageError(f"{target} exists already")
    known = ""
    if log:
        draft, text, known = _from(log, rules)
    else:
        draft, text = Draft("the text that only this fault prints", "", "", "exception", "", 0, ""), ""
    written = [(path, _toml(draft, cause)), (fires, text), (quiet, _near_miss(draft))]
    try:
        for target, content in written[: 3 if log else 1]:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "x", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                stream.write(content)
            print(f"wrote {target}")
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written: {error.strerror}") from error
    if known:
        print(f"note: a rule explains that log already: {known}")
    print(
        "next: choose its cause and say why it happens; put a better near miss in quiet-*; look for secrets in\n"
        f"fires-*; then 'sgldoctor rules lint' and 'sgldoctor rules test {name}'"
    )
    return 0


def _area(cause: str) -> str:
    if not cause:
        return "drafts"
    from sgldoctor.knowledge.causes import causes

    if cause not in causes():
        from difflib import get_close_matches

        near = get_close_matches(cause, causes(), n=3)
        raise UsageError(f"no cause {cause!r} in the vocabulary" + (f"; near are {', '.join(near)}" if near else ""))
    return causes()[cause].area


def _from(path: str, rules: Sequence[Rule]) -> tuple[Draft, str, str]:
    """The draft, the text for its fixture, and the rule that explains the log already, if one does."""
    from sgldoctor import log, pipeline
    from sgldoctor.rules.select import literals, witnesses

    reading = log.read([path], literals(rules), witnesses(rules))
    report = pipeline.conclude("explain", reading.facts, reading.events, rules, pipeline.Options())
    known = next((finding for finding in report.findings if finding.role == "cause"), None)
    if report.failures:
        line = report.failures[0].line
    elif known and known.events:
        line = known.events[0].line
    else:
        raise InputError(f"{path}: nothing failed in it that a rule could look for")
    event = min((entry for entry in reading.events if entry.line == line), key=lambda entry: entry.depth)
    return draft(event), _excerpt(path, event), known.rule.slug if known and not report.failures else ""


def draft(event: Event) -> Draft:
    """What to look for so that another occurrence of this event is found, whatever its numbers, names and paths."""
    first = event.text.split("\n")[0]
    message = first.removeprefix(f"{event.type}:").strip()[:_MESSAGE] if event.type else first[:_MESSAGE]
    message = redact(message)
    place = event.frames[-1].function if event.frames else ""
    pieces: list[str] = []
    literals: list[str] = []
    at, named = 0, False
    for match in _PARTS.finditer(message):
        literals.append(message[at : match.start()])
        pieces.append(re.escape(message[at : match.start()]))
        kind, text = match.lastgroup, match.group()
        if kind == "quoted" and named:
            pieces.append(f"{text[0]}[^{text[0]}]{{1,200}}{text[0]}")
        elif kind == "quoted":
            pieces.append(f"{text[0]}(?P<name>[^{text[0]}]{{1,200}}){text[0]}")
            named = True
        else:
            pieces.append({"path": r"[^\s'\":,]{1,400}", "hex": "0x[0-9a-fA-F]{1,16}"}.get(str(kind), r"[\d.,]{1,40}"))
        at = match.end()
    literals.append(message[at:])
    pieces.append(re.escape(message[at:]))
    anchor = max(literals, key=len).strip()
    pattern = "".join(pieces).replace(r"\ ", " ") if len(literals) > 1 else ""
    if len(anchor.encode("utf-8", "surrogateescape")) < 4:  # a bare "AssertionError": then its place tells
        anchor, pattern = event.type or first[:80], ""
    return Draft(anchor, pattern, event.type, event.kind, first, event.line, place)


def _excerpt(path: str, event: Event) -> str:
    """The log without its secrets; of a long one what stands round the failure."""
    from sgldoctor.log.blocks import blocks

    data = bytearray()
    for block in blocks(path):
        data += block
        if len(data) > 64 * LONGEST:
            break
    text = redact(data.decode("utf-8", "surrogateescape"))
    if len(text) <= LONGEST:
        return text
    lines = text.splitlines(keepends=True)
    first, last = max(0, event.line - 120), max(event.end, event.line) + 20
    return "".join(lines[first:last])[-LONGEST:]


def _near_miss(made: Draft) -> str:
    """A line that only mentions the text: SGLang says it in passing, and nothing failed."""
    text = redact(made.message).removeprefix(f"{made.type}:").strip()
    return f"INFO: the documentation says what to do about <{text or made.anchor}>, should it ever occur\n"


def _toml(made: Draft, cause: str) -> str:
    title = made.message[:100].translate({ord("{"): "(", ord("}"): ")"})  # braces are placeholders
    lines = [
        f"title    = {_string(title or 'What is wrong, in one line')}",
        f"cause    = {_string(cause or 'choose-one')}{'' if cause else '  # a key of causes.tsv'}",
        'about    = """',
        'Why it happens, in a few lines, for somebody who has never seen it."""',
        "",
        "[[log]]",
        f"anchor  = {_string(made.anchor)}",
    ]
    if made.pattern:
        lines.append(f"pattern = {_literal(made.pattern)}")
    if made.type:
        lines.append(f"type    = {_string(made.type)}")
    if made.kind not in DEFAULT_KINDS:
        lines.append(f"in      = [{_string(made.kind)}]")
    if made.place:
        bare = not made.pattern and made.anchor == made.type
        lines.append(f"{'' if bare else '# '}inner   = [{_string(made.place)}]  # the function that raised it")
    lines += ["", "# [[fix]]", '# title  = "What to do"', '# safety = "manual"',
              '# action = [{ do = "manual", text = "…" }]', ""]  # fmt: skip
    return "\n".join(lines)


def _string(text: str) -> str:
    """A basic string of TOML: JSON writes the same escapes."""
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False).replace("\x7f", "\\u007f")


def _literal(text: str) -> str:
    if "'" not in text:
        return f"'{text}'"
    return f"'''{text}'''" if "'''" not in text and not text.endswith("'") else _string(text)
