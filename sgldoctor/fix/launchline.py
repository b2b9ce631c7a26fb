"""A launch line with other flags, otherwise as it was written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sgldoctor.fix.actions import Action, RemoveFlag, SetFlag
from sgldoctor.knowledge.flags import canonical

_OPERATOR = re.compile(r"&&|\|\|?|;|&$|\d?>|#")
"""What ends a command, or its arguments, in a shell line."""


def rewritten(line: str, actions: Sequence[Action]) -> str:
    """A launch line with flags set and removed; everything else stays as it was written, quoting included."""
    words = _words(line)
    for action in actions:
        if not isinstance(action, SetFlag | RemoveFlag):
            continue
        kept: list[str] = []
        skipping = False
        at = -1
        for word in words:
            if _same(word.partition("=")[0], action.flag):
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


def _same(word: str, flag: str) -> bool:
    """Whether a word spells the flag: ``--tp`` is ``--tp-size``."""
    return word == flag or (word.startswith("--") and canonical(word) != "" and canonical(word) == canonical(flag))


def _words(line: str) -> list[str]:
    """The words of a shell line as they are written."""
    return re.findall(r"(?:[^\s'\"\\]|\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\")+", line)
