"""Regular expressions that are compiled at their first use, and once for many runs.

A run needs a few of the patterns that its modules and rules know; compiling all of them would cost more than reading a
short log, and compiling the few is still a large part of a start. So what Python's compiler makes of a pattern, a list
of numbers that only this version of Python reads, is kept in the user's cache folder. Python checks the numbers when it
makes a pattern of them; whatever is wrong with the cache, the pattern is compiled.
"""

from __future__ import annotations

import re
import sys

from sgldoctor import cache
from sgldoctor.typed import Any, AnyStr, cast

NAME = f"patterns-{sys.implementation.cache_tag}.marshal"
KEPT = 2_000
"""Patterns that are kept at most."""


class _Kept:
    """Compiled forms by source and flags: ``[flags, numbers as bytes, groups, numbers of names, names of numbers]``."""

    def __init__(self) -> None:
        self.forms: dict[tuple[str | bytes, int], list[Any]] | None = None
        self.new = False
        self.made: dict[tuple[str | bytes, int], re.Pattern[Any]] = {}

    def read(self) -> dict[tuple[str | bytes, int], list[Any]]:
        """What earlier runs kept; nothing where that cannot be read."""
        if self.forms is None:
            self.forms = cache.held(NAME, ()) or {}
        return self.forms

    def pattern(self, source: str | bytes, flags: int) -> re.Pattern[Any]:
        """A pattern, made once."""
        made = self.made.get((source, flags))
        if made is None:
            made = self.made[source, flags] = self.compile(source, flags)
        return made

    def compile(self, source: str | bytes, flags: int) -> re.Pattern[Any]:
        """A pattern from its kept form, or as ``re`` compiles it."""
        forms = self.read()
        form = forms.get((source, flags))
        try:
            if form is None:
                form = _form(source, flags)
                if len(forms) >= KEPT:
                    forms.clear()
                forms[source, flags] = form
                self.new = True
            return _made(source, form)
        except Exception:  # noqa: BLE001 - an interpreter with another compiler, or damaged numbers
            forms.pop((source, flags), None)
            return re.compile(source, flags)


_kept = _Kept()


class _Lazy:
    """Stands for a compiled pattern; the first access to one of its methods compiles it and keeps that method."""

    def __init__(self, source: str | bytes, flags: int) -> None:
        self.source = source
        self.flags = flags

    def __getattr__(self, name: str) -> object:
        value = getattr(_kept.pattern(self.source, self.flags), name)
        setattr(self, name, value)
        return value


def lazy(source: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """A pattern that is compiled when it is first asked to match."""
    return cast("re.Pattern[AnyStr]", _Lazy(source, int(flags)))


def compiled(source: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """A compiled pattern, of which the compiled form may come from an earlier run; raises as :func:`re.compile`."""
    return _kept.pattern(source, flags)


def keep() -> None:
    """Write down what this run had to compile, for later ones; a folder that cannot be written is no error."""
    if not _kept.new:
        return
    _kept.new = False
    cache.keep(NAME, (), _kept.forms)


def _form(source: str | bytes, flags: int) -> list[Any]:
    """What ``re.compile`` of CPython 3.10 to 3.14 does but for the last step, which no public function takes alone."""
    if sys.version_info >= (3, 11):
        names = ("re._parser", "re._compiler")
    else:
        names = ("sre_parse", "sre_compile")
    parser, compiler = (sys.modules.get(name) or __import__(name, fromlist=["parse"]) for name in names)
    parsed = parser.parse(source, flags)
    numbers = compiler._code(parsed, flags)  # noqa: SLF001 - as above
    groups = parsed.state.groupdict
    named = [None] * parsed.state.groups
    for name, number in groups.items():
        named[number] = name
    packed = b"".join(number.to_bytes(4, sys.byteorder) for number in numbers)
    return [flags | parsed.state.flags, packed, parsed.state.groups - 1, dict(groups), tuple(named)]


def _made(source: str | bytes, form: list[Any]) -> re.Pattern[Any]:
    import _sre  # type: ignore[import-not-found,unused-ignore]

    flags, packed, count, groups, named = form
    numbers = memoryview(packed).cast("I").tolist()
    return cast("re.Pattern[Any]", _sre.compile(source, flags, numbers, count, groups, named))
