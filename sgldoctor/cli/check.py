"""``sgldoctor check``: what is wrong with this machine and this environment; with ``--fix``, repair it."""

from __future__ import annotations

from sgldoctor.cli import common, fix

EPILOG = """examples:
  sgldoctor check
  sgldoctor check --python /opt/venv/bin/python --format json
  sgldoctor check --launch "python -m sglang.launch_server --model-path /models/m --tp 8"
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
    made.add_argument("--launch", metavar="CMD", default="", help="a launch line to judge as well")
    made.add_argument("--model", metavar="M", default="", help="a model folder or hub id to judge the launch line with")
    made.add_argument(
        "--area", metavar="A", action="append", default=[], help="only rules of this area; may be repeated"
    )
    common.environment(made)
    common.judging(made)
    fix.add_options(made)
    args = made.parse_args(arguments)
    fix.check_options(args)
    from sgldoctor import pipeline

    options = common.options(args)
    target = common.target(args)
    asked = pipeline.Asked(args.launch, args.model, tuple(args.area))
    report = pipeline.check(target, asked, options)
    if args.fix:
        return fix.repair(report, target, args, lambda now: pipeline.check(now, asked, options))
    return common.emit(report, args)
