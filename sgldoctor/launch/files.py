"""Launch lines in files: shell script, Dockerfile, compose file, Kubernetes manifest, systemd unit, Python, YAML, JSON.

The kind is told from the content first and the name second. What a file takes from elsewhere (``env_file``, a
``ConfigMap``, a build argument) is noted as not known.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping

from sgldoctor.errors import InputError, unreadable
from sgldoctor.facts import Facts
from sgldoctor.launch import command as commands
from sgldoctor.launch import values
from sgldoctor.launch.command import Command
from sgldoctor.launch.images import release_of
from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple

LIMIT = 4 << 20
"""Largest file that is read, in bytes."""


class Located(NamedTuple):
    """A server command in a file: the ``kind`` of file, ``where`` in it (service, container), its ``line`` from 1.

    ``unknown`` names what the file takes from elsewhere.
    """

    command: Command
    kind: str
    where: str
    line: int
    unknown: tuple[str, ...] = ()


def read(path: str, environ: Mapping[str, str] | None = None) -> list[Located]:
    """Every server command in the file (``-``: standard input); raises :class:`InputError` where there is none."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read(LIMIT + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(LIMIT + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    path = "standard input" if path == "-" else path
    if len(data) > LIMIT:
        raise InputError(f"{path} is larger than {LIMIT >> 20} MiB: no script or manifest")
    if b"\0" in data[:4096]:
        raise InputError(f"{path} is not text")
    found = find(data.decode("utf-8-sig", "replace"), path, environ)
    if not found:
        raise InputError(f"{path} holds no SGLang server command")
    return found


def facts_of(located: Located) -> Facts:
    """The facts of a command in a file, with where it stands and what the file takes from elsewhere."""
    out = commands.facts(located.command)
    for what in located.unknown:
        out.put_unknown(f"launch {located.where or located.kind}", f"the file takes {what}")
    return out


def find(text: str, name: str, environ: Mapping[str, str] | None = None) -> list[Located]:
    """Every server command in ``text``; ``name`` helps to tell the kind of file."""
    kind = kind_of(text, name)
    if kind == "yaml":
        from sgldoctor.launch import manifests

        return manifests.find(text, name, environ or {})
    if kind == "dockerfile":
        return _dockerfile(text)
    if kind == "systemd":
        return _systemd(text)
    if kind == "python":
        return [Located(values.command(v.values, v.line), kind, v.where, v.line) for v in values.of_python(text)]
    if kind == "json":
        return _json(text)
    found = commands.parse_all(text, environ)
    return [Located(c, "shell", "", c.arguments[0].line if c.arguments else 1) for c in found]


def kind_of(text: str, name: str) -> str:
    """``shell``, ``dockerfile``, ``systemd``, ``python``, ``json`` or ``yaml``."""
    base = name.rsplit("/", 1)[-1].lower()
    if base.endswith((".yaml", ".yml")):
        return "yaml"
    if base.endswith(".py"):
        return "python"
    if base.endswith(".json"):
        return "json"
    if re.search(r"(?m)^\[Service\]\s*$", text) or base.endswith(".service"):
        return "systemd"
    if base.startswith(("dockerfile", "containerfile")) or base.endswith((".dockerfile", ".containerfile")):
        return "dockerfile"
    first = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    if re.match(r"(?i)FROM\s+\S|ARG\s+\w+(=\S*)?\s*$", first) and re.search(r"(?mi)^FROM\s+\S", text):
        return "dockerfile"
    if re.match(r"(apiVersion|kind|services|version|model-path|model_path):(\s|$)", first) or first.strip() == "---":
        return "yaml"
    return "json" if text.lstrip()[:1] == "{" else "shell"


def ours(found: list[Command]) -> list[Command]:
    """The commands that are SGLang's: bare options may belong to any image, unless they name a model."""
    return [c for c in found if c.entry != "options" or any(w.text.startswith("--model") for w in c.arguments)]


def of_image(found: list[Located], release: str) -> list[Located]:
    """The commands with the release that their image holds, where they do not name one themselves."""
    if not release:
        return found
    return [one._replace(command=one.command._replace(release=one.command.release or release)) for one in found]


def quoted(words: list[str]) -> str:
    """Words as a shell line that gives these very words back."""
    return " ".join(shlex.quote(word) for word in words)


# ---------------------------------------------------------------------------------------------- Dockerfile

_INSTRUCTION = lazy(r"\s*([A-Za-z]+)\s+(.*)\Z", re.DOTALL)


def _dockerfile(text: str) -> list[Located]:
    """The command of the last stage, and of each earlier stage that has one: ENTRYPOINT and CMD together."""
    found: list[Located] = []
    environment: dict[str, str] = {}
    arguments: list[str] = []
    start: dict[str, tuple[str, int]] = {}
    stage = release = ""
    for line, instruction, rest in _instructions(text):
        if instruction == "FROM":
            found += of_image(_stage(stage, environment, arguments, start), release)
            environment, arguments, start = {}, [], {}
            release = release_of(rest)
            named = re.search(r"(?i)\sAS\s+(\S+)\s*$", rest)
            stage = named[1] if named else ""
        elif instruction == "RUN":
            release = release_of(rest) or release
        elif instruction == "ENV":
            environment.update(_pairs(rest, environment))
        elif instruction == "ARG":
            name, _, default = rest.strip().partition("=")
            arguments.append(name)
            if default:
                environment.setdefault(name, default.strip("\"'"))
        elif instruction in ("ENTRYPOINT", "CMD"):
            start[instruction] = (rest.strip(), line)
            if instruction == "ENTRYPOINT":
                start.pop("CMD", None)  # an entry point set later forgets an inherited command
    return found + of_image(_stage(stage, environment, arguments, start), release)


def _instructions(text: str) -> list[tuple[int, str, str]]:
    """Line, name and rest of each instruction; comment lines inside a continued one are allowed there."""
    out: list[tuple[int, str, str]] = []
    parts: list[str] = []
    begin = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (parts and not line.strip()):
            continue
        begin = begin if parts else number
        continued = line.rstrip().endswith("\\")
        parts.append(line.rstrip()[:-1] if continued else line)
        if not continued:
            if match := _INSTRUCTION.match(" ".join(parts)):
                out.append((begin, match[1].upper(), match[2]))
            parts = []
    if parts and (match := _INSTRUCTION.match(" ".join(parts))):
        out.append((begin, match[1].upper(), match[2]))
    return out


def _pairs(text: str, known: dict[str, str]) -> dict[str, str]:
    """The pairs of an ENV instruction, in its new form ``A=1 B=2`` or its old one ``A 1``."""
    if not re.match(r"[A-Za-z_]\w*=", text.strip()):
        name, _, value = text.strip().partition(" ")
        return {name: value.strip()}
    line = commands.parse(f"env {text} sglang serve x", known)
    return {name: value for name, value, sure in line.environment if sure}


def _stage(
    stage: str, environment: dict[str, str], arguments: list[str], start: dict[str, tuple[str, int]]
) -> list[Located]:
    if not start:
        return []
    words: list[str] = []
    for instruction in ("ENTRYPOINT", "CMD"):
        text, line = start.get(instruction, ("", 0))
        exec_form = _exec_form(text)
        if exec_form is not None:
            words += exec_form
        elif text and instruction == "ENTRYPOINT":
            words = ["sh", "-c", text]
            break  # the shell form of ENTRYPOINT takes no CMD
        elif text:
            words += ["sh", "-c", text]
    line = min(line for _, line in start.values())
    shown = {name: value for name, value in environment.items() if name not in arguments}
    # Variables of the image are exported to whatever it starts.
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in shown.items() if name.isidentifier())
    found = ours(commands.parse_all(exports + quoted(words), environment))
    return [Located(command, "dockerfile", stage, line) for command in found]


def _exec_form(text: str) -> list[str] | None:
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return [str(word) for word in words] if isinstance(words, list) else None


# ------------------------------------------------------------------------------------------------- systemd


def _systemd(text: str) -> list[Located]:
    """``ExecStart=`` of a unit with its ``Environment=``; prefixes and ``%`` specifiers as in systemd.service(5)."""
    environment: dict[str, str] = {}
    starts: list[tuple[int, str]] = []
    unknown: list[str] = []
    for number, name, value in _settings(text):
        if name == "Environment":
            try:
                pairs = shlex.split(value)
            except ValueError:
                pairs = []
            environment.update((pair.partition("=")[0], pair.partition("=")[2]) for pair in pairs if "=" in pair)
        elif name == "EnvironmentFile":
            unknown.append(f"variables from {value.lstrip('-')}")
        elif name == "ExecStart":
            starts = [*starts, (number, value.lstrip("@-:+!"))] if value else []
    exports = "".join(
        f"export {name}={shlex.quote(value)}\n" for name, value in environment.items() if name.isidentifier()
    )
    found: list[Located] = []
    for number, value in starts:
        # %i and the like are filled in by systemd; "%%" is a percent sign.
        line = re.sub(r"%(?!%)[A-Za-z]", "${SYSTEMD_SPECIFIER}", value).replace("%%", "%")
        found += [
            Located(command, "systemd", "ExecStart", number, tuple(unknown))
            for command in ours(commands.parse_all(exports + line, environment))
        ]
    return found


def _settings(text: str) -> list[tuple[int, str, str]]:
    """Line, name and value of each setting, continuation lines joined; comment lines inside are skipped, as there."""
    out: list[tuple[int, str, str]] = []
    parts: list[str] = []
    begin = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith(("#", ";")):
            continue
        begin = begin if parts else number
        continued = line.endswith("\\")
        parts.append(line[:-1] if continued else line)
        if not continued:
            name, equals, value = " ".join(parts).partition("=")
            if equals:
                out.append((begin, name.strip(), value.strip()))
            parts = []
    return out


# ---------------------------------------------------------------------------------------------------- JSON


def _json(text: str) -> list[Located]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if isinstance(data, dict) and values.is_arguments(data):
        return [Located(values.command(data), "json", "", 1)]
    return []
