r"""What collectors, launchers and loggers put before a line, as a table of regular expressions.

Each entry removes one wrapping from the left end; wrappings nest (a Kubernetes time, then Ray's actor, then vLLM's
logger, then a traceback line), so the table is applied until nothing matches. Only one blank is taken after a
wrapping: the indentation of what is wrapped must survive. Named groups say what the wrapping tells: ``time``, ``rank``,
``level``, ``channel`` (who writes: lines of one channel belong together), ``where`` (place of a logger call).

The style of an entry says how lines relate: a ``collector`` stands before every line; a ``record`` (SGLang's own
``[time TP0]``) only before the first line of a message; a ``perline`` logger before every line of it.
"""

from __future__ import annotations

import re

from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple


class Prefix(NamedTuple):
    """One wrapping: its pattern, how it relates lines, a name for signatures, a text that the line must hold."""

    pattern: re.Pattern[str]
    style: str
    name: str
    hint: str


_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_STAMP = rf"\d{{4}}[-/]\d\d[-/]\d\d[T ]{_CLOCK}(?: ?Z|(?: ?[+-]\d\d:?\d\d))?"
_LEVEL = r"(?P<level>[A-Za-z]{4,9}\b)"  # whether the word is a level is asked of LEVELS: alternations compile slowly
_RANK = r"(?:[A-Z][A-Z_]{1,9}\d{1,4})"
RANKS = rf"{_RANK}(?: {_RANK}){{0,5}}"
"""SGLang's ranks as they stand in its prefix: ``DP0 TP1``."""
DATED = lazy(rf"\[?(?:{_STAMP}|rank\d)|\([\w.:<>-]{{0,80}} ?(?:rank=\d+ )?pid=")
"""A prefix that is unmistakable even behind blanks."""


_HINTS = {
    "cri": " std",
    "loguru": "|",
    "dash": " - ",
    "vllm": "]",
    "nccl": "] ",
    "journal": ":",
    "compose": "|",
    "ray": "--",
}


def _table(*entries: tuple[str, str, str]) -> tuple[Prefix, ...]:
    """A table of (pattern, style, name)."""
    return tuple(
        Prefix(lazy(pattern), style, name, "" if style == "channel" and name == "ray" else _HINTS.get(name, ""))
        for pattern, style, name in entries
    )


_SGLANG = (
    rf"\[(?P<time>(?:\d{{4}}-\d\d-\d\d |\d\d-\d\d )?{_CLOCK})(?: (?P<rank>{RANKS}))?\](?: |$)",
    "record",
    "sglang",
)
BRACKET_DIGIT = _table(
    # SGLang: [2025-06-04 16:47:33 DP0 TP0], [05:03:03 TP0], [12-16 14:27:08]
    _SGLANG,
    # Jenkins and others: [2025-11-15T02:43:02.702Z]
    (rf"\[(?P<time>{_STAMP})\] ?", "collector", "time"),
    # Ray's C++ parts: [2024-06-02 15:42:52,798 E 4479 4526] (raylet) file.cc:12:
    (rf"\[(?P<time>{_STAMP}) (?P<level>[DIWEFC]) \d+ \d+\] ?(?:\([\w -]+\) )?", "record", "cpp"),
    # MPI: [1,3]<stderr>:
    (r"\[\d+,(?P<rank>\d+)\](?:<\w{1,10}>)?: ?", "channel", "mpi"),
    # the kernel's log
    (r"\[ {0,6}(?P<time>\d{1,9}\.\d{6})\](?= (?!\[)) ", "record", "kernel"),
    # UCX: [1746690477.974497] [node206:611  :0]     ucp_context.c:1268 UCX  WARN
    (r"\[(?P<time>\d{9,11}\.\d{1,9})\] +\[[^\]]{1,80}\] +", "record", "ucx"),
    (rf"\[(?P<time>{_STAMP})\]\[[^\]]{{0,80}}\]\[{_LEVEL} ?\]:? ?", "record", "level"),
)
BRACKET_WORD = _table(
    # torchrun and torch's own rank tag; elastic's [default0]:
    (r"\[(?:rank|default|trainer|worker)_?(?P<rank>\d{1,5})\]:? ?", "channel", "rank"),
    (rf"\[(?P<rank>{RANKS})\](?: |$)", "record", "sglang"),
    # SGLang before 0.3
    (r"\[gpu(?:_id)?=(?P<rank>\d{1,4})\](?: |$)", "record", "sglang"),
    # torch's C++ logger: [W1123 23:47:42.054312846 socket.cpp:207]; before torch 2.2 [E ProcessGroupNCCL.cpp:474]
    (
        r"\[(?P<level>[IWEF])(?P<time>\d{3,4} " + _CLOCK + r")?(?: +\d+)? (?=[\w./-]+:\d+\])",
        "record",
        "glog",
    ),
    (rf"\[{_LEVEL}\](?: |$)", "record", "level"),
    # kubectl logs --prefix
    (r"\[(?P<channel>pod/[^\]\s]{1,200})\] ?", "channel", "pod"),
    (r"\[(?P<channel>[\w.-]{1,60})\] +\| ?", "channel", "compose"),
    (r"\[(?P<time>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})\] ", "record", "kernel"),
)

PAREN = _table(
    # Ray's actors, vLLM's processes: (WorkerDict pid=42992, ip=10.0.0.1), (VllmWorker rank=3 pid=7)
    (
        r"\((?P<channel>[\w.:<>-]{0,80}(?: rank=(?P<rank>\d+))? ?pid=\d+(?:, ?ip=[^)\s]{1,60})?)\) ?",
        "channel",
        "ray",
    ),
    (r"\((?P<channel>raylet|autoscaler|gcs_server|scheduler|head|worker)(?:, ?ip=[^)\s]{1,60})?\) ", "channel", "ray"),
)

NCCL = (r"[\w.-]{1,100}:\d{1,9}:\d{1,9} \[\d{1,3}\] (?=\S)", "record", "nccl")  # host:pid:tid [0] NCCL WARN ...

DATE = _table(
    # Kubernetes CRI: 2025-08-08T23:14:50.21748708+08:00 stdout F
    (rf"(?P<time>{_STAMP}) (?:stdout|stderr) [FP](?: |$)", "collector", "cri"),
    # loguru: 2025-07-12 08:05:15.826 | ERROR    | stderr | ... and module:function:line - ...
    (rf"(?P<time>{_STAMP}) ?\| ?{_LEVEL} *\| ?(?P<where>[^|]{{1,160}}?)(?: \| ?| - )", "perline", "loguru"),
    # logging: 2025-01-01 10:00:00,123 - name - INFO -
    (rf"(?P<time>{_STAMP}) - (?:(?P<where>[\w.:/-]{{1,120}}) - )?{_LEVEL} -(?: |$)", "perline", "dash"),
    (rf"(?P<time>{_STAMP}) - {_LEVEL} - (?P<where>[\w.:/-]{{1,120}}) -(?: |$)", "perline", "dash"),
    # Ray's Python logger: 2024-06-02 15:41:38,149 WARNING worker.py:1419 --
    (rf"(?P<time>{_STAMP})[\t ]+{_LEVEL} (?P<where>[\w./-]{{1,120}}:\d+) --(?: |$)", "record", "ray"),
    # xinference: 2025-01-01 10:00:00,123 xinference.core.worker 4742 ERROR    ...
    (rf"(?P<time>{_STAMP}) (?P<where>[a-zA-Z_][\w.]{{1,120}}) \d+ {_LEVEL}(?: +|$)", "record", "xinference"),
    # TensorFlow: 2024-02-12 19:29:49.967339: E external/file.cc:9261]
    (rf"(?P<time>{_STAMP}): (?P<level>[IWEF]) (?=\S{{1,200}}:\d+\])", "record", "glog"),
    # SGLang's prefix that lost its bracket: 2025-03-31 04:23:22 TP5]
    (rf"(?P<time>{_STAMP})(?: (?P<rank>{RANKS}))?\](?: |$)", "record", "sglang"),
    # a time and a level: Rust's tracing, dynamo, many others
    (
        rf"(?P<time>{_STAMP})[\t ]+\[?{_LEVEL}\]?:? +(?:\[\d+\] )?(?:\[(?P<where>[\w./-]{{1,120}}:\d+)\] )?",
        "record",
        "level",
    ),
    (rf"(?P<time>{_STAMP})(?::? |\t|$)", "collector", "time"),
)
NUMBER = _table(
    NCCL,
    # ts -s and many scripts: seconds since 1970; a clock without a date
    (r"(?P<time>1\d{9}\.\d{1,9})(?: |$)", "collector", "time"),
    (rf"(?P<time>{_CLOCK})(?: |$)", "collector", "time"),
    # BuildKit's summary of a failed step: 854.5 ninja: build stopped
    (r"(?P<time>\d{1,5}\.\d{1,4}) (?=[a-zA-Z*\[/#-])", "collector", "buildkit"),
)

HASH = _table(
    (r"#\d{1,4} (?P<time>\d{1,6}\.\d{1,4})(?: |$)", "collector", "buildkit"),
    (r"#\d{1,4} (?=ERROR|CANCELED)", "collector", "buildkit"),
)

GLOG = _table(
    # E0917 16:23:13.204995 4058290 worker_pool.cpp:294]; torch's elastic uses the same; glog 0.6 may write the year too
    (rf"(?P<level>[IWEF])(?P<time>\d{{4}}(?:\d{{4}})? {_CLOCK}) +\d+ (?=\S{{1,200}}:\d+\])", "record", "glog"),
)
LEVEL = _table(
    # vLLM: ERROR 12-19 01:22:33 engine.py:366], INFO 04-06 14:51:04 [__init__.py:256]
    (rf"{_LEVEL} (?P<time>\d\d-\d\d {_CLOCK}) \[?(?P<where>[\w./-]{{1,120}}:\d+)\](?: |$)", "perline", "vllm"),
    # Google Cloud: ERROR 2025-04-25T03:49:43.509514570Z
    (rf"(?:DEFAULT|NOTICE|ALERT|EMERGENCY|{_LEVEL}) (?P<time>{_STAMP})(?: |$)", "collector", "gcp"),
    # uvicorn: INFO:     127.0.0.1 ..., and logging.basicConfig: ERROR:root:...
    (rf"{_LEVEL}:(?P<where>[a-zA-Z_][\w.]{{1,120}}):(?=\S| )", "record", "basic"),
    (rf"{_LEVEL}: {{3,9}}", "record", "uvicorn"),
    # INFO server_args.py:1697: ..., after a time that was already taken off
    (rf"{_LEVEL} (?P<where>[\w./-]{{1,120}}\.(?:py|rs|cc|cpp):\d+):? (?:-- )?", "record", "level"),
    (rf"{_LEVEL} +- +(?:(?P<where>[\w.:/-]{{1,120}}) +- +)?", "perline", "dash"),
    (rf"{_LEVEL} +\| +(?:(?P<where>[\w.:/<>-]{{1,120}}) +(?:\||-) +)?", "perline", "loguru"),
)
NAMED = _table(
    NCCL,
    # journald and syslog
    (
        r"(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)(?:\.\d+)? [\w.-]{1,100} [\w./@:+-]{1,100}(?:\[\d+\])?: ?",
        "collector",
        "journal",
    ),
    (r"[\w.-]{1,100} [\w./@:+-]{1,60}\[\d+\]: ?", "collector", "journal"),
    # Docker Compose
    (r"(?P<channel>[A-Za-z][\w.-]{0,80}) +\| ?(?!.*\|\s*$)", "channel", "compose"),
)

DASH = _table(
    (rf"- (?P<where>[\w.]{{1,120}}) - {_LEVEL} -(?: |$)", "perline", "dash"),
    (rf"(?:\.{{3}}|…) - (?P<where>[\w.]{{1,120}}) - {_LEVEL} -(?: |$)", "perline", "dash"),
)

_NAMES = {
    "D": "D DEBUG TRACE",
    "I": "I INFO NOTICE",
    "W": "W WARNING WARN",
    "E": "E ERROR CRITICAL FATAL EXCEPTION SEVERE F C",
}
LEVELS = {name: level for level, names in _NAMES.items() for word in names.split() for name in (word, word.lower())}
"""Name of a level to one of D, I, W, E."""


_DIGITS = frozenset("0123456789 ")
_LEVEL_BEGINS = frozenset(name[:4] for name in LEVELS if len(name) > 3) | {"DEFA", "ALER", "EMER"}


def table(text: str) -> tuple[Prefix, ...]:
    """The wrappings that can stand at the beginning of this text; most lines are spared the patterns altogether."""
    first = text[:1]
    if first == "[":
        return BRACKET_DIGIT if text[1:2] in _DIGITS else BRACKET_WORD
    if "0" <= first <= "9":
        return DATE if text[4:5] in ("-", "/") else NUMBER
    if first == "(":
        return PAREN
    if first == "#":
        return HASH
    if first in "-.…":
        return DASH if " - " in text[:200] else ()
    if not first.isalpha():
        return ()
    if text[:4] in _LEVEL_BEGINS:
        return LEVEL
    if "0" <= text[1:2] <= "9" and first in "IWEF":
        return GLOG
    near = text[:160]
    return NAMED if "|" in near or "]" in near or ": " in near[15:] or near.endswith(":") else ()
