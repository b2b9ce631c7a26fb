"""A time budget for regular expressions.

``re`` backtracks, so a pattern of a third party could hang on a text made for it. The linter refuses the shapes that
do; this is the net below it. ``re`` checks for signals while it searches, so an interval timer stops it (measured on
CPython 3.11: ``(a+)+$`` ends sharply). Off the main thread, or where there are no interval timers, only the linter
and the bounded length of event texts protect.
"""

from __future__ import annotations

from types import FrameType

from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import re

BUDGET = 0.2
"""Seconds that one search may take."""


class TimedOut(Exception):  # noqa: N818 - not an error of the program, an answer
    """A search did not end within its budget."""


def _expire(_signal: int, _frame: FrameType | None) -> None:
    raise TimedOut


def search(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """``pattern.search(text)`` within :data:`BUDGET` seconds; raises :class:`TimedOut` beyond it."""
    if len(text) < 200:
        return pattern.search(text)
    import signal  # takes a while

    try:
        previous = signal.signal(signal.SIGALRM, _expire)
    except (AttributeError, ValueError):  # no such signal here; another thread than the main one
        return pattern.search(text)
    signal.setitimer(signal.ITIMER_REAL, BUDGET)
    try:
        return pattern.search(text)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
