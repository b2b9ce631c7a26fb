"""A launch line with other flags, otherwise as it was written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor.fix.actions import Action, RemoveFlag, SetFlag
from sgldoctor.knowledge import flags

_OPERATOR = re.compile(r"&&|\|\|?|;|&$|\d?>|#")
"""What ends a command, or its arguments, in a shell line."""


def rewritten(line: str, actions: Sequence[Action], release: str = "") -> str:
    """A launch line with flags set and removed; everything else stays as it was written, quoting included.

    ``release`` tells which abbreviations argparse accepts (``--tp``); the newest one known is asked where it is empty.
    """
    known = flags.releases()
    release = release if release in known else known[-1]
    words = _words(line)
    for action in actions:
        if not isinstance(action, SetFlag | RemoveFlag):
            continue
        kept: list[str] = []
        skipping = False
        at = -1
        for word in words:
            if _same(word.partition("=")[0], action.flag, release):
                at = len(kept) if at < 0 else at
                skipping = "=" not in word
                continue
            if skipping and not word.startswith("-") and not _OPERATOR.match(word):
                continue
            skipping = False
            kept.append(word)
        words = kept
        if isinstance(action, SetFlag):
            end = next((place for place, word in enumerate(words) if _OPERATOR.match(word)), len(words))
            words.insert(at if at >= 0 else end, action.text)
    return " ".join(words)


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
