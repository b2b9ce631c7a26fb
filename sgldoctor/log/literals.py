"""Which of many literals occur in a text, at a cost that hardly grows with their number.

Rules bring more than a thousand anchors, and ``in`` for each of them would be most of the time that a log takes. A text
has few distinct words, so its words decide first which literals are worth a search at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_WORDS = bytes(code if chr(code).isalnum() and code < 128 else 32 for code in range(256))
"""Everything that is no ASCII letter or digit becomes a blank."""
_REMEMBERED, _WORD = 30_000, 64
"""How many words are remembered, and how long ones."""


def finder(keys: Sequence[bytes]) -> Callable[[bytes], list[bytes]]:
    """A function that says which of ``keys`` a text holds.

    A key with whole words inside is looked for only in a text that has all of these. Of the others, a piece of a word
    is first looked for in words: in each word once, since logs repeat their words.
    """
    by_word: dict[bytes, list[tuple[frozenset[bytes], bytes]]] = {}
    by_part: dict[bytes, list[bytes]] = {}
    wordless: list[bytes] = []
    for key in dict.fromkeys(keys):
        words = key.translate(_WORDS).split()
        opens = key[:1].translate(_WORDS) == b" "
        closes = key[-1:].translate(_WORDS) == b" "
        inner = words[0 if opens else 1 : None if closes else -1]
        if inner:
            by_word.setdefault(max(inner, key=len), []).append((frozenset(inner), key))
        elif len(words) == 1:
            by_part.setdefault(words[0], []).append(key)
        elif words:
            by_part.setdefault(max(words[0] + b" ", b" " + words[-1], key=len), []).append(key)
        else:
            wordless.append(key)
    known: set[bytes] = set()
    telling: dict[bytes, list[bytes]] = {}  # known words that have a part, to the keys of that part

    def present(text: bytes) -> list[bytes]:
        words = set(text.translate(_WORDS).split())
        likely = set(wordless)
        new = words - known
        if new:
            found = _holding(new, by_part)
            for keys_of_word in found.values():
                likely.update(keys_of_word)
            if len(known) > _REMEMBERED:
                known.clear()
                telling.clear()
            for word in new:
                if len(word) <= _WORD:
                    known.add(word)
                    if word in found:
                        telling[word] = found[word]
        for word in telling.keys() & words:
            likely.update(telling[word])
        for word in by_word.keys() & words:
            likely.update(key for inner, key in by_word[word] if inner <= words)
        return [key for key in likely if key in text]

    return present


def _holding(words: set[bytes], by_part: dict[bytes, list[bytes]]) -> dict[bytes, list[bytes]]:
    """Those of ``words`` that hold a part, to the keys that this part stands for."""
    spaced = b" " + b" ".join(words) + b" "
    found: dict[bytes, list[bytes]] = {}
    for part, keys in by_part.items():
        at = spaced.find(part)
        while at >= 0:
            inside = at + part.startswith(b" ")
            end = spaced.find(b" ", inside)
            found.setdefault(spaced[spaced.rfind(b" ", 0, inside) + 1 : end], []).extend(keys)
            at = spaced.find(part, end)
    return found
