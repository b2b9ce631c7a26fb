"""``sgldoctor env``: the exports that an environment needs, and what repairs have set, for a shell to source."""

from __future__ import annotations

import json
import os
import sys

from sgldoctor.cli import common
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.derive.exports import Export
    from sgldoctor.probe.target import Target

SHELLS = ("bash", "zsh", "fish", "csh")
EPILOG = """examples:
  source <(sgldoctor env)
  sgldoctor env --shell fish | source
  sgldoctor env --shell csh > env.csh; source env.csh
  docker run --env-file "$(sgldoctor env --path)" ...      only what repairs have set

CUDA_HOME where a toolkit fits the installed torch; a folder of LD_LIBRARY_PATH only for a library that is not found
without it, never one that would hide a library of a wheel. Sourcing it twice adds nothing twice.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser(
        "env", "Print the exports that an environment needs, for a shell to source.", EPILOG, common.PLAIN
    )
    made.add_argument("--shell", choices=SHELLS, default="", help="default: by $SHELL")
    made.add_argument("--path", action="store_true", help="print the path of the file of repaired variables instead")
    made.add_argument("--held", action="store_true", help="only what repairs have set; examine nothing")
    common.environment(made)
    args = made.parse_args(arguments)
    from sgldoctor.actions import variables

    target = common.target(args)
    path = variables.path_of(target.prefix, os.environ)
    if args.path:
        common.write(path + "\n")
        return 0
    held = variables.load(path)
    wanted, notes = ([], []) if args.held else _needed(target)
    # What a repair has set was proven: it stands, whatever would be derived now.
    wanted = [export for export in wanted if export.name not in held]
    if args.format == "json":
        answer = {
            "schema": "sgldoctor.env/1",
            "exports": [export._asdict() for export in wanted],
            "held": held,
            "notes": notes,
        }
        common.write(json.dumps(answer, indent=1, sort_keys=True) + "\n")
        return 0
    text = _text(wanted, notes, held, args.shell or _shell(os.environ.get("SHELL", "")))
    common.write(text)
    if not text and sys.stdout.isatty():
        print("sgldoctor: this environment needs no exports, and no repair has set any", file=sys.stderr)
    return 0


def _needed(target: Target) -> tuple[list[Export], list[str]]:
    from sgldoctor import derive, probe
    from sgldoctor.derive.exports import needed
    from sgldoctor.probe.files import names

    facts = probe.examine(target)
    derive.derive(facts, ("pins", "libraries", "environment"))
    return needed(facts, target.environ, lambda folder: names(target, folder) or [])


def _text(wanted: list[Export], notes: list[str], held: dict[str, str | None], shell: str) -> str:
    from sgldoctor.actions.variables import exports, render
    from sgldoctor.report.text import clean

    out = ""
    for export in wanted:
        out += f"# {clean(export.why)}\n{render(export, shell)}"
    if held and wanted:
        out += "# set by a repair\n"
    out += exports(held, shell)
    return out + "".join(f"# {clean(note)}\n" for note in notes)


def _shell(path: str) -> str:
    name = os.path.basename(path)
    return {"fish": "fish", "csh": "csh", "tcsh": "csh", "zsh": "zsh"}.get(name, "bash")
