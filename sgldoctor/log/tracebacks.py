"""One channel of a log as events: a state machine over cleaned lines.

Knows Python tracebacks (chains, groups, cut at either end, without indentation), exception messages over several
lines, and the other texts that belong together over lines: usage, pip's and uv's explanations, C++ ``terminate``,
``Fatal Python error``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sgldoctor.log import classify
from sgldoctor.log.event import Event, Frame
from sgldoctor.log.lines import Line

MESSAGE_LINES = 60
MESSAGE_BYTES = 8 << 10
LINE_BYTES = 4 << 10
CONTINUED_BYTES = 700
"""Bounds on what one event carries. Continuation lines are cut shorter: compiler command lines run to kilobytes."""

FRAME = re.compile(
    r'^\s*(?:[|│] ?)?\s*"?File "(?P<file>[^"]{1,1000})", line (?P<line>\d{1,9})(?:(?:,? in) (?P<function>.{0,300}))?'
)
RICH_FRAME = re.compile(r"^\s*[│|]?\s*(?P<file>/[^\s:]{1,500}\.pyx?):(?P<line>\d{1,9}) in (?P<function>[\w<>.]{1,200})")
HEADER = re.compile(r"(?:Exception Group )?Traceback \(most recent call last\)")
CHAIN = re.compile(
    r"^\W{0,6}(?:The above exception was the direct cause|During handling of the above exception)", re.IGNORECASE
)
CARET = re.compile(r"^[\s|]*[~^]+[\s~^]*$")
ELISION = re.compile(
    r"^\s*(?:\.{3,}|…|\[\.{3}\]|\(\.{3}\)|\[Previous line repeated \d+ more times?\]|\.\.\.<\d+ lines?>\.\.\.)\s*$"
)
GROUP_RULE = re.compile(r"^\s*\+[-+]+(?: \d+ -+| \.\.\. -+)?\s*$|^\s*\+-+\+?-*$")
GROUP_MARGIN = re.compile(r"^\s*[|+] ?")
PROMPT = re.compile(
    r"^(?:\([\w./ -]{1,60}\) ?){0,2}(?:[\w.-]{1,40}@[\w.-]{1,80}[: ][^$#\n]{0,120})?[$#%❯] ?\S|^>>> |^\.\.\. \S|^In \[\d+\]: "
)
SKIPPED = re.compile(r"^\s*(?:frame #\d+: |<omitting python frames>|#\d+ +0x[0-9a-f]+ |\*{3} SIG|@ +0x[0-9a-f]+ )")
RAISED = re.compile(r"^Exception raised from \S")
BULLET = re.compile(r"^\s*(?:[-*•] |\d{1,2}[.)] )")
OPEN = re.compile(r"[:{\[(,]\s*$|\[sgl_kernel\] CRITICAL|^\s*$")
ENVIRONMENT = re.compile(
    r"^(?:Python|PyTorch|CUDA available|Collecting environment|GPU \d)[\w ,]*: |^Collecting environment|^\[(?:pip3?|conda)\] "
)
KERNEL_BLOCK = "[sgl_kernel] CRITICAL"
TERMINATE = re.compile(
    r"terminate called (?:after throwing an instance of '(?P<type>[^']{1,200})'|without an active exception|recursively)"
)
BACKTICK = re.compile(r"^`+(.*?)`*$")


class Channel:
    """Reads the lines of one channel in order; :attr:`events` grows. Call :meth:`close` at the end."""

    def __init__(self, source: str, chains: Iterator[int]) -> None:
        self.source = source
        self.chains = chains
        self.events: list[Event] = []
        self.state = self._idle
        self._forget()
        self.last = -1  # index of the latest exception, for chain markers
        self.linked = False
        self.ignored = False
        self.quote = False

    # ------------------------------------------------------------------ input
    def feed(self, line: Line) -> None:
        """Take the next line."""
        if line.gap:
            self.close(cut=True)
        if not self.state(line):
            self._idle(line)

    def close(self, *, cut: bool = False) -> None:
        """End whatever is open. ``cut``: lines are missing here, so a traceback without an end is no evidence."""
        if self.state == self._trace and not cut:
            self._truncated()
        elif self.state in (self._message, self._block):
            self._finish()
        self.state = self._idle
        self._forget()

    def _forget(self) -> None:
        self.frames: list[Frame] = []
        self.text: list[str] = []
        self.size = 0
        self.head: Line = Line("", 0)
        self.begin = 0
        self.end = 0
        self.blanks = 0
        self.type = ""
        self.kind = "exception"
        self.indent = 0
        self.open = False
        self.group = False
        self.inner: list[Event] = []
        self.kernel = False
        self.bullets = False

    # ------------------------------------------------------------------ output
    def _emit(self, kind: str, line: Line, text: str, **more: object) -> None:
        event = Event(
            kind, text[:LINE_BYTES] if len(text) > MESSAGE_BYTES else text, line.number, 0, line.rank, self.source,
            end=line.number, time=line.time,
        )  # fmt: skip
        self.events.append(event._replace(**more) if more else event)

    def _finish(self) -> None:
        """Emit the open exception or block, then the events found inside its message."""
        text = "\n".join(self.text).strip()
        kind = self.kind
        chain, depth = -1, 0
        if kind == "exception":
            if self.type.rpartition(".")[2] == "AssertionError" and text.rstrip(": ").endswith("AssertionError"):
                code = self.frames[-1].code if self.frames else ""
                text = f"{text.rstrip(': ')}: {code}".rstrip(": ")
            chain, depth = self._link()
        if self.ignored and kind == "exception":
            kind = "warning"
        self.ignored = False
        head = self.head
        self.events.append(
            Event(
                kind, text, head.number, 0, head.rank, self.source, self.type.rpartition(".")[2], tuple(self.frames),
                chain, depth, self.end or head.number, head.time,
            )
        )  # fmt: skip
        if kind == "exception":
            self.last = len(self.events) - 1
        self.events += self.inner
        self.state = self._idle
        self._forget()

    def _link(self) -> tuple[int, int]:
        """Chain and depth of the exception that ends now."""
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
        if not self.frames:
            self.state = self._idle
            self._forget()
            return
        frame = self.frames[-1]
        name = frame.file.replace("\\", "/").rpartition("/")[2]
        place = f"in {frame.function} ({name}:{frame.line})" if frame.function else f"at {name}:{frame.line}"
        self.text = [f"Traceback cut off {place}: {frame.code}".rstrip(": ")]
        self.type = ""
        self._finish()

    # ------------------------------------------------------------------ states: each returns False to pass a line on
    def _idle(self, line: Line) -> bool:
        text = line.text
        if not text:
            return True
        header = HEADER.search(text) if "Traceback" in text else None
        if header:
            self._open_trace(line, text[: header.start()])
            return True
        if CHAIN.match(text):
            self.linked = True
            return True
        frame = FRAME.match(text) if "File" in text else None
        if frame:
            self._open_trace(line, "")
            return self._trace(line)
        if SKIPPED.match(text) or RAISED.match(text) or CARET.match(text) or ELISION.match(text):
            return True
        plain = text.lstrip()
        bare = self._bare(plain, line)
        if bare:
            self._open_message(line, bare["type"], bare.string)
            return True
        if KERNEL_BLOCK in text:
            if line.level != "W" and "Ignore import error" not in text:
                self._open_message(line, "ImportError", "ImportError: " + text[text.index(KERNEL_BLOCK) :])
                self.open = True
                return True
        terminate = TERMINATE.search(text)
        if terminate:
            self._open_message(line, (terminate["type"] or "terminate").replace("::", "."), text[terminate.start() :])
            return True
        if text.startswith("usage: "):
            self.state = self._usage
            return True
        if text.startswith("Exception ignored in"):
            self.ignored = True
            self._emit("warning", line, text)
            return True
        if text.startswith("assert ") and not text.endswith(":"):
            self._open_message(line, "AssertionError", f"AssertionError: {text}")
            return True
        self._single(line)
        return True

    def _bare(self, plain: str, line: Line) -> re.Match[str] | None:
        if line.level in ("I", "D", "W") or not (plain[:1].isalpha() or plain[:1] in "_-*•`'\"0123456789"):
            return None
        if plain[:1] in "-*•0123456789":
            bullet = BULLET.match(plain)
            if not bullet:
                return None
            plain = plain[bullet.end() :]
        if plain[:1] == "`":
            tick = BACKTICK.match(plain)
            plain = tick[1] if tick else plain
        return classify.exception(plain)

    def _single(self, line: Line) -> None:
        """An event of one line, or the first line of a block."""
        kind = classify.kind(line)
        text = line.text.strip() if kind != "line" else line.text
        if kind == "installer" or (kind == "warning" and self._continues(text)):
            self.head, self.kind, self.end = line, kind, line.number
            self.text, self.size = [text], len(text)
            self.kernel = KERNEL_BLOCK in text
            self.open = self.kernel or text.endswith(":")
            self.state = self._block
            return
        if kind == "warning" and classify.PYTHON_WARNING.search(text):
            self._emit(kind, line, text)
            self.state = self._warned
            return
        if text.startswith("Fatal Python error"):
            self.head, self.kind, self.end, self.text = line, "exit", line.number, [text]
            self.state = self._dump
            return
        self._emit(kind, line, text)

    @staticmethod
    def _continues(text: str) -> bool:
        return text.startswith("Ignore import error when loading ") or (KERNEL_BLOCK in text)

    def _warned(self, line: Line) -> bool:
        """The source line below a Python warning says nothing."""
        self.state = self._idle
        return line.text.startswith("  ") and not line.record and not FRAME.match(line.text)

    def _usage(self, line: Line) -> bool:
        """Usage text is dropped; the error below it is what counts."""
        text = line.text
        if not text or text.startswith((" ", "\t", "[--")) and not line.record:
            return True
        if re.match(r"^(?:options|optional arguments|positional arguments|[\w -]{1,60}):$", text):
            return True
        self.state = self._idle
        return False

    def _dump(self, line: Line) -> bool:
        """What ``faulthandler`` prints: frames of the current thread, innermost first."""
        text = line.text
        frame = FRAME.match(text)
        if frame:
            if len(self.frames) < 200:
                self.frames.insert(0, Frame(frame["file"], int(frame["line"]), (frame["function"] or "").strip(), ""))
            self.end = line.number
            return True
        if text.startswith(
            ("Extension modules:", "Python runtime state", "  <no Python frame>", "Thread 0x", "Current thread")
        ):
            if text.startswith("Thread 0x") and self.frames:
                self.state = self._threads
                self._flush_dump()
                self.state = self._threads
            return True
        if not text:
            return True
        self._flush_dump()
        return False

    def _flush_dump(self) -> None:
        self._finish()

    def _threads(self, line: Line) -> bool:
        text = line.text
        if (
            not text
            or FRAME.match(text)
            or text.startswith(("Thread 0x", "Current thread", "Extension modules:", "  "))
        ):
            return True
        self.state = self._idle
        return False

    # ------------------------------------------------------------------ blocks
    def _block(self, line: Line) -> bool:
        """pip's and uv's explanations; warnings that quote a whole message."""
        text = line.text
        if line.record or not self._more_block(text, line):
            self._finish()
            return False
        if text:
            self._add(text.strip() if self.kind == "installer" else text, line)
        return True

    def _more_block(self, text: str, line: Line) -> bool:
        if (
            HEADER.search(text)
            or PROMPT.match(text)
            or text.startswith(("ERROR: ", "WARNING: ", "error: ", "usage: ", "$ "))
        ):
            return False
        if self.kind != "installer":
            return self._more_message(text, line)
        first = self.text[0]
        if not text.strip():
            self.blanks += 1
            return self.blanks < 2 and "Cannot install" in first
        if "Cannot install" in first:
            self.blanks = 0
            return not text.startswith("To fix this") and len(self.text) < 30
        if FRAME.match(text) or text.strip() in ("[stderr]", "[stdout]"):
            return False
        return text.startswith(("   ", "╰", "├", "  ╰", "  ├", "  │", "\t")) and len(self.text) < 40

    # ------------------------------------------------------------------ tracebacks
    def _open_trace(self, line: Line, said: str) -> None:
        if self.state == self._trace:
            self._truncated()
        said = said.strip(" |+│╭─\t*`'\"")
        if said and not said.startswith("Exception Group"):
            loud = "warning" if line.level == "W" else "error"
            self._emit(loud, line, said)
        self._forget()
        self.head = line
        self.begin = line.number
        self.state = self._trace
        self.group = "Exception Group Traceback" in line.text

    def _trace(self, line: Line) -> bool:
        text = line.text
        if self.group:
            text = GROUP_MARGIN.sub("", text, count=1) if GROUP_MARGIN.match(text) else text
            if GROUP_RULE.match(line.text):
                return True
        if not text.strip():
            self.blanks += 1
            if self.blanks > 3:
                self._truncated()
            return True
        other = bool(line.record) and line.record != self.head.record
        frame = FRAME.match(text) or (RICH_FRAME.match(text) if self.frames or ".py" in text else None)
        if frame:
            if other and not line.perline:
                self._truncated()
                return False
            self.blanks = 0
            self.indent = len(text) - len(text.lstrip())
            if len(self.frames) < 400:
                function = (frame["function"] or "").strip()
                self.frames.append(Frame(frame["file"], int(frame["line"]), function, ""))
            self.end = line.number
            return True
        if HEADER.search(text) or CHAIN.match(text):
            self._truncated()
            return False
        if other and not line.perline:
            self._truncated()
            return False
        if CARET.match(text) or ELISION.match(text):
            self.blanks = 0
            return True
        bare = self._ending(text)
        if bare:
            frames, rank, time = self.frames, line.rank or self.head.rank, line.time or self.head.time
            linked_group = self.group
            self._open_message(line._replace(rank=rank, time=time), bare["type"], bare.string)
            self.frames = frames
            self.group = linked_group
            return True
        depth = len(text) - len(text.lstrip())
        if self.frames and (depth > self.indent or (self.indent == 0 and not self.frames[-1].code and self.blanks < 2)):
            last = self.frames[-1]
            if len(last.code) < 300:
                self.frames[-1] = last._replace(code=f"{last.code} {text.strip()}".strip()[:400])
            self.blanks = 0
            self.end = line.number
            return True
        if self.frames and text.startswith("assert "):
            frames = self.frames
            self._open_message(
                line._replace(rank=line.rank or self.head.rank), "AssertionError", f"AssertionError: {text}"
            )
            self.frames = frames
            return True
        if not self.frames and depth and not other:
            return True  # a frame that lost its "File" line
        self._truncated()
        return False

    def _ending(self, text: str) -> re.Match[str] | None:
        """The last line of a traceback stands left of the code lines, at or left of the ``File`` lines."""
        plain = text.lstrip()
        if len(text) - len(plain) > max(self.indent, 2):
            return None
        match = classify.exception(plain)
        if match is None and self.frames:
            match = re.match(r"(?P<type>KeyboardInterrupt|Exception|Error)(?::|$)(?P<message>.*)", plain)
        return match

    # ------------------------------------------------------------------ messages
    def _open_message(self, line: Line, kind: str, text: str) -> None:
        group = self.group
        self._forget()
        self.group = group
        self.head, self.type, self.end = line, kind.partition("(")[0], line.number
        self.text = [text[:LINE_BYTES]]
        self.size = len(self.text[0])
        self.kernel = KERNEL_BLOCK in text
        self.open = self.kernel or bool(OPEN.search(text.partition(":")[2][-200:]))
        self.state = self._message

    def _message(self, line: Line) -> bool:
        text = line.text
        if self.group:
            if GROUP_RULE.match(text):
                self._finish()
                self.state, self.group = self._between, True
                return True
            text = GROUP_MARGIN.sub("", text, count=1) if GROUP_MARGIN.match(text) else text
        if line.record and not (line.perline and line.record == self.head.record):
            self._finish()
            return False
        if text in ('"""', "'''"):
            if not self.text[0].partition(":")[2].strip() and len(self.text) == 1:
                self.state = self._idle  # RemoteTraceback: only a frame round the traceback that follows
                self._forget()
                return True
            self._finish()
            return True
        if not self._more_message(text, line):
            wrapper = bool(FRAME.match(text)) and self.kind == "exception"
            self._finish()
            if wrapper:
                self._wrap()
            return False
        if text:
            self._add(text, line)
        return True

    def _between(self, line: Line) -> bool:
        """Between the exceptions of a group: their tracebacks may lack a header."""
        text = GROUP_MARGIN.sub("", line.text, count=1)
        if GROUP_RULE.match(line.text) or not text.strip():
            return True
        self.state = self._idle
        return not self._inside_group(line, text)

    def _inside_group(self, line: Line, text: str) -> bool:
        margin = GROUP_MARGIN.match(line.text)
        if not margin:
            return True
        self.linked = self.last >= 0
        inner = line._replace(text=text)
        if HEADER.search(text):
            self._open_trace(inner, "")
            self.group = True
            return False
        bare = classify.exception(text.strip())
        if bare:
            self._open_message(inner, bare["type"], text.strip())
            self.group = True
            return False
        self.linked = False
        return True

    def _wrap(self) -> None:
        """The exception just emitted wraps the traceback that follows it (Ray prints the wrapper first)."""
        event = self.events[self.last]
        if event.chain < 0:
            self.events[self.last] = event._replace(chain=next(self.chains), depth=1)

    def _more_message(self, text: str, line: Line) -> bool:
        """Whether a line continues the open message."""
        if not text.strip():
            self.blanks += 1
            return self.open and self.blanks < 2
        if self.blanks and not self.open:
            return False
        if HEADER.search(text) or CHAIN.match(text) or FRAME.match(text) or PROMPT.match(text):
            return False
        if text.startswith(("usage: ", "```")) or classify.PYTHON_WARNING.search(text) or ENVIRONMENT.match(text):
            return False
        if self.kernel:
            if self.bullets and not BULLET.match(text):
                return False
            if text.startswith("Error details"):
                self.bullets = True
            self.blanks = 0
            return True
        indented = text[:1] in " \t"
        if not indented and classify.exception(text):
            return False
        if line.style in ("glog", "nccl"):
            return False
        if not indented:
            kind = classify.kind(line._replace(level=""))
            if kind in ("exit", "nccl", "usage"):
                return False
        self.blanks = 0
        return True

    def _add(self, text: str, line: Line) -> None:
        """Append a continuation line, within bounds; a compiler's or launcher's line inside is an event as well."""
        self.end = line.number
        if SKIPPED.match(text) or RAISED.match(text):
            return
        if self.kind == "exception" and self.type != "ImportError":
            kind = classify.kind(line._replace(text=text, level=""))
            if kind in ("compiler", "exit") and len(self.inner) < 20:
                self.inner.append(
                    Event(
                        kind,
                        text.strip()[:LINE_BYTES],
                        line.number,
                        0,
                        line.rank,
                        self.source,
                        end=line.number,
                        time=line.time,
                    )
                )
        if len(self.text) >= MESSAGE_LINES or self.size >= MESSAGE_BYTES:
            return
        if len(text) > CONTINUED_BYTES:
            text = f"{text[: CONTINUED_BYTES - 200]} ... {text[-200:]}"
        self.text.append(text)
        self.size += len(text)
        self.kernel = self.kernel or KERNEL_BLOCK in text
        self.open = self.kernel or (self.open and (bool(OPEN.search(text)) or len(self.text) < 3))
