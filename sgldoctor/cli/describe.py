"""The options of the commands, for those who describe them: completion, and the page of all commands."""

from __future__ import annotations

from sgldoctor.cli import COMMANDS
from sgldoctor.cli.options import DescribedError, Parser


def parser_of(command: str) -> Parser:
    """The parser of a command; the command itself does not run."""
    Parser.describing = True
    try:
        __import__(f"sgldoctor.cli.{command}", fromlist=["main"]).main([])
    except DescribedError as described:
        return described.parser
    finally:
        Parser.describing = False
    raise AssertionError(f"{command} reads no command line")


def parsers() -> dict[str, Parser]:
    """The parsers of all commands, in the order of the help text."""
    return {command: parser_of(command) for command in COMMANDS}
