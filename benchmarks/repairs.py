r"""Repairs of real SGLang environments against the classic advice, ``pip install --force-reinstall torch==PIN``.

    SGLDOCTOR_LAB=DIR python benchmarks/repairs.py [--only TEXT] [--ask] [--markdown FILE]

For each case of ``tests/real/test_lab_fix.py`` two copies are broken alike (hard links: DIR must hold the sound ones).
The doctor repairs the first; torch is reinstalled with what it needs in the second, by the same uv from the same cache.
A row says of both how many distributions were written or removed, how many bytes their wheels have (as the index says:
what would be fetched without a cache), how long it took, whether ``import sgl_kernel`` succeeds afterwards (with a
stand-in for libcuda) and, of the classic advice, whether the doctor then calls the environment healthy. With ``--ask``
uv is only asked what it would do for the classic advice.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
from sgldoctor.fix import install, sizes
from sgldoctor.fix.install import Move, Settings
from sgldoctor.probe.environments import find
from tests.real.test_lab_fix import CASES, LAB, UV, Case, break_, make_stub, variables, versions


class Outcome(NamedTuple):
    """What became of one copy: distributions and bytes moved, seconds, whether the kernel imports, all is healthy."""

    moved: int
    size: int
    seconds: float
    imports: bool | None = None
    healthy: bool | None = None


def main() -> None:
    """Run the cases, print a row for each as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--ask", action="store_true", help="do not carry the classic advice out")
    parser.add_argument("--markdown", help="write the table here, too")
    options = parser.parse_args()
    lines = ["| case | repaired: wheels, MB, s | kernel | classic: wheels, MB, s | kernel | healthy |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        stub = make_stub(Path(scratch))
        for name, case in CASES.items():
            if options.only not in name or not (LAB / case.lab).is_dir():
                continue
            ours = tried(case, stub, Path(scratch), by_doctor=True, ask=False)
            classic = tried(case, stub, Path(scratch), by_doctor=False, ask=options.ask)
            lines.append(
                f"| {name} ({case.lab}) | {_figures(ours)} | {_word(bool(ours.imports and ours.healthy))} "
                f"| {_figures(classic)} | {_word(classic.imports)} | {_word(classic.healthy)} |"
            )
            print(lines[-1], flush=True)
    if options.markdown:
        Path(options.markdown).write_text("\n".join(lines) + "\n", encoding="utf-8")


def tried(case: Case, stub: Path, scratch: Path, *, by_doctor: bool, ask: bool) -> Outcome:
    """Break a copy, repair it in one of the two ways, and see what it is worth."""
    folder = LAB / f"repairs-{os.getpid()}"
    subprocess.run(["cp", "-al", str(LAB / case.lab), str(folder)], check=True)
    try:
        environ = variables(scratch)
        pin = versions(folder)["torch"]
        for step in case.breaks:
            break_(folder, step, environ)
        check = [sys.executable, "-m", "sgldoctor", "check", "--venv", str(folder), "--format", "json"]
        begin = time.perf_counter()
        if by_doctor:
            words = [*check, "--fix", "--yes", *case.options]
            ran = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - begin
            fixed: dict[str, Any] = json.loads(ran.stdout)["fixed"]
            rows = fixed["changes"]
            moved, healthy = len(rows), ran.returncode == 0 and fixed["result"] == "verified"
            size = sum(row["size"] for row in rows)
        else:
            # Offline, or uv would fetch gigabytes again, and keep them, for wheels that its cache has.
            dry = ["--dry-run"] if ask else []
            words = [UV, "pip", "install", *dry, "--offline", "--reinstall", "--prerelease=allow", f"torch=={pin}",
                     "--python", str(folder / "bin/python")]  # fmt: skip
            ran = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
            seconds = time.perf_counter() - begin
            changes = re.findall(r"^ ([-+~]) (\S+?)==(\S+)", ran.stderr, re.MULTILINE)
            moved, size = len({name for _, name, _ in changes}), _bytes(folder, changes, environ, scratch)
            if ask:
                return Outcome(moved, size, seconds)
            healthy = subprocess.run(check, env=environ, capture_output=True, check=False).returncode == 0
        loaded = subprocess.run(
            [str(folder / "bin/python"), "-c", "import sgl_kernel; sgl_kernel.silu_and_mul"],
            env={**environ, "LD_LIBRARY_PATH": str(stub)}, capture_output=True, check=False,
        )  # fmt: skip
        return Outcome(moved, size, seconds, loaded.returncode == 0, healthy)
    finally:
        shutil.rmtree(folder)


def _bytes(folder: Path, changes: list[tuple[str, str, str]], environ: dict[str, str], scratch: Path) -> int:
    installer = install.choose(find(None, str(folder), None, environ), Settings(choice="uv"), False)
    moves = [Move(name, "", version) for sign, name, version in changes if sign != "-"]
    return sum(move.size for move in sizes.sized(installer, moves, str(scratch)))


def _figures(outcome: Outcome) -> str:
    return f"{outcome.moved}, {outcome.size / 1e6:.0f}, {outcome.seconds:.1f}"


def _word(good: bool | None) -> str:
    return "not tried" if good is None else "yes" if good else "**no**"


if __name__ == "__main__":
    main()
