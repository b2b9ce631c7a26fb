"""Variables in a file that holds a launch line: where one is set, and how one is added in the manner of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from sgldoctor.actions.base import quote
from sgldoctor.actions.kinds.set_env import SetEnv
from sgldoctor.actions.kinds.unset_env import UnsetEnv
from sgldoctor.launch.files import Located
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.fix.launchfile import Edit


def edits(text: str, located: Located, actions: Sequence[SetEnv | UnsetEnv]) -> list[Edit]:
    """The pieces of text to replace; an action for which no place is found adds none: reading again then tells."""
    out: list[Edit] = []
    waiting = [action for action in actions if isinstance(action, UnsetEnv)]
    for action in actions:
        if isinstance(action, UnsetEnv):
            continue
        held = _place(text, action.name, located.line)
        if held is None and waiting:
            # One name for another: the new one takes the place of the old one.
            old = waiting.pop(0)
            held = _place(text, old.name, located.line)
        if held is not None:
            out += _renewed(held, action)
        else:
            out += _added(text, located, action)
    for action in waiting:
        held = _place(text, action.name, located.line)
        out += _removed(text, held) if held is not None else []
    return out


_REST = r"(?P<rest>[ \t]*(?:#[^\n]*)?)$"
_KEY = r"(?P<lead>[ \t]*(?:export[ \t]+|ENV[ \t]+|Environment=|-[ \t]+)?)"
_VALUE = r"(?P<value>(?:[^\s'\"\\,\]]|\\[^\n]|'[^'\n]*'|\"(?:[^\"\\\n]|\\.)*\")*)"
_FORMS = (
    # Kubernetes: two lines of one item.
    r"(?m)^(?P<lead>[ \t]*-[ \t]+name:[ \t]*)(?P<name>NAME)(?P<mid>[ \t]*\r?\n[ \t]*value:[ \t]*)"
    r"(?P<value>[^\n#]*?)" + _REST,
    # A mapping of YAML.
    r"(?m)^(?P<lead>[ \t]+)(?P<name>NAME)(?P<mid>:[ \t]+)(?P<value>[^\n#]*?)" + _REST,
    # NAME=VALUE alone on its line: export, ENV, Environment=, an item of a list; the whole in quotes, or not.
    r"(?m)^" + _KEY + r"(?P<quoted>[\"'])(?P<name>NAME)(?P<mid>=)(?P<value>[^\"'\n]*)(?P=quoted)" + _REST,
    r"(?m)^" + _KEY + r"(?P<name>NAME)(?P<mid>=)" + _VALUE + _REST,
    # Among other words.
    r"(?<![\w$])(?P<word>(?P<name>NAME)(?P<mid>=)" + _VALUE + r"[ \t]*)",
)


def _place(text: str, name: str, line: int) -> re.Match[str] | None:
    """The assignment of a variable, in whatever form, that is nearest to a line and not in a comment."""
    found: list[re.Match[str]] = []
    for form in _FORMS:
        if not found:
            found = [match for match in re.finditer(form.replace("NAME", name), text) if not _in_comment(text, match)]
    return min(found, key=lambda match: abs(text.count("\n", 0, match.start()) + 1 - line), default=None)


def _in_comment(text: str, match: re.Match[str]) -> bool:
    return text[text.rfind("\n", 0, match.start("name")) + 1 : match.start("name")].lstrip().startswith("#")


def _renewed(held: re.Match[str], action: SetEnv) -> list[Edit]:
    from sgldoctor.fix.launchfile import Edit

    old = held["value"]
    if held["mid"] == "=":
        value = action.value if held.groupdict().get("quoted") else quote(action.value)
    elif old[:1] in "\"'":
        value = json.dumps(action.value)
    else:
        value = action.value if re.fullmatch(r"[A-Za-z_/][\w./:-]*", action.value) else json.dumps(action.value)
    return [Edit(*held.span("value"), value), Edit(*held.span("name"), action.name)]


def _removed(text: str, held: re.Match[str]) -> list[Edit]:
    from sgldoctor.fix.launchfile import Edit

    if held.groupdict().get("word") is None:
        begin = held.start()
        end = text.find("\n", held.end())
        return [Edit(begin, len(text) if end < 0 else end + 1, "")]
    before = re.search(r"(?:-e|--env)[ \t=]\Z", text[: held.start()])
    return [Edit(before.start() if before else held.start(), held.end(), "")]


def _added(text: str, located: Located, action: SetEnv) -> list[Edit]:
    from sgldoctor.fix.launchfile import Edit

    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    line = min(located.line, len(starts)) - 1
    if located.kind == "shell":
        while line and text[starts[line - 1] : starts[line]].rstrip("\r\n").endswith("\\"):
            line -= 1
    if located.kind in ("compose", "kubernetes"):
        return _added_yaml(text, starts, line, located.kind, action)
    shown = {
        "shell": f"export {action.name}={quote(action.value)}",
        "dockerfile": f"ENV {action.name}={quote(action.value)}",
        "systemd": f"Environment={quote(f'{action.name}={action.value}')}",
    }.get(located.kind)
    if shown is None:
        return []
    indent = re.match(r"[ \t]*", text[starts[line] :])
    return [Edit(starts[line], starts[line], f"{indent[0] if indent else ''}{shown}\n")]


def _added_yaml(text: str, starts: Sequence[int], line: int, kind: str, action: SetEnv) -> list[Edit]:
    """Into the block of variables beside the command, or a new one above it."""
    from sgldoctor.fix.launchfile import Edit

    while line >= 0 and not re.match(r"[ \t]*(?:-[ \t]+)?(?:command|args|entrypoint):", text[starts[line] :]):
        line -= 1
    if line < 0:
        return []
    key = re.match(r"([ \t]*)((?:-[ \t]+)?)", text[starts[line] :])
    indent = (key[1] + " " * len(key[2])) if key else ""
    name = "environment" if kind == "compose" else "env"
    value = json.dumps(action.value)
    held = _sibling(text, starts, line, indent, name)
    if held is not None:
        child = re.match(r"([ \t]*)(-[ \t]+(?:name:)?)?", text[starts[held + 1] :] if held + 1 < len(starts) else "")
        lead = child[1] if child and len(child[1]) >= len(indent) else indent + "  "
        if kind == "kubernetes":
            new = f"{lead}- name: {action.name}\n{lead}  value: {value}\n"
        elif child and child[2]:
            new = f"{lead}- {action.name}={action.value}\n"
        else:
            new = f"{lead}{action.name}: {value}\n"
        return [Edit(starts[held + 1], starts[held + 1], new)] if held + 1 < len(starts) else []
    if key and key[2]:
        return []  # the command opens the item of a list: what would stand above it belongs to another one
    if kind == "kubernetes":
        new = f"{indent}{name}:\n{indent}- name: {action.name}\n{indent}  value: {value}\n"
    else:
        new = f"{indent}{name}:\n{indent}  {action.name}: {value}\n"
    return [Edit(starts[line], starts[line], new)]


def _sibling(text: str, starts: Sequence[int], line: int, indent: str, name: str) -> int | None:
    """The line of the key ``name`` of the same mapping, if it opens a block."""
    for step in (-1, 1):
        at = line + step
        while 0 <= at < len(starts):
            content = text[starts[at] :].split("\n", 1)[0]
            if re.match(rf"{indent}{name}:[ \t]*(?:#.*)?\r?$", content):
                return at
            depth = len(content) - len(content.lstrip())
            if content.strip() and not content.lstrip().startswith("#") and depth < len(indent):
                break
            at += step
    return None
