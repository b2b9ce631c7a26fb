"""The part that runs inside a Ray cluster, by the cluster's own Python: one probe on each live node.

:mod:`sgldoctor.fleet.cluster` starts it. It reads one line of JSON (what to do) from standard input and writes
one line of JSON for each thing that happens::

    {"event": "nodes", "nodes": [{"id", "name", "alive"}]}
    {"event": "snapshot", "id", "text", "skew_s"}
    {"event": "failed", "id", "kind": "dead | slow | failed", "because"}
    {"event": "error", "because"}          nothing could be done at all

It needs Ray, and of the doctor itself what the runtime environment carries. When standard input closes, whoever asked
has gone, and it ends at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

START = 30.0
"""Seconds that a worker may take to start on a node, besides the time for its probe."""


def probe(python: str, seconds: float) -> tuple[str, float, float]:
    """On a node: its snapshot in JSON, and its clock before and after; raises where the child fails or takes too long.

    A child process, since a sick driver or a dead network folder may hang whoever asks.
    """
    import sgldoctor

    begin = time.time()
    home = os.path.dirname(os.path.dirname(os.path.abspath(sgldoctor.__file__)))
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from sgldoctor.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-I", "-c", code, home, "snapshot", "--compact", "--python", python or sys.executable]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
        raise RuntimeError(f"the probe ended with status {done.returncode} {said[0][:300]}".rstrip())
    return done.stdout.decode("ascii", "replace"), begin, time.time()


def say(event: str, **more: Any) -> None:
    """Write one line, whole."""
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


def _watch() -> None:
    while sys.stdin.readline():
        pass
    os._exit(3)


def skew(sent: float, begin: float, end: float, received: float) -> float:
    """By how much a clock is off at least: the part that the way of question and answer cannot explain."""
    if begin < sent:
        return begin - sent
    return max(0.0, end - received)


def main() -> None:
    """Ask all nodes; ends with status 0 once each has answered, failed, or had its time."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_watch, daemon=True).start()
    try:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
    except ImportError as error:
        say("error", because=f"{sys.executable} has no Ray: {error}; name the cluster's own Python with --python")
        return
    try:
        ray.init(
            address=asked["address"],
            runtime_env={"py_modules": [asked["package"]]},
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=False,
        )
        nodes = ray.nodes()
    except Exception as error:  # noqa: BLE001 - Ray raises what it likes, and says it over many lines
        say("error", because=f"the Ray cluster at {asked['address']} cannot be used: {_line(error)}")
        return
    say(
        "nodes",
        nodes=[
            {"id": node["NodeID"], "name": node.get("NodeManagerHostname") or "", "alive": bool(node.get("Alive"))}
            for node in nodes
        ],
    )
    task = ray.remote(probe)
    sent: dict[Any, tuple[str, float]] = {}
    for node in nodes:
        if node.get("Alive"):
            where = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            made = task.options(num_cpus=0, max_retries=0, scheduling_strategy=where)
            sent[made.remote(asked["python"], asked["seconds"])] = (node["NodeID"], time.time())
    looked = time.time()
    while sent:
        done, _ = ray.wait(list(sent), num_returns=1, timeout=0.5)
        for answer in done:
            identity, when = sent.pop(answer)
            _answered(ray, answer, identity, when)
        now = time.time()
        if now - looked > 2:
            looked = now
            alive = {node["NodeID"] for node in ray.nodes() if node.get("Alive")}
            for answer, (identity, _) in list(sent.items()):
                if identity not in alive:
                    del sent[answer]
                    say("failed", id=identity, kind="dead", because="the node died while it was asked")
        for answer, (identity, when) in list(sent.items()):
            if now - when > asked["seconds"] + START:
                del sent[answer]
                say("failed", id=identity, kind="slow", because=f"no answer within {asked['seconds'] + START:g} s")
                try:
                    ray.cancel(answer, force=True)
                except Exception:  # noqa: BLE001 - it is given up anyway
                    pass


def _answered(ray: Any, answer: Any, identity: str, when: float) -> None:
    try:
        text, begin, end = ray.get(answer)
    except Exception as error:  # noqa: BLE001 - whatever went wrong on the node is the answer
        cause = getattr(error, "cause", None) or error
        kind = "slow" if isinstance(cause, TimeoutError) else "failed"
        if type(error).__name__ in ("WorkerCrashedError", "NodeDiedError", "TaskUnschedulableError"):
            alive = {node["NodeID"] for node in ray.nodes() if node.get("Alive")}
            kind = "failed" if identity in alive and type(error).__name__ == "WorkerCrashedError" else "dead"
        because = "the node died while it was asked" if kind == "dead" else _line(cause)
        if kind == "slow":
            because = str(cause)[:300]
        say("failed", id=identity, kind=kind, because=because)
        return
    say("snapshot", id=identity, text=text, skew_s=round(skew(when, begin, end, time.time()), 3))


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
