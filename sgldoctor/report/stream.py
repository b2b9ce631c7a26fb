"""Redacting a stream of any length: constant memory, everything that is no secret byte for byte as it was.

Lines come out as soon as they came in. Some secrets are told by the lines before them (a private key, ``name:
HF_TOKEN`` above ``value:``), so each piece is redacted together with the :data:`CONTEXT` characters before it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator

from sgldoctor.lazy import lazy
from sgldoctor.report.redact import redact

CONTEXT = 24 << 10
"""Characters looked back: more than a private key of 16 384 bits has."""
LONGEST = 1 << 20
"""Characters of one line kept before it is cut at a place that no secret spans."""
_BEGIN, _END = "-----BEGIN", "PRIVATE KEY-----"
_KEY = lazy(r"(?:[A-Za-z0-9+/=\s:,.\\]|-(?!-))*")
"""What stands between the first and the last line of a key; anything else shows that the key was cut off."""

Read = Callable[[], bytes]
"""Gives the next bytes, as many as there are; none at the end."""


def redacted(read: Read, also: Callable[[str], str] = str) -> Iterator[bytes]:
    """The stream without its secrets, in pieces; UTF-16 is told by its byte order mark, all else is taken as UTF-8.

    ``also`` is given what is left, whole lines at a time as long as they are not endless, and returns what to write.
    """
    first = read()
    while 0 < len(first) < 2 and (more := read()):
        first += more
    coding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(first[:2], "utf-8")
    errors = "surrogateescape" if coding == "utf-8" else "surrogatepass"
    decoder = codecs.getincrementaldecoder(coding)(errors)
    work = _Work()
    piece = first
    while piece:
        text = work.add(decoder.decode(piece))
        if text:
            yield also(text).encode(coding, errors)
        piece = read()
    rest, _ = decoder.getstate()  # half a character at the very end: in UTF-16 it cannot be decoded, only passed on
    text = work.finish(decoder.decode(b"", final=True) if coding == "utf-8" else "")
    if text:
        yield also(text).encode(coding, errors)
    if coding != "utf-8" and rest:
        yield rest


class _Work:
    """What was given out last (``context``, as it came in) and what is not given out yet (``held``)."""

    def __init__(self) -> None:
        self.context = ""
        self.held = ""

    def add(self, text: str) -> str:
        """Take ``text``; returns what can be given out now."""
        self.held += text
        cut = self.held.rfind("\n") + 1
        cut = _before_key(self.held, cut)
        if cut:
            return self._give(cut)
        return self._cut_line() if len(self.held) > LONGEST else ""

    def finish(self, text: str) -> str:
        """The rest."""
        self.held += text
        return self._give(len(self.held))

    def _give(self, cut: int) -> str:
        now, self.held = self.held[:cut], self.held[cut:]
        lines = self.context.count("\n")  # redact keeps lines, so what follows the context is found by counting
        whole = self.context + now
        out = redact(whole).split("\n", lines)[-1]
        start = whole.find("\n", len(whole) - CONTEXT - 1) + 1 if len(whole) > CONTEXT else 0
        self.context = whole[start:] if now.endswith("\n") else ""
        return out

    def _cut_line(self) -> str:
        """The beginning of an endless line, cut where redacting both halves alone gives what the whole gives."""
        around = CONTEXT
        for back in range(around, 16 * around, 97):
            at = len(self.held) - back
            if self.held[at - 1] not in " ,;&|\t}":
                continue
            left, right = self.held[at - around : at], self.held[at : at + around]
            if redact(left) + redact(right) == redact(left + right):
                return self._give(at)
        return self._give(len(self.held) - around)


def _before_key(text: str, cut: int) -> int:
    """``cut``, or the beginning of a private key that goes on behind it: a key is given out whole or not at all."""
    begin = text.rfind(_BEGIN, 0, cut)
    if begin < 0 or len(text) - begin > CONTEXT:
        return cut
    head = text.find(_END, begin, begin + 80)
    if head < 0 or not _KEY.fullmatch(text, head + len(_END), cut):
        return cut
    return text.rfind("\n", 0, begin) + 1
