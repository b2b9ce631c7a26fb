"""The kind of a single line, outside tracebacks: a table of patterns, the first that fits decides.

Patterns look at the form that programs give their messages (who speaks, at which level, in which place of a source
file), not at what is said: what it means is the rules' business. They hold in any language where the form does.
"""

from __future__ import annotations

import re

from sgldoctor.log.lines import Line

TYPE = r"(?:[A-Za-z_]\w{0,80}\.){0,12}_{0,2}[A-Za-z]\w{0,80}"
"""A dotted Python class name."""

SUFFIX = r"(?:Error|Exception|Interrupt|Exit|Iteration|Failure|Fault|Timeout|Expired|Group|Traceback|Unsupported|Died)"

BARE = re.compile(
    rf"(?P<type>(?:[A-Za-z_]\w{{0,80}}\.){{0,12}}(?:_{{0,2}}[A-Za-z]\w{{0,80}}?)?{SUFFIX}(?:\(\w{{1,80}}\))?"
    r"|(?:[a-z_]\w{0,80}\.){1,12}[A-Z]\w{0,80})(?::(?=[ \t]|$)|$)(?:[ \t])?(?P<message>.*)",
    re.DOTALL,
)
"""The last line of a traceback, standing anywhere: ``pkg.SomeError: message``."""

WARNING_TYPES = re.compile(r"(?:[A-Za-z_][\w.]{0,80}\.)?[A-Z]\w{0,60}Warning(?::(?= |$)|$)")
NOT_TYPES = re.compile(
    r"(?:Error|Timeout|Exit|Group|Interrupt|Iteration|Traceback|Failure|Fault|Expired|Died|Unsupported|Exception)$"
)
"""Words that end like a class name but stand alone in prose; as ``Error:`` they are a program's own message."""

PYTHON_WARNING = re.compile(r"(?:^|[^\s:]:\d+: )(?:[\w.]{0,80}\.)?[A-Z]\w{0,60}Warning: ")

NCCL_WARN = re.compile(r"\bNCCL WARN\b")
EXIT = re.compile(
    r"(?:^|[ \])])(?:\d+ )?Killed(?:$|\s{2,}|\s+(?:python|sglang|\$|\w+=))"
    r"|^\S{0,200}: line \d+: +\d+ (?:Killed|Aborted|Terminated|Bus error|Segmentation fault|Illegal instruction)"
    r"|\b(?:Bus error|Segmentation fault|Illegal instruction|Floating point exception|Aborted)(?:\s*\(|$| \$)"
    r"|\bcore dumped\b|^Fatal Python error\b|\boom-kill:|\bKilled process \d+|\bOut of memory: Kill|\bOOMKilled\b"
    r"|\bout[- ]of[- ]memory killer\b|\binvoked oom-killer\b|^signal: killed|\bMemory cgroup out of memory"
    r"|\b[Ss]ignal \d+ \(?SIG[A-Z]+|\bdied (?:with|from) (?:<Signals\.|signal )|\bterminated by signal\b"
    r"|\b(?:[Ee]xit(?:ed)?(?: with)?[ _-]?(?:code|status)|exitcode|returncode|return code)(?: is| of)?\s{0,3}[:=]?\s{0,3}\(?"
    r"(?:-[1-9]\d{0,3}|[1-9]\d{0,3})\b"
    r"|^\s*(?:Reason|reason):\s+(?:OOMKilled|Error|ContainerCannotRun|CrashLoopBackOff)\b"
)
"""Process deaths: what shells, kernels, launchers and orchestrators print. Exit status 0 is none."""

_SOURCE = r"[^\s:()\"']{1,300}\.(?:c|cc|cpp|cxx|cu|cuh|h|hh|hpp|hxx|inc|inl|S|s|ptx|pyx|pxi)"
_NO_FAULT = (
    r"(?:warning|note|remark|Warnung|Anmerkung|avertissement|advertencia|aviso|nota|警告|附注|注意|메모|경고|"
    r"предупреждение|замечание)"
)
COMPILER = re.compile(
    rf"^{_SOURCE}:\d+:\d+: (?!{_NO_FAULT})\S"
    rf"|^{_SOURCE}\(\d+\): (?:catastrophic |fatal )?error\b"
    rf"|^{_SOURCE}:\d+: (?:fatal )?error: "
    r"|\bnvcc fatal\b|\bptxas (?:fatal|error)\b|^ptxas [^\s,]{1,300}, line \d+; (?:fatal|error)"
    r"|(?:^|/)(?:ld(?:\.\w+)?|collect2|cc1|cc1plus|gcc|g\+\+|clang(?:\+\+)?|c\+\+|cc|nvcc|x86_64-[\w-]+|aarch64-[\w-]+|nvlink)"
    r"(?:-\d+)?: (?!warning)[^\n]*(?:error|fatal|cannot find|undefined reference|not found|No such)"
    r"|^/\S{0,300}/ld: |^ninja: (?:error|fatal|build stopped)|^FAILED: |^CMake Error|^make(?:\[\d+\])?: \*\*\*"
    r"|^gmake(?:\[\d+\])?: \*\*\*|: undefined reference to |^error: command '[^']{0,300}' failed|^sccache: error"
    r"|^loc\(\"[^\"]{0,300}\":\d+:\d+\): error:"
)
NATIVE = re.compile(rf"^{_SOURCE}(?::[\w:~<>]{{1,120}})?:\d+:? \S")
"""A C or C++ source place before a message: NVSHMEM, CUDA asserts, gloo."""

HEADLESS_GLOG = re.compile(r"^[\w-]{2,80}\.(?:cpp|cc|cu|h|hpp):\d{1,5}\] ")
"""What is left of a glog line whose beginning was not pasted."""

UCX = re.compile(r"\bUCX +([A-Z]+)\b")

USAGE_WORDS = (
    r"(?:argument |unrecognized arguments|the following arguments|ambiguous option|invalid choice|expected |one of the arguments|"
    r"not allowed with|too few arguments|unrecognized option|no such option|No such option)"
)
USAGE = re.compile(
    rf"^[\w./-]{{1,200}}(?:\.py)?(?: [\w-]{{1,40}})?: error: {USAGE_WORDS}|^[\w./-]{{1,200}}\.py: error: \S"
    r"|^Error: (?:No such option|Missing option|Invalid value for|Got unexpected extra argument)"
)

PIP = re.compile(
    r"^ERROR: (?:Cannot install|Could not find a version|No matching distribution|ResolutionImpossible|pip's dependency|"
    r"Failed building|Failed to build|Could not build|Ignored the following|Package |Invalid requirement|Could not install|"
    r"HTTP error|Directory |Exception:|Command errored|Some build|Could not open requirements|Cannot uninstall|"
    r"THESE PACKAGES|Hash|To modify pip|Cannot set|Operation cancelled|Wheel |[\w.-]+ has requirement|[\w.-]+ is not a supported)"
    r"|^[\w.\[\]-]+ [\w.+]+ (?:requires|has requirement) [^,]{1,200}, but you have"
    r"|^error: (?:externally-managed-environment|subprocess-exited-with-error|metadata-generation-failed|"
    r"invalid-|legacy-install-failure|uninstall-)"
    r"|^\s*[×x] (?:No solution found|Failed to|Distribution not found|Broken|Unable to|Python |Preparing|Getting|Building|Encountered)"
    r"|^(?:hint|Hint): |^\s+hint: |^error: (?:Failed to|No solution|Because|Distribution|The |Request failed|Requirements)"
    r"|^\s*(?:╰─▶|├─▶) |^note: This (?:error originates|is an issue with the package)"
)
INSTALLING = re.compile(
    r"^(?:Collecting |Requirement already|Looking in |Using cached |  Downloading |Resolved \d|INFO: pip is |Installing )"
)

HTTP = re.compile(
    r"^(?:< ?)?HTTP/[\d.]{1,3} [45]\d\d\b|^[45]\d\d (?:Client|Server) Error\b"
    r"|^\{['\"](?:object['\"]: ?['\"]error|error['\"]: ?[\{\['\"]|detail['\"]: ?[\{\['\"])|^Bad Request\b"
    r"|^\{.{0,200}['\"](?:type|code)['\"]: ?['\"]?(?:BadRequestError|InternalServerError|[45]\d\d)\b"
)
KUBERNETES = re.compile(r"^\s*Warning\s+[A-Z]\w{2,40}\s+(?:\d+[smhd]\S*|<\w+>)")
SHELL = re.compile(
    r"^(?:\S{0,200}/)?(?:ba|da|z|k|a)?sh: (?:line )?(?:\d+: )?.{0,300}(?:not found|No such file|Permission denied|cannot execute)"
    r"|^\S{1,200}: (?:line )?\d+: .{0,200}: (?:command )?not found$|: command not found$"
)
ERROR = re.compile(
    r"^\W{0,4}(?:[\w'\"./()+-]{1,80}:? ){0,3}(?:error|Error|ERROR|fatal|FATAL|Fatal|CRITICAL|Errors)\b(?!-| messages?\b)(?:[^\w=]|$)(?!\s*0\b)"
    r"|\bhit an exception\b|^Exception (?:in thread|in ASGI|occurred|raised)|\bnon-zero status: |^E: \S|^!!! "
    r"|^(?:\[[\w .-]{1,40}\] ?)?(?:ERROR|FATAL|CRITICAL)\b|^Failed: "
)
WARN = re.compile(
    r"^\W{0,4}(?:[\w./-]{1,80}:? ){0,1}(?:warning|Warning|WARNING)\b[:!\]]|^Ignore import error when loading |^W: \S"
    r"|^warning: |\bWarning: WARNING: |^(?:/\S+:\d+: )?\w*DeprecationWarning|\bis deprecated\b"
)


def exception(text: str) -> re.Match[str] | None:
    """The match of an exception's last line at the start of ``text``, or None; a lone ``Error:`` is none."""
    match = BARE.match(text)
    if match is None or WARNING_TYPES.match(text):
        return None
    if NOT_TYPES.match(match["type"]) and (match["type"] != "Exception" or not match["message"]):
        return None
    return match


def kind(line: Line) -> str:
    """One of :data:`sgldoctor.log.event.KINDS` but ``exception``, for a line that no traceback claims."""
    text = line.text
    if line.style == "nccl":
        return "nccl" if NCCL_WARN.search(text) else "line"
    if "NCCL WARN" in text:
        return "nccl"
    if KUBERNETES.match(text):
        return "exit" if "OOMKill" in text else "error"
    if EXIT.search(text) and line.level not in ("I", "D"):
        return "exit"
    if line.style == "glog":
        return "glog" if line.level in ("E", "W") else "line"
    if line.style == "ucx":
        level = UCX.search(text)
        return {"ERROR": "error", "FATAL": "error", "WARN": "warning"}.get(level[1], "line") if level else "line"
    if HEADLESS_GLOG.match(text):
        return "glog"
    if COMPILER.search(text):
        return "compiler"
    if USAGE.search(text):
        return "usage"
    if not line.record and PIP.search(text):
        return "installer"
    if line.level == "E":
        return "error"
    if line.level == "W" or PYTHON_WARNING.search(text) or WARN.search(text):
        return "warning"
    if line.level in ("I", "D"):
        return "line"
    if HTTP.search(text) or SHELL.search(text) or NATIVE.match(text) or ERROR.search(text):
        return "error"
    return "line"
