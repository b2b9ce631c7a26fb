"""What several commands share: options, the environment to examine, silenced rules, output."""

from __future__ import annotations

import os
import re
import sys

from sgldoctor.cli.options import Namespace, Parser, refusal
from sgldoctor.errors import InputError, UsageError, known, unreadable
from sgldoctor.pipeline import Options
from sgldoctor.report.model import Ignored, Report
from sgldoctor.typed import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

FORMATS = ("human", "json", "markdown", "sarif", "junit", "html")
"""Formats of a report. They all show the same object, with the same exit status."""
PLAIN = ("human", "json")
"""Formats of what is no report: a table of sizes, a list of rules."""


def _columns(text: str) -> int:
    """A width of a terminal, in columns."""
    if not text.isascii() or not text.isdigit() or not 40 <= int(text[:9]) <= 10_000:
        raise refusal(f"{text!r} is no number of columns from 40 to 10000")
    return int(text)


def parser(command: str, description: str, epilog: str = "", formats: tuple[str, ...] = FORMATS) -> Parser:
    """A parser for ``command`` with the options that every command has."""
    made = Parser(f"sgldoctor {command}", description, epilog)
    made.add_argument("--format", choices=formats, default="human", help="output format (default: %(default)s)")
    if "html" in formats:
        made.add_argument(
            "-o", "--output", metavar="FILE", default="-", help="write the report to this file, whole or not at all"
        )
        made.add_argument(
            "--no-redact", action="store_true", help="show lines of logs with their secrets; on a terminal only"
        )
    made.add_argument(
        "--rules", metavar="DIR", action="append", default=[], help="also use the rules of this folder; may be repeated"
    )
    made.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="colour (default: on a terminal)"
    )
    made.add_argument(
        "--width", type=_columns, help="columns of the human format (default: the terminal's, at most 120)"
    )
    made.add_argument("-q", "--quiet", action="store_true", help="only the causes and what to type")
    made.add_argument("-v", "--verbose", action="store_true", help="all evidence, symptoms and references")
    return made


def judging(made: Parser) -> None:
    """Add the options of commands whose exit status is a verdict."""
    made.add_argument("--strict", action="store_true", help="warnings count as problems for the exit status")
    made.add_argument("--exit-zero", action="store_true", help="always exit with 0 once a report was made")
    made.add_argument(
        "--ignore",
        metavar="RULE=REASON@DATE",
        action="append",
        default=[],
        help="silence a rule until a day, with the reason: --ignore 'shm-too-small=waiting for ops@2027-01-31'",
    )


def environment(made: Parser) -> None:
    """Add the options that name the environment to examine."""
    group = made.add_argument_group("the environment to examine (default: $VIRTUAL_ENV, conda, else python3 on PATH)")
    group.add_argument("--python", metavar="PATH", help="an interpreter")
    group.add_argument("--venv", metavar="DIR", help="a virtual environment")
    group.add_argument("--root", metavar="DIR", help="an unpacked container image")
    group.add_argument("--pid", metavar="N", type=int, help="a running server: its Python, variables, line, libraries")


def target(args: Namespace) -> Target:
    """The environment that the options name; raises InputError where there is none."""
    from sgldoctor.probe.environments import find

    if args.python and args.venv:
        raise UsageError("--python and --venv both name an environment: give one")
    if args.pid is not None:
        if args.python or args.venv or args.root:
            raise UsageError("--pid names an environment by itself: leave out --python, --venv and --root")
        from sgldoctor.probe.process import of_pid

        return of_pid(args.pid, os.environ)
    found = find(args.python, args.venv, args.root, os.environ)
    return found._replace(cwd=_here()) if found.live else found


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def options(args: Namespace) -> Options:
    """Rule folders, silenced rules and strictness, from the options, ``SGLDOCTOR_RULES`` and ``sgldoctor.toml``."""
    if getattr(args, "no_redact", False) and not (
        args.format == "human" and args.output == "-" and sys.stdout.isatty()
    ):
        raise UsageError("--no-redact is for a terminal: a file, a pipe or a program gets no secrets")
    folders = [entry for entry in os.environ.get("SGLDOCTOR_RULES", "").split(os.pathsep) if entry] + args.rules
    ignore = [*_configured_ignores(), *(_ignored(text) for text in getattr(args, "ignore", []))]
    if ignore:
        import time

        for entry in ignore:
            if entry.until < time.strftime("%Y-%m-%d"):
                print(f"sgldoctor: {entry.rule} is no longer ignored: that ended on {entry.until}", file=sys.stderr)
    if getattr(args, "ignore", []):
        from sgldoctor.rules.load import load

        known("--ignore", [_ignored(text).rule for text in args.ignore], load(folders).slugs())
    return Options(tuple(folders), tuple(ignore), bool(getattr(args, "strict", False)))


def _ignored(text: str) -> Ignored:
    rule, _, rest = text.partition("=")
    reason, _, day = rest.rpartition("@")
    if not rule or not reason.strip() or not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
        raise UsageError(f"--ignore {text!r}: say the rule, why, and until when: RULE=REASON@YYYY-MM-DD")
    from datetime import date

    try:
        date.fromisoformat(day)
    except ValueError:
        raise UsageError(f"--ignore {text!r}: there is no day {day}") from None
    return Ignored(rule.strip(), reason.strip(), day)


def _configured_ignores() -> list[Ignored]:
    """The table ``[ignore]`` of ``sgldoctor.toml`` in the working folder, if there is one."""
    name = "sgldoctor.toml"
    if not os.path.exists(name):
        return []
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        with open(name, "rb") as stream:
            table = tomllib.load(stream).get("ignore", {})
    except OSError as error:
        raise unreadable(name, error) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: not valid TOML: {error}") from error
    entries = []
    for rule, entry in table.items() if isinstance(table, dict) else ():
        if not isinstance(entry, dict) or not str(entry.get("reason", "")).strip() or "until" not in entry:
            raise InputError(
                f'{name}: [ignore.{rule}] needs a reason and an end date: {{ reason = "…", until = 2027-01-31 }}'
            )
        entries.append(Ignored(str(rule), str(entry["reason"]), str(entry["until"])[:10]))
    return entries


def release(text: str, option: str = "--sglang") -> str:
    """A release as the user names it, without a leading ``v``; raises UsageError where it is no version."""
    version = text.strip().removeprefix("v")
    if version and not re.fullmatch(r"\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)*(\+[\w.]+)?", version):
        raise UsageError(f"{option} {text!r} is no release, such as {_newest()}")
    return version


def _newest() -> str:
    from sgldoctor.knowledge.flags import releases

    return releases()[-1]


def can_ask(args: Namespace) -> bool:
    """Whether a person is there to answer: at a terminal, and the output is not read by a machine."""
    return args.format == "human" and sys.stdin.isatty()


def agreed(args: Namespace, question: str = "Apply?") -> bool:
    """Ask on the terminal; False where nobody can be asked."""
    return can_ask(args) and answer(f"{question} [y/N]") in ("y", "yes")


def answer(question: str) -> str:
    """What the person types, in lower case; ``""`` at the end of the input."""
    try:
        return input(question + " ").strip().lower()
    except EOFError:
        return ""


class Waiting:
    """Around work that may take over a second: after that, a line on a terminal says what is waited for, and how long.

    A timer of the system, not a thread: the work may fork. Nothing is written where standard error is no terminal.
    """

    def __init__(self, what: str, args: Namespace) -> None:
        self._what = what
        self._live = sys.stderr.isatty() and not getattr(args, "quiet", False) and os.name == "posix"
        self._spent = 0

    def __enter__(self) -> None:
        if self._live:
            import signal

            signal.signal(signal.SIGALRM, self._tell)
            signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)

    def __exit__(self, *_: object) -> None:
        if self._live:
            import signal

            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            if self._spent:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def _tell(self, *_: object) -> None:
        self._spent += 1
        os.write(2, f"\r\x1b[K{self._what} ... {self._spent} s".encode("ascii", "backslashreplace"))


def emit(report: Report, args: Namespace) -> int:
    """Write the report in the chosen format to standard output or ``--output``; returns the exit status."""
    if getattr(args, "no_redact", False):
        from sgldoctor.report.redact import openly

        with openly():
            return _emit(report, args)
    return _emit(report, args)


def _emit(report: Report, args: Namespace) -> int:
    output = getattr(args, "output", "-")
    verbosity = int(args.verbose) - int(args.quiet)
    if args.format == "human" and output == "-" and in_colour(args.color):
        from sgldoctor.report import human

        human.paint(report, sys.stdout, width(args), verbosity)
    elif output == "-" and args.format == "human":
        write(rendered(report, args.format, width(args), verbosity))
    elif output == "-":
        utf8(rendered(report, args.format, width(args), verbosity))
    else:
        from sgldoctor import whole

        whole.save(output, rendered(report, args.format, width(args), verbosity).encode())
    sys.stdout.flush()
    return 0 if getattr(args, "exit_zero", False) else report.exit_status


def rendered(report: Report, form: str, columns: int, verbosity: int) -> str:
    """The report as text in one of :data:`FORMATS`; only its own renderer is imported."""
    if form == "human":
        from sgldoctor.report import human

        return human.render(report, columns, verbosity)
    from importlib import import_module

    text = import_module(f"sgldoctor.report.as_{form}").render(report)
    return str(text)


def write(text: str) -> None:
    """Write to standard output; characters that its encoding lacks become escapes instead of an error."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))


def utf8(text: str) -> None:
    """Write to standard output in UTF-8, whatever the terminal's encoding: what a program reads says that it is."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(text)
    else:
        buffer.write(text.encode("utf-8", "backslashreplace"))
        buffer.flush()


def in_colour(choice: str, stream: TextIO | None = None) -> bool:
    """Whether to colour: as chosen, else on a terminal unless ``NO_COLOR`` is set or the terminal is dumb."""
    if choice != "auto":
        return choice == "always"
    return (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width(args: Namespace) -> int:
    """Columns for the human format."""
    if args.width:
        return int(args.width)
    try:
        return min(os.get_terminal_size(sys.stdout.fileno()).columns or 100, 120)  # 0: the terminal does not know
    except (OSError, ValueError, AttributeError):
        return 100
