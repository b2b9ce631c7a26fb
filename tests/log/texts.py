"""Help for the tests of the log reader: reading from a string, and real tracebacks of this interpreter."""

from __future__ import annotations

import io
import traceback

from sgldoctor.log import Event, Reading, read


def reading(text: str | bytes, anchors: tuple[bytes, ...] = ()) -> Reading:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return read(["-"], anchors, stdin=io.BytesIO(data))


def events(text: str | bytes) -> list[Event]:
    return reading(text).events


def exceptions(text: str | bytes) -> list[Event]:
    return [event for event in events(text) if event.kind == "exception"]


def said(text: str | bytes) -> list[tuple[str, str]]:
    """Kind and text of every event."""
    return [(event.kind, event.text) for event in events(text)]


class SomeError(Exception):
    """An exception of a library: printed with its module."""


def _inner(message: str) -> None:
    raise ValueError(message)


def plain_traceback(message: str = "bad value") -> str:
    """What this interpreter prints for an exception that nobody caught."""
    try:
        _inner(message)
    except ValueError:
        return traceback.format_exc()
    raise AssertionError


def chained_traceback(*, explicit: bool) -> str:
    """A chain of two, by ``raise from`` or by an exception in a handler."""
    try:
        try:
            _inner("first")
        except ValueError as error:
            if explicit:
                raise SomeError("second\nwith another line") from error
            raise SomeError("second\nwith another line")  # noqa: B904
    except SomeError:
        return traceback.format_exc()
    raise AssertionError


def bare_assertion() -> str:
    heads, size = 7, 2
    try:
        assert heads % size == 0
    except AssertionError:
        return "".join(traceback.format_exc())
    raise AssertionError


KERNEL_BLOCK = """\
[sgl_kernel] CRITICAL: Could not load any common_ops library!

Attempted locations:
1. Architecture-specific pattern: /site-packages/sgl_kernel/sm100/common_ops.* - found files: []
2. Fallback pattern: /site-packages/sgl_kernel/common_ops.* - found files: []
3. Standard Python import: common_ops - failed

GPU Info:
- Compute capability: 120
- Expected variant: SM120 (precise math for compatibility)

Please ensure sgl_kernel is properly installed with:
pip install --upgrade sgl_kernel

Error details from previous import attempts:
- ImportError: libnvrtc.so.12: cannot open shared object file: No such file or directory
- ModuleNotFoundError: No module named 'common_ops'
"""
