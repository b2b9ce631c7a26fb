"""Which of many literals occur in a text, at a cost that hardly grows with their number.

Rules bring more than a thousand anchors, and ``in`` for each of them would be most of the time that a log takes. A text
has few distinct words, so its words decide first which literals are worth a search at all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

_WORDS = bytes(code if chr(code).isalnum() or code > 127 else 32 for code in range(256))
"""Everything that is no letter or digit becomes a blank; bytes of other scripts belong to words."""
_LARGE = 64 << 10
"""Bytes of a text from which its letters are looked at first: a dump of numbers holds no literal of other letters."""
_REMEMBERED, _WORD = 30_000, 64
"""How many words are remembered, and how long ones."""


def finder(keys: Sequence[bytes]) -> Callable[[bytes], list[bytes]]:
    """A function that says which of ``keys`` a text holds.

    What a key asks of the words of a text: those inside it as whole words, its first as the end of a word, its last as
    the beginning of one; a key of one word only asks to be a part of one. What a word answers to is worked out once.
    """
    by_need: dict[bytes, list[tuple[frozenset[bytes], bytes]]] = {}
    needed: dict[str, dict[int, set[bytes]]] = {"begin": {}, "end": {}}
    parts: set[bytes] = set()
    anywhere: list[bytes] = []
    for key in dict.fromkeys(keys):
        words = key.translate(_WORDS).split()
        opens = key[:1].translate(_WORDS) == b" "
        closes = key[-1:].translate(_WORDS) == b" "
        if not words:
            anywhere.append(key)
            continue
        needs = {b" " + word + b" " for word in words[0 if opens else 1 : None if closes else -1]}
        if len(words) == 1 and not opens and not closes:
            parts.add(words[0])
            needs.add(words[0])
        else:
            if not opens:
                needed["end"].setdefault(len(words[0]), set()).add(words[0])
                needs.add(words[0] + b" ")
            if not closes:
                needed["begin"].setdefault(len(words[-1]), set()).add(words[-1])
                needs.add(b" " + words[-1])
        by_need.setdefault(max(needs, key=len), []).append((frozenset(needs), key))
    inside = {need for group in by_need.values() for needs, _ in group for need in needs}
    begins, ends = list(needed["begin"].items()), list(needed["end"].items())
    numerous = any(part.isdigit() for part in parts)  # then any number may hold one
    numbers = _numbers(
        (need.strip() for need in inside),
        [text for _, texts in begins for text in texts],
        [text for _, texts in ends for text in texts],
    )
    known: set[bytes] = set()
    telling: dict[bytes, list[bytes]] = {}  # known words that answer to a need, to these needs

    def answers(word: bytes) -> list[bytes]:
        found = [b" " + word[:size] for size, texts in begins if word[:size] in texts]
        found += [word[-size:] + b" " for size, texts in ends if word[-size:] in texts]
        whole = b" " + word + b" "
        return [*found, whole] if whole in inside else found

    def present(text: bytes) -> list[bytes]:
        words = set(text.translate(_WORDS).split())
        if len(known) > _REMEMBERED:
            known.clear()
            telling.clear()
        met: set[bytes] = set()
        new = {word for word in words - known if not word.isdigit() or numerous or numbers(word)}
        holding = _holding(new, parts) if new else {}
        for word in new:
            needs = answers(word) + holding.get(word, [])
            met.update(needs)
            if len(word) <= _WORD:
                known.add(word)
                if needs:
                    telling[word] = needs
        for word in telling.keys() & words:
            met.update(telling[word])
        likely = anywhere + [key for need in by_need.keys() & met for needs, key in by_need[need] if needs <= met]
        return [key for key in likely if key in text]

    return present


def _numbers(whole: Iterable[bytes], begins: Sequence[bytes], ends: Sequence[bytes]) -> Callable[[bytes], bool]:
    """Whether a number is worth a closer look. Counters and times make most words of a log, and few of them are."""
    alike = {text for text in whole if text.isdigit()}
    opening = tuple(text for text in begins if text.isdigit())
    closing = tuple(text for text in ends if text.isdigit())
    return lambda word: word in alike or word.startswith(opening) or word.endswith(closing)


def _holding(words: set[bytes], parts: set[bytes]) -> dict[bytes, list[bytes]]:
    """Those of ``words`` that hold some of ``parts``, to these parts."""
    spaced = b" " + b" ".join(words) + b" "
    if len(spaced) > _LARGE:
        letters = frozenset(spaced)
        parts = {part for part in parts if letters.issuperset(part)}
    found: dict[bytes, list[bytes]] = {}
    for part in parts:
        at = spaced.find(part)
        while at >= 0:
            end = spaced.find(b" ", at)
            found.setdefault(spaced[spaced.rfind(b" ", 0, at) + 1 : end], []).append(part)
            at = spaced.find(part, end)
    return found


def without(texts: Sequence[bytes], parts: Iterable[bytes]) -> list[bytes]:
    """Those of ``texts`` that hold none of ``parts``: each part is looked for in all of them at once."""
    joined = b"\0".join(texts)
    begins = list(accumulate((len(text) + 1 for text in texts), initial=0))
    holding: set[int] = set()
    for part in parts:
        at = joined.find(part)
        while at >= 0:
            index = bisect_right(begins, at) - 1
            holding.add(index)
            at = joined.find(part, begins[index + 1])
    return [text for index, text in enumerate(texts) if index not in holding]
