"""``sgldoctor upgrade``: what breaks or changes when SGLang goes to another release, and the launch line for it.

With ``--format json`` one object is written: ``{"schema": "sgldoctor.upgrade/1", "from", "to", "impossible": [...],
"line": {"before", "after", "breaks", "warns", "ignored", "by_hand"} or null, "platform", "packages", "defaults"}``; the
last three are lists of ``{"kind", "name", "before", "after", "note"}``.
"""

from __future__ import annotations

import os
import sys

from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace
from sgldoctor.errors import InputError, UsageError
from sgldoctor.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sgldoctor.derive.upgrade import Change
    from sgldoctor.facts import Facts
    from sgldoctor.report.human import Line

EPILOG = """examples:
  sgldoctor upgrade --to 0.5.23                    from the release that is installed
  sgldoctor upgrade --from 0.5.8 --to 0.5.23 --launch "python -m sglang.launch_server --model-path M --tp 8"
  sgldoctor upgrade --from 0.5.8 --to 0.5.20 -- SGLANG_X=1 python -m sglang.launch_server --model-path M

Nothing is changed. Exit status: 0 nothing breaks, 1 something does.
"""


class Judged(NamedTuple):
    """A launch line under both releases: what the new one refuses, warns of and no longer reads, and the new line.

    ``by_hand`` is what the new line still lacks, since no fix can know it.
    """

    before: str
    after: str
    breaks: tuple[str, ...]
    warns: tuple[str, ...]
    ignored: tuple[str, ...]
    by_hand: tuple[str, ...]


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser(
        "upgrade", "What breaks and what changes from one release of SGLang to another.", EPILOG, common.PLAIN
    )
    made.usage = "sgldoctor upgrade --to V [OPTION...] [-- [NAME=VALUE...] COMMAND...]"
    made.add_argument("--to", metavar="V", default="", help="the release to go to")
    made.add_argument("--from", metavar="V", default="", help="the release now (default: the one installed)")
    made.add_argument("--launch", metavar="CMD", help="the launch line that has to work afterwards")
    made.add_argument("--gpu-memory", metavar="GIB", type=_gibibytes, help="memory of each GPU, for its defaults")
    common.environment(made)
    at = arguments.index("--") if "--" in arguments else len(arguments)
    args = made.parse_args(arguments[:at])
    words = arguments[at + 1 :]
    if not args.to:
        raise UsageError("--to is required: the release to go to")
    if args.launch is not None and not args.launch.strip():
        raise UsageError("--launch: the launch line is empty")
    if words and args.launch:
        raise UsageError("give the launch line after '--' or with --launch, not both")
    line = args.launch or _quoted(words)
    from sgldoctor.derive import upgrade
    from sgldoctor.derive.plan import impossible, lane
    from sgldoctor.derive.wish import Wish
    from sgldoctor.knowledge import releases

    old, new = (
        _known(common.release(getattr(args, "from"), "--from") or _installed(args), "--from"),
        _known(common.release(args.to, "--to"), "--to"),
    )
    before, after = releases.release(old), releases.release(new)
    if before is None or after is None:
        raise UsageError("both releases have to be known")
    wish = _wish(Wish(new, python=_own_python(args)), args)
    refused = impossible(after, lane(after), wish)
    judged, facts = _judged(line, old, new, args) if line else (None, None)
    mib, tp, given = _sizes(facts, args)
    defaults = [*upgrade.memory(old, new, mib, tp), *upgrade.defaults(old, new, given)] if line else []
    defaults = [change for change in defaults if change.name not in given]
    parts = (upgrade.platform(before, after), upgrade.packages(before, after, wish), defaults)
    if args.format == "json":
        common.write(_json(old, new, refused, judged, parts))
    else:
        lines = _layout(old, new, refused, judged, parts, args)
        if common.in_colour(args.color):
            from sgldoctor.report.human import paint_lines

            paint_lines(lines, sys.stdout, common.width(args))
        else:
            from sgldoctor.report.human import plain

            common.write(plain(lines))
    sys.stdout.flush()
    return 1 if refused or (judged and judged.breaks) else 0


def _gibibytes(text: str) -> int:
    from sgldoctor.cli.quantities import gibibytes

    return gibibytes(text)


def _quoted(words: list[str]) -> str:
    import re

    from sgldoctor.launch.files import quoted

    if len(words) == 1 and re.search(r"\s", words[0]):
        return words[0]
    return quoted(words) if words else ""


def _known(version: str, option: str) -> str:
    from sgldoctor.knowledge import flags, releases

    if not releases.known(version) or version not in flags.releases():
        newest = ", ".join(releases.versions()[-4:])
        raise UsageError(f"{option} {version}: no release that is known; the newest are {newest}")
    return version


def _installed(args: Namespace) -> str:
    from sgldoctor.derive.pins import derive
    from sgldoctor.probe.packages import packages

    target = common.target(args)
    found = derive(packages(target)).value("sglang", "version")
    if not found:
        where = target.python or target.prefix
        raise InputError(f"no SGLang in the environment of {where}; name the release with --from")
    return str(found).partition("+")[0]


def _own_python(args: Namespace) -> str:
    """The Python of the environment, where one is named or no release is given to leave from."""
    if getattr(args, "from") and not (args.python or args.venv or args.root):
        return ""
    from sgldoctor.probe.packages import packages

    version = str(packages(common.target(args)).value("python", "version") or "")
    return ".".join(version.split(".")[:2])


def _wish(wish: Any, args: Namespace) -> Any:
    """Driver and glibc of this machine, unless the upgrade is a question about releases alone."""
    if getattr(args, "from") and not (args.python or args.venv or args.root):
        return wish._replace(python=wish.python or "3.12")
    from sgldoctor.cli.plan import here

    driver, glibc, _ = here("", "", "")
    return wish._replace(driver=driver, glibc=glibc, python=wish.python or "3.12")


def _judged(line: str, old: str, new: str, args: Namespace) -> tuple[Judged, Facts]:
    from sgldoctor.cli.rewrite import wanted
    from sgldoctor.fix.launchline import rewritten
    from sgldoctor.launch.command import parse
    from sgldoctor.launch.files import Located
    from sgldoctor.preflight import Given, Place, each, nowhere

    command = parse(line, os.environ)
    if not command.entry:
        raise InputError("no SGLang server command in the launch line: it needs 'python -m sglang.launch_server ...'")
    located = [Located(command, "", "", 0)]
    place = Place(nowhere(os.environ), "not judged: only the launch line is")
    before, after = (
        each(located, "", Given(sglang=release, memory_mib=args.gpu_memory), place, common.options(args))
        for release in (old, new)
    )
    (was,), (will,) = before, after
    held = {(finding.rule.slug, finding.subject) for finding in was.findings if finding.severity == "error"}
    fresh = [one for one in will.findings if (one.rule.slug, one.subject) not in held or one.severity != "error"]
    breaks = [_said(one) for one in fresh if one.severity == "error" and one.role == "cause"]
    silent = [
        row for row in will.facts.rows("environment.renamed") if row.get("works") is False and not row.get("says")
    ]
    ignored = [f"{row['name']}: {row['note']}" for row in silent]
    quiet = {str(row["name"]) for row in silent}
    warns = [_said(one) for one in fresh if one.severity != "error" and str(one.params.get("name")) not in quiet]
    asked = wanted(after, unsafe=True, strict=True)
    fresh_line = rewritten(line, asked.actions.get(0, ()), new)
    facts = will.facts
    by_hand = tuple(f"{one.title}: {'; '.join(one.advice)}" if one.advice else one.title for one in asked.left)
    return Judged(line, fresh_line, tuple(breaks), tuple(warns), tuple(ignored), by_hand), facts


def _said(finding: Any) -> str:
    notes = [str(row.get("note")) for row in finding.rows if row.get("note")]
    return "; ".join(dict.fromkeys(notes)) or str(finding.title)


def _sizes(facts: Facts | None, args: Namespace) -> tuple[float, int, set[str]]:
    """Memory of a GPU, tensor-parallel size, and the flags that the line gives."""
    if facts is None:
        return 0.0, 1, set()
    from sgldoctor.derive.effective import read

    settings = read(facts)
    mib = facts.value("gpus", "memory_total_mib") or args.gpu_memory or 0
    return float(mib), settings.number("--tp-size") or 1, set(settings.values)


Parts = tuple[list["Change"], list["Change"], list["Change"]]


def _layout(old: str, new: str, refused: list[str], judged: Judged | None, parts: Parts, args: Namespace) -> list[Line]:
    from sgldoctor.report.human import paragraph, safe

    width = common.width(args)
    bad = len(refused) + (len(judged.breaks) if judged else 0)
    lines: list[Line] = [
        [("bad", "BREAKS  "), ("title", f"SGLang {old} to {new}: {bad} thing{'s' if bad > 1 else ''} will not work")]
        if bad
        else [("good", "WORKS  "), ("title", f"SGLang {old} to {new}: nothing known breaks")]
    ]
    groups: list[tuple[str, list[str]]] = [("impossible", refused)]
    if judged:
        groups += [("breaks", list(judged.breaks)), ("ignored", list(judged.ignored)), ("warns", list(judged.warns))]
    for label, texts in groups:
        for text in texts:
            lines += paragraph(label, safe(text), width)
    if judged:
        if judged.after != judged.before:
            after = safe(judged.after)
        elif judged.breaks or judged.ignored or judged.warns or judged.by_hand:
            after = "no change that can be made safely"
        else:
            after = "as it is: nothing of it has to change"
        lines += [[], *paragraph("new line", after, width)]
        for text in judged.by_hand:
            lines += paragraph("by hand", safe(text), width)
    for title, changes in zip(("platform", "packages", "defaults"), parts, strict=True):
        shown = changes if args.verbose or title != "packages" else changes[:12]
        if changes and not args.quiet:
            lines += [[], [("title", f"{title}:")]]
            lines += [[("text", f"  {_change(change)}")] for change in shown]
            if len(shown) < len(changes):
                lines += [[("dim", f"  and {len(changes) - len(shown)} more (-v shows all)")]]
    return lines


def _change(change: Change) -> str:
    note = f" ({change.note})" if change.note else ""
    return f"{change.name}: {change.before or 'not there'} -> {change.after or 'gone'}{note}"


def _json(old: str, new: str, refused: list[str], judged: Judged | None, parts: Parts) -> str:
    import json

    from sgldoctor import __version__
    from sgldoctor.report.as_json import cleaned

    answer = {
        "schema": "sgldoctor.upgrade/1",
        "tool": {"name": "sgldoctor", "version": __version__},
        "command": "upgrade",
        "from": old,
        "to": new,
        "impossible": refused,
        "line": {name: list(value) if isinstance(value, tuple) else value for name, value in judged._asdict().items()}
        if judged
        else None,
        "platform": [change._asdict() for change in parts[0]],
        "packages": [change._asdict() for change in parts[1]],
        "defaults": [change._asdict() for change in parts[2]],
    }
    return json.dumps(cleaned(answer), indent=1) + "\n"
