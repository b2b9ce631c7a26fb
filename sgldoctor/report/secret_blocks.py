"""Secrets that span lines: private keys, and the values of Kubernetes' Secrets. Lines stay lines.

Both are told by a line of their own, so whoever redacts a stream must hand over the lines before as well
(:mod:`sgldoctor.report.stream`); a key or manifest of which the end has not come yet is told by its beginning.
"""

from __future__ import annotations

import re

REDACTED = "<redacted>"
_BEGIN = "-----BEGIN"
_PEM = r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)((?:[A-Za-z0-9+/=\s:,.]|-(?!-)|\\{1,3}[nr]){0,20000})(-----END)?"
_PEM_CUT = r"[A-Za-z0-9+/=]{40,}"
_PEM_WORD = r"(?:^|(?<=[\s\"'>|]))[A-Za-z0-9+/=]{1,4096}(?=[\"',\\\s]{0,8}$)"
_PEM_HEADER = r"[A-Z][\w-]{1,30}: \S|^\W{0,40}$"
_MIXED = r"(?=[^a-z]{0,4096}[a-z])(?=[^A-Z]{0,4096}[A-Z])(?=[A-Za-z]{0,4096}[0-9+/=])"

_AROUND = 400
"""Lines of an object that are looked at for its kind."""
_DATA = r"([ \t]{0,80}(?:-[ \t]{1,4})?)\"?(?:data|stringData)\"?[ \t]{0,4}:[ \t]{0,4}\{?[ \t\r]{0,4}"
_KIND = r"([ \t]{0,80}(?:-[ \t]{1,4})?)\"?(kind|apiVersion)\"?[ \t]{0,4}:[ \t]{0,4}\"?([\w./]{1,80})\"?,?[ \t\r]{0,4}"
_ENTRY = r"([ \t]{1,120}\"?[\w./-]{1,253}\"?[ \t]{0,4}:[ \t]{1,4}\"?)([^\"\n]{1,100000}?)(\"?,?[ \t\r]{0,4})"
_IN_A_LINE = r"(\\{0,7}\"(?:data|stringData)\\{0,7}\"[ \t]{0,4}:[ \t]{0,4}\{)([^{}\n]{1,100000})(?=\})"
_OF_A_LINE = r"(:[ \t]{0,4}\\{0,7}\")([^\"\\]{1,100000})"
_KIND_IN_A_LINE = r"kind\\{0,7}\"[ \t]{0,4}:[ \t]{0,4}\\{0,7}\"Secret\b"


def private_keys(text: str) -> str:
    """``text`` without the private keys in it, whatever a logger or a quotation puts in front of their lines."""
    text = re.sub(_PEM, _pem, text)
    lines = text.split("\n")
    inside = long = False
    front = 0  # characters in front of the key on its first line
    for number, line in enumerate(lines):
        if _BEGIN in line and "PRIVATE KEY-----" in line:
            inside, long, front = "-----END" not in line, False, line.index(_BEGIN)
        elif inside and "-----END" in line:
            inside = False
        elif inside:
            word = re.search(_PEM_WORD, line)
            length = len(word[0]) if word else 0
            if word and (
                length >= 40 or (length >= 16 and re.match(_MIXED, word[0])) or (long and word.start() == front)
            ):
                lines[number] = line[: word.start()] + REDACTED + line[word.end() :]
                inside, long = length >= 16, True
            elif line.rstrip().endswith(REDACTED):
                long = True
            elif not re.search(_PEM_HEADER, line):
                inside = False
    return "\n".join(lines)


def _pem(match: re.Match[str]) -> str:
    if match.group(3) is None:  # cut off: what follows may be something else, so only what looks like key material
        return match.group(1) + re.sub(_PEM_CUT, REDACTED, match.group(2))
    body = "\n".join(_key_line(line) for line in match.group(2).split("\n"))
    return match.group(1) + body + match.group(3)


def _key_line(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))] + REDACTED if line.strip() else line


def manifests(text: str) -> str:
    """``text`` without the values of Secrets, as YAML or JSON, over lines or in one (an annotation of ``kubectl``)."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if "ata" not in line:
            continue
        if re.search(_KIND_IN_A_LINE, line):
            lines[number] = re.sub(_IN_A_LINE, lambda match: match[1] + re.sub(_OF_A_LINE, _value, match[2]), line)
            continue
        match = re.fullmatch(_DATA, line)
        if match:
            depth = len(match[1])
            kind = _kind(lines, number, depth)
            if kind in ("Secret", ""):
                _hide_entries(lines, number + 1, depth, everything=kind == "Secret")
    return "\n".join(lines)


def _kind(lines: list[str], place: int, depth: int) -> str | None:
    """The kind of the object whose ``data`` is at ``place``; empty where only its version is known (yet)."""
    versioned = False
    for way in (range(place - 1, max(place - _AROUND, 0) - 1, -1), range(place + 1, min(place + _AROUND, len(lines)))):
        for number in way:
            line = lines[number]
            if not line.strip():
                continue
            indented = len(line) - len(line.lstrip(" \t"))
            first = re.match(r"[ \t]{0,80}-[ \t]{1,4}", line)
            if indented < depth and not (first and len(first[0]) == depth):
                break
            match = re.fullmatch(_KIND, line)
            if match and len(match[1]) == depth:
                if match[2] == "kind":
                    return match[3]
                versioned |= match[3] == "v1"
            if first and len(first[0]) == depth and way.step < 0:
                break
    return "" if versioned else None


def _hide_entries(lines: list[str], begin: int, depth: int, *, everything: bool) -> None:
    block = 0
    for number in range(begin, min(begin + _AROUND, len(lines))):
        line = lines[number]
        indented = len(line) - len(line.lstrip(" \t"))
        if not line.strip():
            continue
        if indented <= depth:
            return
        if block and indented > block:
            lines[number] = line[:indented] + REDACTED
            continue
        block = 0
        match = re.fullmatch(_ENTRY, line)
        if not match:
            continue
        if re.fullmatch(r"[|>][+-]?[0-9]?", match[2].strip()):
            block = indented if everything else 0
        elif everything or (
            len(match[2]) >= 12 and len(match[2]) % 4 == 0 and re.fullmatch(_MIXED + r"[\w+/]+=*", match[2])
        ):
            lines[number] = match[1] + _hidden(match[2]) + match[3]


def _value(match: re.Match[str]) -> str:
    return match[1] + _hidden(match[2])


def _hidden(value: str) -> str:
    return value if value.strip() in ("", "{}", "null", REDACTED) else REDACTED
