"""Command lines, read without argparse where they are plain.

argparse and what it imports take as long as reading a short log does. So a command writes its options down; a line of
known options and names is read from that list, and whatever needs more (help, a mistake, several short options in one
word) goes to argparse, which is then made from the same list.
"""

from __future__ import annotations

from collections.abc import Sequence

from sgldoctor.errors import UsageError
from sgldoctor.typed import Any, NamedTuple

_ACTIONS = ("store", "store_true", "append")


class Namespace:
    """The values of the options of one command line, as attributes."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class DescribedError(Exception):
    """Raised in the place of reading a command line while :attr:`Parser.describing` is set; ``parser`` holds all."""

    def __init__(self, parser: Parser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


class Option(NamedTuple):
    """One option or positional argument, for those who describe a command."""

    names: tuple[str, ...]
    help: str
    metavar: str
    choices: tuple[str, ...]
    takes: bool
    """Whether a value follows."""


class Parser:
    """The options of one command; takes what :meth:`argparse.ArgumentParser.add_argument` takes."""

    describing = False
    """Set by :func:`sgldoctor.cli.describe.parser_of`, which wants the options of a command and not to run it."""

    def __init__(self, prog: str, description: str, epilog: str = "") -> None:
        self.prog = prog
        self.description = description
        self.epilog = epilog
        self.usage: str | None = None
        """The first line of the help text, where argparse's own would not do."""
        self._options: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []

    def add_argument(self, *names: str, group: str = "", **keys: Any) -> None:
        """Write down an option (names with dashes) or a positional argument (one name); ``group`` is a heading."""
        self._options.append((group, names, keys))

    def add_argument_group(self, heading: str) -> Group:
        """A heading of the help text; options are added to it as to the parser."""
        return Group(self, heading)

    def options(self) -> list[Option]:
        """Everything that was added, in order."""
        found = []
        for _, names, keys in self._options:
            takes = keys.get("action", "store") in ("store", "append")
            choices = tuple(str(choice) for choice in keys.get("choices") or ())
            found.append(Option(names, str(keys.get("help", "")), str(keys.get("metavar", "")), choices, takes))
        return found

    def help_text(self) -> str:
        """What ``--help`` prints."""
        return str(self._full().format_help())

    def parse_args(self, arguments: Sequence[str]) -> Namespace:
        """Read a command line, positional arguments and options in any order; raises UsageError."""
        if Parser.describing:
            raise DescribedError(self)
        values = self._plain(arguments)
        if values is None:
            full = self._full()
            helping = "-h" in arguments or "--help" in arguments  # the other way hides what is no option
            parse = full.parse_args if helping else full.parse_intermixed_args
            return parse(arguments, Namespace())  # type: ignore[no-any-return]
        found = Namespace()
        found.__dict__.update(values)
        return found

    def before_command(self, arguments: Sequence[str], what: str) -> tuple[Namespace, list[str]]:
        """The options before ``--`` and the words after it; ``what`` is how a user calls those words."""
        at = arguments.index("--") if "--" in arguments else len(arguments)
        args, strange = self.parse_known_args(arguments[:at])
        if strange:
            lost = not strange[0].startswith("-") and at == len(arguments)
            hint = f"; the {what} comes after '--'" if lost else ""
            said = f"unrecognized arguments: {' '.join(strange)}"
            names = [name for _, names, _ in self._options for name in names]
            forms = next((keys["choices"] for _, names, keys in self._options if "--format" in names), ())
            raise UsageError(f"{said}{hint or meant(said, names, forms)}\ntry '{self.prog} --help'")
        return args, list(arguments[at + 1 :])

    def parse_known_args(self, arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
        """As :meth:`parse_args`, but what is no option of the command is returned as well."""
        if Parser.describing:
            raise DescribedError(self)
        values = self._plain(arguments)
        if values is None:
            return self._full().parse_known_args(arguments, Namespace())  # type: ignore[no-any-return]
        found = Namespace()
        found.__dict__.update(values)
        return found, []

    def _plain(self, arguments: Sequence[str]) -> dict[str, Any] | None:
        """The values of a line of known options and names; None for any other line."""
        known: dict[str, tuple[str, dict[str, Any]]] = {}
        values: dict[str, Any] = {}
        places: list[tuple[str, dict[str, Any]]] = []
        for _, names, keys in self._options:
            if keys.get("action", "store") not in _ACTIONS:
                return None
            if names[0][0] != "-":
                places.append((names[0], keys))
                continue
            name = next((name for name in names if name.startswith("--")), names[0]).lstrip("-").replace("-", "_")
            known.update(dict.fromkeys(names, (name, keys)))
            default = keys.get("default", False if keys.get("action") == "store_true" else None)
            values[name] = list(default) if isinstance(default, list) else default
        words = iter(arguments)
        bare: list[str] = []
        for word in words:
            if word[:1] != "-" or word == "-":
                bare.append(word)
                continue
            name, given, value = word.partition("=") if word.startswith("--") else (word, "", "")
            if name not in known:
                return None
            name, keys = known[name]
            if keys.get("action") == "store_true":
                if given:
                    return None
                values[name] = True
                continue
            if not given:
                value = next(words, "-")
                if value[:1] == "-":
                    return None
            if not _read(value, keys, values, name):
                return None
        return values if _placed(bare, places, values) else None

    def _full(self) -> Any:
        """The same options for argparse, whose complaints become our own errors, so that every command fails alike."""
        import argparse

        optional = [keys.get("metavar", names[0]) for _, names, keys in self._options if keys.get("nargs") == "*"]
        choices = {names[0]: keys["choices"] for _, names, keys in self._options if keys.get("choices")}
        forms = choices.get("--format", ())
        known = [name for _, names, _ in self._options for name in names if name.startswith("--")]

        class Full(argparse.ArgumentParser):
            def print_help(self, file: Any = None) -> None:
                # argparse passes over an error of writing: a full disk would look like a help text that was read.
                import sys

                out = file or sys.stdout
                out.write(self.format_help())
                out.flush()

            def error(self, message: str) -> Any:
                raise UsageError(
                    f"{_worded(message, optional, choices)}{meant(message, known, forms)}\ntry '{self.prog} --help'"
                )

        made = Full(
            prog=self.prog,
            description=self.description,
            epilog=self.epilog,
            usage=self.usage,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        groups: dict[str, Any] = {"": made}
        for heading, names, keys in self._options:
            if heading not in groups:
                groups[heading] = made.add_argument_group(heading)
            groups[heading].add_argument(*names, **keys)
        return made


class Group:
    """Options under one heading of the help text."""

    def __init__(self, parser: Parser, heading: str) -> None:
        self._parser = parser
        self._heading = heading

    def add_argument(self, *names: str, **keys: Any) -> None:
        """As :meth:`Parser.add_argument`."""
        self._parser.add_argument(*names, group=self._heading, **keys)


def meant(message: str, known: Sequence[str], forms: Sequence[str]) -> str:
    """What was probably meant by the first option that is none, as the end of the complaint about it."""
    _, here, words = message.partition("unrecognized arguments: ")
    word = words.split(" ")[0].partition("=")[0] if here else ""
    if not word.startswith("--"):
        return ""
    if word[2:] in forms:
        return f"; did you mean '--format {word[2:]}'?"
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def refusal(message: str) -> Exception:
    """What the ``type`` of an option raises for a value that is none."""
    import argparse

    return argparse.ArgumentTypeError(message)


def _worded(message: str, optional: Sequence[str], choices: dict[str, Sequence[str]]) -> str:
    """A complaint of argparse in words for users, without the names of Python's types and of what may be left out."""
    import re

    choice = re.fullmatch(r"argument (\S+): invalid choice: (.*) \(choose from (.*)\)", message)
    if choice:
        return f"{choice[1]} {choice[2]}: choose from {choice[3].replace(chr(39), '')}"
    message = re.sub(r"^argument (\S+): expected one argument$", r"\1: a value is missing", message)

    message = re.sub(r"argument (\S+): invalid int value: (.*)", r"\1 \2: a whole number is needed", message)
    message = re.sub(r"argument (\S+): invalid float value: (.*)", r"\1 \2: a number is needed", message)
    head, required, names = message.partition("the following arguments are required: ")
    if not required:
        return message.removeprefix("argument ")
    lacking = [name for name in names.split(", ") if name not in optional]
    return f"{head}missing: " + ", ".join(
        f"{name} ({', '.join(choices[name])})" if name in choices else name for name in lacking
    )


def _read(value: str, keys: dict[str, Any], values: dict[str, Any], name: str) -> bool:
    """Take the value of one option; False where it is none."""
    read: Any = value
    if "type" in keys:
        try:
            read = keys["type"](value)
        except Exception:  # noqa: BLE001 - argparse asks again, and words the error
            return False
    if "choices" in keys and read not in keys["choices"]:
        return False
    if keys.get("action") == "append":
        values[name].append(read)
    else:
        values[name] = read
    return True


def _placed(bare: list[str], places: list[tuple[str, dict[str, Any]]], values: dict[str, Any]) -> bool:
    """Give the words that are no options to the positional arguments; False where they do not fit."""
    for name, keys in places:
        count = keys.get("nargs")
        if count == "*" or (count == "+" and bare):
            values[name], bare = bare, []
        elif bare and count in (None, "?"):
            if not _read(bare[0], keys, values, name):
                return False
            bare = bare[1:]
        elif count == "?":
            values[name] = keys.get("default")
        else:
            return False
    return not bare
