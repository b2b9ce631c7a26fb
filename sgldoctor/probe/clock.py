"""Whether the clock is disciplined. Asked for snapshots only: one machine alone does not need to know."""

from __future__ import annotations

import sys

from sgldoctor.facts import Facts
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronized."""


def clock(target: Target) -> Facts:
    """The fact ``clock``, from adjtimex(2), which needs no root for reading; nothing where it cannot be told.

    A guest whose clock the host keeps says "not synchronized" as well, so this is a hint and never an error by itself.
    """
    facts = Facts()
    if sys.platform != "linux" or not target.live:
        return facts
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.create_string_buffer(512))  # struct timex has 208 bytes; modes 0 only reads
    except (OSError, AttributeError):
        return facts
    if state >= 0:  # a sandbox may forbid the call
        facts.put("clock", {"synchronized": state != _TIME_ERROR}, "probe")
    return facts
