"""``sgldoctor lint``: the launch lines of many files, for hooks and continuous integration."""

from __future__ import annotations

import os

from sgldoctor.cli import common
from sgldoctor.cli.quantities import capability, gibibytes, positive
from sgldoctor.errors import UsageError, unreadable
from sgldoctor.facts import Facts
from sgldoctor.report.model import PROBLEMS, Report
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.launch.files import Located
    from sgldoctor.pipeline import Options
    from sgldoctor.preflight import Given

EPILOG = """examples:
  sgldoctor lint run.sh compose.yaml k8s/
  sgldoctor lint --sglang 0.5.8 --gpus 8 --compute-capability 9.0 scripts/*.sh
  sgldoctor lint --format sarif -o sgldoctor.sarif deploy/     for code scanning

Files without a launch line of SGLang are passed over. A line is judged by the release of its image, else by --sglang,
else by the newest release known. Nothing of this machine counts. What cannot be judged from the files alone is told,
and is no failure: status 1 means that a line is wrong.
"""
_SUFFIXES = (".sh", ".bash", ".yaml", ".yml", ".service", ".dockerfile", ".containerfile")
_NAMES = ("dockerfile", "containerfile")


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser("lint", "Judge every launch line of SGLang in scripts, manifests and units.", EPILOG)
    made.add_argument("files", metavar="FILE", nargs="*", help="files, or folders of scripts, manifests and units")
    made.add_argument("--sglang", metavar="V", default="", help="the release (default: of the image, else the newest)")
    made.add_argument("--gpus", metavar="N", type=positive, help="GPUs of a node")
    made.add_argument("--gpu-memory", metavar="GIB", type=gibibytes, help="memory of each GPU, in GiB")
    made.add_argument("--compute-capability", metavar="X.Y", type=capability, help="of each GPU: 9.0 is H100")
    common.judging(made)
    args = made.parse_args(arguments)
    if not args.files:
        raise UsageError("which files? name files or folders (try 'sgldoctor lint --help')")
    from sgldoctor.preflight import Given, together

    options = common.options(args)
    given = Given(common.release(args.sglang), "", args.gpus, args.gpu_memory, args.compute_capability or "")
    reports: list[Report] = []
    for path in _walk(args.files):
        reports += _judged(path, given, options)
    report = together(reports, options) if reports else Report("launch", Facts(), (), {}, (), ())
    status = common.emit(report, args)
    return status if report.status == PROBLEMS else 0


def _walk(paths: list[str]) -> list[str]:
    """The files themselves, and of folders those that may hold a launch line."""
    found = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        for parent, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found += [
                os.path.join(parent, name)
                for name in sorted(names)
                if name.lower().endswith(_SUFFIXES) or name.lower().split(".")[0] in _NAMES
            ]
    return found


def _judged(path: str, given: Given, options: Options) -> list[Report]:
    from sgldoctor.knowledge.flags import releases
    from sgldoctor.launch.files import LIMIT, facts_of, find
    from sgldoctor.preflight import Place, each, nowhere

    try:
        with open(path, "rb") as stream:
            data = stream.read(LIMIT + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > LIMIT or b"\0" in data[:4096]:
        return []  # no script or manifest
    place = Place(nowhere({}), "not judged: the line runs elsewhere")
    out: list[Report] = []
    lines: list[Located] = find(data.decode("utf-8-sig", "replace"), path, {})
    for line in lines:
        of_image = facts_of(line).value("launch", "release")
        release = given.sglang or ("" if of_image else releases()[-1])
        why = given.why if given.sglang else "the newest known"
        out += each([line], path, given._replace(sglang=release, why=why), place, options)
    return out
