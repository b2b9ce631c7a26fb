"""``sgldoctor launch``: what is wrong with a launch line, before it runs."""

from __future__ import annotations

import os
import re
import sys

from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace
from sgldoctor.cli.quantities import capability, gibibytes, positive
from sgldoctor.errors import FixError, InputError, UsageError
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.launch.files import Located
    from sgldoctor.preflight import Given, Place
    from sgldoctor.probe.target import Target

EPILOG = """examples:
  sgldoctor launch -- python -m sglang.launch_server --model-path /models/m --tp 8
  sgldoctor launch --sglang 0.5.8 --gpus 8 --compute-capability 9.0 -- \\
      SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK=0 python -m sglang.launch_server --model-path org/name --tp 8
  sgldoctor launch --sglang 0.5.8 --file run.sh          also Dockerfile, compose, Kubernetes, systemd, Python
  kubectl get deployment s -o yaml | sgldoctor launch --sglang 0.5.8 --file -
  sgldoctor launch --sglang 0.5.8 --file run.sh --fix    show the difference, ask, and write it with a backup

Release, GPUs, model and variables are those of this machine and of the active environment unless they are given. With
--sglang, installed packages are judged only in an environment that is named. Nothing is started or downloaded.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser("launch", "Judge a launch line of SGLang before it runs.", EPILOG)
    made.usage = "sgldoctor launch [OPTION...] (-- [NAME=VALUE...] COMMAND... | --file FILE)"
    made.add_argument("--sglang", metavar="V", default="", help="the release to judge by (default: the one installed)")
    made.add_argument("--model", metavar="DIR|ID", default="", help="the model (default: the one that the line names)")
    made.add_argument("--gpus", metavar="N", type=positive, help="GPUs of a node (default: those of this machine)")
    made.add_argument("--gpu-memory", metavar="GIB", type=gibibytes, help="memory of each GPU, in GiB")
    made.add_argument("--compute-capability", metavar="X.Y", type=capability, help="of each GPU: 9.0 is H100")
    group = made.add_argument_group("repair")
    group.add_argument("--fix", action="store_true", help="show the line as it should be; with --file, rewrite it")
    group.add_argument("--dry-run", action="store_true", help="with --fix: show the difference, change nothing")
    group.add_argument("--yes", action="store_true", help="with --fix: do not ask")
    group.add_argument("--unsafe", action="store_true", help="with --fix: also what is marked unsafe")
    made.add_argument(
        "--file", metavar="FILE", help="judge every launch line in a script, manifest or unit; - is stdin"
    )
    common.environment(made)
    common.judging(made)
    args, words = made.before_command(arguments, "launch line")
    if bool(words) == bool(args.file):
        raise UsageError("give a launch line after '--', or --file FILE" + (", not both" if words else ""))
    if not args.fix and (args.dry_run or args.yes or args.unsafe):
        raise UsageError("--dry-run, --yes and --unsafe go with --fix")
    if args.fix and args.file == "-":
        raise UsageError("--fix writes the file again: name one; standard input is only judged")
    from sgldoctor.preflight import Given, each, together

    given = Given(common.release(args.sglang), args.model, args.gpus, args.gpu_memory, args.compute_capability or "")
    place = _place(args, given)
    lines = _lines(words, args.file, place.target)
    options = common.options(args)
    reports = each(lines, args.file or "", given, place, options)
    report = together(reports, options)
    if not args.fix:
        return common.emit(report, args)
    from sgldoctor.cli import rewrite

    if not args.file:
        return rewrite.line(report, reports, lines, args)
    try:
        return rewrite.file(report, reports, args, lambda found: each(found, args.file, given, place, options))
    except FixError as error:
        if args.format == "json":
            common.emit(report._replace(fixed={"result": "failed", "because": str(error)}), args)
        print(f"sgldoctor: {error}", file=sys.stderr)
        return 1


def _place(args: Namespace, given: Given) -> Place:
    """The environment that is named; else the active one, unless the release was given."""
    from sgldoctor.preflight import Place, nowhere

    if args.python or args.venv or args.root or args.pid:
        return Place(common.target(args))
    if given.sglang:
        return Place(nowhere(os.environ), "not judged: the release was given, and no environment was named")
    try:
        return Place(common.target(args))
    except InputError as error:
        return Place(nowhere(os.environ), f"not judged: {error}")


def _lines(words: list[str], file: str | None, target: Target) -> list[Located]:
    from sgldoctor.launch import files

    if file:
        return files.read(file, target.environ)
    from sgldoctor.launch.command import parse

    # A single word with blanks is a whole line in quotes; words came through a shell and are taken as they are.
    line = words[0] if len(words) == 1 and re.search(r"\s", words[0]) else files.quoted(words)
    command = parse(line, target.environ)
    if not command.entry:
        raise InputError(
            "no SGLang server command in the launch line: it needs 'python -m sglang.launch_server ...', "
            "'sglang serve ...' or the bare options of one"
        )
    return [files.Located(command, "", "", 0)]
