"""Regular expressions that are compiled at their first use.

A run needs a few of the patterns that its modules know; compiling all of them would cost more than reading a short log.
"""

from __future__ import annotations

import re

from sgldoctor.typed import AnyStr, cast


class _Lazy:
    """Stands for a compiled pattern; the first access to one of its methods compiles it and keeps that method."""

    def __init__(self, source: str | bytes, flags: int) -> None:
        self.source = source
        self.flags = flags

    def __getattr__(self, name: str) -> object:
        value = getattr(re.compile(self.source, self.flags), name)  # re caches the compiled pattern itself
        setattr(self, name, value)
        return value


def lazy(source: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """A pattern that is compiled when it is first asked to match."""
    return cast("re.Pattern[AnyStr]", _Lazy(source, flags))
