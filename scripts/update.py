"""Take new releases of SGLang into the knowledge, and say what they change for users and for our rules.

    python scripts/update.py                          what the package index has and the knowledge has not
    python scripts/update.py --add sglang-X.whl       a wheel or a source distribution on disk, besides
    python scripts/update.py --since VERSION          only say again what has changed since a release

Every script that reads SGLang's wheels runs over a copy of this checkout, and its data files are taken over only when
all have succeeded: one that fails leaves the checkout as it is. What they write depends on the wheels alone, so running
it again changes nothing. Wheels are kept in --wheels; the first time, those of all known releases are downloaded
(0.4 GB). Python must be one that the newest wheels are built for.

Exit status: 0 up to date or updated, 1 a script failed, 2 usage or no answer from the package index.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import changed
import wheels
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("sgldoctor", "scripts", "rules")
FIRST = ("flags", "releases")
"""``flags`` makes a release known to all others, and ``variants`` reads what ``releases`` wrote."""
STEPS = (
    "imported_names", "messages", "variables", "quantization_matches", "launch_refusals", "quantization_limits",
    "memory_heuristics", "sources", "defects", "variants", "launch_conflicts",
)  # fmt: skip
"""What stands on these alone, each with data files of its own; side by side, the longest first."""


def main() -> None:
    """Find, fetch, read, compare."""
    asked = arguments()
    before = wheels.known()
    if asked.since:
        say(asked.since, before, asked.report)
        return
    fresh = added(asked) if asked.offline else [*added(asked), *published(before)]
    fresh = sorted({*fresh} - {*before}, key=Version)
    if not fresh and not asked.again:
        print(f"nothing new: the knowledge goes up to SGLang {before[-1]}")
        return
    print("new:", ", ".join(fresh) or "nothing; made again")
    all_ = json.loads((wheels.DATA / "defects.json").read_text(encoding="utf-8"))["releases"]
    for release in sorted({*all_, *before, *fresh}, key=Version):
        if asked.offline and wheels.located(asked.wheels, release) is None:
            raise SystemExit(f"update: {asked.wheels} has no wheel of {release}, and --offline asks for none")
        wheels.fetch(asked.wheels, release)
    changes = remade(asked.wheels, offline=asked.offline, write=not asked.dry_run)
    print("data files changed:", ", ".join(changes) or "none", "(not written)" if asked.dry_run and changes else "")
    if fresh and not asked.dry_run:
        say(max((one for one in before if Version(one) < Version(fresh[0])), key=Version), before, asked.report)
        print(f"\nNow: python -m pytest -q tests, look at what is named above, and commit {', '.join(changes)}.")


def arguments() -> argparse.Namespace:
    """The command line."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--wheels", type=Path, default=Path(cache, "sgldoctor-wheels"), help="where wheels are kept")
    made.add_argument("--add", type=Path, action="append", default=[], metavar="FILE", help="a wheel or .tar.gz")
    made.add_argument("--offline", action="store_true", help="ask the package index for nothing")
    made.add_argument("--again", action="store_true", help="make the data anew though nothing is new")
    made.add_argument("--dry-run", action="store_true", help="leave the data files as they are")
    made.add_argument("--since", metavar="VERSION", help="say what has changed since this release, and end")
    made.add_argument("--report", type=Path, metavar="FILE", help="write what has changed there as well (Markdown)")
    return made.parse_args()


def added(asked: argparse.Namespace) -> list[str]:
    """The releases of --add, copied into the folder of wheels."""
    asked.wheels.mkdir(parents=True, exist_ok=True)
    releases = []
    for path in asked.add:
        try:
            if path.name.endswith(".tar.gz"):
                path = wheels.repacked(path, asked.wheels)
            elif path.suffix == ".whl" and path.name.startswith("sglang-"):
                str(wheels.Wheel(path).metadata["Version"])  # readable, before it lies among the others
                path = Path(shutil.copy(path, asked.wheels))
            else:
                raise SystemExit(f"update: {path}: neither a wheel nor a source distribution of sglang")
            releases.append(str(Version(wheels.Wheel(path).version)))
        except (OSError, ValueError, InvalidVersion, *wheels.UNREADABLE) as error:
            raise SystemExit(f"update: {path}: {error}") from None
    return releases


def published(known: list[str]) -> list[str]:
    """The final releases on the package index that should be known."""
    oldest = wheels.complete_from(known)
    return [str(one) for one in wheels.published("sglang") if one > oldest and not one.is_prerelease]


def remade(folder: Path, *, offline: bool, write: bool) -> list[str]:
    """Run every step over a copy of the checkout; the names of the data files that differ, which are then replaced."""
    with tempfile.TemporaryDirectory(prefix="sgldoctor-update-") as scratch:
        for name in COPIED:
            shutil.copytree(ROOT / name, Path(scratch, name), ignore=shutil.ignore_patterns("__pycache__", "_rules.py"))
        run = partial(_step, scratch, folder.resolve(), offline=offline)
        # One by one as far as the next needs it; map hands on what a step raises, after those that run have ended.
        for step in FIRST:
            run(step)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(run, STEPS))
        made = Path(scratch, wheels.DATA.relative_to(ROOT))
        names = sorted(
            path.name
            for path in made.iterdir()
            if path.is_file()
            and (not (wheels.DATA / path.name).exists() or path.read_bytes() != (wheels.DATA / path.name).read_bytes())
        )
        for name in names if write else ():
            part = wheels.DATA / f".{name}.new"
            shutil.copyfile(made / name, part)
            part.replace(wheels.DATA / name)
        return names


def _step(scratch: str, folder: Path, step: str, *, offline: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": scratch, "XDG_CACHE_HOME": os.path.join(scratch, "cache")}
    command = [sys.executable, os.path.join(scratch, "scripts", f"{step}.py"), str(folder)]
    command += ["--offline"] if offline and step == "releases" else []
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=scratch, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    print(f"  {step:20} {time.monotonic() - begin:5.0f} s  {last}", flush=True)
    if done.stderr.strip():
        print("   ", "\n    ".join(done.stderr.strip().splitlines()[-12:]), file=sys.stderr)
    if done.returncode:
        print(f"update: {step}.py failed; nothing was changed", file=sys.stderr)
        raise SystemExit(1)


def say(since: str, before: list[str], report: Path | None) -> None:
    """Print what has changed since a release."""
    if since not in before:
        print(f"update: {since} is no known release; known are {before[0]} to {before[-1]}", file=sys.stderr)
        raise SystemExit(2)
    text = changed.report(wheels.DATA, ROOT / "rules", since, wheels.known()[-1])
    print("\n" + text)
    if report:
        report.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
