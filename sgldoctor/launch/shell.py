"""A shell script as words: quotes, continuations, comments, variables. Nothing is ever executed.

This reads what people paste: it follows the POSIX rules where they decide what a program receives, and where a line is
broken in a way that the shell would not forgive (a comment after a continuation) it says so and reads on as meant, so
that the rest of the line can be judged too.
"""

from __future__ import annotations

import re

from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple

LIMIT = 1 << 20
"""Characters of a script that are read; a launch line is never longer."""

NAME = lazy(r"[A-Za-z_]\w*")
_ARRAY = lazy(r"[A-Za-z_]\w*\+?=")
_PLACEHOLDER = lazy(r"<[A-Za-z][\w.|/-]*(?: [\w.|/-]+)*>")
_LOST = lazy(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*(?:--?[A-Za-z])")
_SPACES = lazy(r"[ \t]*(#[^\n]*)?(?:\r?\n|\Z)")
_REDIRECTION = lazy(r"[<>]+[&|]?(?:\d+|-)?")


class Part(NamedTuple):
    """A piece of a word: literal ``text``, a ``variable`` to look up, or something ``unknown`` such as ``$(date)``."""

    kind: str
    text: str
    quoted: bool
    default: str | None = None


class RawWord(NamedTuple):
    """A word before its variables are looked up, and the number of its line from 1."""

    parts: tuple[Part, ...]
    line: int


class Word(NamedTuple):
    """A word as the program receives it; ``known`` is False where a part of it could not be looked up."""

    text: str
    known: bool
    line: int


class Problem(NamedTuple):
    """A defect of the script itself: ``comment``, ``space``, ``continuation`` or ``quoting``."""

    kind: str
    given: str
    line: int
    note: str


class Script(NamedTuple):
    """All commands of a script in order, each a list of words, and what is wrong with it."""

    commands: list[list[RawWord]]
    problems: list[Problem]


class _Reader:
    """The state of one pass over a text; ends as a :class:`Script`."""

    def __init__(self, text: str) -> None:
        self.text = text[:LIMIT]
        self.at = 0
        self.line = 1
        self.joined = False  # whether the current command has already gone over a line's end
        self.array = False  # whether the words are those of NAME=( ... ), where a line's end is a blank
        self.drop = False  # whether the next word belongs to a redirection
        self.heredocs: list[str] = []
        self.parts: list[Part] | None = None
        self.start = 1
        self.words: list[RawWord] = []
        self.commands: list[list[RawWord]] = []
        self.problems: list[Problem] = []

    def add(self, kind: str, text: str, quoted: bool, default: str | None = None) -> None:
        if self.parts is None:
            self.parts, self.start = [], self.line
        last = self.parts[-1] if self.parts else None
        if kind == "text" and last and last.kind == "text" and last.quoted == quoted:
            self.parts[-1] = last._replace(text=last.text + text)
        else:
            self.parts.append(Part(kind, text, quoted, default))

    def end_word(self) -> None:
        if self.parts is not None and not self.drop:
            self.words.append(RawWord(tuple(self.parts), self.start))
        if self.parts is not None:
            self.drop = False
        self.parts = None

    def begins_array(self) -> bool:
        """Whether the word so far is ``NAME=``, so that a parenthesis now opens an array."""
        part = self.parts[0] if self.parts and len(self.parts) == 1 else None
        return bool(part and part.kind == "text" and not part.quoted and _ARRAY.fullmatch(part.text))

    def end_command(self) -> None:
        self.end_word()
        if self.words:
            self.commands.append(self.words)
        self.words, self.joined, self.drop = [], False, False

    def problem(self, kind: str, given: str, note: str) -> None:
        self.problems.append(Problem(kind, given[:200], self.line, note))

    def take(self, length: int) -> str:
        taken = self.text[self.at : self.at + length]
        self.at += len(taken)
        self.line += taken.count("\n")
        return taken

    def until(self, end: str, opening: str) -> str:
        """Everything up to ``end``; a text without it is taken whole and reported."""
        found = self.text.find(end, self.at)
        if found < 0:
            self.problem("quoting", opening, f"the {opening} is never closed: the shell waits for the rest")
            self.add("unknown", "", True)
            return self.take(len(self.text) - self.at)
        inner = self.take(found - self.at)
        self.at += len(end)
        return inner


def read(text: str) -> Script:
    """Split ``text`` into the words of its commands. Never raises; what is malformed is in ``problems``."""
    reader = _Reader(text)
    while reader.at < len(reader.text):
        _step(reader)
    reader.end_command()
    return Script(reader.commands, reader.problems)


def _step(reader: _Reader) -> None:
    text, at = reader.text, reader.at
    char = text[at]
    if char == "\n":
        _newline(reader)
    elif char in " \t\r":
        reader.end_word()
        reader.at += 1
    elif char == "\\":
        _backslash(reader)
    elif char == "'":
        reader.at += 1
        reader.add("text", "", True)  # the word begins here, not on the line where the quote ends
        reader.add("text", reader.until("'", "single quote"), True)
    elif char == '"':
        reader.at += 1
        _double_quotes(reader)
    elif char == "$":
        _dollar(reader, quoted=False)
    elif char == "`":
        reader.at += 1
        reader.add("unknown", "`" + reader.until("`", "backtick") + "`", False)
    elif char == "#" and reader.parts is None:
        _comment(reader)
    elif char == "<" and (placeholder := _PLACEHOLDER.match(text, at)):
        reader.add("unknown", reader.take(len(placeholder[0])), False)
    elif char in "<>" or (char == "&" and text[at + 1 : at + 2] == ">"):
        _redirection(reader)
    elif char == "(" and reader.begins_array():
        reader.parts = None
        reader.end_command()
        reader.array = True
        reader.at += 1
    elif char in ";&|()":
        reader.end_command()
        reader.array = False
        reader.at += 1
    else:
        end = at + 1
        while end < len(text) and text[end] not in " \t\r\n\\'\"$`<>;&|()":
            end += 1
        reader.add("text", reader.take(end - at), False)


def _newline(reader: _Reader) -> None:
    reader.end_word()
    if reader.array:
        reader.take(1)
        return
    lost = reader.words and not reader.heredocs and _LOST.match(reader.text, reader.at + 1)
    if lost and _is_server(reader.words):
        reader.line += 1
        reader.problem(
            "continuation",
            reader.text[reader.at + 1 :].lstrip().split("\n", 1)[0],
            "the line before does not end in a backslash: the shell would end the command there",
        )
        reader.at += 1
        reader.joined = True
        return
    reader.end_command()
    reader.take(1)
    for delimiter in reader.heredocs:
        closing = re.compile(rf"^\t*{re.escape(delimiter)}\r?$", re.MULTILINE).search(reader.text, reader.at)
        reader.take((closing.end() if closing else len(reader.text)) - reader.at)
    reader.heredocs = []


def _is_server(words: list[RawWord]) -> bool:
    """Whether a command line by itself names SGLang's server; only such a line is worth joining with the next one."""
    texts = [word.parts[0].text for word in words if word.parts]
    return any("sglang" in text for text in texts)


def _backslash(reader: _Reader) -> None:
    text, at = reader.text, reader.at
    following = text[at + 1 : at + 2]
    if following == "\n" or text.startswith("\r\n", at + 1):
        reader.take(2 if following == "\n" else 3)
        reader.joined = True
        return
    if following in (" ", "\t") and (rest := _SPACES.match(text, at + 1)):
        comment = rest[1] or ""
        more = rest.end() < len(text)
        if comment:
            reader.problem(
                "comment",
                comment,
                "a comment after a backslash: the backslash then escapes the blank, the command ends here, "
                "and the following lines are lost",
            )
        elif more:
            note = "blanks after the backslash: the command ends here and the following lines are lost"
            reader.problem("space", "\\ ", note)
        reader.at += 1
        reader.take(rest.end() - reader.at)
        reader.end_word()
        reader.joined = True
        return
    reader.add("text", following, True)
    reader.take(2)


def _comment(reader: _Reader) -> None:
    end = reader.text.find("\n", reader.at)
    end = len(reader.text) if end < 0 else end
    comment = reader.text[reader.at : end]
    if reader.joined and reader.words and not reader.array and _LOST.match(reader.text, end + 1):
        note = "a comment inside a continued command: the command ends here and the following lines are lost"
        reader.problem("comment", comment, note)
        end += 1
    reader.take(end - reader.at)


def _redirection(reader: _Reader) -> None:
    parts = reader.parts
    if parts and len(parts) == 1 and not parts[0].quoted and parts[0].text.isdigit():
        reader.parts = None  # the 2 of 2>&1
    reader.end_word()
    if reader.text[reader.at] == "&":
        reader.at += 1
    operator = _REDIRECTION.match(reader.text, reader.at)
    taken = reader.take(len(operator[0]) if operator else 1)
    if taken.startswith("<<") and not taken.startswith("<<<"):
        delimiter = re.compile(r"-?[ \t]*['\"]?(\w+)['\"]?").match(reader.text, reader.at)
        if delimiter:
            reader.take(len(delimiter[0]))
            reader.heredocs.append(delimiter[1])
        return
    reader.drop = not taken[-1].isdigit() and taken[-1] != "-"


def _double_quotes(reader: _Reader) -> None:
    reader.add("text", "", True)
    text = reader.text
    while reader.at < len(text):
        char = text[reader.at]
        if char == '"':
            reader.at += 1
            return
        if char == "\\" and text[reader.at + 1 : reader.at + 2] in ('"', "\\", "$", "`", "\n"):
            escaped = reader.take(2)[1]
            reader.add("text", "" if escaped == "\n" else escaped, True)
        elif char == "$":
            _dollar(reader, quoted=True)
        elif char == "`":
            reader.at += 1
            reader.add("unknown", "`" + reader.until("`", "backtick") + "`", True)
        else:
            end = reader.at + 1
            while end < len(text) and text[end] not in '"\\$`':
                end += 1
            reader.add("text", reader.take(end - reader.at), True)
    reader.problem("quoting", "double quote", "the double quote is never closed: the shell waits for the rest")
    reader.add("unknown", "", True)


def _balanced(text: str, at: int, opening: str, closing: str) -> int:
    """Position after the bracket that closes the one at ``at``, or -1."""
    depth = 0
    for position in range(at, min(len(text), at + 10_000)):
        if text[position] == opening:
            depth += 1
        elif text[position] == closing:
            depth -= 1
            if depth == 0:
                return position + 1
    return -1


def _dollar(reader: _Reader, *, quoted: bool) -> None:
    text, at = reader.text, reader.at
    following = text[at + 1 : at + 2]
    if following == "'" and not quoted:
        reader.at += 2
        reader.add("text", reader.until("'", "single quote"), True)
        return
    if following in ("(", "{"):
        end = _balanced(text, at + 1, following, ")" if following == "(" else "}")
        if end < 0:
            reader.problem("quoting", "$" + following, f"the ${following} is never closed")
            end = len(text)
        inner = text[at + 2 : end - 1]
        name = NAME.match(inner) if following == "{" else None
        source = reader.take(end - at)
        rest = inner[name.end() :] if name else ""
        if name and not rest:
            reader.add("variable", name[0], quoted)
        elif name and (default := re.match(r":?[-=](.*)\Z", rest, re.DOTALL)):
            reader.add("variable", name[0], quoted, default[1])
        else:
            reader.add("unknown", source, quoted)
        return
    if name := NAME.match(text, at + 1):
        reader.take(1 + len(name[0]))
        reader.add("variable", name[0], quoted)
    elif following and following in "@*#?$!-0123456789":
        reader.add("unknown", reader.take(2), quoted)
    else:
        reader.add("text", reader.take(1), quoted)


def expand(word: RawWord, variables: dict[str, tuple[str, bool]]) -> list[Word]:
    """What ``word`` becomes with ``variables`` (name to value and whether that is known): mostly one word.

    An unquoted variable splits at its blanks, as in the shell. One that is not in ``variables`` stays as written and
    makes its word unknown.
    """
    text, known = "", True
    words: list[Word] = []
    began = False
    for part in word.parts:
        if part.kind == "text":
            text, began = text + part.text, True
            continue
        if part.kind == "variable" and part.text in variables:
            value, sure = variables[part.text]
        elif part.kind == "variable" and part.default is not None and "$" not in part.default:
            value, sure = part.default, True
        else:
            value, sure = (f"${{{part.text}}}" if part.kind == "variable" else part.text), False
        known = known and sure
        pieces = value.split() if not part.quoted and sure else [value]
        for index, piece in enumerate(pieces):
            if index:
                words.append(Word(text, known, word.line))
                text = ""
            text, began = text + piece, True
    if began or any(part.quoted for part in word.parts):
        words.append(Word(text, known, word.line))
    return words
