"""Asking every node of a Ray cluster: the doctor's side. Only the driver imports Ray, in the cluster's own Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from sgldoctor.errors import InputError
from sgldoctor.fleet.gather import Fleet, Unread
from sgldoctor.fleet.sources import Item, parse
from sgldoctor.report.text import clean, shorten
from sgldoctor.snapshot import save
from sgldoctor.typed import Any, NamedTuple

_CODE = (
    "import sys; sys.path[:1] = [sys.argv[1], *filter(None, sys.path[:1])];"  # "-c" looks in the present folder first
    "from sgldoctor.fleet.ray_driver import main; main()"
)


class Asked(NamedTuple):
    """How to ask.

    Attributes:
        address: of the cluster, or ``auto``.
        python: the cluster's Python; empty: this one if it has Ray, else ``python3`` on PATH.
        node_python: the interpreter to examine on each node; empty: the one that runs Ray there.
        keep: where snapshots are kept; empty: in a folder of the user's state.
        seconds: for each node.
    """

    address: str
    python: str
    node_python: str
    keep: str
    seconds: float


def gather(fleet: Fleet, asked: Asked, *, progress: bool) -> str:
    """Ask all nodes and add what they answer to ``fleet``; returns the folder in which the snapshots are kept.

    Each snapshot is written as soon as it comes. Raises InputError where the cluster cannot be asked at all.
    """
    folder = _folder(asked.keep)
    names: dict[str, str] = {}
    waiting: set[str] = set()
    failed = 0
    for event in _events(asked):
        kind, identity = event.get("event"), str(event.get("id"))
        if kind == "error":
            if not asked.keep:
                os.rmdir(folder)
            raise InputError(shorten(clean(str(event.get("because"))), 500))
        if kind == "nodes":
            print(f"sgldoctor: snapshots are kept in {folder}", file=sys.stderr)
            names = _names(event["nodes"])
            waiting = {str(node["id"]) for node in event["nodes"] if node["alive"]}
            for node in event["nodes"]:
                if not node["alive"]:
                    fleet.unread.append(Unread(names[str(node["id"])], "Ray says that the node is dead", "dead"))
        elif kind == "snapshot":
            waiting.discard(identity)
            _arrived(fleet, event, names.get(identity, identity), folder)
        elif kind == "failed":
            waiting.discard(identity)
            failed += 1
            because = shorten(clean(str(event.get("because"))), 300)
            fleet.unread.append(Unread(names.get(identity, identity), because, str(event.get("kind"))))
        if progress:
            _show(len(names), len(waiting), failed, [names[one] for one in sorted(waiting)])
    if progress:
        sys.stderr.write("\r\x1b[K")
    fleet.unread += [
        Unread(names[one], "the driver ended before the node answered", "failed") for one in sorted(waiting)
    ]
    return folder


def _folder(keep: str) -> str:
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    folder = keep or os.path.join(state, "sgldoctor", "fleet", time.strftime("%Y%m%d-%H%M%S"))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
    return folder


def _names(nodes: list[dict[str, Any]]) -> dict[str, str]:
    """What each node is called: its host name, with the beginning of its id where several have one name."""
    hosts = [shorten(clean(str(node["name"])), 100) for node in nodes]
    return {
        str(node["id"]): host if host and hosts.count(host) == 1 else f"{host}#{str(node['id'])[:8]}"
        for node, host in zip(nodes, hosts, strict=True)
    }


def _arrived(fleet: Fleet, event: dict[str, Any], name: str, folder: str) -> None:
    safe = "".join(letter if letter.isalnum() or letter in "-_.#" else "_" for letter in name)
    path = os.path.join(folder, f"{safe}.json")
    try:
        data = parse(str(event["text"]).encode("ascii", "replace"))
    except ValueError as error:
        fleet.unread.append(Unread(name, shorten(clean(str(error)), 200)))
        return
    data["host"] = name
    data["skew_s"] = event.get("skew_s")
    save(path, json.dumps(data) + "\n")
    fleet.add(Item(name, data, "", path))


def _show(total: int, waiting: int, failed: int, names: list[str]) -> None:
    done = total - waiting
    bar = "#" * (20 * done // max(total, 1))
    left = f", waiting for {shorten(', '.join(names), 40)}" if 0 < waiting <= 8 else ""
    sys.stderr.write(f"\r\x1b[K[{bar:<20}] {done} of {total} nodes{f', {failed} failed' if failed else ''}{left}")
    sys.stderr.flush()


def _events(asked: Asked) -> Iterator[dict[str, Any]]:
    """What the driver says, line by line. It ends with us: its standard input is ours to close."""
    python = asked.python or (sys.executable if _has_ray() else shutil.which("python3") or sys.executable)
    if not os.path.exists(python) and not shutil.which(python):
        raise InputError(f"{python}: no such interpreter")
    home = tempfile.mkdtemp(prefix="sgldoctor-ray-")
    try:
        package = _package(home)
        order = {"address": asked.address, "python": asked.node_python, "seconds": asked.seconds, "package": package}
        with subprocess.Popen(
            [python, "-c", _CODE, home],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if not os.environ.get("SGLDOCTOR_DEBUG") else None,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "RAY_DEDUP_LOGS": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
        ) as driver:
            yield from _heard(driver, order, python)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _heard(driver: subprocess.Popen[str], order: dict[str, Any], python: str) -> Iterator[dict[str, Any]]:
    assert driver.stdin is not None
    assert driver.stdout is not None
    said: list[str] = []
    if driver.stderr is not None:  # read aside, so that a full pipe never stops the driver
        import threading

        stream = driver.stderr
        threading.Thread(target=lambda: said.extend(line for line in stream if len(said) < 1000), daemon=True).start()
    any_event = False
    try:
        driver.stdin.write(json.dumps(order) + "\n")
        driver.stdin.flush()
        for line in driver.stdout:
            try:
                event = json.loads(line)
            except ValueError:  # something of Ray's own
                continue
            if isinstance(event, dict) and "event" in event:
                any_event = True
                yield event
    except BrokenPipeError:
        pass
    finally:
        driver.kill()
    if not any_event:
        last = next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")
        raise InputError(f"{python}: the Ray driver did not start: {shorten(clean(last), 300)}")


def _has_ray() -> bool:
    from importlib.util import find_spec

    return find_spec("ray") is not None


def _package(home: str) -> str:
    """A folder with nothing but the doctor in it, for the driver's path and for the nodes; returns the package's."""
    import sgldoctor

    source = os.path.dirname(os.path.abspath(sgldoctor.__file__))
    target = os.path.join(home, "sgldoctor")
    if os.path.isdir(source):
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:  # a zip archive
        import zipfile

        with zipfile.ZipFile(
            source[: source.index(".pyz") + 4] if ".pyz" in source else os.path.dirname(source)
        ) as pack:
            pack.extractall(home, [name for name in pack.namelist() if name.startswith("sgldoctor/")])
    return target
