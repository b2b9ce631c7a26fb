"""Reading installed distributions: names, versions, leftovers, duplicates, RECORD; compared with importlib.metadata."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.facts import Facts
from sgldoctor.probe.environments import find
from sgldoctor.probe.packages import packages, torch_build
from sgldoctor.probe.record import entries
from sgldoctor.probe.target import Target
from tests.lab_env import distribution


def read(*sites: Path, environ: dict[str, str] | None = None) -> Facts:
    paths = tuple(str(site) for site in sites)
    return packages(Target("/", sys.executable, sys.prefix, paths, "3.11", environ or {}, "test", "venv"))


def named(facts: Facts, name: str) -> dict[str, object]:
    return next(dict(row) for row in facts.rows("packages") if row["name"] == name)


def test_this_very_environment_reads_as_importlib_reads_it() -> None:
    target = find(sys.executable, None, None, {})
    facts = packages(target)
    expected = {
        re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(): found.version
        for found in importlib.metadata.distributions(path=list(target.sites))
    }
    assert {row["name"]: row["version"] for row in facts.rows("packages")} == expected
    assert facts.rows("packages.leftovers") == ()
    assert facts.value("python", "writable") is os.access(target.sites[0], os.W_OK)


def test_one_distribution(tmp_path: Path) -> None:
    info = distribution(tmp_path, "SGLang_Kernel", "0.4.2", ["torch==2.11.0"], extra="Requires-Python: >=3.10")
    (info / "direct_url.json").write_text(
        '{"url": "https://user:secret@example.com/x.whl?token=abc#egg=1", "archive_info": {}}'
    )
    row = named(read(tmp_path), "sglang-kernel")
    assert (row["version"], row["requires"], row["requires_python"]) == ("0.4.2", ["torch==2.11.0"], ">=3.10")
    assert (row["installer"], row["editable"]) == ("uv", False)
    assert row["direct_url"] == "https://example.com/x.whl"


def test_editable_installs(tmp_path: Path) -> None:
    site, source = tmp_path / "site", tmp_path / "source"
    info = distribution(site, "sglang", "0.5.8")
    (info / "direct_url.json").write_text('{"url": "file:///src/sglang", "dir_info": {"editable": true}}')
    egg = source / "old_way.egg-info"
    egg.mkdir(parents=True)
    (egg / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: old-way\nVersion: 3.1\n")
    (site / "old-way.egg-link").write_text(f"{source}\n.")
    facts = read(site)
    assert named(facts, "sglang")["editable"] is True
    assert named(facts, "old-way") == {**named(facts, "old-way"), "editable": True, "location": str(source)}


def test_an_unpacked_egg_is_a_site_of_its_own(tmp_path: Path) -> None:
    egg = tmp_path / "deep_ep-1.1.0+abc-py3.11.egg"
    (egg / "EGG-INFO").mkdir(parents=True)
    (egg / "EGG-INFO/PKG-INFO").write_text("Metadata-Version: 2.1\nName: deep_ep\nVersion: 1.1.0+abc\n")
    row = named(read(tmp_path, egg), "deep-ep")
    assert (row["version"], row["location"]) == ("1.1.0+abc", str(egg))


def test_requirements_of_ordinary_packages_are_kept_without_those_of_extras(tmp_path: Path) -> None:
    lines = ["torch==2.1", "requests>2", "NumPy<3; python_version > '3.8'", "transformers; extra == 'hf'"]
    distribution(tmp_path, "greedy", "1.0", lines)
    assert named(read(tmp_path), "greedy")["requires"] == [
        "torch==2.1",
        "requests>2",
        "NumPy<3; python_version > '3.8'",
    ]


def test_leftovers(tmp_path: Path) -> None:
    distribution(tmp_path, "fine", "1.0")
    (tmp_path / "~orch").mkdir()
    (tmp_path / "empty_one-1.0.dist-info").mkdir()
    (tmp_path / "nameless-1.0.dist-info").mkdir()
    (tmp_path / "nameless-1.0.dist-info/METADATA").write_bytes(b"\xff\xfe\x00Version: 1\n")
    (tmp_path / "linked-2.0.dist-info").mkdir()
    (tmp_path / "linked-2.0.dist-info/METADATA").symlink_to("/nowhere/METADATA")
    (tmp_path / "whole-2.0.dist-info").symlink_to("/nowhere/whole-2.0.dist-info")
    facts = read(tmp_path)
    assert [row["name"] for row in facts.rows("packages")] == ["fine"]
    assert {row["name"] for row in facts.rows("packages.leftovers")} == {
        "orch",
        "empty-one",
        "nameless",
        "linked",
        "whole",
    }


def test_a_leftover_whose_name_is_no_utf8_can_be_reported(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/~orch\xff")
    (row,) = read(tmp_path).rows("packages.leftovers")
    assert row["path"].encode().endswith(b"~orch?")


def test_two_versions_of_one_name_in_one_folder(tmp_path: Path) -> None:
    old, new = distribution(tmp_path, "torch", "2.9.1"), distribution(tmp_path, "torch", "2.8.0")
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    facts = read(tmp_path)
    assert named(facts, "torch")["version"] == "2.8.0", "the one that was installed last"
    (row,) = facts.rows("packages.duplicates")
    assert (row["name"], sorted(row["versions"]), row["same_folder"]) == ("torch", ["2.8.0", "2.9.1"], True)


def test_two_folders_of_which_the_first_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for name, versions in (("torch", ("2.9.1", "2.8.0")), ("click", ("8.0", "7.0"))):
        distribution(first, name, versions[0])
        distribution(second, name, versions[1])
    facts = read(first, second)
    assert named(facts, "torch")["version"] == "2.9.1"
    assert [(row["name"], row["same_folder"]) for row in facts.rows("packages.duplicates")] == [("torch", False)]


def test_no_site_packages_is_unknown_not_empty(tmp_path: Path) -> None:
    facts = read(tmp_path / "nowhere")
    assert not facts.known("packages")
    assert [(entry.what, entry.essential) for entry in facts.unknown] == [("packages", True)]


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        (
            "__version__ = '2.9.1+cu128'\ncuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n",
            "",
            ("2.9.1", "cu128", "cuda", "12.8"),
        ),
        (
            "__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n",
            "",
            ("2.13.0", "cpu", "cpu", ""),
        ),
        ("__version__ = '2.9.0'\ncuda = None\nhip = '7.0.1'\n", "", ("2.9.0", "", "rocm", "")),
        ('__version__ = "2.9.0a0+git1"\ncuda = "13.0"\n', "", ("2.9.0a0", "git1", "cuda", "13.0")),
        ("", "2.9.1+cu129", ("2.9.1", "cu129", "cuda", "")),
        ("", "2.9.1", ("2.9.1", "", "", "")),
    ],
)
def test_what_torch_was_built_for(text: str, version: str, expected: tuple[str, ...]) -> None:
    row = torch_build(text, version)
    assert (row["version"], row["local"], row["build"], row["cuda"]) == expected


def test_record_lines() -> None:
    data = (
        b'torch/lib/libtorch.so,sha256=x,120\r\ntorch/_C.so.1.2,sha256=x,7\n"a, b/lib.so",,9\n'
        b"nvidia/lib/libcudnn.so.9,sha256=x,\nfoo/file.source,sha256=x,3\nfoo/x.so.txt,,4\nbroken line .so\n"
    )
    assert entries(data) == [
        ("torch/lib/libtorch.so", 120),
        ("torch/_C.so.1.2", 7),
        ("nvidia/lib/libcudnn.so.9", -1),
    ]
    assert ("foo/file.source", 3) in entries(data, everything=True)


@given(st.binary(max_size=400))
def test_any_record_can_be_read(data: bytes) -> None:
    assert all(entry.size >= -1 for entry in entries(data + b".so" + data))


@given(st.binary(max_size=300))
def test_any_metadata_can_be_read(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / "odd-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_bytes(b"Name: odd\nVersion: 1\n" + data)
        (info / "direct_url.json").write_bytes(data)
        facts = read(Path(folder))
        assert len(facts.rows("packages")) + len(facts.rows("packages.leftovers")) == 1


def test_two_hundred_packages_are_read_at_once(tmp_path: Path) -> None:
    for number in range(200):
        distribution(
            tmp_path, f"package-{number}", "1.0", [f"other-{other}" for other in range(20)], extra="X: y\n" * 100
        )
    read(tmp_path)
    best = min(_timed(tmp_path) for _ in range(5))
    assert best < 0.1


def _timed(site: Path) -> float:
    begin = time.process_time()
    read(site)
    return time.process_time() - begin
