"""The kind of a single line, outside tracebacks: a table of patterns, the first that fits decides.

Patterns look at the form that programs give their messages (who speaks, at which level, in which place of a source
file), not at what is said: what it means is the rules' business. They hold in any language where the form does.
Each pattern has hints, words of which a line must hold one to be looked at: most lines of a log hold none.
"""

from __future__ import annotations

import re

from sgldoctor.lazy import lazy
from sgldoctor.log.lines import Line
from sgldoctor.typed import NamedTuple

_SUFFIX = r"(?:Error|Exception|Interrupt|Exit|Iteration|Failure|Fault|Timeout|Expired|Group|Traceback|Unsupported|Died)"
BARE = lazy(
    rf"(?P<type>(?:[A-Za-z_]\w{{0,80}}\.){{0,12}}(?:_{{0,2}}[A-Za-z]\w{{0,80}}?)?{_SUFFIX}(?:\(\w{{1,80}}\))?"
    r"|(?:[a-z_]\w{0,80}\.){1,12}[A-Z]\w{0,80})(?::(?=[ \t]|$)|$)(?:[ \t])?(?P<message>.*)",
    re.DOTALL,
)
"""The last line of a traceback, standing anywhere: ``pkg.SomeError: message``."""

_QUOTED = lazy(
    r"[\s:('\"=`](?P<type>(?:[A-Za-z_]\w{0,80}\.){0,12}[A-Z]\w{0,80}[a-z](?:Error|Exception)): (?P<message>\S.*)",
    re.DOTALL,
)
_WARNING_TYPE = lazy(r"(?:[A-Za-z_][\w.]{0,80}\.)?[A-Z]\w{0,60}Warning(?::(?= |$)|$)")
_PLAIN_WORD = lazy(rf"{_SUFFIX}$")
"""A class name's ending that stands alone: ``Error:`` is how programs speak, ``Exception:`` is Python's own class."""

PYTHON_WARNING = lazy(r"(?:^|[^\s:]:\d+: )(?:[\w.]{0,80}\.)?[A-Z]\w{0,60}Warning: ")

_SOURCE = r"[^\s:()\"']{1,300}\.(?:c|cc|cpp|cxx|cu|cuh|h|hh|hpp|hxx|inc|inl|S|s|ptx|pyx|pxi)"
_HARMLESS = (
    r"(?:warning|note|remark|Warnung|Anmerkung|avertissement|advertencia|aviso|nota|警告|附注|注意|메모|경고|"
    r"предупреждение|замечание)"
)
_PLACE = lazy(
    rf"{_SOURCE}(?::[A-Za-z_~][\w:~<>]{{0,120}})?(?::\d+(?P<column>:\d+)?|\(\d+\)):? (?:(?P<harmless>{_HARMLESS})|"
    r"(?P<fault>(?:fatal |catastrophic )?error)|\S)"
)
"""A place in a C or C++ source before a message: compilers, and NVSHMEM, CUDA's asserts, gloo."""
_ARGPARSE = (
    r"(?:argument |unrecognized arguments|the following arguments|ambiguous option|invalid choice|expected |"
    r"one of the arguments|not allowed with|too few arguments|unrecognized option|[nN]o such option)"
)
_TOOLS = (
    r"(?:ld(?:\.\w+)?|collect2|cc1|cc1plus|gcc|g\+\+|clang(?:\+\+)?|c\+\+|cc|nvcc|x86_64-[\w-]+|aarch64-[\w-]+|nvlink)"
)


class Form(NamedTuple):
    """A kind, the words of which a line must hold one, and the pattern."""

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]


EXIT = Form(
    "exit",
    ("illed", "ore dumped", "Bus error", "egmentation", "Illegal", "loating", "Aborted", "Fatal Python", "oom-k",
     "xit", "eturn code", "eturncode", "ignal", "Terminated", "of memory", "of-memory killer", "eason:", "oom_k",
     "OOM killer", "code=", "free()", "malloc()", "double free", "munmap_chunk", "corrupted", "stack smashing",
     "Segfault", "SIG"),
    lazy(
        r"(?:^|[ \])])(?:\d+ )?Killed(?:$|\s{2,}|\s+(?:python|sglang|\$|\w+=))"
        r"|^\S{0,200}: line \d+: +\d+ (?:Killed|Aborted|Terminated|Bus error|Segmentation fault|Illegal instruction)"
        r"|\b(?:Bus error|Segmentation fault|Illegal instruction|Floating point exception|Aborted)(?:\s*\(|$| \$)"
        r"|\bcore dumped\b|^Fatal Python error\b|\boom-kill:|\bKilled process \d+|\bOut of memory: Kill|\bOOMKilled\b"
        r"|\bout[- ]of[- ]memory killer\b|\boom-killer\b|^signal: killed|\bMemory cgroup out of memory"
        r"|\b[Ss]ignal \d+ \(?SIG[A-Z]+|\bdied (?:with|from) (?:<Signals\.|signal )|\bterminated by signal\b"
        r"|\boom_kill\b|\bSegfault encountered\b|killed by the OOM killer|\bcode=(?:killed|dumped|exited), status=(?!0)"
        r"|\*{3} SIG[A-Z]+ received"
        r"|^(?:double free or corruption|free\(\): |malloc\(\): |munmap_chunk\(\): |corrupted (?:size|double))"
        r"|\*{3} stack smashing detected"
        r"|\b(?:[Ee]xit(?:ed)?(?: with)?[ _-]?(?:[Cc]ode|[Ss]tatus)|exitcode|returncode|return code)(?: is| of)?"
        r"\s{0,3}[:=]?\s{0,12}\(?(?:-[1-9]\d{0,3}|[1-9]\d{0,3})\b"
        r"|^\s*[Rr]eason:\s+(?:OOMKilled|Error|ContainerCannotRun|CrashLoopBackOff)\b"
    ),
)  # fmt: skip
"""Process deaths: what shells, kernels, launchers and orchestrators print. Exit status 0 is none."""

COMPILER = Form(
    "compiler",
    ("rror", "fatal", "atal ", "ld: ", "cannot find", "undefined reference", "FAILED", "ninja", "***"),
    lazy(
        r"\bnvcc (?:fatal|error)\b|\bptxas (?:fatal|error)\b"
        rf"|^ptxas [^\s,]{{1,300}}, line \d+; (?:fatal|error)|(?:^|/){_TOOLS}(?:-\d+)?: (?!warning)"
        r"[^\n]{0,2000}(?:error|fatal|cannot find|undefined reference|not found|No such)"
        r"|^ninja: (?:error|fatal|build stopped)|^FAILED: |^CMake Error|^\*\*\* CMake |^g?make(?:\[\d+\])?: \*\*\*"
        r"|: undefined reference to "
        r"|^error: command '[^']{0,300}' failed|^sccache: error"
    ),
)
USAGE = Form(
    "usage",
    (": error: ", "Error: "),
    lazy(
        rf"^[\w./-]{{1,200}}(?:\.py)?(?: [\w-]{{1,40}})?: error: {_ARGPARSE}|^[\w./-]{{1,200}}\.py: error: \S"
        r"|^Error: (?:No such option|Missing option|Invalid value for|Got unexpected extra argument)"
    ),
)
INSTALLER = Form(
    "installer",
    ("ERROR: ", "error: ", "requires ", "has requirement", " x ", "× ", "int: ", "─▶", "─>", "note: This"),  # noqa: RUF001
    lazy(
        r"^ERROR: (?:Cannot install|Could not find a version|No matching distribution|ResolutionImpossible|"
        r"Failed building|Failed to build|"
        r"Could not build|Ignored the following|Package |Invalid requirement|"
        r"Could not install|HTTP error|Directory |Exception:|Command errored|Some build|Could not open requirements|"
        r"Cannot uninstall|THESE PACKAGES|Hash|To modify pip|Cannot set|Operation cancelled|Wheel |"
        r"[\w.-]+ has requirement|[\w.-]+ is not a supported)"
        r"|^[\w.\[\]-]+ [\w.+]+ (?:requires|has requirement) [^,]{1,200}, but you have"
        r"|^error: (?:externally-managed-environment|subprocess-exited-with-error|metadata-generation-failed|"
        r"invalid-|legacy-install-failure|uninstall-)"
        r"|^\s*× \S|^\s*x (?:No solution found|Failed to|Distribution not found|Unable to|Encountered)"  # noqa: RUF001
        r"|^\s*[hH]int: |^error: (?:Failed to|No solution|Because|Distribution|The |Request failed|Requirements)"
        r"|^\s*(?:╰─▶|├─▶|╰─>|├─>) |^note: This (?:error originates|is an issue with the package)"
    ),
)
WARNING = Form(
    "warning",
    ("arning", "WARNING", "gnore import", "eprecated", "W: ", 'loc("'),
    lazy(
        r"(?:^|[^\s:]:\d+: )(?:[\w.]{0,80}\.)?[A-Z]\w{0,60}Warning: "
        r"|^\W{0,4}(?:[\w./-]{1,80}:? )?(?:warning|Warning|WARNING)\b[:!\]]|^Ignore import error when loading |^W: \S"
        r"|\bWarning: WARNING: |^(?:/\S+:\d+: )?\w*DeprecationWarning|\bis deprecated\b|^loc\(\""
    ),
)
SHELL = lazy(
    r"^(?:\S{0,200}/)?(?:ba|da|z|k|a)?sh: (?:line )?(?:\d+: )?.{0,300}"
    r"(?:not found|No such file|Permission denied|cannot execute)"
    r"|^\S{1,200}: (?:line )?\d+: .{0,200}: (?:command )?not found$|: command not found$"
    r"|: version [`'][\w.]{1,60}' not found \(required by "
)
"""A shell that cannot start a program, a loader that lacks the version of a symbol."""
LOUD = (
    Form(
        "error",
        ("HTTP/", " Error", "rror", "detail", "Bad Request", "RequestError"),
        lazy(
            r"^(?:< ?)?HTTP/[\d.]{1,3} [45]\d\d\b|^[45]\d\d (?:Client|Server) Error\b"
            r"|^\{['\"](?:object['\"]: ?['\"]error|error['\"]: ?[\{\['\"]|detail['\"]: ?[\{\['\"])|^Bad Request\b"
            r"|^\{.{0,200}['\"](?:type|code)['\"]: ?['\"]?(?:BadRequestError|InternalServerError|[45]\d\d)\b"
        ),
    ),
    Form("error", ("not found", "No such file", "Permission denied", "cannot execute"), SHELL),
    Form(
        "error",
        (
            "rror",
            "atal",
            "ERROR",
            "FATAL",
            "CRITICAL",
            "xception",
            "non-zero",
            "E: ",
            "!!!",
            "Failed",
            "Could not",
            "Cannot",
            "Unable to",
            "NVRM",
            "Errno",
            "out of memory",
        ),
        lazy(
            r"^\W{0,4}(?:[\w'\"./()+-]{1,80}:? ){0,3}(?:error|Error|ERROR|fatal|FATAL|Fatal|CRITICAL|Errors)\b"
            r"(?!-| messages?\b)(?:[^\w=]|$)(?!\s*0\b)"
            r"|\bhit an exception\b|^Exception (?:in thread|in ASGI|occurred|raised)|\bnon-zero status: |^E: \S|^!!! "
            r"|^(?:\[[\w .-]{1,40}\] ?)?(?:ERROR|FATAL|CRITICAL)\b|^Failed(?:: | to )|^(?:Could not|Cannot|Unable to) "
            r"|^\[Errno \d+\]|^(?:CUDA|HIP|GPU) out of memory|\bNVRM: Xid|[a-z](?:Error|Exception): \S"
        ),
    ),
)
_KUBERNETES = lazy(r"^\s*Warning\s+[A-Z]\w{2,40}\s+(?:\d+[smhd]\S*|<\w+>)")
_HEADLESS_GLOG = lazy(r"^[\w-]{2,80}\.(?:cpp|cc|cu|h|hpp):\d{1,5}\] ")
"""What is left of a glog line whose beginning was not pasted."""
_UCX = lazy(r"\bUCX +([A-Z]+)\b")


FORM_BYTES = 1000
"""How much of a line is looked at for its form."""


def exception(text: str) -> re.Match[str] | None:
    """The match of an exception's last line at the start of ``text``, or None; a lone ``Error:`` is none."""
    match = BARE.match(text)
    if match is None or ("Warning" in match["type"] and _WARNING_TYPE.match(text)):
        return None
    if _PLAIN_WORD.match(match["type"]) and (match["type"] != "Exception" or not match["message"]):
        return None
    return match


def quoted_exception(text: str) -> re.Match[str] | None:
    """An exception that a program prints behind words of its own: ``Failed to import x: ImportError: ...``."""
    if "Error: " not in text and "Exception: " not in text:
        return None
    match = _QUOTED.search(text)
    return None if match is None or WARNING.pattern.search(text) else match


def _is(form: Form, text: str) -> bool:
    for hint in form.hints:  # a plain loop: any() costs three times as much, and this runs for every line
        if hint in text:
            return form.pattern.search(text) is not None
    return False


def _placed(text: str, level: str) -> str:
    """The kind of a line that begins with a place in a C or C++ source, ``""`` for any other."""
    head = text.partition(" ")[0]
    place = _PLACE.match(text) if head.endswith(":") and "." in head else None
    if place is None:
        return ""
    if place["harmless"] or level == "W":
        return "warning"
    if place["fault"] or place["column"]:
        return "compiler"
    return "line" if level in ("I", "D") else "error"


def kind(line: Line) -> str:
    """One of :data:`sgldoctor.events.KINDS` but ``exception``, for a line that no traceback claims."""
    text, level = line.text[:FORM_BYTES], line.level
    if "NCCL WARN" in text:
        return "nccl"
    if line.style == "nccl":
        return "line"
    if "Warning  " in text and _KUBERNETES.match(text):
        return "exit" if "OOMKill" in text else "error"
    if level not in ("I", "D") and _is(EXIT, text):
        return "exit"
    if line.style == "glog":
        return "glog" if level in ("E", "W") else "line"
    if line.style == "ucx":
        said = _UCX.search(text)
        return {"ERROR": "error", "FATAL": "error", "WARN": "warning"}.get(said[1], "line") if said else "line"
    if "] " in text[:90] and _HEADLESS_GLOG.match(text):
        return "glog"
    plain = text.lstrip()  # pip indents what its children say
    placed = _placed(plain, level)
    if placed:
        return placed
    if plain.startswith("ERROR: pip's dependency resolver does not"):
        return "warning"  # it has installed what it was asked for; the lines below say what that breaks
    for form in (COMPILER, USAGE) if line.record else (COMPILER, USAGE, INSTALLER):
        if _is(form, plain):
            return form.kind
    if level == "E":
        return "error"
    if level == "W" or _is(WARNING, text):
        return "warning"
    if level in ("I", "D"):
        return "line"
    return "error" if any(_is(form, text) for form in LOUD) else "line"
