"""``sgldoctor check``: what is wrong with this machine and this environment; with ``--fix``, repair it."""

from __future__ import annotations

from sgldoctor.cli import common, fix
from sgldoctor.cli.options import Namespace
from sgldoctor.errors import UsageError
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.pipeline import Options
    from sgldoctor.report.model import Report

EPILOG = """examples:
  sgldoctor check
  sgldoctor check --python /opt/venv/bin/python --format json
  sgldoctor check --launch "python -m sglang.launch_server --model-path /models/m --tp 8"
  sgldoctor check --snapshot node17.json       what 'sgldoctor snapshot' wrote, here or on another machine
  sgldoctor check --against node17.json        what changed since it worked, most likely culprit first
  sgldoctor check --pid 4711                   a running server, with the libraries that it really has mapped
  sgldoctor check --deep                       run things too: minutes, and the GPUs are used
  sgldoctor check --fix --dry-run              show the plan, change nothing
  sgldoctor check --fix --yes                  repair, and prove it by checking again
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser(
        "check",
        "Examine a machine and a Python environment for SGLang, without importing anything of it.",
        EPILOG,
        fix.FORMATS,
    )
    made.add_argument("--launch", metavar="CMD", help="a launch line to judge as well")
    made.add_argument(
        "--model",
        metavar="M",
        default="",
        help="a model folder or hub id: are its files here and whole, does it fit the launch line",
    )
    made.add_argument(
        "--area", metavar="A", action="append", default=[], help="only rules of this area; may be repeated"
    )
    made.add_argument("--snapshot", metavar="FILE", default="", help="examine this snapshot instead of the machine")
    made.add_argument(
        "--deep", action="store_true", help="also run things: real imports, a product per GPU, an all-reduce, hashes"
    )
    made.add_argument("--against", metavar="FILE", default="", help="say what changed since this snapshot was taken")
    common.environment(made)
    common.judging(made)
    fix.add_options(made)
    args = made.parse_args(arguments)
    fix.check_options(args)
    if args.launch is not None and not args.launch.strip():
        raise UsageError("--launch: the launch line is empty")
    from sgldoctor import pipeline

    options = common.options(args)
    asked = pipeline.Asked(args.launch or "", args.model, tuple(args.area), args.deep)
    if args.snapshot:
        from sgldoctor import recheck

        _check_snapshot_options(args)
        return common.emit(_compared(recheck.check(args.snapshot, asked, options), args, options), args)
    target = common.target(args)
    with common.Waiting("running things" if args.deep else "examining this machine", args):
        report = _compared(pipeline.check(target, asked, options), args, options)
    if args.fix:
        return fix.repair(report, target, args, lambda now: pipeline.check(now, asked, options))
    status = common.emit(report, args)
    fix.tell_unfinished(target)
    return status


def _compared(report: Report, args: Namespace, options: Options) -> Report:
    if not args.against:
        return report
    from sgldoctor.recheck import against

    return against(report, args.against, options)


def _check_snapshot_options(args: Namespace) -> None:
    """Raise UsageError for options that need the machine itself."""
    for name in ("python", "venv", "root", "pid", "fix", "model", "deep"):
        if getattr(args, name):
            raise UsageError(f"--{name} needs a machine, and --snapshot examines a file: give one of the two")
    if args.snapshot == args.against == "-":
        raise UsageError("--snapshot and --against cannot both be standard input")
