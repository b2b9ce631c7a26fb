"""Events: what the log reader makes of a text, and what the ``[[log]]`` part of a rule selects from."""

from __future__ import annotations

from sgldoctor.typed import NamedTuple

KINDS = (
    "exception",  # a Python exception: end of a traceback, or a bare "SomeError: ..." line
    "error",  # a logger line of level ERROR/CRITICAL/FATAL, "error:" of a program, "fatal:"
    "warning",  # a logger line of level WARNING, "UserWarning: ..."
    "nccl",  # "host:pid:tid [0] NCCL WARN ..."; NCCL INFO is a line
    "glog",  # E0917 / W0917 / F0917 ...: C++ programs: mooncake, torch's C++ parts; their I lines are lines
    "exit",  # process deaths: exit code, signal, "Killed", "Bus error (core dumped)", kernel OOM lines
    "installer",  # pip and uv: "ERROR: ...", "x No solution found", "hint:"
    "compiler",  # nvcc/gcc/ld/ninja: "x.cu:1:2: fatal error: ..."
    "usage",  # argparse: "prog: error: ..."
    "line",  # any other line (INFO, plain print, prose); also SGLang's own records, which print no level
    "claim",  # what a title or a sentence says of a failure; made only where nothing else in a log tells (log/claims)
)
"""The kinds of event, from most to least telling. A rule's ``in`` names some of them, or ``any``."""


class Frame(NamedTuple):
    """One frame of a Python traceback; ``code`` is the source line, ``""`` where the log has none."""

    file: str
    line: int
    function: str
    code: str


class Event(NamedTuple):
    """One thing that a log says.

    Attributes:
        kind: one of :data:`KINDS`.
        text: what it says, without wrapping, control sequences or time stamp; exceptions as ``Type: message`` with
            continuation lines (bounded). A bare ``AssertionError`` carries the source line of its innermost frame; a
            traceback without its last line says ``Traceback cut off in FUNCTION (FILE:LINE): CODE`` and has no type.
        line: number of the first line of ``text`` in the file, from 1.
        order: position of the event among all events of all files, from 0.
        rank: ``"3"``, ``"DP0 TP1"`` or ``""`` where the log does not say.
        source: name of the file, ``-`` for standard input.
        type: exception type without its module, ``""`` for other kinds.
        frames: of an exception, outermost first.
        chain: number shared by the exceptions of one chained traceback ("During handling of ..."), -1 outside one.
        depth: place in the chain: 0 is the inner cause; printed first, but for what Ray and exception groups wrap.
        end: number of the last line that belongs to the event.
        time: time stamp as printed, ``""`` if none.
    """

    kind: str
    text: str
    line: int
    order: int
    rank: str = ""
    source: str = "-"
    type: str = ""
    frames: tuple[Frame, ...] = ()
    chain: int = -1
    depth: int = 0
    end: int = 0
    time: str = ""
