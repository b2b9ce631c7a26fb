"""A file that holds a launch line, with other flags and variables; comments and layout stay.

The text is changed in the few places that the actions are about, then read again: unless it now says exactly what was
meant, and of every other command exactly what it said before, it is not written at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from sgldoctor.actions.base import Action, quote
from sgldoctor.actions.kinds.set_env import SetEnv
from sgldoctor.actions.kinds.unset_env import UnsetEnv
from sgldoctor.errors import FixError
from sgldoctor.fix import launchkeys, launchvars
from sgldoctor.fix.launchline import Change, changed, changes
from sgldoctor.launch import files
from sgldoctor.launch.files import Located
from sgldoctor.typed import NamedTuple

BARE = r"(?:`[^`\n]*`|[^\s'\"\\]|\\[^\n]|'[^']*'|\"(?:[^\"\\]|\\.)*\")+"
_STRING = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\n]|'')*'"
_COMMENT = r"(?m:^[ \t]*#.*$)"
_MOST_WORDS = 64
"""How many words one variable of a line may stand for."""


class Token(NamedTuple):
    """A word in a text: where it stands, what the program receives (variables as written), as it was written."""

    start: int
    end: int
    text: str
    raw: str


class Edit(NamedTuple):
    """A piece of the text that is replaced."""

    start: int
    end: int
    text: str


def rewritten(
    text: str, name: str, actions: Mapping[int, Sequence[Action]], environ: Mapping[str, str], release: str = ""
) -> str:
    """``text`` after the actions on its server commands, by their number as :func:`sgldoctor.launch.files.find` has it.

    Raises:
        FixError: the place cannot be told for sure, or the text would then say something else than what is meant.
    """
    for number, wanted in actions.items():
        before = found(text, name, environ)
        after = _one(text, before[number], wanted, release)
        _prove(before, found(after, name, environ), number, wanted, release)
        text = after
    return text


def found(text: str, name: str, environ: Mapping[str, str]) -> list[Located]:
    """The server commands in a text that may hold bytes which are no UTF-8 (as lone surrogates, one character each)."""
    return files.find(re.sub("[\ud800-\udfff]", "\ufffd", text), name, environ)


def _one(text: str, located: Located, actions: Sequence[Action], release: str) -> str:
    wanted = changes([word.text for word in located.command.arguments], actions, release)
    edits: list[Edit] = []
    if wanted and located.kind in launchkeys.KINDS:
        edits += launchkeys.edits(text, located, wanted, release)
    elif wanted:
        tokens, layout = _tokens(text, located)
        for change in changes([token.text for token in tokens], actions, release):
            edits += _edits(text, tokens, change, layout)
    edits += launchvars.edits(text, located, [one for one in actions if isinstance(one, SetEnv | UnsetEnv)])
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _prove(
    before: Sequence[Located], after: Sequence[Located], number: int, actions: Sequence[Action], release: str
) -> None:
    """Raise FixError unless the new text says what is meant, and nothing else has changed."""
    told = [_says(one) for one in before]
    arguments, environment = told[number]
    arguments = tuple(changed(arguments, changes(arguments, actions, release)))
    for action in actions:
        if isinstance(action, SetEnv):
            environment = {**environment, action.name: action.value}
        elif isinstance(action, UnsetEnv):
            environment = {name: value for name, value in environment.items() if name != action.name}
    told[number] = (arguments, environment)
    if [_says(one) for one in after] != told:
        where = f"line {before[number].line}" + (f" ({before[number].where})" if before[number].where else "")
        raise FixError(f"{where}: the place to change cannot be told for sure: change it by hand")


def _says(located: Located) -> tuple[tuple[str, ...], dict[str, str]]:
    command = located.command
    return tuple(word.text for word in command.arguments), {name: value for name, value, _ in command.environment}


# --------------------------------------------------------------------------------------- finding the words


def _tokens(text: str, located: Located) -> tuple[list[Token], str]:
    """The words of a command in the text, and their layout: ``line``, ``list`` or ``items``; raises FixError."""
    wanted = [(word.text, word.known) for word in located.command.arguments]
    found: dict[tuple[int, ...], tuple[list[Token], str]] = {}
    for layout, tokens in _readings(text):
        for first, token in enumerate(tokens):
            if not wanted or not _alike(token, wanted[0]):
                continue
            last = _run(tokens, first, wanted, 0)
            if last is not None:
                run = tokens[first:last]
                found.setdefault(tuple(one.start for one in run), (run, layout))
    if not found:
        raise FixError(f"line {located.line}: its words are not found as they are written: change it by hand")
    # The same line may stand there twice: the one that belongs to the place is the nearest one.
    return min(found.values(), key=lambda run: abs(text.count("\n", 0, run[0][0].start) + 1 - located.line))


def _alike(token: Token, word: tuple[str, bool]) -> bool:
    return token.text == word[0] or "$" in token.raw


def _run(tokens: Sequence[Token], first: int, wanted: Sequence[tuple[str, bool]], at: int) -> int | None:
    """Position after the tokens from ``first`` on that are the wanted words from ``at`` on; None where they are not."""
    while at < len(wanted):
        if first >= len(tokens):
            return None
        token = tokens[first]
        if "$" in token.raw and token.text != wanted[at][0]:
            # A variable stands for any number of words, in quotes for one.
            most = 1 if token.raw.startswith('"') else _MOST_WORDS
            for count in range(1 if most == 1 else 0, min(most, len(wanted) - at) + 1):
                last = _run(tokens, first + 1, wanted, at + count)
                if last is not None:
                    return last
            return None
        if token.text != wanted[at][0]:
            return None
        first += 1
        at += 1
    return first


def _readings(text: str) -> Iterator[tuple[str, list[Token]]]:
    """The text as words in each of the ways in which a command may be written."""
    words = list(_line(text, 0))
    yield "line", words
    # Comments between continued lines, as Dockerfiles and units have them, are no words.
    yield "line", list(_line(re.sub(_COMMENT, _blank, text), 0))
    for token in words:
        # bash -c "..." and strings in YAML and JSON: a line within quotes.
        for quoted in re.finditer(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", token.raw, re.DOTALL):
            if re.search(r"\s", quoted[0]):
                yield "line", list(_line(quoted[0][1:-1], token.start + quoted.start() + 1))
    # A list may run over lines, which a Dockerfile continues.
    plain = re.sub(rf"{_COMMENT}|\\(?=[ \t]*\r?\n)", _blank, text)
    for flow in re.finditer(r"\[[^\[\]]*\]", plain):
        inside = re.finditer(rf"{_STRING}|[^\s,\[\]\"']+", flow[0])
        yield "list", [_token(text, one.start() + flow.start(), one.end() + flow.start()) for one in inside]
    yield from (("items", items) for items in _items(text))


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _token(text: str, start: int, end: int) -> Token:
    raw = text[start:end]
    return Token(start, end, _scalar(raw), raw)


def _scalar(raw: str) -> str:
    """A YAML or JSON scalar without its quotes."""
    if raw[:1] == '"':
        try:
            return str(json.loads(raw))
        except ValueError:
            return raw[1:-1]
    return raw[1:-1].replace("''", "'") if raw[:1] == "'" else raw


def _line(text: str, offset: int) -> Iterator[Token]:
    from sgldoctor.fix.launchline import unquoted

    for match in re.finditer(BARE, text):
        yield Token(match.start() + offset, match.end() + offset, unquoted(match[0]), match[0])


def _items(text: str) -> Iterator[list[Token]]:
    """Block sequences of YAML: items of the same indentation that follow each other, comments between them allowed."""
    held: list[Token] = []
    indent = -1
    at = 0
    for line in text.splitlines(keepends=True):
        match = re.match(rf"([ \t]*)-[ \t]+({_STRING}|[^\s#'\"][^#\n]*?)[ \t]*(?:#[^\n]*)?\r?\n?\Z", line)
        if match:
            if len(match[1]) != indent and held:
                yield held
                held = []
            indent = len(match[1])
            held.append(_token(text, at + match.start(2), at + match.end(2)))
        elif held and line.strip() and not line.lstrip().startswith("#"):
            yield held
            held = []
        at += len(line)
    if held:
        yield held


# ------------------------------------------------------------------------------------------ changing them


def _edits(text: str, tokens: Sequence[Token], change: Change, layout: str) -> list[Edit]:
    """The pieces of text that a change of words comes to."""
    kept = min(change.last - change.first, len(change.words))
    out = []
    for at, word in enumerate(change.words[:kept], change.first):
        if tokens[at].text != word:
            out.append(Edit(tokens[at].start, tokens[at].end, _written(word, tokens[at].raw, layout)))
    if change.first + kept < change.last:
        out.append(_removal(text, tokens, change.first + kept, change.last, layout))
    if kept < len(change.words):
        out.append(_insertion(text, tokens, change.first + kept, change.words[kept:], layout))
    return out


def _removal(text: str, tokens: Sequence[Token], first: int, last: int, layout: str) -> Edit:
    if layout == "items":
        begin = text.rfind("\n", 0, tokens[first].start) + 1
        end = text.find("\n", tokens[last - 1].end)
        return Edit(begin, len(text) if end < 0 else end + 1, "")
    if last < len(tokens):
        begin = text.rfind("\n", 0, tokens[first].start) + 1
        end = text.find("\n", tokens[last - 1].end)
        alone = layout == "line" and not text[begin : tokens[first].start].strip() and end >= 0
        if alone and text[tokens[last - 1].end : end].strip() in ("", "\\"):
            return Edit(begin, end + 1, "")  # lines of their own: a comment below them stays
        return Edit(tokens[first].start, tokens[last].start, "")
    begin = tokens[first - 1].end if first else tokens[first].start
    return Edit(begin, tokens[last - 1].end, "")


def _insertion(text: str, tokens: Sequence[Token], at: int, words: Sequence[str], layout: str) -> Edit:
    """New words in the layout of their neighbours: on a line of their own where each flag has one."""
    between = [text[one.end : two.start] for one, two in pairwise(tokens)]
    like = tokens[at - 1] if at else tokens[0]
    if layout == "items":
        begin = text.rfind("\n", 0, like.start) + 1
        lead = text[begin : like.start]
        end = text.find("\n", tokens[at - 1].end) if at else begin - 1
        end = len(text) if end < 0 and at else end
        lines = [lead + _written(word, like.raw, layout) for word in words]
        if at:
            return Edit(end, end, "".join("\n" + line for line in lines))
        return Edit(begin, begin, "".join(line + "\n" for line in lines))
    if layout == "list":
        apart = next((gap for gap in between if "\n" not in gap), ", ")
        new = apart.join(_written(word, like.raw, layout) for word in words)
        return (
            Edit(tokens[at - 1].end, tokens[at - 1].end, apart + new)
            if at
            else Edit(like.start, like.start, new + apart)
        )
    broken = [gap for gap in between if "\n" in gap]
    apart = broken[-1] if broken else " "
    new = " ".join(_written(word, "", layout) for word in words)
    if at:
        # A value stays beside its flag.
        gap = apart if words[0].startswith("-") else " "
        return Edit(tokens[at - 1].end, tokens[at - 1].end, gap + new)
    return Edit(like.start, like.start, new + apart)


def _written(word: str, like: str, layout: str) -> str:
    """A word as its neighbours are written."""
    if layout == "line":
        if like[:1] == '"' and like[-1:] == '"' and not re.search(r"[\"$`\\!]", word):
            return f'"{word}"'
        name, equals, value = word.partition("=")
        return f"{name}={quote(value)}" if equals and word.startswith("--") else quote(word)
    if like[:1] == "'" and "'" not in word:
        return f"'{word}'"
    if like[:1] == '"' or layout == "list" or not re.fullmatch(r"-{0,2}[A-Za-z_./][\w./=:-]*[\w/]", word):
        return json.dumps(word)
    return word
