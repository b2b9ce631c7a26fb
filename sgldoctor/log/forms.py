"""The forms of lines that tracebacks and messages are made of, as patterns."""

from __future__ import annotations

from sgldoctor.lazy import lazy

FRAME = lazy(
    r'^\s*(?:[|│] ?)?\s*"?(?:File "(?P<file>[^"]{1,1000})|(?P<rest>[^"\s]{1,1000}\.py))",? line (?P<line>\d{1,9})'
    r"(?:(?:,? in) (?P<function>.{0,300}))?"
)
"""A frame; its beginning may be lost, as in ``~/site-packages/sglang/api.py", line 45, in Engine``."""
RICH_FRAME = lazy(
    r"^\s*[│|]?\s*(?:File )?(?P<file>[/~][^\s:]{1,500}\.pyx?):(?P<line>\d{1,9})(?:,)? in (?P<function>[\w<>.]{1,200})"
)
"""A frame as rich (typer) and IPython print it: ``/x/y.py:12 in main``, ``File /x/y.py:12, in main(args)``."""
CELL_HEADER = lazy(r"^(?:[\w.]{1,100} {2,}|╭─{2,} )Traceback \(most recent call last\)")
CELL = lazy(
    r"^(?:Cell In\[\d+\], line (?P<line>\d+)|\[?<?(?P<file>ipython-input-[\w-]{1,80}|/\S{1,500}\.py)>?\]?.{0,200} in "
    r"(?P<function>[^(\s]{1,200}))"
)
CELL_CODE = lazy(r"^(?:(?:-+>|❱) ?(?P<line>\d{1,6})(?: (?P<code>.*))?|\s*\d{1,6}(?: .*)?|\d+ frames)$")
"""Frames and numbered source lines of a notebook's traceback; rich numbers its lines in the same way."""
HEADER = lazy(r"(?:Exception Group )?Traceback \(most recent call last\)")
_CHAIN = lazy(r"^\W{0,6}(?:The above exception was the direct cause|During handling of the above exception)")
CARET = lazy(r"^[\s|]*[~^][\s~^]*$")
ELISION = lazy(
    r"^\s*(?:\.{3,}|…|\[\.{3}\]|\(\.{3}\)|\[Previous line repeated \d+ more times?\]|\.\.\.<\d+ lines?>\.\.\.)\s*$"
)
GROUP_RULE = lazy(r"^\s*\+[-+]+(?: (?:\d+|\.{3}) -+)?\+?\s*$")
GROUP_MARGIN = lazy(r"^\s*[|+] ?")
BEFORE_PROMPT = r"^(?:\([\w./ -]{1,60}\) ?){0,2}(?:[\w.-]{1,40}@[\w.-]{1,80}[: ][^$#\n]{0,120})?"
"""What a shell prints in front of its sign: environments in brackets, user, host and folder."""
PROMPT = lazy(
    BEFORE_PROMPT + r"[$#%❯] ?\S"  # noqa: RUF001
    r"|^>>> |^\.\.\. \S|^In \[\d+\]: |^[A-Z]:\\[^>\n]{0,120}>|^\([\w ./-]{1,60}\) \[[^\]\n]{1,80}\] "
)
_STACK = lazy(r"^\s*(?:frame #\d+: |<omitting python frames>|#\d+ +0x[0-9a-f]+ |\*{3} SIG|@ +0x[0-9a-f]+ )")
BULLET = lazy(r"^\s*(?:[-*•] |\d{1,2}[.)] )")
OPEN = lazy(r"[:{\[(,]\s*$|^\s*$")
REPORT = lazy(r"^(?:Python|PyTorch|CUDA available|GPU \d)[\w ,]*: |^Collecting environment|^\[(?:pip3?|conda)\] ")
TRACE_END = lazy(r"(?P<type>KeyboardInterrupt|Exception|Error)(?::|$)(?P<message>.*)")


def stack_line(text: str) -> bool:
    """A line of a C++ or native stack: of no use to a reader."""
    return text.startswith("Exception raised from ") or (("#" in text or "@" in text) and bool(_STACK.match(text)))


def chain_marker(text: str) -> bool:
    """The sentence that Python prints between two chained exceptions."""
    return "above exception" in text and bool(_CHAIN.match(text))


def frame_match(text: str) -> tuple[str, int, str] | None:
    """File, line and function of a frame, or None."""
    match = FRAME.match(text) if '" line ' in text or '", line ' in text else None
    return (match["file"] or match["rest"], int(match["line"]), (match["function"] or "").strip()) if match else None
