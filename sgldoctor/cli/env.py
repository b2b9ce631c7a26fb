"""``sgldoctor env``: the variables that repairs have set, for a shell to source."""

from __future__ import annotations

import json
import os

from sgldoctor.cli import common

EPILOG = """examples:
  source <(sgldoctor env)
  sgldoctor env --shell fish | source
  docker run --env-file "$(sgldoctor env --path)" ...
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser("env", "Print the variables that repairs have set for an environment.", EPILOG, common.PLAIN)
    made.add_argument("--shell", choices=("bash", "fish", "csh"), default="", help="default: by $SHELL")
    made.add_argument("--path", action="store_true", help="print the path of the file instead")
    common.environment(made)
    args = made.parse_args(arguments)
    from sgldoctor.fix import variables

    target = common.target(args)
    path = variables.path_of(target.prefix, os.environ)
    if args.path:
        common.write(path + "\n")
        return 0
    held = variables.load(path)
    if args.format == "json":
        common.write(json.dumps(held, indent=1, sort_keys=True) + "\n")
        return 0
    common.write(variables.exports(held, args.shell or _shell(os.environ.get("SHELL", ""))))
    return 0


def _shell(path: str) -> str:
    name = os.path.basename(path)
    return {"fish": "fish", "csh": "csh", "tcsh": "csh"}.get(name, "bash")
