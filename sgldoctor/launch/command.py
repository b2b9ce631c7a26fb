"""A launch line as facts: the server command in it, its arguments and the variables that it sets.

Accepted is whatever people paste: ``NAME=VALUE`` prefixes, ``export``, ``env``, continuations, ``docker run``,
``torchrun``, ``srun``, ``bash -c "..."``, several commands, or the bare options. Nothing is executed or looked up
outside the text and the variables that are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sgldoctor.facts import Facts, Row
from sgldoctor.launch import shell
from sgldoctor.launch.images import release_before
from sgldoctor.launch.shell import Problem, Word
from sgldoctor.lazy import lazy
from sgldoctor.typed import NamedTuple

_ASSIGNMENT = lazy(r"([A-Za-z_]\w*)(\+?)=(.*)\Z", re.DOTALL)
_UPPER_ASSIGNMENT = lazy(r"[A-Z_][A-Z0-9_]*=")
_PROMPT = lazy(r"\A\s*(?:\([\w.-]+\)\s+)?(?:\[?[\w.-]+@[\w.-]+[:\s][^$#\n]{0,200}[$#]|[$>]|>>>)[ \t]+(?=\S)")
_BEFORE_SETTINGS = ("-e", "--env", "-E", "-i", "-S", "-")
_SHELLS = ("sh", "bash", "dash", "zsh", "ash")
_MODULES = {"sglang.launch_server": "launch_server", "sglang_router.launch_server": "router"}
_DEEPEST = 4


class Command(NamedTuple):
    """One server command.

    Attributes:
        text: the command on one line, from the program to its last argument, secrets replaced.
        entry: ``launch_server``, ``serve``, ``router``, ``options`` (bare options without a program) or ``""`` where
            the text holds no server command.
        arguments: what the server receives, with what could be looked up put in.
        environment: variables that the text itself sets for the command: name, value, whether the value is known.
        problems: defects of the script, such as a comment after a continuation.
        release: the release of SGLang that its container image or ``uv run --with`` names, ``""`` if none.
    """

    text: str
    entry: str
    arguments: tuple[Word, ...]
    environment: tuple[tuple[str, str, bool], ...]
    problems: tuple[Problem, ...]
    release: str = ""


def parse(line: str, environ: Mapping[str, str] | None = None) -> Command:
    """The first server command of ``line``, one or more lines of shell; never raises for what the text holds.

    ``environ`` gives values for variables that the text uses but does not set.
    """
    found, problems = _commands(line, environ)
    return found[0] if found else Command("", "", (), (), problems)


def parse_all(text: str, environ: Mapping[str, str] | None = None) -> list[Command]:
    """Every server command of a script, such as one for prefill and one for decode."""
    return _commands(text, environ)[0]


def _commands(text: str, environ: Mapping[str, str] | None) -> tuple[list[Command], tuple[Problem, ...]]:
    variables = {name: (value, True) for name, value in (environ or {}).items()}
    return _walk(_PROMPT.sub("", text, count=1), variables, {}, 0)


def _walk(
    text: str, variables: dict[str, tuple[str, bool]], exported: dict[str, tuple[str, bool]], depth: int
) -> tuple[list[Command], tuple[Problem, ...]]:
    script = shell.read(text)
    problems = tuple(script.problems)
    found: list[Command] = []
    for raw in script.commands:
        words = [word for part in raw for word in shell.expand(part, variables)]
        prefix = _prefix(words)
        rest = words[len(prefix) :]
        if not rest:
            variables.update(prefix)
            exported.update({name: value for name, value in prefix.items() if name in exported})
            continue
        if rest[0].text in ("export", "declare", "typeset", "unset"):
            _export(rest, variables, exported)
            continue
        inner = _shell_text(rest)
        if inner and depth < _DEEPEST:
            scope = _scope(rest[: inner[0]], exported, prefix)
            commands, more = _walk(inner[1], {**variables, **scope}, scope, depth + 1)
            above = next(word.line for word in rest[inner[0] :] if word.text == inner[1]) - 1
            release = release_before(rest[: inner[0]])
            found += [_lowered(command, above, problems, release) for command in commands]
            problems += tuple(problem._replace(line=problem.line + above) for problem in more)
        elif at := _entry(rest):
            kind, first = at
            found.append(_command(kind, rest, first, _scope(rest[:first], exported, prefix), problems))
    if not found and depth == 0:
        found = _bare_options(script, variables, exported, problems)
    return found, problems


def _lowered(command: Command, lines: int, outer: tuple[Problem, ...], release: str) -> Command:
    """A command of ``bash -c "..."`` with the lines and the image of the script round it."""
    return command._replace(
        release=command.release or release,
        arguments=tuple(word._replace(line=word.line + lines) for word in command.arguments),
        problems=outer + tuple(problem._replace(line=problem.line + lines) for problem in command.problems),
    )


def _bare_options(
    script: shell.Script,
    variables: dict[str, tuple[str, bool]],
    exported: dict[str, tuple[str, bool]],
    problems: tuple[Problem, ...],
) -> list[Command]:
    """Options without a program, as an image with an entry point of its own takes them."""
    for raw in script.commands:
        words = [word for part in raw for word in shell.expand(part, variables)]
        prefix = _prefix(words)
        rest = words[len(prefix) :]
        if rest and re.match(r"--?[A-Za-z]", rest[0].text):
            return [_command("options", rest, 0, {**exported, **prefix}, problems)]
    return []


def command_of(kind: str, arguments: tuple[Word, ...]) -> Command:
    """A command from arguments that were never a line."""
    return _command(kind, list(arguments), 0, {}, ())


def _command(
    kind: str, words: list[Word], first: int, environment: dict[str, tuple[str, bool]], problems: tuple[Problem, ...]
) -> Command:
    # "..." stands for options that a document leaves out; no server has an argument of that name.
    arguments = tuple(word for word in words[first:] if word.text not in ("...", "\u2026"))
    program = {"launch_server": "python -m sglang.launch_server", "serve": "sglang serve"}.get(kind)
    shown = [program] if program else [word.text for word in words[max(first - 1, 0) : first]]
    text = " ".join(shown + [_quote(word) for word in _without_secrets(arguments)])
    variables = tuple((n, v, k) for n, (v, k) in environment.items())
    return Command(text, kind, arguments, variables, problems, release_before(words[:first]))


def _quote(word: Word) -> str:
    import shlex

    return shlex.quote(word.text) if word.known else word.text


def _without_secrets(arguments: tuple[Word, ...]) -> list[Word]:
    from sgldoctor.report.redact import redact, redact_option

    out: list[Word] = []
    option = ""
    for word in arguments:
        name, equals, value = word.text.partition("=")
        owner = name if word.text.startswith("-") else option
        if word.text.startswith("-"):
            shown = f"{name}={redact_option(name, value)}" if equals else word.text
            option = "" if equals else name
        else:
            shown = redact_option(option, word.text) if option else redact(word.text)
            option = ""
        if shown != word.text and _counts(owner):
            shown = word.text  # --max-total-tokens holds no secret, whatever is written there
        out.append(word if shown == word.text else word._replace(text=shown, known=False))
    return out


def _counts(name: str) -> bool:
    """Whether an option of SGLang takes a number: its name alone may sound like a secret's."""
    from sgldoctor.knowledge import flags

    return flags.numeric(flags.canonical(name) or name)


def _prefix(words: list[Word]) -> dict[str, tuple[str, bool]]:
    """The ``NAME=VALUE`` words before the program."""
    prefix: dict[str, tuple[str, bool]] = {}
    for word in words:
        match = _ASSIGNMENT.match(word.text)
        if not match:
            break
        prefix[match[1]] = (match[3], word.known and not match[2])
    return prefix


def _export(words: list[Word], variables: dict[str, tuple[str, bool]], exported: dict[str, tuple[str, bool]]) -> None:
    for word in words[1:]:
        match = _ASSIGNMENT.match(word.text)
        name = match[1] if match else word.text
        if words[0].text == "unset":
            variables.pop(name, None)
            exported.pop(name, None)
        elif match:
            variables[name] = exported[name] = (match[3], word.known and not match[2])
        elif name in variables and words[0].text == "export":
            exported[name] = variables[name]


def _settings(before: list[Word]) -> dict[str, tuple[str, bool]]:
    """Variables among the words before the program: of ``env``, ``docker run -e``, ``sudo``, ``srun --export``.

    Only capitals count there, since labels look alike.
    """
    out: dict[str, tuple[str, bool]] = {}
    for at, word in enumerate(before):
        text = word.text
        option = before[at - 1].text if at else ""
        if option.startswith("-") and "=" not in option and option not in _BEFORE_SETTINGS and text[:1] != "-":
            continue  # the value of another option, such as -v X=/data
        for opening in ("--env=", "-e=", "-e"):
            if text.startswith(opening):
                text = text[len(opening) :]
                break
        for piece in text[len("--export=") :].split(",") if text.startswith("--export=") else [text]:
            if _UPPER_ASSIGNMENT.match(piece):
                name, _, value = piece.partition("=")
                out[name] = (value, word.known)
    return out


def _scope(
    before: list[Word], exported: dict[str, tuple[str, bool]], prefix: dict[str, tuple[str, bool]]
) -> dict[str, tuple[str, bool]]:
    """The variables that the program sees: a container does not inherit those of the shell that starts it."""
    programs = {word.text.rsplit("/", 1)[-1] for word in before}
    container = programs & {"docker", "podman", "nerdctl", "kubectl"} and programs & {"run", "exec"}
    return {**({} if container else {**exported, **prefix}), **_settings(before)}


def _shell_text(words: list[Word]) -> tuple[int, str] | None:
    """The script handed to ``bash -c`` and where it stands, if it holds a server command."""
    for at, word in enumerate(words):
        if word.text.rsplit("/", 1)[-1] not in _SHELLS:
            continue
        for offset, option in enumerate(words[at + 1 : at + 4], at + 1):
            if re.fullmatch(r"-[a-z]*c[a-z]*", option.text) and offset + 1 < len(words):
                text = words[offset + 1].text
                return (at, text) if "sglang" in text else None
            if not option.text.startswith("-"):
                break
    return None


def _entry(words: list[Word]) -> tuple[str, int] | None:
    """The kind of server program among ``words`` and the position of its first argument."""
    for at, word in enumerate(words):
        name = word.text.rsplit("/", 1)[-1]
        if word.text in _MODULES and (at == 0 or re.fullmatch(r"-[A-Za-z]*m", words[at - 1].text)):
            return _MODULES[word.text], at + 1
        if name == "launch_server.py" and "sglang" in word.text:
            return "launch_server", at + 1
        if name == "launch_server.py" and at and words[at - 1].text.rsplit("/", 1)[-1].startswith("python"):
            return "launch_server", at + 1
        if name == "sglang" and at + 1 < len(words) and words[at + 1].text == "serve":
            return "serve", at + 2
    return None


def facts(command: Command) -> Facts:
    """What a command says: ``launch``, ``launch.argument``, ``environment``, its defects as ``launch.invalid``.

    The options themselves depend on the release and are derived (``launch.option``).
    """
    out = Facts()
    if not command.entry:
        out.put_unknown("launch", "no SGLang server command was found in the line")
        out.put("launch.invalid", [_defect(problem) for problem in command.problems], "launch")
        return out
    from sgldoctor.report.redact import redact_value

    arguments = _without_secrets(command.arguments)
    row: Row = {"command": command.text, "entry": command.entry}
    out.put("launch", row | ({"release": command.release} if command.release else {}), "launch")
    rows: list[Row] = [
        {"position": position, "text": word.text, "known": word.known} for position, word in enumerate(arguments)
    ]
    out.put("launch.argument", rows, "launch")
    out.put(
        "environment",
        [{"name": name, "value": redact_value(name, value)} for name, value, known in command.environment if known],
        "launch",
    )
    for name, value, known in command.environment:
        if not known:
            out.put_unknown(f"variable {name}", f"its value is computed where the line runs: {value[:80]}")
    out.put("launch.invalid", [_defect(problem) for problem in command.problems], "launch")
    return out


def _defect(problem: Problem) -> Row:
    return {
        "flag": problem.given,
        "kind": problem.kind,
        "note": problem.note,
        "line": problem.line,
        # Lines without a backslash also come from a terminal that wrapped them; blanks at a line's end from a browser.
        "certain": problem.kind in ("comment", "quoting"),
    }
