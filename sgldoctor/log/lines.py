"""Lines without their wrapping: terminal sequences, Markdown, collector and logger prefixes.

What is taken off is kept as attributes of the :class:`Line`: who wrote it, when, at which level.
"""

from __future__ import annotations

import re

from sgldoctor.lazy import lazy
from sgldoctor.log import prefixes
from sgldoctor.typed import NamedTuple


class Line(NamedTuple):
    r"""One logical line.

    Attributes:
        text: what was written, indentation kept, trailing blanks dropped.
        number: line number in the file, from 1; several lines may share one (``\r``).
        rank: ``"3"``, ``"DP0 TP1"`` or ``""``.
        time: time stamp as printed; the innermost one where there are several.
        level: ``D``, ``I``, ``W``, ``E`` or ``""``.
        record: signature of the logger's prefix (style, level, place); ``""`` if the line has none, and so may
            continue the line before it.
        perline: True where this logger prefixes every line of a message, not only the first.
        style: name of the innermost logger prefix: ``sglang``, ``glog``, ``nccl``, ``vllm`` ...
        channel: who wrote it, where a launcher says so: lines of one channel belong together.
        gap: True where lines before this one were left out.
    """

    text: str
    number: int
    rank: str = ""
    time: str = ""
    level: str = ""
    record: str = ""
    perline: bool = False
    style: str = ""
    channel: str = ""
    gap: bool = False


_ANSI = lazy(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)?|\x1b[@-Z\\-_=>]?")
_DEAD_ANSI = lazy(r"(?:\^\[|\u241b|\u009b)?\[(?:\d{1,3};){0,4}\d{1,3}m")
_CONTROL = lazy("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_FANCY = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201b": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"',
        "\u00a0": " ", "\u202f": " ", "\u2007": " ", "\u3000": " ",
        "\u200b": None, "\u200c": None, "\u200d": None, "\u2060": None, "\ufeff": None,
        "\u2028": " ", "\u2029": " ", "\u0085": " ",
    }
)  # fmt: skip
_ENTITY = lazy(r"&(lt|gt|amp|quot|apos|nbsp|#39|#x27|#34);")
_ENTITIES = {
    "lt": "<",
    "gt": ">",
    "amp": "&",
    "quot": '"',
    "apos": "'",
    "nbsp": " ",
    "#39": "'",
    "#x27": "'",
    "#34": '"',
}
_BOLD = lazy(r"(?<![\w*(,])(\*\*|__)(?=[^\s*_])(.{1,400}?)(?<=[^\s*_])\1(?![\w*])")
_LINK = lazy(r"\[([\w./+:@-]{1,200})\]\((?:https?://|\.{1,2}/|\.{2}|/)[^)\s]{0,300}\)")
_TAG = lazy(r"</?(?:details|summary|pre|code|br|p|b|i|strong|em)(?: [^<>]{0,80})?/?>", re.IGNORECASE)
_PROGRESS = lazy(r"\d{1,3}%(?:\||\s*Completed\b|\s*\[)[^\n]{0,250}?\[[^\[\]]{0,60}(?:it/s|s/it|B/s|\?)[^\[\]]{0,40}\]")
_REPEATED = lazy(r" *\[repeated \d+x across cluster\][^\n]{0,200}$")
_SECOND_RECORD = lazy(rf"\[\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d(?: {prefixes.RANKS})?\] |\[rank\d+\]:(?=\[[IWEF]\d)")
_INNER_FILE = lazy(r' (?=File "[^"\n]{1,300}", line \d+, in )')
_INNER_END = lazy(r" (?=(?:[a-z_]\w*\.){0,6}[A-Z]\w{0,60}(?:Error|Exception): )")


def scrub(text: str) -> list[str]:
    r"""One raw line (no ``\n``) as the visible lines that it holds, without terminal sequences, Markdown and HTML.

    Usually one; more where ``\r`` redraws, where escaped newlines hide a traceback, or a progress bar is glued to
    the next message.
    """
    if "\r" in text:
        pieces = [piece for piece in text.split("\r") if piece]
        if len(pieces) > 1:
            shown = [p for i, p in enumerate(pieces) if i == len(pieces) - 1 or not _PROGRESS.search(p[:1000])]
            return [line for piece in shown for line in scrub(piece)]
        text = pieces[0] if pieces else ""
    if not text.isascii():
        text = text.translate(_FANCY)
    if not text.isprintable():
        if "\x1b" in text:
            text = _ANSI.sub("", text)
        text = _CONTROL.sub("", text)
    if "m" in text and "[" in text and ("[0m" in text or text.startswith(("[3", "[1;", "[9", "^[["))):
        text = _DEAD_ANSI.sub("", text)
    text = text.removesuffix("^M")
    if "&" in text:
        text = _ENTITY.sub(lambda match: _ENTITIES[match.group(1)], text)
    if "](" in text:
        text = _LINK.sub(r"\1", text)
    if "**" in text:
        text = _BOLD.sub(r"\2", text)
    if "<" in text:
        text = _TAG.sub("", text)
    if text[-1:] in "│┃║" and text:
        text = text.rstrip("│┃║ ")
    if text[:1] in "│┃║" and text:
        text = text.lstrip("│┃║")
        text = text.removeprefix(" ")
    if "[repeated " in text:
        text = _REPEATED.sub("", text)
    text = text.rstrip()
    if text.endswith("]") and "   [" in text:
        text = _PAGER.sub("", text)
    if text.startswith("{") and text.endswith("}"):
        inside = _json_log(text)
        if inside:
            return [line for part in inside for line in scrub(part)]
    if "Traceback (most" in text and len(text) > 60:
        return _one_line_traceback(text)
    if "%" in text:
        done = _PROGRESS.search(text)
        if done and done.end() < len(text) and text[done.end() :].strip(" ,\t"):
            return [text[: done.end()], text[done.end() :].lstrip(" ,")]
    return [text]


def _json_log(text: str) -> list[str]:
    """The lines of the message in a JSON log line, such as Docker's own files hold; nothing for other JSON."""
    match = _JSON_LOG.search(text) if text.startswith(_JSON_BEGINS) else None
    if match is None:
        return []
    return _JSON_ESCAPE.sub(_unescaped, match["text"]).rstrip("\n").split("\n")


def _unescaped(match: re.Match[str]) -> str:
    if match["code"]:
        return chr(int(match["code"], 16))
    return {"n": "\n", "t": "\t", "r": "\r", "b": "", "f": ""}.get(match["char"], match["char"])


def _one_line_traceback(text: str) -> list[str]:
    r"""Undo what single-line log formats do to a traceback: ``\n`` as two characters, or blanks for newlines."""
    if "\\n" in text:
        return [part.rstrip() for part in text.replace('\\"', '"').replace("\\\\n", "\\n").split("\\n")]
    head = text.index("Traceback (most")
    cut = text.find(":", head)
    if cut < 0 or not text[cut + 1 :].strip():
        return [text]
    first, *frames = _INNER_FILE.split(text[cut + 1 :])
    if not frames:
        return [text]
    lines = [text[: cut + 1], *([first] if first.strip() else [])]
    for frame in frames:
        place = re.match(r'File "[^"]{1,300}", line \d+, in \S{1,200}', frame)
        end = place.end() if place else len(frame)
        lines.append("  " + frame[:end])
        code, *rest = _INNER_END.split(frame[end:].strip(), maxsplit=1)
        lines += ["    " + code.strip()] if code.strip() else []
        lines += rest
    return lines


_JSON_LOG = lazy(r'"(?:log|msg|message)": ?"(?P<text>(?:[^"\\]|\\.)*)"')
_PAGER = lazy(r" {8,}\[\d+/\d+\]$")
"""What tmux and screen write over the right edge while one scrolls back."""
_JSON_ESCAPE = lazy(r"\\(?:u(?P<code>[0-9a-fA-F]{4})|(?P<char>.))")
_JSON_BEGINS = ('{"log"', '{"time', '{"level', '{"msg', '{"message', '{"ts', '{"stream', '{"severity')
_NO_LEVEL = (None, "")
_QUOTE = lazy(r"(?:> ?){1,3}(?!>)")


def peel(text: str, number: int) -> Line:
    """Take every collector's and logger's prefix off one scrubbed line."""
    rank = time = level = record = style = channel = ""
    perline = False
    if text.startswith("> ") or (text.startswith(">") and not text.startswith(">>>")):
        quote = _QUOTE.match(text)
        if quote:
            text = text[quote.end() :]
    for _ in range(8):
        if text[:1] == " ":
            bare = text.lstrip(" ")
            if not bare.startswith(("[20", "(", "20", "[rank")) or not prefixes.DATED.match(bare):
                break
            text = bare
        for prefix in prefixes.table(text):
            match = prefix.pattern.match(text) if prefix.hint in text else None
            if match and (said := match.groupdict().get("level")) not in _NO_LEVEL and said not in prefixes.LEVELS:
                match = None  # a word where the level should stand: another format
            if match:
                break
        else:
            break
        found = match.groupdict()
        text = text[match.end() :]
        rank = found.get("rank") or rank
        time = found.get("time") or time
        if prefix.style == "channel":
            channel = f"{channel} {found.get('channel') or found.get('rank') or ''}".strip()
            record = style = ""  # what stood outside of it is the collector's
            perline = False
            continue
        if prefix.style == "collector":
            continue
        style = prefix.name
        level = prefixes.LEVELS.get(found.get("level") or "", level)
        perline = prefix.style == "perline"
        record = f"{style} {level} {found.get('where') or ''}"
    return Line(text.rstrip(), number, rank, time, level, record, perline, style, channel)


def split_glued(line: Line) -> list[Line]:
    """Cut a line in which a second ``[time rank]`` record of SGLang begins in the middle."""
    second = _SECOND_RECORD.search(line.text, 1)
    if second is None or not line.text[: second.start()].strip():
        return [line]
    rest = peel(line.text[second.start() :], line.number)
    return [line._replace(text=line.text[: second.start()].rstrip()), rest._replace(channel=line.channel)]
