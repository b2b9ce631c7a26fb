"""What the values of options stand for: counts, sizes, spans of time; what they are not is refused in one line."""

from __future__ import annotations

import re

from sgldoctor.cli.options import refusal

LARGEST = 1 << 16
"""GPUs that --gpus accepts; no server has more."""


def positive(text: str) -> int:
    """A count of GPUs or groups."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:9]) <= LARGEST:
        raise refusal(f"{text!r} is no number from 1 to {LARGEST}")
    return int(text)


def gibibytes(text: str) -> int:
    """GiB as MiB."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) or float(text) <= 0:
        raise refusal(f"{text!r} is no size in GiB, such as 80")
    return round(float(text) * 1024)


def capability(text: str) -> str:
    """A compute capability."""
    if not re.fullmatch(r"[1-9]\d?\.\d", text):
        raise refusal(f"{text!r} is no compute capability, such as 9.0")
    return text


def seconds(text: str) -> float:
    """A span of time."""
    try:
        span = float(text)
    except ValueError:
        span = 0.0
    if not 0 < span < 1e7:
        raise refusal(f"{text!r} is no number of seconds, such as 300")
    return span
