"""``sgldoctor plan``: the installation plan of a release, in order and pinned; or why there can be none.

With ``--format json`` one object is written: ``{"schema": "sgldoctor.plan/1", "sglang", "cuda", "python", "refused",
"steps": [{"title", "commands", "why", "moves"}], "requirements", "pins", "notes", "resolved": {...} or null}``.
"""

from __future__ import annotations

import os
import re
import sys

from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace, refusal
from sgldoctor.cli.quantities import capability
from sgldoctor.errors import UsageError
from sgldoctor.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgldoctor.derive.plan import Plan
    from sgldoctor.derive.wish import Wish
    from sgldoctor.fix.resolving import Resolved
    from sgldoctor.knowledge.releases import Release

EPILOG = """examples:
  sgldoctor plan
  sgldoctor plan --sglang 0.5.8 --python 3.12 --with deepep,nixl --compute-capability 9.0
  sgldoctor plan --sglang 0.5.8 --with vllm --format shell > install.sh
  sgldoctor plan --sglang 0.5.8 --format constraints > constraints.txt
  sgldoctor plan --sglang 0.5.13 --resolve         prove with uv, without installing, that it resolves

Without --sglang the newest release that is known. Driver and glibc are those of this machine unless --driver and
--glibc name others; --elsewhere looks at neither. A release newer than all that are known is planned by its METADATA,
where the active environment has it (uv pip install --no-deps). Nothing is installed. Exit status: 0 a plan,
1 impossible or not resolvable.
"""
FORMATS = ("human", "text", "shell", "constraints", "json")


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser("plan", "Plan the installation of a release of SGLang.", EPILOG, FORMATS)
    made.add_argument("--sglang", metavar="V", default="", help="the release (default: the newest known)")
    made.add_argument("--cuda", metavar="V", type=_cuda, help="CUDA that it has to be: 12, 13.0, cu129")
    made.add_argument("--python", metavar="V", type=_python, help="Python, such as 3.12")
    made.add_argument("--with", metavar="NAMES", default="", help="of deepep,nixl,mooncake,vllm")
    made.add_argument("--compute-capability", metavar="X.Y", type=capability, help="GPU to build for")
    made.add_argument("--driver", metavar="V", type=_dotted, help="NVIDIA driver of the target machine")
    made.add_argument("--glibc", metavar="V", type=_dotted, help="glibc of the target machine")
    made.add_argument("--elsewhere", action="store_true", help="the plan is not for this machine")
    made.add_argument(
        "--resolve", action="store_true", help="prove with uv that it resolves (network, no installation)"
    )
    args = made.parse_args(arguments)
    from sgldoctor.derive.plan import plan

    wish, itself = _wish(args)
    made_plan = plan(wish, itself)
    resolved = None
    if args.resolve and not made_plan.refused:
        from sgldoctor.fix.resolving import resolve

        resolved = resolve(made_plan, os.environ)
    common.write(_render(made_plan, resolved, args.format, common.width(args)))
    sys.stdout.flush()
    if made_plan.refused:
        if args.format in ("shell", "constraints"):
            print(f"sgldoctor: {'; '.join(made_plan.refused)}", file=sys.stderr)
        return 1
    if resolved is not None and args.format in ("shell", "constraints"):
        print(f"sgldoctor: {resolved.note}", file=sys.stderr)
    return 0 if resolved is None or resolved.ok else 1


def _wish(args: Namespace) -> tuple[Wish, Release | None]:
    from sgldoctor.derive.companions import COMPANIONS
    from sgldoctor.derive.wish import Wish
    from sgldoctor.knowledge import releases

    asked = common.release(args.sglang) or releases.newest()
    itself = None if releases.known(asked) else _installed(asked)
    if not releases.known(asked) and itself is None:
        near = ", ".join(releases.versions()[-4:])
        raise UsageError(
            f"--sglang {asked}: no release that is known, nor the one of the active environment; the newest are {near}"
        )
    names = tuple(dict.fromkeys(name.strip() for name in getattr(args, "with").split(",") if name.strip()))
    strange = [name for name in names if name not in COMPANIONS]
    if strange:
        raise UsageError(f"--with {','.join(strange)}: there are {', '.join(COMPANIONS)}")
    driver, glibc, chosen = args.driver or "", args.glibc or "", args.compute_capability or ""
    if not args.elsewhere:
        driver, glibc, chosen = here(driver, glibc, chosen)
    made = Wish(asked, args.cuda or "", args.python or "", names, driver, glibc, os.uname().machine, chosen)
    return made, itself


def _installed(asked: str) -> Release | None:
    """A release newer than all that are known, by its METADATA in the active environment; None where it is absent."""
    from sgldoctor.knowledge import releases
    from sgldoctor.probe.environments import find
    from sgldoctor.probe.packages import packages

    if not releases.newer(asked):
        return None
    rows = packages(find(None, None, None, os.environ)).rows("packages")
    row = next((row for row in rows if row["name"] == "sglang"), None)
    if row is None or str(row["version"]).partition("+")[0] != asked:
        return None
    return releases.of_metadata(asked, str(row["requires_python"]), row["requires"])


def here(driver: str, glibc: str, chosen: str) -> tuple[str, str, str]:
    """Driver, glibc and compute capability of this machine, where they are not given."""
    from sgldoctor.preflight import nowhere
    from sgldoctor.probe.gpu import gpus

    target = nowhere(os.environ)
    if not glibc:
        try:
            glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")[2]
        except (ValueError, OSError):
            glibc = ""
    if not driver or not chosen:
        facts = gpus(target)
        driver = driver or str(facts.value("driver", "version") or "")
        chosen = chosen or str(facts.value("gpus", "capability") or "")
    return driver, glibc, chosen


def _cuda(text: str) -> str:
    if not re.fullmatch(r"(?:cu)?1[1-9](?:\.?\d)?(?:\.\d+)?", text):
        raise refusal(f"{text!r} is no CUDA release, such as 12, 13.0 or cu129")
    return text


def _python(text: str) -> str:
    if not re.fullmatch(r"3\.\d{1,2}", text):
        raise refusal(f"{text!r} is no Python version, such as 3.12")
    return text


def _dotted(text: str) -> str:
    if not re.fullmatch(r"\d{1,4}(?:\.\d{1,4}){1,2}", text):
        raise refusal(f"{text!r} is no version, such as 580.65.06 or 2.35")
    return text


def _render(plan: Plan, resolved: Resolved | None, form: str, width: int) -> str:
    if form == "json":
        return _json(plan, resolved)
    if form == "shell":
        return _shell(plan)
    if form == "constraints":
        return "" if plan.refused else "".join(f"{pin}\n" for pin in plan.pins)
    return _text(plan, resolved, width)


def _text(plan: Plan, resolved: Resolved | None, width: int) -> str:
    from sgldoctor.report.human import Line, paragraph, plain

    wish = plan.wish
    if plan.refused:
        lines: list[Line] = [[("bad", "IMPOSSIBLE  "), ("title", f"SGLang {wish.sglang} on Python {wish.python}")]]
        for reason in plan.refused:
            lines += paragraph("why", reason, width)
        return plain(lines)
    lines = [[("title", f"SGLang {wish.sglang}, {_cuda_of(plan)}, Python {wish.python}: {len(plan.steps)} steps")]]
    for number, step in enumerate(plan.steps, 1):
        lines += [[], [("title", f"{number}. {step.title}")]]
        lines += [[("command", f"     {command}")] for command in step.commands]
        for label, text in (("why", step.why), ("moves", step.moves)):
            lines += paragraph(f"   {label}", text, width) if text else []
    for note in plan.notes:
        lines += [[], *paragraph("note", note, width)]
    if resolved is not None:
        lines += [[], *paragraph("resolved" if resolved.ok else "FAILED", resolved.note, width)]
        lines += [[("text", f"          {line}")] for line in resolved.lines]
    return plain(lines)


def _cuda_of(plan: Plan) -> str:
    return f"CUDA {plan.cuda}" if plan.cuda else "CUDA not known"


def _shell(plan: Plan) -> str:
    """A script that a person can read; the environment's folder is its only argument."""
    wish = plan.wish
    if plan.refused:
        return ""
    lines = [
        "#!/usr/bin/env bash",
        f"# SGLang {wish.sglang}, {_cuda_of(plan)}, Python {wish.python}. Usage: install.sh [FOLDER]",
        "set -euo pipefail",
        'VENV="${1:-$PWD/sglang-venv}"',
        'export VIRTUAL_ENV="$VENV"',
    ]
    for number, step in enumerate(plan.steps, 1):
        lines += ["", f"# {number}. {step.title}"]
        lines += [f"# {label}: {text}" for label, text in (("why", step.why), ("moves", step.moves)) if text]
        root = "as root" in step.title
        optional = step.title.startswith("Only for")
        lines += [f"# {command}" if root or optional else command for command in step.commands]
    lines += ["", *(f"# note: {note}" for note in plan.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _json(plan: Plan, resolved: Resolved | None) -> str:
    import json

    from sgldoctor import __version__
    from sgldoctor.report.as_json import cleaned

    answer: dict[str, Any] = {
        "schema": "sgldoctor.plan/1",
        "tool": {"name": "sgldoctor", "version": __version__},
        "command": "plan",
        "sglang": plan.wish.sglang,
        "cuda": plan.cuda,
        "python": plan.wish.python,
        "refused": list(plan.refused),
        "steps": [{**step._asdict(), "commands": list(step.commands)} for step in plan.steps],
        "requirements": list(plan.requirements),
        "pins": list(plan.pins),
        "notes": list(plan.notes),
        "resolved": {**resolved._asdict(), "lines": list(resolved.lines)} if resolved else None,
    }
    return json.dumps(cleaned(answer), indent=1) + "\n"
