"""Running all probes: one that fails or hangs is named, and takes nothing else down."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from sgldoctor import probe
from sgldoctor.facts import Facts
from sgldoctor.probe import rooted
from sgldoctor.probe.target import Target


def target(root: Path) -> Target:
    return Target(str(root), "", "/opt/venv", ("/opt/venv/lib/python3.11/site-packages",), "3.11", {}, "a test", "venv")


def test_a_probe_that_hangs_costs_its_limit_and_is_named(tmp_path: Path) -> None:
    facts = Facts()
    begin = time.monotonic()

    def slow(_target: Target) -> Facts:
        time.sleep(30)
        return Facts()

    run = probe._Run("slow-disk", slow, target(tmp_path), 0.2)
    run.collect(facts)
    assert time.monotonic() - begin < 5
    assert [(entry.what, entry.because) for entry in facts.unknown] == [("slow-disk", "no answer within 0.2 s")]


def test_the_probe_of_packages_may_take_long_while_it_gets_on(tmp_path: Path) -> None:
    """A slow disk answers each question in a moment, and thousands of them take their time; a dead one is silent."""

    def slow(_target: Target) -> Facts:
        for _ in range(12):
            time.sleep(0.1)
            rooted.is_file("/", str(tmp_path))
        return Facts()

    def dead(_target: Target) -> Facts:
        rooted.is_file("/", str(tmp_path))
        time.sleep(30)
        return Facts()

    for work, because in ((slow, []), (dead, ["no answer within 0.5 s"])):
        facts, begin = Facts(), time.monotonic()
        probe._Run("packages", work, target(tmp_path), 8 * 0.25 if work is dead else 80).collect(facts)
        assert [entry.because for entry in facts.unknown] == because
        assert time.monotonic() - begin < 20


def test_what_is_known_of_packages_counts_without_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "opt/venv/lib/python3.11/site-packages/a-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "opt/venv/lib/python3.11/site-packages/a-1.0.dist-info/METADATA").write_text("Name: a\nVersion: 1.0\n")
    asleep = threading.Event()

    def hang(*_: object) -> Facts:
        asleep.wait(30)
        return Facts()

    monkeypatch.setattr("sgldoctor.probe.libraries.libraries", hang)
    facts = Facts()
    probe._Run("packages", probe._Installed(), target(tmp_path), 8.0).collect(facts)
    asleep.set()
    assert [row["name"] for row in facts.rows("packages")] == ["a"]
    assert [(one.what, one.because, one.essential) for one in facts.unknown] == [
        ("libraries", "no answer within 2 s", True)
    ]


def test_a_probe_that_fails_is_reported_not_raised(tmp_path: Path) -> None:
    def broken(_target: Target) -> Facts:
        raise ZeroDivisionError("our own defect")

    facts = Facts()
    probe._Run("broken", broken, target(tmp_path), 5).collect(facts)
    assert "ZeroDivisionError: our own defect" in facts.unknown[0].because


def test_an_empty_root_gives_unknowns_and_no_exception(tmp_path: Path) -> None:
    facts = probe.examine(target(tmp_path))
    assert not [entry for entry in facts.unknown if "probe failed" in entry.because]
    assert facts.rows("packages") == ()


SPECIAL = (
    "proc/modules",
    "proc/meminfo",
    "proc/driver/nvidia/version",
    "proc/net/tcp",
    "etc/os-release",
    "etc/ld.so.cache",
    "opt/venv/pyvenv.cfg",
    "opt/venv/lib/python3.11/site-packages/torch-1.0.dist-info/METADATA",
    "opt/venv/lib/python3.11/site-packages/torch-1.0.dist-info/RECORD",
    "opt/venv/lib/python3.11/site-packages/torch/version.py",
    "opt/venv/lib/python3.11/site-packages/torch/lib/libtorch_global_deps.so",
)


@pytest.mark.parametrize("kind", ["fifo", "folder", "garbage", "unreadable", "loop"])
def test_files_that_are_not_what_they_should_be(tmp_path: Path, kind: str) -> None:
    """No probe may hang on a FIFO, or fail on a folder, garbage, a file without permission or a link to itself."""
    for name in SPECIAL:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "garbage":
            path.write_bytes(bytes(range(256)) * 100)
        elif kind == "unreadable":
            path.write_bytes(b"secret")
            path.chmod(0)
        else:
            path.symlink_to(path.name)
    begin = time.monotonic()
    facts = probe.examine(target(tmp_path))
    assert time.monotonic() - begin < 10
    assert not [entry for entry in facts.unknown if "probe failed" in entry.because]
    assert not [entry for entry in facts.unknown if "no answer within" in entry.because]
