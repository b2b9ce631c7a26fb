"""Python tracebacks and the messages that end them, within one channel: a state machine over cleaned lines.

Knows chains ("During handling of ..."), exception groups, tracebacks that are cut at either end, elided, indented
oddly or not at all, and messages over several lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sgldoctor.events import Event, Frame
from sgldoctor.log import classify, forms
from sgldoctor.log.lines import Line

MESSAGE_LINES = 60
MESSAGE_BYTES = 8 << 10
LINE_BYTES = 4 << 10
CONTINUED_BYTES = 700
FRAMES = 400
"""Bounds on what one event carries. Continuation lines are cut shorter: compiler command lines run to kilobytes."""

NEAR = 200
"""Lines that may stand between an exception and the marker that chains it, where ranks interleave."""
KERNEL_BLOCK = "[sgl_kernel] CRITICAL"
"""Begins the many-line message of sgl_kernel's loader (``sgl_kernel/load_utils.py``), which ends in bullets."""


class Tracebacks:
    """The open traceback or exception message of one channel, and the chain that it belongs to.

    ``events`` is the channel's list; finished exceptions are appended there.
    """

    def __init__(self, events: list[Event], source: str, chains: Iterator[int]) -> None:
        self.events = events
        self.source = source
        self.chains = chains
        self.last = -1  # the latest exception, for chain markers
        self.linked = False  # a chain marker was read
        self.ignored = False  # "Exception ignored in": what follows is no failure
        self.wrapper = False  # the last exception wraps the one that follows
        self.whole = -1  # the exception group whose parts are being read
        self.parts = 0
        self._reset()

    def _reset(self) -> None:
        self.state: Callable[[Line], bool] | None = None
        self.head = Line("", 0)
        self.frames: list[Frame] = []
        self.text: list[str] = []
        self.size = 0
        self.end = 0
        self.blanks = 0
        self.indent = 0
        self.type = ""
        self.open = False  # the message is sure to go on, over a blank line too
        self.kernel = False  # it is sgl_kernel's
        self.bare = False  # a name alone: there is no message
        self.bullets = False
        self.inner: list[Event] = []

    # ------------------------------------------------------------------ what the channel calls
    def feed(self, line: Line) -> bool:
        """Offer a line; False where it does not belong to what is open (or nothing is)."""
        return self.state(line) if self.state else False

    def close(self, *, cut: bool = False) -> None:
        """End what is open. ``cut``: lines are missing here, so a traceback without an end is no evidence."""
        if self.state in (self._trace, self._notebook) and not cut:
            self._truncated()
        elif self.state == self._message:
            self._finish()
        self._reset()
        self.whole = -1
        if cut:
            self.last, self.linked = -1, False

    def link(self, line: Line) -> None:
        """Take note of a chain marker; it binds the exception right above, if there is one."""
        self.linked = True
        if self.last >= 0 and line.number - self.events[self.last].end > NEAR:
            self.last = -1

    def open_trace(self, line: Line, *, group: bool = False) -> None:
        """Begin a traceback at its header, or at a frame whose header was not pasted."""
        self._reset()
        self.head = line
        self.state = self._notebook if forms.CELL_HEADER.match(line.text) else self._trace
        if group and self.whole < 0:
            self.whole, self.parts = len(self.events), -1

    def open_message(self, line: Line, kind: str, text: str, frames: list[Frame] | None = None) -> None:
        """Begin the message of an exception of class ``kind``; ``text`` is its first line."""
        self._reset()
        self.head, self.type, self.end = line, kind.partition("(")[0], line.number
        self.frames = frames or []
        self.text = [text[:LINE_BYTES]]
        self.size = len(self.text[0])
        self.kernel = KERNEL_BLOCK in text
        self.open = self.kernel or bool(forms.OPEN.search(text.partition(":")[2][-200:]))
        # Python writes the name alone, without a colon, where there is no message: nothing can go on.
        self.bare = ":" not in text
        self.state = self._message

    # ------------------------------------------------------------------ output
    def _finish(self) -> None:
        """Emit the open exception, then the events found inside its message."""
        text = "\n".join(self.text).strip()
        name = self.type.rpartition(".")[2]
        if name == "AssertionError" and text.rstrip(": ").endswith(name) and self.frames and self.frames[-1].code:
            text = f"{text.rstrip(': ')}: {self.frames[-1].code}"
        chain, depth = self._place()
        if depth > 0 and not self.head.rank and self.last >= 0 and self.events[self.last].chain == chain:
            self.head = self.head._replace(rank=self.events[self.last].rank)  # only the first of a chain is prefixed
        kind = "warning" if self.ignored else "exception"
        self.ignored = False
        self.events.append(
            Event(
                kind, text, self.head.number, 0, self.head.rank, self.source, name, tuple(self.frames), chain, depth,
                max(self.end, self.head.number), self.head.time,
            )
        )  # fmt: skip
        self.last = len(self.events) - 1
        self.events += self.inner
        self._reset()

    def _place(self) -> tuple[int, int]:
        """Chain and depth of the exception that ends now; earlier members are corrected where that is needed."""
        if self.whole >= 0:
            self.parts += 1
            if self.parts == 0:
                self.whole = len(self.events)
                return next(self.chains), 0
            whole = self.events[self.whole]
            self.events[self.whole] = whole._replace(depth=self.parts)
            return whole.chain, self.parts - 1
        if self.wrapper:
            self.wrapper = False
            return self.events[self.last].chain, 0
        if not self.linked:
            return -1, 0
        self.linked = False
        if self.last < 0:
            return next(self.chains), 1
        before = self.events[self.last]
        if before.chain < 0:
            before = before._replace(chain=next(self.chains))
            self.events[self.last] = before
        return before.chain, before.depth + 1

    def _truncated(self) -> None:
        """A traceback that stops without its last line is an event that says where it stopped."""
        if all(frame.file == "<unknown>" for frame in self.frames):  # none, or those of a native crash handler
            self._reset()
            return
        frame = self.frames[-1]
        name = frame.file.replace("\\", "/").rpartition("/")[2]
        place = f"in {frame.function} ({name}:{frame.line})" if frame.function else f"at {name}:{frame.line}"
        self.text = [f"Traceback cut off {place}: {frame.code}".rstrip(": ")]
        self.type = ""
        self._finish()

    # ------------------------------------------------------------------ frames
    def _margin(self, text: str) -> str:
        return forms.GROUP_MARGIN.sub("", text, count=1) if self.whole >= 0 else text

    def _foreign(self, line: Line) -> bool:
        """A new logger record, where the traceback's own lines do not all carry one."""
        return bool(line.record) and line.record != self.head.record and not line.perline

    def _trace(self, line: Line) -> bool:
        if self.whole >= 0 and forms.GROUP_RULE.match(line.text):
            return True
        text = self._margin(line.text)
        plain = text.lstrip()
        if not plain:
            self.blanks += 1
            if self.blanks > 3:
                self._truncated()
            return True
        bare = self.head.perline and not line.record and forms.frame_match(text)  # every line of ours has a prefix
        if bare or self._foreign(line) or "Traceback (most" in text or forms.chain_marker(text):
            self._truncated()
            return False
        if self._frame(text, line.number) or forms.CARET.match(text) or forms.ELISION.match(text):
            self.blanks = 0
            return True
        depth = len(text) - len(plain)
        end = self._ending(plain) if depth <= max(self.indent, 2) else None
        if end:
            self.open_message(self._headed(line), end, plain, self.frames)
            return True
        if self.frames and (
            depth > self.indent or (depth >= self.indent and not self.frames[-1].code and self.blanks < 2)
        ):
            last = self.frames[-1]
            if len(last.code) < 300:
                self.frames[-1] = last._replace(code=f"{last.code} {plain}".strip()[:400])
            self.blanks, self.end = 0, line.number
            return True
        if self.frames and text.startswith("assert "):  # the code line of a frame that was cut out
            self.open_message(self._headed(line), "AssertionError", f"AssertionError: {text}", self.frames)
            return True
        if not self.frames and depth:
            return True  # a frame that lost its "File" line
        self._truncated()
        return False

    def _notebook(self, line: Line) -> bool:
        """A traceback as IPython prints it, with source lines round each frame."""
        text = line.text
        code = forms.CELL_CODE.match(text)
        if code:
            if code["line"] and self.frames:
                last = self.frames[-1]
                self.frames[-1] = last._replace(line=int(code["line"]), code=(code["code"] or "").strip()[:400])
            return True
        cell = forms.CELL.match(text)
        if self._frame(text, line.number) or not text.strip(" ╭╮╰╯─│"):
            return True
        if cell:
            place = (cell["file"] or "cell", int(cell["line"] or 0), cell["function"] or "<module>")
            self.frames.append(Frame(*place, ""))
            return True
        end = self._ending(text)
        if end:
            self.open_message(self._headed(line), end, text, self.frames)
            return True
        self._truncated()
        return False

    def _headed(self, line: Line) -> Line:
        """The exception's line with what only the traceback's first line told: rank and time."""
        return line._replace(
            rank=line.rank or self.head.rank, time=line.time or self.head.time, record=line.record or "",
        )  # fmt: skip

    def _frame(self, text: str, number: int) -> bool:
        found = forms.frame_match(text)
        if found is None and ".py" in text and " in " in text:
            rich = forms.RICH_FRAME.match(text)
            found = (rich["file"], int(rich["line"]), rich["function"]) if rich else None
        if found is None:
            return False
        self.indent = len(text) - len(text.lstrip())
        if len(self.frames) < FRAMES:
            self.frames.append(Frame(*found, ""))
        self.end = number
        return True

    def _ending(self, plain: str) -> str:
        """The class named by a traceback's last line, or ``""``."""
        match = classify.exception(plain) or (forms.TRACE_END.match(plain) if self.frames else None)
        return match["type"] if match else ""

    # ------------------------------------------------------------------ messages
    def _message(self, line: Line) -> bool:
        if self.whole >= 0 and forms.GROUP_RULE.match(line.text):
            self._finish()
            self.state = self._between
            return True
        text = self._margin(line.text)
        own = line.perline and line.record == self.head.record
        if (line.record and not own) or (self.head.perline and self.frames and not own):
            self._finish()
            return False
        if text in ('"""', "'''"):
            if self.type.endswith("RemoteTraceback") and not "".join(self.text).partition(":")[2].strip():
                self._reset()  # only a frame round the traceback that follows
            else:
                self._finish()
            return True
        if not self._goes_on(text, line):
            wraps = not self.blanks and forms.frame_match(text) is not None
            self._finish()
            if wraps:  # Ray prints the wrapping exception first, then the traceback that it wraps
                event = self.events[self.last]
                if event.chain < 0:
                    self.events[self.last] = event._replace(chain=next(self.chains), depth=1)
                    self.wrapper = True
            return False
        if text.strip():
            self.add(text, line)
        return True

    def _between(self, line: Line) -> bool:
        """Between the exceptions of a group, of which some have no traceback."""
        if forms.GROUP_RULE.match(line.text) or not line.text.strip(" |+"):
            return True
        if not forms.GROUP_MARGIN.match(line.text):
            self.close()
            return False
        text = self._margin(line.text)
        plain = text.strip()
        if "Traceback (most" in text:
            self.open_trace(line)
            return True
        end = classify.exception(plain)
        if end:
            self.open_message(line, end["type"], plain)
        return True

    def _goes_on(self, text: str, line: Line) -> bool:
        """Whether a line continues the open message."""
        if self.bare:
            return False
        if not text.strip():
            self.blanks += 1
            return self.open and self.blanks < 2
        if self.blanks and not self.open:
            return False
        if "Traceback (most" in text or forms.chain_marker(text) or forms.frame_match(text) or forms.PROMPT.match(text):
            return False
        if (
            text.startswith(("usage: ", "```"))
            or text.endswith("[end of output]")
            or forms.REPORT.match(text)
            or line.style in ("glog", "nccl")
        ):
            return False
        if "Warning: " in text and classify.PYTHON_WARNING.search(text):
            return False
        if self.kernel:
            if self.bullets and not forms.BULLET.match(text):
                return False
            self.bullets = self.bullets or text.startswith("Error details")
        elif not text[:1].isspace() and self._another(text, line):
            return False
        self.blanks = 0
        return True

    @staticmethod
    def _another(text: str, line: Line) -> bool:
        """Whether an event of its own stands there: another exception, be it as an item of a list, or a death."""
        bullet = forms.BULLET.match(text)
        if classify.exception((text[bullet.end() :] if bullet else text).strip("` ")):
            return True
        return classify.kind(line._replace(text=text, level="")) in ("exit", "nccl", "usage")

    def add(self, text: str, line: Line) -> None:
        """Append a continuation line, within bounds; a compiler's or launcher's line inside is an event as well."""
        self.end = line.number
        if forms.stack_line(text):
            return
        self.kernel = self.kernel or KERNEL_BLOCK in text
        if not self.kernel and len(self.inner) < 20:
            kind = classify.kind(line._replace(text=text, level=""))
            if kind in ("compiler", "exit") or (kind == "error" and classify.SHELL.search(text)):
                self.inner.append(
                    Event(
                        kind, text.strip()[:LINE_BYTES], line.number, 0, line.rank, self.source, end=line.number,
                        time=line.time,
                    )
                )  # fmt: skip
        if len(self.text) >= MESSAGE_LINES or self.size >= MESSAGE_BYTES:
            return
        if len(text) > CONTINUED_BYTES:
            text = f"{text[: CONTINUED_BYTES - 200]} ... {text[-200:]}"
        self.text.append(text)
        self.size += len(text)
        self.open = self.kernel or (self.open and (bool(forms.OPEN.search(text)) or len(self.text) < 3))
