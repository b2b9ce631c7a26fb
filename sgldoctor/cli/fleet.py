"""``sgldoctor fleet``: many nodes, from their snapshots, through Ray, or from their logs."""

from __future__ import annotations

import os
import sys

from sgldoctor.cli import common
from sgldoctor.errors import UsageError

EPILOG = """examples:
  srun --ntasks-per-node=1 sgldoctor snapshot --compact | sgldoctor fleet -
  sgldoctor fleet snapshots/                       a folder of what 'sgldoctor snapshot -o' wrote on each node
  sgldoctor fleet snapshots.tar.gz --format html -o fleet.html
  sgldoctor fleet --ray auto --keep snapshots/     one probe on each node of a Ray cluster, with its own Python
  sgldoctor fleet explain logs/*.log               which node and rank failed first, and why

Each node is judged by the rules of 'check'; nodes that are alike are judged once. What differs between nodes (packages,
driver, NCCL, network, variables, launch lines) comes most likely culprit first. With --ray each result is written as it
comes, so nothing of a node that has answered is lost; 'sgldoctor fleet DIR' reads the results again.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    if arguments[:1] == ["explain"]:
        return _explain(arguments[1:])
    made = common.parser("fleet", "Examine many nodes, and say what differs between them.", EPILOG)
    made.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="snapshots: files, folders, tar archives; '-' or none: standard input, a snapshot on each line",
    )
    made.add_argument(
        "--area", metavar="A", action="append", default=[], help="only rules of this area on each node; may be repeated"
    )
    group = made.add_argument_group("a Ray cluster")
    group.add_argument(
        "--ray", metavar="ADDRESS", default="", help="examine every node of it; 'auto': the one running here"
    )
    group.add_argument("--python", metavar="PATH", default="", help="the cluster's Python, which has its Ray")
    group.add_argument("--node-python", metavar="PATH", default="", help="examine this interpreter on each node")
    group.add_argument("--keep", metavar="DIR", default="", help="where each node's snapshot is written as it comes")
    group.add_argument("--timeout", metavar="S", type=float, default=60.0, help="seconds for each node (default: 60)")
    common.judging(made)
    args = made.parse_args(arguments)
    options = common.options(args)
    if args.ray and args.files:
        raise UsageError("--ray asks the nodes themselves: name no files")
    if not args.ray and (args.python or args.keep or args.node_python):
        raise UsageError("--python, --node-python and --keep go with --ray")
    if not args.timeout > 0:
        raise UsageError("--timeout: a number of seconds above 0")
    from sgldoctor.fleet import judge, sources

    if args.ray:
        from sgldoctor.fleet import cluster

        fleet = judge.gather((), options)
        asked = cluster.Asked(args.ray, args.python, args.node_python, args.keep, args.timeout)
        cluster.gather(fleet, asked, progress=sys.stderr.isatty() and not args.quiet)
    else:
        files = args.files or ["-"]
        if files == ["-"] and sys.stdin.isatty():
            raise UsageError("no snapshots: name files or a folder, or pipe them in (try 'sgldoctor fleet --help')")
        fleet = judge.gather(sources.items(files), options)
    return common.emit(judge.report(fleet, options, tuple(args.area)), args)


def _explain(arguments: list[str]) -> int:
    made = common.parser("fleet explain", "Find the first failing node and rank in the logs of many nodes, and why.")
    made.add_argument("files", metavar="FILE", nargs="+", help="the logs, one for each node; also folders, .gz")
    made.add_argument("--sglang", metavar="V", default="", help="the release that wrote them, if they do not say so")
    common.judging(made)
    args = made.parse_args(arguments)
    from sgldoctor.fleet.logs import explain

    files = [path for name in args.files for path in _logs(name)]
    if "-" in files:
        raise UsageError("the logs of many nodes are files: name them")
    return common.emit(explain(files, common.options(args), common.release(args.sglang)), args)


def _logs(name: str) -> list[str]:
    """The files of a folder, or the file itself."""
    if not os.path.isdir(name):
        return [name]
    found = [os.path.join(parent, file) for parent, _, files in os.walk(name) for file in files if file[0] != "."]
    if not found:
        raise UsageError(f"{name}: no log in this folder")
    return sorted(found)
