"""What is read in a log."""

from __future__ import annotations

LOGS: dict[str, dict[str, str]] = {
    "log": {
        "name": "file name or -",
        "lines": "number of lines",
        "bytes": "size",
        "truncated": "True where parts were skipped",
    },
    "failure": {
        "type": "exception type",
        "message": "its message",
        "place": "file:function of SGLang that raised it",
        "line": "log line",
        "rank": "rank or empty",
        "since": "releases that print it, if known",
    },
    "log.releases": {
        "first": "oldest release that fits",
        "last": "newest",
        "among": "all that fit",
        "range": "the same in words",
        "because": "what fits",
        "by": "lines (of source files) or texts",
    },
    "log.versions": {
        "name": "component named in a message, such as nccl",
        "version": "its version",
        "line": "log line",
    },
    "log.failed_import": {
        "module": "sglang.srt.models....: a model file that SGLang could not import and went on without",
        "error": "why",
        "line": "log line",
    },
    "log.architecture": {
        "name": "architecture or configuration class that a log says is not supported",
        "line": "log line",
    },
    "log.origin": {
        "where": "file below sglang/srt that prints the text of a failure, such as server_args.py",
        "function": "its function",
        "kind": "exception type, assert or logger call",
        "message": "the text as it stands in the log",
        "releases": "releases that print it",
        "line": "log line",
    },
    "log.installed": {
        "version": "of sglang, in a transcript of pip or uv that filled an empty environment",
        "tool": "pip or uv",
        "asked": "requirement in the command above, such as sglang[all]; empty if none stands there",
        "server": "True where packages came along that every server needs",
        "line": "log line",
    },
    "log.foreign_name": {
        "symbol": "function or class at which a log failed, where the message does not say whose it is",
        "package": "package that SGLang imports it from, as it is imported",
        "form": "import, call, attribute or undefined",
        "line": "log line",
    },
    "log.ignored_import": {
        "module": "sglang.srt.models....",
        "error": "why",
        "line": "log line",
        "wanted": "True where this model is the one launched",
    },
}
