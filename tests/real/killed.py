"""A program that repairs one environment again and again, killed each time at another point, and takes it back.

    python -m tests.real.killed VENV WHEELS POINTS

Points are the moments at which the doctor is about to write, rename or remove something, or to start the installer: an
audit hook sees them all. Prints one JSON object a line: ``point``, how it ended, and what was there afterwards.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from sgldoctor.__main__ import main
from sgldoctor.errors import FixError
from sgldoctor.fix import journal
from sgldoctor.fix.preflight import lock
from sgldoctor.folders import state_folder
from tests.real.envs import Env

WRITES = os.O_WRONLY | os.O_RDWR
NEVER = 1 << 30


def attempt(env: Env, point: int) -> int:
    """Repair in a child that is killed at a point; returns how many points it came by, -1 where it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        seen = 0

        def hook(event: str, details: tuple[Any, ...]) -> None:
            nonlocal seen
            writes = event == "open" and isinstance(details[2], int) and details[2] & WRITES
            if writes or event in ("os.rename", "os.remove", "os.mkdir", "subprocess.Popen"):
                seen += 1
                if seen == point:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        with redirect_stdout(io.StringIO()):
            env.repair("--yes", "--installer", "uv")
        os.write(writing, str(seen).encode())
        os._exit(0)
    os.close(writing)
    told = os.read(reading, 32)
    os.close(reading)
    os.waitpid(child, 0)
    return int(told) if told else -1


def free(env: Env) -> None:
    """Wait for the installer that a killed doctor has left behind: it holds the lock."""
    for _ in range(600):
        try:
            os.close(lock(state_folder(env.environ), str(env.prefix)))
            return
        except FixError:
            time.sleep(0.05)
    raise SystemExit("the lock is never freed")


def run(env: Env, points: int) -> None:
    """Repair once to count the points, then kill at as many of them as asked for, evenly spread."""
    options = ["--venv", str(env.prefix), "--installer", "uv", "--find-links", str(env.wheels), "--no-index"]
    before = env.versions()
    total = attempt(env, NEVER)
    with redirect_stdout(io.StringIO()):
        undone = main(["undo", *options])
    print(json.dumps({"total": total, "undone": undone, "same": env.versions() == before}))
    for point in sorted({1 + number * (total - 1) // max(points - 1, 1) for number in range(points)}):
        known = len(journal.read(state_folder(env.environ)))
        survived = attempt(env, point) >= 0
        free(env)
        entries = journal.read(state_folder(env.environ))
        named = len(entries) > known and not entries[-1].end
        changed = env.versions() != before
        undone = 0
        if len(entries) > known:
            with redirect_stdout(io.StringIO()):
                undone = main(["undo", *options])
        same = env.versions() == before
        print(json.dumps({"point": point, "survived": survived, "named": named, "changed": changed, "undone": undone,
                          "same": same}), flush=True)  # fmt: skip


if __name__ == "__main__":
    run(Env(Path(sys.argv[1]), dict(os.environ), Path(sys.argv[2])), int(sys.argv[3]))
