"""Regular expressions that are compiled at their first use.

A log needs a few of the patterns that this stage knows; compiling all of them would cost more than reading a short log.
"""

from __future__ import annotations

import re
from typing import cast


class _Lazy:
    """Stands for a compiled pattern; the first access to one of its methods compiles it and keeps that method."""

    def __init__(self, source: str, flags: int) -> None:
        self.source = source
        self.flags = flags

    def __getattr__(self, name: str) -> object:
        value = getattr(re.compile(self.source, self.flags), name)  # re caches the compiled pattern itself
        setattr(self, name, value)
        return value


def lazy(source: str, flags: int = 0) -> re.Pattern[str]:
    """A pattern that is compiled when it is first asked to match."""
    return cast("re.Pattern[str]", _Lazy(source, flags))
