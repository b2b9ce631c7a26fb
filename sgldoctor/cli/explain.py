"""``sgldoctor explain``: the root cause of a log, and what to type."""

from __future__ import annotations

import sys

from sgldoctor.cli import common, fix
from sgldoctor.errors import UsageError

EPILOG = """examples:
  sgldoctor explain crash.log
  sgldoctor explain node0.log node1.log        one file per node or rank
  docker logs sglang 2>&1 | sgldoctor explain
  sgldoctor explain --sglang 0.5.8 crash.log   the release, where the log does not name it
  sgldoctor explain --here --fix crash.log     also look at this machine, and repair what the log shows
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    description = "Find the root cause in a log: of SGLang, or of an installation."
    made = common.parser("explain", description, EPILOG, fix.FORMATS)
    made.add_argument("files", metavar="FILE", nargs="*", help="log files, also .gz; '-' or none for standard input")
    made.add_argument("--here", action="store_true", help="also take into account what a probe of this machine sees")
    made.add_argument("--sglang", metavar="V", default="", help="the release that wrote the log, if it does not say so")
    common.environment(made)
    common.judging(made)
    fix.add_options(made)
    args = made.parse_args(arguments)
    fix.check_options(args)
    if args.pid is not None and not (args.here or args.fix):
        raise UsageError("--pid goes with --here or --fix: without them only the log is read")
    release = common.release(args.sglang)
    files = args.files or ["-"]
    if files == ["-"] and sys.stdin.isatty():
        raise UsageError("no log: name a file, or pipe one in (try 'sgldoctor explain --help')")
    from sgldoctor import pipeline

    named = bool(args.python or args.venv or args.root)
    here = common.target(args) if args.here or args.fix or named else None
    options = common.options(args)
    with common.Waiting("reading the log", args):
        report = pipeline.explain(files, options, stdin=sys.stdin.buffer, here=here, sglang=release)
    if args.fix and here is not None:
        return fix.repair(report, here, args, lambda now: pipeline.check(now, pipeline.Asked(), options))
    return common.emit(report, args)
