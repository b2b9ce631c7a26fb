"""One channel of a log as events: what is no traceback, and the texts that go over several lines.

Usage text, pip's and uv's explanations, Python's warnings, C++ ``terminate``, ``Fatal Python error`` with its dump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sgldoctor.events import Event, Frame
from sgldoctor.lazy import lazy
from sgldoctor.log import classify
from sgldoctor.log.forms import CARET, ELISION, HEADER, PROMPT, chain_marker, frame_match, stack_line
from sgldoctor.log.lines import Line
from sgldoctor.log.prose import unmet, wish
from sgldoctor.log.tracebacks import CONTINUED_BYTES, KERNEL_BLOCK, LINE_BYTES, Tracebacks

_TERMINATE = lazy(
    r"terminate called (?:after throwing an instance of '(?P<type>[^']{1,200})'|"
    r"without an active exception|recursively)"
)
_BULLET = lazy(r"^(?:[-*•] |\d{1,2}[.)] )")
_SECTION = lazy(r"^(?:options|optional arguments|positional arguments|[\w -]{1,60}):$")
_DUMP = ("Extension modules:", "Python runtime state", "  <no Python frame>", "Current thread")


class Channel:
    """Reads the lines of one channel in order; :attr:`events` grows. Call :meth:`close` at the end."""

    def __init__(self, source: str, chains: Iterator[int]) -> None:
        self.source = source
        self.events: list[Event] = []
        self.traces = Tracebacks(self.events, source, chains)
        self.state: Callable[[Line], bool] | None = None
        self._reset()

    def _reset(self) -> None:
        self.state = None
        self.head = Line("", 0)
        self.kind = ""
        self.text: list[str] = []
        self.frames: list[Frame] = []
        self.end = 0
        self.blanks = 0

    def feed(self, line: Line) -> None:
        """Take the next line."""
        if self.traces.feed(line) or (self.state and self.state(line)):
            return
        self._idle(line)

    def close(self, *, cut: bool = False) -> None:
        """End whatever is open; ``cut`` where lines are missing."""
        self.traces.close(cut=cut)
        self._flush()

    def _flush(self) -> None:
        if self.text:
            text = "\n".join(self.text)
            self._put(self.kind, self.head, text, end=self.end, frames=tuple(self.frames))
        self._reset()

    def _put(self, kind: str, line: Line, text: str, *, end: int = 0, frames: tuple[Frame, ...] = ()) -> None:
        self.events.append(
            Event(
                kind, text[: 2 * LINE_BYTES], line.number, 0, line.rank, self.source, frames=frames,
                end=max(end, line.number), time=line.time,
            )
        )  # fmt: skip

    # ------------------------------------------------------------------ a line that nothing open claims
    def _idle(self, line: Line) -> None:
        text = line.text
        plain = text.lstrip()
        if not plain:
            return
        if "Traceback (most" in text and self._header(line):
            return
        if chain_marker(text):
            self.traces.link(line)
        elif frame_match(text):
            self.traces.open_trace(line)
            self.traces.feed(line)
        elif (plain[0] in "^~.…[(|" and (CARET.match(text) or ELISION.match(text))) or stack_line(text):
            return
        elif not self._exception(plain, line):
            self._other(text, line)

    def _header(self, line: Line) -> bool:
        header = HEADER.search(line.text)
        if header is None:
            return False
        said = line.text[: header.start()].strip(" |+│╭─\t*`'\"")
        if said and not classify.exception(said):
            self._put("warning" if line.level == "W" else "error", line, said)
        self.traces.open_trace(line, group="Exception Group" in header[0])
        return True

    def _exception(self, plain: str, line: Line) -> bool:
        """The last line of a traceback standing alone, or what stands for one."""
        if KERNEL_BLOCK in plain and line.level != "W" and "Ignore import" not in plain:
            said = plain[plain.index(KERNEL_BLOCK) :]
            self.traces.open_message(line, "ImportError", f"ImportError: {said}")
            return True
        if plain.startswith("assert ") and not plain.endswith(":"):
            self.traces.open_message(line, "AssertionError", f"AssertionError: {plain}")
            return True
        if plain.startswith("what():"):
            self.traces.open_message(line, "terminate", plain)
            return True
        if "terminate called" in plain:
            match = _TERMINATE.search(plain)
            if match:
                name = (match["type"] or "terminate").replace("::", ".")
                self.traces.open_message(line, name, plain[match.start() :])
                return True
        if line.level in ("I", "D", "W"):
            return False
        first = plain[0]
        if first in "-*•" or first.isdigit():
            bullet = _BULLET.match(plain)
            if bullet is None:
                return False
            plain = plain[bullet.end() :]
        plain = plain.strip("`") if plain[:1] == "`" else plain
        bare = classify.exception(plain) if plain[:1].isalpha() or plain[:1] == "_" else None
        if bare is None and not line.record and len(plain) < 2000:
            bare = classify.quoted_exception(plain)
            if bare and (
                wish(plain) if plain.startswith("# ") else unmet(plain[: bare.start("type")], bare["message"])
            ):
                self._put("line", line, line.text)
                return True
        if bare is None or (bare["message"].isdigit() and not bare["type"].endswith(("KeyError", "Exit"))):
            return False  # how often something happened: "RuntimeError: 319"
        self.traces.open_message(line, bare["type"], plain)
        return True

    def _other(self, text: str, line: Line) -> None:
        """A line of any other kind, be it the first of a text that goes over several lines."""
        if text.startswith("usage: "):
            self.state = self._usage
        elif text.startswith("Exception ignored in"):
            self.traces.ignored = True
            self._put("warning", line, text)
        elif text.startswith("Fatal Python error"):
            self._open("exit", line, text, self._dump)
        elif text.startswith("Ignore import error when loading ") or KERNEL_BLOCK in text:
            self._open("warning", line, text, self._quoted)
        else:
            kind = classify.kind(line)
            if kind == "installer" and not text.endswith("of output]"):
                self._open(kind, line, text.strip(), self._installer)
                return
            self._put(kind, line, text if kind == "line" else text.strip())
            if kind == "warning" and "Warning: " in text and classify.PYTHON_WARNING.search(text):
                self.state = self._warned

    def _open(self, kind: str, line: Line, text: str, state: Callable[[Line], bool]) -> None:
        self._reset()
        self.head, self.kind, self.end, self.text, self.state = line, kind, line.number, [text], state

    # ------------------------------------------------------------------ states; False passes the line on
    def _warned(self, line: Line) -> bool:
        """The source line below a Python warning says nothing."""
        self._reset()
        return line.text.startswith("  ") and not line.record and frame_match(line.text) is None

    def _usage(self, line: Line) -> bool:
        """Usage text is dropped; the error below it is what counts."""
        text = line.text
        if not text or (text.startswith((" ", "\t", "[--")) and not line.record) or _SECTION.match(text):
            return True
        self._reset()
        return False

    def _quoted(self, line: Line) -> bool:
        """A warning that quotes a message of many lines: SGLang's about models that it could not import."""
        text = line.text
        bullets = any(part.startswith("Error details") for part in self.text)
        more = (KERNEL_BLOCK in text or any(KERNEL_BLOCK in part for part in self.text)) and not line.record
        if not more or "Traceback (most" in text or (bullets and text and not _BULLET.match(text)):
            self._flush()
            return False
        self._more(text, line)
        return True

    def _installer(self, line: Line) -> bool:
        """What pip and uv explain below their first line."""
        text = line.text
        conflict = "Cannot install" in self.text[0]
        if not text.strip():
            self.blanks += 1
            if self.blanks > 1 or not conflict:
                self._flush()
            return True
        self.blanks = 0
        ends = bool(line.record or "Traceback (most" in text or PROMPT.match(text) or frame_match(text))
        if conflict:
            ends = ends or text.startswith(("To fix this", "ERROR: ", "error: "))
        else:
            ends = ends or not text.startswith(("   ", "╰", "├", "  ╰", "  ├", "  │", "  Caused by", "\t"))
            ends = ends or text.strip() in ("[stderr]", "[stdout]") or text.endswith("of output]")
        if ends or len(self.text) > 40 or len(self.text[-1]) > LINE_BYTES:
            self._flush()
            return False
        if text.startswith("    ") and not conflict and not text.lstrip().startswith(("hint:", "help:", "[")):
            self.text[-1] += f" {text.strip()}"[:CONTINUED_BYTES]  # uv breaks its sentences at the terminal's width
            self.end = line.number
        else:
            self._more(text.strip(), line)
        return True

    def _more(self, text: str, line: Line) -> None:
        self.end = line.number
        if text and len(self.text) < 60:
            self.text.append(text[:CONTINUED_BYTES])

    def _dump(self, line: Line) -> bool:
        """What ``faulthandler`` prints: frames of the current thread, innermost first."""
        text = line.text
        frame = frame_match(text)
        if frame:
            if len(self.frames) < 200:
                self.frames.insert(0, Frame(*frame, ""))
            self.end = line.number
            return True
        if not text or text.startswith(_DUMP) or (text.startswith("Thread 0x") and not self.frames):
            return True
        others = text.startswith("Thread 0x")
        self._flush()
        if others:
            self.state = self._threads
        return others

    def _threads(self, line: Line) -> bool:
        """The stacks of the other threads say nothing about the death."""
        text = line.text
        if not text or text.startswith((*_DUMP, "Thread 0x", "  ")) or frame_match(text):
            return True
        self._reset()
        return False
