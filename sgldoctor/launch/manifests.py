"""Launch lines in YAML: compose files, Kubernetes manifests and whatever embeds their containers, argument files.

Nodes are walked with their marks, so that each command knows its line; PyYAML comes with the extra ``files``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping

from sgldoctor.errors import InputError
from sgldoctor.launch import command as commands
from sgldoctor.launch import values
from sgldoctor.launch.command import Command
from sgldoctor.launch.files import Located, of_image, ours
from sgldoctor.launch.images import release_of
from sgldoctor.lazy import lazy
from sgldoctor.typed import Any

_MOST = 100_000  # nodes that are looked at; aliases may repeat one endlessly
_DEEPEST = 60


def find(text: str, name: str, environ: Mapping[str, str]) -> list[Located]:
    """Every server command in the documents of ``text``; raises :class:`InputError` where it is no YAML."""
    try:
        import yaml
    except ImportError:
        raise InputError(f"{name}: reading YAML needs PyYAML: pip install 'sgldoctor[files]'") from None
    try:
        documents = [_plain(node, [_MOST]) for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node]
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        hint = " (a Helm template has to be rendered first)" if "{{" in text else ""
        raise InputError(f"{name}{place}: not valid YAML{hint}") from error
    found: list[Located] = []
    for document in documents:
        data, line = document
        if not isinstance(data, dict):
            continue
        services = data.get("services")
        if services and isinstance(services[0], dict):
            for service, entry in services[0].items():
                found += _service(service, entry, environ)
            continue
        containers = list(_containers(document, 0))
        plain = _texts(data.get("kind"))[:1] in _PLAIN_KINDS
        for container in containers:
            found += _container(container, plain=plain)
        flat = {key: _value(entry) for key, entry in data.items()}
        if not containers and values.is_arguments(flat):
            found.append(Located(values.command(flat, line), "config", "", line))
    return found


Entry = tuple[Any, int]
"""A value and its line: a mapping of names to entries, a list of entries, or a plain value."""


def _plain(node: Any, left: list[int], depth: int = 0) -> Entry:
    """A node as an entry, merge keys resolved; whatever is too deep or too much is left out."""
    line = node.start_mark.line + 1
    left[0] -= 1
    if depth > _DEEPEST or left[0] < 0:
        return None, line
    if node.id == "mapping":
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            if key.id != "scalar":
                continue
            entry = _plain(value, left, depth + 1)
            if key.value == "<<":
                for part in entry[0] if isinstance(entry[0], list) else [entry]:
                    if isinstance(part[0], dict):
                        merged = {**part[0], **merged}
            else:
                own[key.value] = entry
        return {**merged, **own}, line
    if node.id == "sequence":
        return [_plain(item, left, depth + 1) for item in node.value], line
    return _scalar(node), line


def _scalar(node: Any) -> Any:
    kind = node.tag.rsplit(":", 1)[-1]
    text = node.value
    if kind == "bool":
        return text.lower() in ("true", "yes", "on")
    if kind == "null":
        return None
    if kind in ("int", "float"):
        try:
            return int(text, 0) if kind == "int" else float(text)
        except ValueError:
            return text
    return text


def value_of(node: Any) -> Any:
    """The value of a node of PyYAML as it is read here: plain data, without lines."""
    return _value(_plain(node, [_MOST]))


def _value(entry: Entry) -> Any:
    """An entry without its lines."""
    data = entry[0]
    if isinstance(data, dict):
        return {key: _value(value) for key, value in data.items()}
    return [_value(item) for item in data] if isinstance(data, list) else data


def _texts(entry: Entry | None) -> list[str]:
    """The words of a list, or the text of a scalar as a single word."""
    if entry is None or entry[0] is None:
        return []
    data = entry[0]
    return [str(_value(item)) for item in data] if isinstance(data, list) else [str(_value(entry))]


def _located(found: list[Command], kind: str, where: str, line: int, unknown: list[str]) -> list[Located]:
    return [Located(command, kind, where, line, tuple(unknown)) for command in ours(found)]


def _release(image: Entry | None) -> str:
    return release_of("".join(_texts(image)))


def _exports(environment: Mapping[str, str | None]) -> str:
    """Lines that set variables for the command after them; one without a value is unknown there."""
    lines = []
    for name, value in environment.items():
        if name.isidentifier():
            lines.append(f"export {name}={'$(elsewhere)' if value is None else shlex.quote(value)}\n")
    return "".join(lines)


# ------------------------------------------------------------------------------------------------- compose


def _service(name: str, entry: Entry, environ: Mapping[str, str]) -> list[Located]:
    data, line = entry
    if not isinstance(data, dict):
        return []
    parts = []
    for key in ("entrypoint", "command"):
        value = data.get(key)
        if value and value[0] is not None:
            parts.append(_compose_words(value, environ))
            line = value[1]
    if not parts:
        return []
    unknown = [f"variables from {what}" for what in _texts(data.get("env_file"))]
    environment = _compose_environment(data.get("environment"), environ)
    found = commands.parse_all(_exports(environment) + " ".join(parts), environ)
    return of_image(_located(found, "compose", name, line, unknown), _release(data.get("image")))


def _compose_words(entry: Entry, environ: Mapping[str, str]) -> str:
    """A command as a shell line. Compose fills in ``${NAME}`` first, then splits a string as a shell would."""
    if isinstance(entry[0], list):
        return " ".join(_quoted(_filled(word, environ)) for word in _texts(entry))
    text = _filled(re.sub(r"\\\s*\n", " ", str(entry[0])), environ)
    try:
        return " ".join(_quoted(word) for word in shlex.split(text))
    except ValueError:
        return text  # an open quote: reported when the line is read


_FILL = lazy(r"\$(?:(\$)|\{([A-Za-z_]\w*)(?::?[-=]([^}]*))?\}|([A-Za-z_]\w*))")
_MARKED = lazy("\0(\\w+)\1")


def _filled(text: str, environ: Mapping[str, str]) -> str:
    """``text`` with its variables filled in; one that is not known becomes a mark that :func:`_quoted` understands."""

    def fill(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        name = match[2] or match[4]
        return environ.get(name) or match[3] or f"\0{name}\1"

    return _FILL.sub(fill, text.replace("\0", ""))


def _quoted(word: str) -> str:
    """A word of which a shell leaves everything as it is, but for the marked variables, which it does not know."""
    pieces = _MARKED.split(word)
    out = [f'"${{{piece}}}"' if index % 2 else piece and shlex.quote(piece) for index, piece in enumerate(pieces)]
    return "".join(out) or "''"


def _compose_environment(entry: Entry | None, environ: Mapping[str, str]) -> dict[str, str | None]:
    """Variables of a service; one without a value is taken from the shell that runs compose."""
    if entry is None:
        return {}
    out: dict[str, str | None] = {}
    if isinstance(entry[0], dict):
        for name, value in entry[0].items():
            out[name] = environ.get(name) if value[0] is None else _sure(_boolean(value[0]), environ)
        return out
    for text in _texts(entry):
        name, equals, value = text.partition("=")
        out[name] = _sure(value, environ) if equals else environ.get(name)
    return out


def _boolean(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sure(value: str, environ: Mapping[str, str]) -> str | None:
    """``value`` with its variables filled in, None where one is not known."""
    filled = _filled(value, environ)
    return None if "\0" in filled else filled


# ---------------------------------------------------------------------------------------------- Kubernetes


def _containers(entry: Entry, depth: int) -> Iterator[dict[str, Entry]]:
    """The containers of a manifest, however its kind nests them: in lists, or alone as custom resources have them."""
    data = entry[0]
    if depth > _DEEPEST:
        return
    if isinstance(data, dict):
        if any(isinstance(data[key][0], list) for key in ("command", "args") if key in data):
            yield data
        for key, value in data.items():
            if key in ("containers", "initContainers") and isinstance(value[0], list):
                yield from (item[0] for item in value[0] if isinstance(item[0], dict))
            else:
                yield from _containers(value, depth + 1)
    elif isinstance(data, list):
        for item in data:
            yield from _containers(item, depth + 1)


_PLAIN_KINDS = [[kind] for kind in ("Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")]
"""Kinds whose containers have the variables that the manifest names; the controller of another may add its own."""


def _container(container: dict[str, Entry], *, plain: bool) -> list[Located]:
    words: list[str] = []
    line = 1
    for key in ("command", "args"):
        value = container.get(key)
        if value and value[0] is not None:
            line = line if words else value[1]
            words += _texts(value)
    if not words:
        return []
    environment: dict[str, str | None] = {}
    for item in _value(container["env"]) if container.get("env") else []:
        if isinstance(item, dict) and item.get("name"):
            environment[str(item["name"])] = None if item.get("value") is None else _boolean(item["value"])
    unknown = ["variables from envFrom"] if container.get("envFrom") else []
    complete = plain and not unknown
    text = " ".join(_expanded(word, environment, complete=complete) for word in words)
    name = _texts(container.get("name"))
    found = _located(commands.parse_all(_exports(environment) + text), "kubernetes", "".join(name), line, unknown)
    return of_image(found, _release(container.get("image")))


def _expanded(word: str, environment: Mapping[str, str | None], *, complete: bool) -> str:
    """A word as Kubernetes hands it on: ``$(NAME)`` of a variable of the container is filled in, nothing else is.

    Where the variables are not ``complete``, one that is not among them may be there and is not known.
    """
    out = ""
    at = 0
    for match in re.finditer(r"\$\$|\$\(([A-Za-z_][\w.-]*)\)", word):
        out += shlex.quote(word[at : match.start()]) if match.start() > at else ""
        at = match.end()
        if match[0] == "$$":
            out += "'$'"
        elif match[1] not in environment and not complete:
            out += f'"{match[0]}"'  # to a shell a command that is not run here: nobody knows what it gives
        elif match[1] in environment:
            value = environment[match[1]]
            out += '"${' + match[1] + '}"' if value is None and match[1].isidentifier() else shlex.quote(value or "")
        else:
            out += shlex.quote(match[0])
    out += shlex.quote(word[at:]) if at < len(word) or not word else ""
    return out
