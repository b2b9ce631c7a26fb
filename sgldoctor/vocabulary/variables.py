"""Environment variables, and what is wrong with them."""

from __future__ import annotations

VARIABLES: dict[str, dict[str, str]] = {
    "environment": {"name": "variable", "value": "value, redacted"},
    "environment.renamed": {
        "name": "variable that is set",
        "value": "its value",
        "successor": "what to set instead, empty if nothing",
        "successor_value": "the value to give it",
        "kind": "renamed, removed, inert (not read by this release), inverted, flag, milliseconds, "
        "misadvised (works, but the warning's advice would turn it off), harmful (refused at start), misspelt",
        "works": "True where this release still honours the old name, None where that is not known",
        "says": "what this release prints, empty if it is silent",
        "note": "one sentence: what really happens in this release",
        "releases": "range of releases for which the row holds, such as 0.5.7..0.5.17",
        "release": "the release it was judged for, empty if that is not known",
    },
    "environment.warned": {
        "name": "variable that a deprecation warning in a log names",
        "says": "the warning",
        "line": "log line",
    },
    "environment.invalid": {
        "name": "variable",
        "value": "value",
        "expected": "what is allowed",
        "note": "one sentence",
    },
    "environment.range": {
        "name": "variable",
        "value": "value",
        "limit": "largest allowed",
        "default": "the release's default",
        "note": "one sentence",
    },
    "environment.interface": {"name": "NCCL_SOCKET_IFNAME, ...", "value": "value", "interfaces": "what there is"},
    "environment.library_path": {
        "folder": "entry of LD_LIBRARY_PATH",
        "problem": "missing, empty, stubs, shadows",
        "library": "library it shadows, or empty",
    },
    "environment.preload": {
        "file": "entry of LD_PRELOAD",
        "library": "its base name",
        "problem": "missing, or why the loader does not take it",
    },
    "environment.toolkit": {"name": "CUDA_HOME, ...", "value": "value", "problem": "missing, no nvcc, colon"},
    "environment.proxy": {
        "name": "http_proxy, ...",
        "value": "the proxy, without credentials",
        "missing": "what no_proxy does not name: localhost, 127.0.0.1",
        "note": "one sentence",
    },
}
