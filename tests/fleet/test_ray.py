"""Asking the nodes of a Ray cluster: with a stand-in for Ray always, with a real cluster where there is Ray.

``SGLDOCTOR_TEST_RAY`` names an interpreter that has Ray; the real cluster is several raylets on this machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from sgldoctor.fleet.ray_driver import skew
from tests.fleet.nodes import base

# As much of Ray's interface as the driver uses; each node does what the file says.
STAND_IN = """
import json, os, threading, time

class _Remote:
    def __init__(self, work, node=None): self.work, self.node = work, node
    def options(self, num_cpus, max_retries, scheduling_strategy): return _Remote(self.work, scheduling_strategy)
    def remote(self, python, seconds):
        answer = _Answer(_plan[self.node.node_id])
        threading.Thread(target=answer.work, args=(seconds,), daemon=True).start()
        return answer

class WorkerCrashedError(Exception): pass

class _Answer:
    def __init__(self, node): self.node, self.done, self.value = node, threading.Event(), None
    def work(self, seconds):
        time.sleep(self.node.get("after", 0))
        what = self.node["does"]
        if what == "hangs": time.sleep(1000)
        if what == "dies": self.node["Alive"] = False; time.sleep(1000)
        if what == "crashes": self.value = WorkerCrashedError("the worker died\\nunexpectedly")
        elif what == "slow": self.value = TimeoutError(f"no answer within {seconds:g} s")
        else: self.value = (what, time.time() + self.node.get("ahead", 0), time.time() + self.node.get("ahead", 0))
        self.done.set()

_plan = {}
def init(address, **more):
    if address == "nowhere": raise ConnectionError("no cluster there\\nat all")
    assert os.path.isfile(os.path.join(more["runtime_env"]["py_modules"][0], "__main__.py"))
    _plan.update({node["NodeID"]: node for node in json.load(open(address))})
def nodes(): return [dict(node, does=None) for node in _plan.values()]
def remote(work): return _Remote(work)
def wait(answers, num_returns, timeout):
    end = time.time() + timeout
    while time.time() < end:
        done = [one for one in answers if one.done.is_set()]
        if done: return done[:1], []
        time.sleep(0.01)
    return [], answers
def get(answer):
    if isinstance(answer.value, Exception): raise answer.value
    return answer.value
def cancel(answer, force): pass
"""


@pytest.fixture
def ray(tmp_path: Path) -> Path:
    """A folder with a package that stands in for Ray."""
    folder = tmp_path / "stand-in" / "ray" / "util"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text(STAND_IN)
    (folder / "__init__.py").write_text("")
    (folder / "scheduling_strategies.py").write_text(
        "class NodeAffinitySchedulingStrategy:\n    def __init__(self, node_id, soft): self.node_id = node_id\n"
    )
    return folder.parents[1]


def start(ray: Path, nodes: list[dict[str, Any]] | str, keep: Path, *more: str) -> subprocess.Popen[str]:
    plan = ray.parent / "plan.json"
    if not isinstance(nodes, str):
        plan.write_text(json.dumps(nodes))
    command = [sys.executable, "-m", "sgldoctor", "fleet", "--ray", nodes if isinstance(nodes, str) else str(plan)]
    return subprocess.Popen(
        [*command, "--python", sys.executable, "--keep", str(keep), "--format", "json", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ray}{os.pathsep}{Path(__file__).resolve().parents[2]}"},
    )


def node(number: int, does: str = "", **more: Any) -> dict[str, Any]:
    text = does or json.dumps({**base(), "host": "ignored"})
    return {"NodeID": f"id{number}", "NodeManagerHostname": f"node{number}", "Alive": True, "does": text, **more}


def test_each_node_answers_or_is_named(ray: Path, tmp_path: Path) -> None:
    nodes = [
        node(0),
        node(1, ahead=-300),
        node(2, Alive=False),
        node(3, "dies"),
        node(4, "crashes"),
        node(5, "slow"),
        node(6, "no snapshot"),
        node(7),
    ]
    done = start(ray, nodes, tmp_path / "keep")
    out, _ = done.communicate(timeout=60)
    report = json.loads(out)
    unread = {row["node"]: (row["kind"], row["because"]) for row in report["facts"]["fleet.unread"]["rows"]}
    assert unread == {
        "node2": ("dead", "Ray says that the node is dead"),
        "node3": ("dead", "the node died while it was asked"),
        "node4": ("failed", "WorkerCrashedError: the worker died"),
        "node5": ("slow", "no answer within 60 s"),
        "node6": ("refused", "Expecting value: line 1 column 1 (char 0)"),
    }
    assert sorted(path.name for path in (tmp_path / "keep").iterdir()) == ["node0.json", "node1.json", "node7.json"]
    assert [row["node"] for row in report["facts"]["fleet.clock"]["rows"]] == ["node1"]
    assert report["status"] == "unknown"
    assert len(report["nodes"]) == len(nodes)
    again = subprocess.run(
        [sys.executable, "-m", "sgldoctor", "fleet", str(tmp_path / "keep"), "--format", "json"],
        capture_output=True,
        check=False,
    )
    names = [entry["name"] for entry in json.loads(again.stdout)["nodes"]]
    assert names == ["node0", "node1", "node7"], "what was kept is what was asked"


def test_a_kill_in_the_middle_loses_no_node_that_has_answered(ray: Path, tmp_path: Path) -> None:
    keep = tmp_path / "keep"
    running = start(ray, [node(0), node(1), node(2, "hangs"), node(3, "hangs")], keep)
    end = time.monotonic() + 60
    while len(list(keep.glob("*.json"))) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    children = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=False)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert [json.loads(path.read_text())["host"] for path in sorted(keep.glob("*.json"))] == ["node0", "node1"]
    assert not [path for path in keep.iterdir() if path.name.startswith(".")]
    while any(Path(f"/proc/{pid}/exe").exists() for pid in children.stdout.split()) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in children.stdout.split()), "the driver ends with us"


def test_a_cluster_that_cannot_be_asked_is_one_line(ray: Path, tmp_path: Path) -> None:
    done = start(ray, "nowhere", tmp_path / "keep")
    out, err = done.communicate(timeout=60)
    assert (done.returncode, out) == (2, "")
    assert err.splitlines()[-1] == (
        "sgldoctor: the Ray cluster at nowhere cannot be used: ConnectionError: no cluster there"
    )


def test_an_interpreter_without_ray_is_one_line(tmp_path: Path) -> None:
    if subprocess.run([sys.executable, "-c", "import ray"], capture_output=True, check=False).returncode == 0:
        pytest.skip("this interpreter has Ray")
    command = [sys.executable, "-m", "sgldoctor", "fleet", "--ray", "auto", "--python", sys.executable]
    done = subprocess.run([*command, "--keep", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "has no Ray" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("times", "wanted"),
    [
        ((10.0, 10.5, 11.0, 12.0), 0.0),  # within the way of question and answer
        ((10.0, 5.0, 5.5, 12.0), -5.0),
        ((10.0, 20.0, 20.5, 12.0), 8.5),
    ],
)
def test_clocks_are_off_by_what_the_way_cannot_explain(times: tuple[float, ...], wanted: float) -> None:
    assert skew(*times) == wanted


CLUSTER = """
import sys
from ray.cluster_utils import Cluster
for again in (True, True, False):
    try:
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        break
    except Exception:  # on a loaded machine Ray gives up on its own processes
        if not again:
            raise
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("killed", flush=True)
cluster.shutdown()
"""

HELD = """#!/bin/sh
: > "{folder}/started.$PPID"
while [ ! -e "{folder}/go" ]; do sleep 0.1; done
exec "{python}" "$@"
"""


def parent(pid: int) -> int:
    """The process that a process belongs to now; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.fixture
def cluster() -> Iterator[tuple[str, str, IO[str], IO[str]]]:
    """A real cluster of three nodes: the interpreter, the address, where a line kills a node, and where it says so."""
    python = os.environ.get("SGLDOCTOR_TEST_RAY", "")
    if not python:
        pytest.skip("SGLDOCTOR_TEST_RAY names no interpreter with Ray")
    with subprocess.Popen([python, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            address = running.stdout.readline().strip()
            assert address, "the cluster did not start"
            yield python, address, running.stdin, running.stdout
            running.stdin.close()
            running.wait(60)
        finally:
            running.kill()


@pytest.mark.ray
def test_a_real_cluster_of_which_a_node_is_killed_in_the_middle(
    cluster: tuple[str, str, IO[str], IO[str]], tmp_path: Path
) -> None:
    python, address, killer, said = cluster
    command = [sys.executable, "-m", "sgldoctor", "fleet", "--ray", address, "--python", python, "--format", "json"]
    done = subprocess.run([*command, "--keep", str(tmp_path / "all")], capture_output=True, check=False, timeout=200)
    report = json.loads(done.stdout)
    assert report["facts"]["fleet"]["rows"][0]["nodes"] == 3
    assert report["facts"]["fleet.unread"]["rows"] == []
    held = tmp_path / "python"  # examined on each node: it says that it was started, and waits
    held.write_text(HELD.format(folder=tmp_path, python=python))
    held.chmod(0o755)
    running = subprocess.Popen(
        [*command, "--keep", str(tmp_path / "two"), "--node-python", str(held)], stdout=subprocess.PIPE
    )
    end = time.monotonic() + 100
    while len(list(tmp_path.glob("started.*"))) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(list(tmp_path.glob("started.*"))) == 3, "each node has been asked"
    asked = {int(path.suffix[1:]) for path in tmp_path.glob("started.*")}
    workers = {pid: parent(pid) for pid in asked}
    killer.write("kill\n")
    killer.flush()
    assert said.readline() == "killed\n"
    # A worker may outlive its node for a moment, and answer: it has gone once its probe has another parent.
    while all(parent(pid) == worker for pid, worker in workers.items()) and time.monotonic() < end:
        time.sleep(0.05)
    (tmp_path / "go").write_text("")
    out, _ = running.communicate(timeout=200)
    report = json.loads(out)
    (row,) = report["facts"]["fleet.unread"]["rows"]
    assert (row["kind"], row["count"]) in {("dead", 1), ("failed", 1)}
    assert len(list((tmp_path / "two").glob("*.json"))) == 2
