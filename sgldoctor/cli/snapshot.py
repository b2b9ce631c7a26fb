"""``sgldoctor snapshot``: everything that ``check`` sees, as a redacted file."""

from __future__ import annotations

import os
import sys
import time

from sgldoctor.cli import common
from sgldoctor.cli.options import Parser
from sgldoctor.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgldoctor.probe.target import Target

EPILOG = """examples:
  sgldoctor snapshot -o node17.json            now, or while all is well
  sgldoctor check --snapshot node17.json       examine it, here or elsewhere, with whatever rules there are then
  sgldoctor check --against node17.json        what changed since
  sgldoctor snapshot --pseudonyms -o public.json
  srun sgldoctor snapshot --compact | sgldoctor fleet -

Tokens, keys, passwords and the credentials in URLs are never in it. With --pseudonyms, names of hosts and users and
addresses are replaced as well, on all nodes alike, so that snapshots can still be compared. Set SGLDOCTOR_PSEUDONYM_KEY
to a secret of your own on all nodes, and nobody can test a guess of a name.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = Parser(
        prog="sgldoctor snapshot",
        description="Write everything that check sees to a file: to attach, to keep, to examine elsewhere or later.",
        epilog=EPILOG,
    )
    made.add_argument("-o", "--output", metavar="FILE", default="-", help="default, and '-': standard output")
    made.add_argument("--launch", metavar="CMD", default="", help="a launch line to put in as well")
    made.add_argument("--model", metavar="M", default="", help="a model folder or hub id to read as well")
    made.add_argument("--compact", action="store_true", help="on one line, for many nodes that write to one place")
    made.add_argument("--pseudonyms", action="store_true", help="replace names of hosts and users, and addresses")
    common.environment(made)
    args = made.parse_args(arguments)
    from sgldoctor import snapshot

    with common.Waiting("examining this machine", args):
        data = taken(common.target(args), args.launch, args.model, pseudonyms=args.pseudonyms)
    text = snapshot.to_text(data, compact=args.compact)
    if args.output == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        snapshot.save(args.output, text)
    return 0


def taken(target: Target, launch: str = "", model: str = "", *, pseudonyms: bool = False) -> dict[str, Any]:
    """A snapshot of this machine and an environment, as plain values."""
    from sgldoctor import __version__, pipeline, snapshot
    from sgldoctor.probe.clock import clock

    facts = pipeline.examine(target, pipeline.Asked(launch, model))
    facts.merge(clock(target))
    host = os.uname().nodename if target.live else ""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    data = snapshot.to_object(facts, host=host, taken=now, version=__version__)
    if not pseudonyms:
        return data
    from sgldoctor.snapshot.pseudonyms import hide, names_of

    return hide(data, names_of(os.environ, os.uname().nodename))
