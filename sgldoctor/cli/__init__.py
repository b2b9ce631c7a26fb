"""The command line: one module per command, imported only when that command is run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sgldoctor.errors import UsageError

COMMANDS = {
    "check": "what is wrong with this machine and this environment; --fix repairs it",
    "explain": "what really caused a crash log, and what to type",
    "launch": "what is wrong with a launch line, before it runs: flags, variables, sizes, backends",
    "lint": "the launch lines of many files: for pre-commit and continuous integration",
    "tp": "which tensor-parallel sizes a model allows, and what forbids the others",
    "plan": "the installation plan of a release: order, pins, what would move; --resolve proves it",
    "upgrade": "what breaks or changes from one release to another, and the launch line for it",
    "smoke": "does a running server really answer: health, models, chat, streaming, errors, latency",
    "run": "run a command untouched, and explain it at once if it dies or stalls",
    "snapshot": "all that check sees, as a file to attach, to keep, and to check elsewhere or later",
    "fleet": "many nodes: what is wrong on each, and what differs between them",
    "redact": "a log or any text without its secrets",
    "rules": "the rule base: list, show, lint, test, new, docs",
    "env": "the exports that an environment needs, and what fixes have set, for a shell to source",
    "undo": "take back the last fix",
    "mcp": "the same for agents: a server of the Model Context Protocol on standard input and output",
    "completion": "a completion script for bash, zsh or fish",
}
"""Every command with the line that ``--help`` shows for it."""

HELP = """usage: sgldoctor COMMAND [OPTION...]

The doctor for SGLang on NVIDIA GPUs.

commands:
{commands}

examples:
  sgldoctor check                          examine the active environment
  sgldoctor check --python /opt/venv/bin/python --fix
  sgldoctor explain crash.log
  python -m sglang.launch_server ... 2>&1 | tee crash.log; sgldoctor explain < crash.log
  sgldoctor launch --sglang 0.5.8 --gpus 8 -- python -m sglang.launch_server --model-path M --tp 8
  sgldoctor rules show missing-libcudnn
  sgldoctor --explain-json-schema          the JSON schema of every report

'sgldoctor COMMAND --help' explains a command. Exit status: 0 healthy, 1 problems, 2 usage or unreadable input,
3 nothing wrong found but something essential is unknown.
"""


def dispatch(arguments: Sequence[str]) -> int:
    """Run one command; raises DoctorError for what the user can mend."""
    if arguments and arguments[0] == "--explain-json-schema":
        from sgldoctor.report.schema import text

        print(text(), end="")
        return 0
    if arguments[:1] == ["help"] and arguments[1:]:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        commands = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
        print(HELP.format(commands=commands), end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    name, rest = arguments[0], list(arguments[1:])
    if name not in COMMANDS:
        raise UsageError(_strange(name))
    return int(__import__(f"sgldoctor.cli.{name}", fromlist=["main"]).main(rest))


def _strange(name: str) -> str:
    """What is wrong with a first word that is no command, and what was meant."""
    import os
    from difflib import get_close_matches

    if name.startswith("-"):
        return f"{name}: a command comes first, as in 'sgldoctor check {name}'; 'sgldoctor --help' lists them"
    near = get_close_matches(name, COMMANDS, n=1)
    if near:
        return f"no such command: {name}; did you mean {near[0]!r}?"
    if os.path.isfile(name):
        from shlex import quote

        how = "check --snapshot" if name.endswith(".json") else "explain"
        return f"{name} is a file, and a command comes first: sgldoctor {how} {quote(name)}"
    return f"no such command: {name}; there are {', '.join(COMMANDS)}"
