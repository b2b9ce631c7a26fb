"""Launch lines, variables and ``server_args=ServerArgs(...)`` in a pasted text.

Values of keys, tokens and passwords never become facts.
"""

from __future__ import annotations

from collections.abc import Sequence

from sgldoctor.lazy import lazy
from sgldoctor.log.forms import BEFORE_PROMPT
from sgldoctor.log.lines import Line
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.log.pasted import Paste

COMMAND_BYTES = 16 << 10
CONTINUED_LINES = 200

_SERVER = lazy(r"\bsglang\.launch_server\b|\bsglang[\w./-]{0,20} serve\b|/sglang/launch_server\.py\b")
_PROMPT = lazy(BEFORE_PROMPT + r"[$#%❯+] ?(?=\S)")  # noqa: RUF001
_PROMPT_BEGINS = frozenset("$#%+([\u276f")
_BEGIN = lazy(
    r"^(?:[A-Za-z_]\w{0,80}=|(?:\S{0,200}/)?(?:python[\d.]*|sglang|docker|podman|nerdctl|nohup|exec|sudo|env|uv|srun|mpirun|"
    r"torchrun|numactl|bash|sh|ENTRYPOINT|CMD|command:|nsys|ray|timeout|kubectl|CUDA_VISIBLE_DEVICES|time|setsid|-)(?:\s|$))"
)
_INSIDE = lazy(
    r"(?:[A-Z][A-Z0-9_]{1,80}=\S{0,200} )*(?:\S{0,200}/)?python[\d.]* (?:-\w+ )*-m sglang\.launch_server\b.*"
)
_QUOTED = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}
"""What closes a quotation that each of these opens."""
_ASSIGNMENT = lazy(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]{1,80})=(?P<value>\"[^\"]{0,2000}\"|'[^']{0,2000}'|[^\s\"';|&]{0,2000})"
)
_EXPORT = lazy(r"^(?:export|declare -x|setenv|ENV) +(?P<rest>\S.*)$")
_DOCKER_ENV = lazy(
    r"(?:^|\s)(?:-e|--env)[= ]?(?P<pair>[A-Za-z_][A-Za-z0-9_]{1,80}=(?:\"[^\"]{0,2000}\"|'[^']{0,2000}'|\S{0,2000}))"
)
_FILLED_IN = lazy(r"\$[A-Za-z_{(0-9*@?]|`|<[A-Za-z_][\w -]{0,60}>")
"""A part of a value that a shell, or whoever copies the example, fills in."""
_SHELL_VARIABLE = lazy(r"^(?P<name>[A-Z_][A-Z0-9_]{1,80})=(?P<value>.{0,2000})$")
_ARGUMENT = lazy(
    r"(?P<name>[a-z_]\w{0,80})=(?P<value>'(?:[^'\\]|\\.){0,4000}'|\"(?:[^\"\\]|\\.){0,4000}\"|\[[^\]]{0,4000}\]|\{[^{}]{0,4000}\}"
    r"|\((?:[^()]){0,4000}\)|[^,()'\"\[\]{}]{1,300}(?:\([^()]{0,300}\))?)(?=, |\)|$)"
)


def collect(lines: Sequence[Line], paste: Paste) -> None:
    """Read everything of this module's subject out of the lines."""
    dump: list[tuple[str, str, int]] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        text = line.text
        index += 1
        if "ServerArgs(" in text:
            _server_args(text, line.number, paste)
            continue
        if line.record or line.time:
            continue
        plain = text.strip()
        if plain[:1] in _PROMPT_BEGINS or "@" in plain[:80]:
            plain = _PROMPT.sub("", plain, count=1)
        variable = _SHELL_VARIABLE.match(plain) if "=" in plain[:90] else None
        if variable and not _SERVER.search(plain):
            dump.append((variable["name"], variable["value"], line.number))
            continue
        if dump:
            _variables(dump, paste)
            dump = []
        if not plain:
            continue
        export = _EXPORT.match(plain) if "=" in plain else None
        if export:
            for match in _ASSIGNMENT.finditer(export["rest"]):
                _variable(match["name"], match["value"], line.number, paste)
            continue
        if not plain.endswith("\\") and "launch_server" not in plain and " serve" not in plain:
            continue
        if not _BEGIN.match(plain) and not _SERVER.search(plain):
            continue
        command, index = _joined(lines, index, plain)
        if _SERVER.search(command):
            _command(command, line.number, paste)
    _variables(dump, paste)


def _joined(lines: Sequence[Line], index: int, command: str) -> tuple[str, int]:
    """Follow a command over its continuation lines; returns it and the index of the line after it."""
    parts = [command.rstrip("\\").rstrip()] if command.endswith("\\") else [command]
    ends = not command.endswith("\\")
    while not ends and index < len(lines) and len(parts) < CONTINUED_LINES:
        text = lines[index].text.strip()
        index += 1
        ends = not text.endswith("\\")
        parts.append(text.rstrip("\\").rstrip())
    return " ".join(part for part in parts if part)[:COMMAND_BYTES], index


def _command(command: str, line: int, paste: Paste) -> None:
    if not _BEGIN.match(command):
        inside = _INSIDE.search(command)
        if inside is None or "`" in command[: inside.start()]:
            return
        # In a sentence a command ends where the quotation does.
        opened = _QUOTED.get(command[: inside.start()][-1:], "")
        command = inside[0].partition(opened)[0] if opened else inside[0]
    command = command.strip("`")
    server = _SERVER.search(command)
    for match in _ASSIGNMENT.finditer(command[: server.start() if server else 0]):
        if match.start() == 0 or command[match.start() - 1] in " \t":
            _variable(match["name"], match["value"], line, paste)
    for match in _DOCKER_ENV.finditer(command):
        name, _, value = match["pair"].partition("=")
        _variable(name, value, line, paste)
    from sgldoctor.report.redact import redact, redact_value

    command = _ASSIGNMENT.sub(lambda m: f"{m['name']}={redact_value(m['name'], m['value'])}", redact(command))
    paste.add("launch", {"command": command, "line": line})


def _variables(dump: list[tuple[str, str, int]], paste: Paste) -> None:
    """``NAME=VALUE`` lines: what ``env`` prints, or assignments typed before a command."""
    for name, value, line in dump:
        _variable(name, value, line, paste)


def _variable(name: str, value: str, line: int, paste: Paste) -> None:
    value = value.strip()
    if not value.startswith("'") and _FILLED_IN.search(value):
        return  # what the shell makes of it is not in the text
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    from sgldoctor.report.redact import redact_value

    if len(paste.environment) < 1000:
        paste.environment[name] = {"name": name, "value": redact_value(name, value)[:1000], "line": line}


def _server_args(text: str, line: int, paste: Paste) -> None:
    """The fields of a ``ServerArgs(...)`` dump that are set, as options; a dump of each rank adds nothing new."""
    if "launch.option" in paste.rows:
        return
    from sgldoctor.report.redact import redact_option

    body = text[text.index("ServerArgs(") + len("ServerArgs(") :]
    for match in _ARGUMENT.finditer(body):
        name, value = match["name"], match["value"].strip()
        if value in ("None", "''", '""') or (match.start() and body[match.start() - 1] not in " ,("):
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        value = redact_option(name, value)
        given = f"{name}={value}"
        flag = "--" + name.replace("_", "-")
        row = {"flag": flag, "value": value[:1000], "given": given[:1000], "known": True, "line": line}
        paste.add("launch.option", row)
