"""What differs between nodes: all of it, and nothing else; and the launch lines of one server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sgldoctor.fleet import judge
from sgldoctor.fleet.drift import KINDS, differences, rows
from sgldoctor.fleet.launches import Line, clocks, problems
from sgldoctor.fleet.reduce import OWN
from sgldoctor.pipeline import Options
from sgldoctor.report.as_html import render
from sgldoctor.report.model import Report
from tests.fleet.nodes import Data, Planted, add, fleet, line, planted, set_value
from tests.fleet.test_gather import item, launch_line


def report(nodes: list[Data]) -> Report:
    return judge.report(judge.gather(map(item, nodes), Options()), Options())


def told(found: Report) -> set[tuple[str, str, str, int]]:
    return {(row["kind"], row["what"], row["value"], row["count"]) for row in found.facts.rows("fleet.drift")}


@pytest.mark.parametrize("number", range(15))
def test_each_planted_difference_is_found_alone(number: int) -> None:
    one = planted(8)[number]
    found = report(list(fleet(8, [one])))
    assert told(found) == {(one.kind, one.what, one.value, len(one.nodes))}
    (row,) = found.facts.rows("fleet.drift")
    assert all(f"{node}" in row["nodes"] for node in one.nodes) or "-" in row["nodes"]
    slugs = {finding.rule.slug for finding in found.findings if finding.rule.area == "fleet"}
    assert len(slugs) == 1, "one rule of the fleet says it"


def test_many_nodes_with_everything_at_once() -> None:
    total = 300
    wanted = planted(total)
    found = report(list(fleet(total, wanted)))
    assert told(found) == {(one.kind, one.what, one.value, len(one.nodes)) for one in wanted}
    kinds = [KINDS.index(row["kind"]) for row in found.facts.rows("fleet.drift")]
    assert kinds == sorted(kinds), "what breaks a collective comes first"
    assert len(found.nodes) == total


def test_every_kind_of_difference_has_a_rule() -> None:
    assert {one.kind for one in planted(100)} | {"topology", "python"} == set(KINDS)


def test_what_is_not_known_is_no_difference() -> None:
    nodes = list(fleet(4, ()))
    del nodes[1]["facts"]["packages"], nodes[2]["facts"]["rdma.devices"], nodes[3]["facts"]["gpus"]
    assert told(report(nodes)) == set()


def test_a_value_that_each_node_has_its_own_of_is_no_drift() -> None:
    nodes = list(fleet(6, ()))
    for number, data in enumerate(nodes):
        add("environment", name="NCCL_HOSTID", value=str(number))(data)
    assert told(report(nodes)) == set()


def test_two_nodes_have_no_majority() -> None:
    nodes = list(fleet(2, [Planted((1,), set_value("packages", "version", "3", name="torch"), "", "", "")]))
    (row,) = report(nodes).facts.rows("fleet.drift")
    assert row["tie"] is True
    assert row["text"] == "torch: 3 on node00001 (1 of 2), 2.9.1 on node00000"


def test_groups_that_are_equal_where_it_counts_are_joined() -> None:
    tables = [{"python": [{"version": version}]} for version in ("3.11.7", "3.12.1", "3.11.7")]
    (one,) = differences([(table, [node]) for node, table in enumerate(tables)])
    assert one.values == (("3.11.7", (0, 2)), ("3.12.1", (1,)))
    assert rows([one], ["a", "b", "c"])[0]["nodes"] == "b"


def server(*ranks: str | None, nnodes: str = "", head: str = "10.0.0.0:5000", **options: str) -> list[Line]:
    return [
        Line(
            f"node{place}",
            rank,
            [f"node{place}", f"10.0.0.{place}"],
            head,
            {"--nnodes": nnodes or str(len(ranks)), "--tp-size": "8", **options},
        )
        for place, rank in enumerate(ranks)
    ]


def kinds(lines: list[Line]) -> list[tuple[str, str]]:
    return [(one.row["kind"], one.row["what"]) for one in problems(lines)]


def test_a_sound_server_and_two_servers_side_by_side() -> None:
    assert kinds(server("0", "1", "2")) == []
    assert kinds(server(None, "1")) == [], "no --node-rank is rank 0"
    other = [one._replace(node=f"x{one.node}", own=[]) for one in server("0", "1", head="10.9.0.0:5000")]
    assert kinds([*server("0", "1"), *other]) == []


def test_ranks() -> None:
    assert kinds(server("0", "1", "1")) == [("duplicate-rank", "1"), ("missing-rank", "3")]
    assert kinds(server("0", "1", nnodes="4")) == [("missing-rank", "4")]
    assert kinds(server("0", "1", "5", nnodes="3")) == [("rank-range", "3"), ("missing-rank", "3")]
    assert kinds(server("0", "$RANK", nnodes="2")) == [], "a rank that is not known is no fault"


@pytest.mark.parametrize("odd", ["\u00b2", "9" * 5000, "-1", "1e9", "", "0x1", "\u0663", "999999999"])
def test_numbers_that_are_none_are_told_by_nobody_as_a_crash(odd: str) -> None:
    nodes = list(fleet(3, ()))
    for place, data in enumerate(nodes):
        data["facts"].update(
            launch_line("--model-path m --tp 8 --nnodes N --node-rank N --dist-init-addr 10.0.0.0:5000")
        )
        for row in data["facts"]["launch.argument"]["rows"]:
            row["text"] = row["text"].replace("N", odd if place else "1")
    found = report(nodes)
    assert len(found.nodes) == 3
    assert len(render(found)) < 1_000_000


@pytest.mark.parametrize("odd", [["x"], True, "9" * 5000])
def test_values_of_another_kind_are_compared_or_passed_over(odd: object) -> None:
    """What a snapshot of a stranger may hold in any column of what is compared."""
    plain = next(fleet(1, ()))
    for fact, entry in plain["facts"].items():
        for column in entry["rows"][0] if entry["rows"] else ():
            nodes = list(fleet(3, ()))
            nodes[1]["facts"][fact]["rows"][0][column] = odd
            gathered = judge.gather(map(item, nodes), Options())
            found = differences([(gathered.alike(group), group.nodes) for group in gathered.groups])
            assert all(isinstance(row["text"], str) for row in rows(found, gathered.names)), (fact, column)


def test_servers_of_one_node_may_all_name_the_same_address() -> None:
    for head in ("127.0.0.1:29500", "localhost:5000", "172.17.0.1:5000"):
        assert kinds(server("0", "0", "0", nnodes="1", head=head)) == []
    assert kinds([line._replace(head=f"{line.node}:1") for line in server("0", "0", nnodes="1")]) == []


def test_an_address_that_every_node_has_is_no_meeting_place() -> None:
    assert ("head", "127.0.0.1:5000") in kinds(server("0", "1", head="127.0.0.1:5000"))
    bridged = [line._replace(own=[*line.own, "172.17.0.1"]) for line in server("0", "1", head="172.17.0.1:5000")]
    assert kinds(bridged) == [("head", "172.17.0.1:5000")]
    here = [line._replace(own=["here"]) for line in server("0", "1", head="127.0.0.1:5000")]
    assert kinds(here) == [], "two nodes that are one machine do meet there"


def test_options_that_differ() -> None:
    lines = server("0", "1", "2")
    lines[1] = lines[1]._replace(options={**lines[1].options, "--tp-size": "16", "--host": "10.0.0.1"})
    lines[2] = lines[2]._replace(options={**lines[2].options, "--tp-size": None})
    ((row, nodes),) = problems(lines)
    assert nodes == ("node1",)
    assert (row["kind"], row["what"], row["nodes"], row["value"]) == ("option", "--tp-size", "node1", "16")


def test_the_head_is_where_rank_0_runs() -> None:
    assert kinds(server("1", "0")) == [("head", "10.0.0.0:5000")]
    assert kinds(server("1", "0", head="head.example:5000")) == [], "a name may be anybody's"
    each = [line._replace(head=f"{line.node}:5000") for line in server("0", "1")]
    assert kinds(each) == [("head", f"{OWN}:5000")]
    assert kinds(each[:1]) == [("missing-rank", "2")], "rank 0 may wait at itself"


def test_launch_lines_of_snapshots_are_compared() -> None:
    nodes = list(fleet(4, ()))
    for rank, data in enumerate(nodes):
        own = min(rank, 2)
        data["facts"].update(
            launch_line(f"--model-path m --tp 32 --nnodes 4 --node-rank {own} --dist-init-addr 10.0.0.0:5000")
        )
    found = report(nodes)
    assert [(row["kind"], row["nodes"]) for row in found.facts.rows("fleet.launch")] == [
        ("duplicate-rank", "node[00002-00003]"),
        ("missing-rank", "rank 3"),
    ]
    assert len(judge.gather(map(item, nodes), Options()).groups) == 2, "the head, and all others"
    assert found.exit_status == 1


def started(text: str, rank: int, head: str = "10.0.0.0:5000") -> Data:
    return launch_line(f"--model-path m {text} --node-rank {rank} --dist-init-addr {head}")


FAULTS = {
    "--node-rank 1 is given to 2 nodes": (["--tp 32 --nnodes 4"] * 4, [0, 1, 1, 3], [1, 2]),
    "no line here has rank 2": (["--tp 32 --nnodes 4"] * 4, [0, 1, 1, 3], [1, 2]),
    "no line here has rank 3": (["--tp 40 --nnodes 5"] * 4, [0, 1, 2, 4], [0, 1, 2, 3]),
    "--node-rank must be below": (["--tp 32 --nnodes 4"] * 4, [0, 1, 2, 7], [3]),
    "--tp-size is 16": (["--tp 32 --nnodes 4"] * 3 + ["--tp 16 --nnodes 4"], [0, 1, 2, 3], [3]),
    "is an address of node00000": (["--tp 32 --nnodes 4"] * 4, [1, 0, 2, 3], [0, 1]),
}


@pytest.mark.parametrize("said", FAULTS)
def test_faults_of_launch_lines_are_marked_on_their_nodes(said: str) -> None:
    lines, ranks, marked = FAULTS[said]
    nodes = list(fleet(6, ()))
    for data, line_, rank in zip(nodes, lines, ranks, strict=False):
        data["facts"].update(started(line_, rank))
    found = report(nodes)
    assert [place for place, node in enumerate(found.nodes) if said in " ".join(node.causes)] == marked
    assert all(found.nodes[place].status == "problems" for place in marked)
    assert [node.status for node in found.nodes[4:]] == ["healthy", "healthy"]
    cells = [cell for cell in render(found).split("<li class=")[1:] if said in cell.partition(">")[0]]
    assert len(cells) == len(marked)


def test_the_heads_of_several_servers_are_not_taken_for_one() -> None:
    nodes = list(fleet(8, ()))
    for place, data in enumerate(nodes):
        head = f"10.0.0.{place // 2 * 2}:5000"
        data["facts"].update(started("--tp 16 --nnodes 2", place % 2, head))
    found = report(nodes)
    assert found.facts.rows("fleet.launch") == ()
    assert found.status == "healthy"


def test_nodes_that_each_wait_at_themselves() -> None:
    nodes = list(fleet(3, ()))
    for place, data in enumerate(nodes):
        data["facts"].update(started("--tp 24 --nnodes 3", place, f"10.0.0.{place}:5000"))
    (row,) = report(nodes).facts.rows("fleet.launch")
    assert (row["kind"], row["count"]) == ("head", 3)


def test_two_servers_with_the_same_fault_are_told_apart() -> None:
    nodes = list(fleet(4, ()))
    for place, data in enumerate(nodes):
        data["facts"].update(started("--tp 16 --nnodes 2", 1, "10.0.0.0:5000" if place < 2 else "10.0.0.2:5000"))
    found = report(nodes)
    twice = [finding for finding in found.causes if "is given to 2 nodes" in finding.title]
    assert len(twice) == 2
    for node, other in zip(found.nodes[:2], found.nodes[2:], strict=True):
        assert not set(node.causes) & set(other.causes)


def test_a_clock_that_is_off_is_marked_on_its_node() -> None:
    nodes = list(fleet(4, ()))
    for place, data in enumerate(nodes):
        data["skew_s"] = 93.0 if place == 2 else 0.1
    found = report(nodes)
    assert [bool(node.causes) for node in found.nodes] == [False, False, True, False]
    assert found.nodes[2].status == "healthy", "a warning is no problem of the node"


def test_clocks() -> None:
    assert clocks({"a": 0.0}) == []
    assert clocks({"a": 0.0, "b": 0.2, "c": -1.0}) == []
    assert [row["node"] for row in clocks({"a": 0.0, "b": 0.2, "c": -93.0})] == ["c"]


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "sgldoctor", "fleet", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def test_from_the_command_line(tmp_path: Path) -> None:
    nodes = b"".join(map(line, fleet(10, planted(10)[:1])))
    done = run("-", "--format", "json", stdin=nodes)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["findings"][0]["rule"] == "fleet-nccl-differs"
    assert [node["status"] for node in told["nodes"]].count("healthy") == 7
    assert {node["causes"][0] for node in told["nodes"] if node["status"] == "problems"} == {
        told["findings"][0]["title"]
    }
    page = tmp_path / "fleet.html"
    assert run("-", "--format", "html", "-o", str(page), stdin=nodes).returncode == 1
    assert page.read_text(encoding="utf-8").count("<li class=") == 10
    human = run("-", stdin=nodes + b'{"x": 1}\n').stdout.decode()
    assert human.startswith("PROBLEM  NCCL differs between nodes: nvidia-nccl-cu12 is 2.28.9 on node")
    assert "10 nodes, 2 kinds of them, 1 not read" in human


def test_nothing_to_read_is_no_health() -> None:
    assert run("-").returncode == 3
    assert run("-", stdin=b"{}\n").returncode == 3
    assert run("--ray", "auto", "x.json").returncode == 2
    assert run("/no/such/file").stderr.count(b"\n") == 1


def test_hostile_names_of_nodes_stay_texts() -> None:
    nodes = list(fleet(3, ()))
    nodes[1]["host"] = "<script>alert(1)</script>\x1b[2J"
    set_value("packages", "version", "<img src=x onerror=alert(1)>", name="torch")(nodes[1])
    page = render(report(nodes))
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert "\x1b" not in page
