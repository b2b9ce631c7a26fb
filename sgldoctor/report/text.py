"""Texts that came from outside, made safe to show: no control sequence of a log ever reaches a terminal."""

from __future__ import annotations

from sgldoctor.lazy import lazy

_ESCAPES = lazy(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,16}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|[@-Z\\^_])|[\x80-\x9f]")
_CONTROLS = lazy(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """``text`` without escape sequences, control characters (newline and tab stay) and direction overrides."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def shorten(text: str, width: int, around: str = "") -> str:
    """``text`` as one line of at most ``width`` columns, cut at its end; the words ``around`` stay in sight."""
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    width = max(width, 3)
    words = " ".join(around.split())
    at = line.find(words) if words else -1
    if at + min(len(words), width // 2) < width:
        return line[: width - 1] + "…"
    begin = min(at - width // 3, len(line) - width + 1)  # some of what comes before tells who says it
    rest = line[begin + 1 :]
    return "…" + (rest if len(rest) < width else rest[: width - 2] + "…")


def wrap(text: str, width: int, indent: str = "") -> list[str]:
    """``text`` wrapped to ``width``; blank lines divide paragraphs, indented lines are left as they are."""
    lines: list[str] = []
    current = ""
    for raw in [*text.splitlines(), ""]:
        if raw[:1] in (" ", "\t") or not raw.strip():
            if current:
                lines.append(current)
                current = ""
            lines.append(indent + raw.rstrip() if raw.strip() else "")
            continue
        for word in raw.split():
            if current and len(current) + 1 + len(word) > width:
                lines.append(current)
                current = ""
            current = f"{current} {word}" if current else indent + word
    while lines and not lines[-1]:
        lines.pop()
    return lines


def counted(number: int, noun: str) -> str:
    """``1 symptom``, ``2 symptoms``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
