"""A launch line with other flags and variables, otherwise as it was written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor.actions.base import Action, quote
from sgldoctor.actions.kinds.remove_flag import RemoveFlag
from sgldoctor.actions.kinds.set_env import SetEnv
from sgldoctor.actions.kinds.set_flag import SetFlag
from sgldoctor.actions.kinds.unset_env import UnsetEnv
from sgldoctor.knowledge import flags
from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple

_OPERATOR = lazy(r"&&|\|\|?|;|&$|\d?>|#")
"""What ends a command, or its arguments, in a shell line."""
_NUMBER = re.compile(r"-\d")


class Change(NamedTuple):
    """Words ``first`` up to ``last`` of a list become ``words``; an insertion where the two are equal."""

    first: int
    last: int
    words: tuple[str, ...]


def changes(words: Sequence[str], actions: Sequence[Action], release: str = "") -> list[Change]:
    """What the flag actions change in the arguments of a server, in order and without overlap.

    A flag keeps its place and the spelling that was used; one that is new comes last, or where another one was taken
    out. ``release`` tells which abbreviations argparse accepts (``--tp``); where it is empty, the newest is asked.
    """
    known = flags.releases()
    release = release if release in known else known[-1]
    found: dict[int, Change] = {}
    gone: int | None = None
    for action in actions:
        if not isinstance(action, SetFlag | RemoveFlag):
            continue
        spans = _spans(words, action.flag, release)
        if isinstance(action, SetFlag) and action.instead:
            for first, last in _spans(words, action.instead, release):
                found[first] = Change(first, last, _renamed(words[first:last], action))
            continue
        if isinstance(action, RemoveFlag):
            for first, last in spans:
                found[first] = Change(first, last, ())
                gone = first
            continue
        if not spans:
            new = (action.flag,) if action.value is None else (action.flag, action.value)
            at = len(words) if gone is None else gone
            held = found.get(at, Change(at, at, ()))
            found[at] = held._replace(words=(*held.words, *new))
            continue
        # argparse lets the last one win: the first one is changed, the others go.
        for first, last in spans[1:]:
            found[first] = Change(first, last, ())
        first, last = spans[0]
        name, equals, _ = words[first].partition("=")
        if action.value is None:
            new = (name,)
        elif equals:
            new = (f"{name}={action.value}",)
        else:
            new = (name, action.value)
        if tuple(words[first:last]) != new:
            found[first] = Change(first, last, new)
    return [found[at] for at in sorted(found)]


def _renamed(words: Sequence[str], action: SetFlag) -> tuple[str, ...]:
    """A flag and its values under another name."""
    if action.value is not None:
        return (action.flag, action.value)
    _, equals, value = words[0].partition("=")
    return (action.flag + equals + value, *words[1:])


def changed(words: Sequence[str], what: Sequence[Change]) -> list[str]:
    """The words after the changes."""
    out = list(words)
    for change in reversed(what):
        out[change.first : change.last] = change.words
    return out


def _spans(words: Sequence[str], flag: str, release: str) -> list[tuple[int, int]]:
    """Where a flag stands with its values, as ``[first, last)``."""
    table = {name: found for found in flags.table(release).values() for name in found.names}
    spans = []
    for first, word in enumerate(words):
        name, equals, _ = word.partition("=")
        if not _same(name, flag, release):
            continue
        last = first + 1
        found = table.get(name) or table.get(flag)
        most = 0 if equals or (found is not None and found.nargs == "0") else len(words)
        most = 1 if most and found is not None and found.nargs in ("1", "?") else most
        while last < len(words) and last - first <= most and not _is_option(words[last]):
            last += 1
        spans.append((first, last))
    return spans


def _is_option(word: str) -> bool:
    return word.startswith("-") and not _NUMBER.match(word)


def rewritten(line: str, actions: Sequence[Action], release: str = "") -> str:
    """A launch line with flags and variables set and removed; everything else stays as it was written."""
    written = _words(line)
    first, end = _server(written)
    program = first
    while program < end and re.match(r"[A-Za-z_]\w*=", written[program]):
        program += 1
    before = _variables(written[first:program], actions)
    kept = written[program:end]
    for change in reversed(changes([unquoted(word) for word in kept], actions, release)):
        # What stays is shown as it was written, what is new is quoted where it needs it.
        new = [
            kept[change.first + at] if _stands(kept, change, at, word) else _quoted(word)
            for at, word in enumerate(change.words)
        ]
        kept[change.first : change.last] = new
    return " ".join([*written[:first], *before, *kept, *written[end:]])


def _server(words: Sequence[str]) -> tuple[int, int]:
    """Where in a line of several commands the one stands that starts the server; else the first one."""
    commands: list[tuple[int, int]] = []
    first = 0
    for at, word in enumerate([*words, ";"]):
        if _OPERATOR.match(word) and at >= first:
            commands.append((first, at))
            first = at + 1
    return next((span for span in commands if any("sglang" in word for word in words[slice(*span)])), commands[0])


def _stands(written: Sequence[str], change: Change, at: int, word: str) -> bool:
    return change.first + at < change.last and unquoted(written[change.first + at]) == word


def _quoted(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{name}={quote(value)}" if equals and word.startswith("--") else quote(word)


def _variables(prefix: Sequence[str], actions: Sequence[Action]) -> list[str]:
    """The assignments in front of the program."""
    words = list(prefix)
    gone: int | None = None
    for action in actions:
        if not isinstance(action, SetEnv | UnsetEnv):
            continue
        places = [at for at, word in enumerate(words) if word.startswith(action.name + "=")]
        if isinstance(action, UnsetEnv):
            for at in reversed(places):
                del words[at]
                gone = at
        elif places:
            words[places[0]] = f"{action.name}={quote(action.value)}"
        else:
            words.insert(len(words) if gone is None else gone, f"{action.name}={quote(action.value)}")
    return words


def unquoted(word: str) -> str:
    """A word without its quotes, variables as they are written; the word itself where the quotes are broken."""
    import shlex

    try:
        parts = shlex.split(word, comments=False)
    except ValueError:
        return word
    return parts[0] if len(parts) == 1 else word


def _same(word: str, flag: str, release: str) -> bool:
    """Whether a word spells the flag: in full, by an alias, or abbreviated."""
    if word == flag:
        return True
    if not word.startswith("--") or len(word) < 4:
        return False
    spelled = flags.canonical(word)
    meant = {spelled} if spelled else {flags.canonical(name) for name in flags.prefixed(word, release)}
    return meant == {flags.canonical(flag)} and meant != {""}


def _words(line: str) -> list[str]:
    """The words of a shell line as they are written."""
    return re.findall(r"(?:[^\s'\"\\]|\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\")+", line)
