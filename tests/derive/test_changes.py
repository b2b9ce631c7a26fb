"""What changed between two examinations, without any machine: what counts, what does not, and in which order."""

from __future__ import annotations

from typing import Any

from sgldoctor.derive.changes import About, changes
from sgldoctor.facts import Facts


def machine(**facts: Any) -> Facts:
    """Facts by name, ``__`` for the dot; a list is a table, a dict a single row."""
    out = Facts()
    for name, rows in facts.items():
        out.put(name.replace("__", "."), rows, "probe")
    return out


def packages(**versions: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"name": name, "version": version} for name, version in versions.items()]
    for row in rows:
        if row["name"] == "sglang":
            row["requires"] = ["torch==2.9.1", "Xgrammar_Core>=0.1; extra == 'x'"]
    return rows


def told(before: Facts, after: Facts, *causes: About) -> list[tuple[str, str, Any, Any]]:
    rows = changes(before, after, causes, "then")
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert {row["since"] for row in rows} <= {"then"}
    return [(row["kind"], row["what"], row["before"], row["after"]) for row in rows]


def test_nothing_changed() -> None:
    facts = machine(packages=packages(torch="2.9.1"), driver={"version": "580.1"}, environment=[], gpus=[], host={})
    assert told(facts, facts) == []


def test_what_is_unknown_on_either_side_is_no_change() -> None:
    full = machine(packages=packages(torch="2.9.1"), driver={"version": "580.1"}, gpus=[{"index": 0, "name": "H100"}])
    assert told(full, Facts()) == told(Facts(), full) == []
    # The table is known, a column is not on one side: nothing is said of it but that it is not there any more.
    assert told(machine(host={"glibc": "2.36", "cpus": 8}), machine(host={"glibc": "2.36", "cpus": 8})) == []


def test_without_a_cause_what_sglang_stands_on_comes_first() -> None:
    before = machine(
        packages=packages(aaa="1", sglang="0.5.8", torch="2.9.1", **{"xgrammar-core": "0.1"}),
        driver={"version": "570.1", "cuda": "12.8"},
        environment=[{"name": "NCCL_DEBUG", "value": "WARN"}, {"name": "GONE", "value": ""}],
        host={"kernel": "6.1"},
        gpus=[{"index": 0, "name": "H100", "memory_free_mib": 5}, {"index": 1, "name": "H100"}],
        loader__missing=[],
    )
    after = machine(
        packages=packages(aaa="2", sglang="0.5.9", torch="2.10.0", **{"xgrammar-core": "0.2"}),
        driver={"version": "580.1", "cuda": "13.0"},
        environment=[{"name": "NCCL_DEBUG", "value": "INFO"}],
        host={"kernel": "6.2"},
        gpus=[{"index": 0, "name": "H100", "memory_free_mib": 9}],
        loader__missing=[{"library": "libnccl.so.2", "at": "torch"}],
    )
    assert told(before, after) == [
        ("package", "sglang", "0.5.8", "0.5.9"),
        ("package", "torch", "2.9.1", "2.10.0"),
        ("package", "xgrammar-core", "0.1", "0.2"),
        ("driver", "driver", "570.1", "580.1"),
        ("driver", "driver cuda", "12.8", "13.0"),
        ("library", "libnccl.so.2", None, "not found (torch)"),
        ("variable", "GONE", "", None),
        ("variable", "NCCL_DEBUG", "WARN", "INFO"),
        ("gpu", "GPU 1", "H100", None),
        ("package", "aaa", "1", "2"),
        ("host", "host kernel", "6.1", "6.2"),
    ]


def test_what_a_cause_is_about_comes_before_all_else() -> None:
    before = machine(
        packages=packages(torch="2.9.1", helper="1"),
        driver={"version": "580.1"},
        environment=[{"name": "NCCL_SOCKET_IFNAME", "value": "eth0"}],
    )
    after = machine(
        packages=packages(torch="2.10.0", helper="2"),
        driver={"version": "570.1"},
        environment=[{"name": "NCCL_SOCKET_IFNAME", "value": "eth9"}],
    )

    def first(*causes: About) -> list[str]:
        return [what for _, what, _, _ in told(before, after, *causes)]

    variable = About("socket-interface-variable", "distributed", "NCCL_SOCKET_IFNAME", ())
    driver = About("driver-too-old", "driver", "580", ())
    named = About("some-rule", "versions", "other", ("helper==1", "x"))
    assert first(variable)[0] == "NCCL_SOCKET_IFNAME"
    assert first(driver)[0] == "driver"
    assert first(named)[0] == "helper"
    assert first(named, variable)[:2] == ["helper", "NCCL_SOCKET_IFNAME"]
    assert first(variable, named)[:2] == ["NCCL_SOCKET_IFNAME", "helper"]
    assert [row["blamed_by"] for row in changes(before, after, [named])] == ["some-rule", "", "", ""]


def test_one_version_of_another_build_or_origin_is_a_change() -> None:
    before = machine(packages=packages(torch="2.9.1"), torch={"build": "cuda", "cuda": "12.8"})
    after = machine(
        packages=[{"name": "torch", "version": "2.9.1", "editable": True}], torch={"build": "cpu", "cuda": ""}
    )
    assert told(before, after) == [
        ("package", "torch", "2.9.1", "2.9.1 (editable)"),
        ("package", "torch build", "cuda 12.8", "cpu"),
    ]


def test_launch_lines_are_compared_by_option() -> None:
    before = machine(launch={"command": "a"}, launch__option=[{"flag": "--tp-size", "value": "8"}])
    after = machine(
        launch={"command": "b"},
        launch__option=[{"flag": "--tp-size", "value": "4"}, {"flag": "--enable-mixed-chunk", "value": ""}],
    )
    assert told(before, after) == [
        ("launch", "--enable-mixed-chunk", None, ""),
        ("launch", "--tp-size", "8", "4"),
    ]
