"""Write the pages that are made from the code: ``docs/commands.md`` and ``docs/facts.md``.

    python scripts/docs.py

``tests/test_docs.py`` compares them with what this script would write.
"""

from __future__ import annotations

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)
MADE = "<!-- made by scripts/docs.py: do not edit -->"

EXIT = """Exit status of those that judge: 0 healthy, 1 problems, 2 usage or unreadable input, 3 nothing wrong found but
something essential could not be judged."""
ABOUT = """what probes, log reader and derivations write, what rules select and what `--format json` shows under
`facts`. Each is a table of rows with these columns; `text` and `line` may be added."""


def commands() -> str:
    """Every command with its options and examples."""
    from sgldoctor.cli import COMMANDS
    from sgldoctor.cli.describe import parsers

    all_ = parsers()
    shared = {option.names for option in all_["check"].options()} & {
        option.names for option in all_["explain"].options()
    }
    shared &= {option.names for option in all_["launch"].options()}
    out = ["# Commands", "", MADE, "", "| command | does |", "|---|---|"]
    out += [f"| [`{name}`](#{name}) | {_cell(text)} |" for name, text in COMMANDS.items()]
    out += ["", EXIT, "", "## Options of commands that report", ""]
    out += ["| option | does |", "|---|---|"]
    out += [_row(option) for option in all_["check"].options() if option.names in shared]
    for name, parser in all_.items():
        own = [option for option in parser.options() if option.names not in shared]
        out += ["", f"## {name}", "", f"{parser.description}", ""]
        if own:
            out += ["| option | does |", "|---|---|", *map(_row, own), ""]
        out += ["```text", parser.epilog.rstrip(), "```"]
        if any(option.names in shared for option in parser.options()):
            out += ["", "And [options of commands that report](#options-of-commands-that-report)."]
    return "\n".join(out) + "\n"


def _row(option: object) -> str:
    names, text, metavar, choices, takes = option  # type: ignore[misc,attr-defined]
    value = "|".join(choices) or metavar
    shown = ", ".join(names) if names[0].startswith("-") else (metavar or names[0])
    if takes and value and names[0].startswith("-"):
        shown += f" {value}"
    elif choices:
        shown = value
    return f"| `{shown.replace('|', chr(92) + '|')}` | {_cell(text.replace(' (default: %(default)s)', ''))} |"


def facts() -> str:
    """The vocabulary of facts."""
    from sgldoctor.vocabulary import FACTS

    out = ["# Facts", "", MADE, "", f"{len(FACTS)} facts: {ABOUT}", ""]
    for name, columns in FACTS.items():
        out += [f"## {name}", ""]
        out += [f"- `{column}`: {_cell(text)}" for column, text in columns.items()]
        out.append("")
    return "\n".join(out)


def _cell(text: str) -> str:
    for sign in "|<*_":
        text = text.replace(sign, "\\" + sign)
    return text


PAGES = {"docs/commands.md": commands, "docs/facts.md": facts}


def main() -> None:
    """Write them."""
    for path, made in PAGES.items():
        with open(os.path.join(ROOT, path), "w", encoding="utf-8") as stream:
            stream.write(made())


if __name__ == "__main__":
    main()
