"""Snapshots: what is written is what is judged again, nothing secret is in them, and bad files are told in one line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgldoctor import pipeline, recheck, snapshot
from sgldoctor.errors import InputError
from sgldoctor.facts import Facts
from sgldoctor.pipeline import Asked, Options
from sgldoctor.probe.target import Target
from sgldoctor.report import human
from sgldoctor.report.as_json import to_object
from sgldoctor.report.model import Report
from sgldoctor.snapshot import pseudonyms
from sgldoctor.vocabulary import FACTS
from tests.lab_env import CHECK, Lab, distribution, kernel_files, make_env, needs_gcc, torch_files

ENVIRON = {
    "SGLANG_TORCH_PROFILER_DIR": "/tmp/profile",
    "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz012345",
    "NCCL_SOCKET_IFNAME": "no-such-interface",
    "CUDA_HOME": "/usr/local/no-cuda",
    "http_proxy": "http://alice:hunter2hunter2@proxy.corp.example:3128",
    "MASTER_ADDR": "node17.corp.example",
    "LD_LIBRARY_PATH": "/home/alice/lib:",
}
LAUNCH = (
    "HF_TOKEN=hf_zyxwvutsrqponmlkjihgfedcba python -m sglang.launch_server --model-path /home/alice/models/m --tp 3"
    " --api-key sesame-open-12345 --admin-api-key=other-sesame-678 --dist-init-addr node17:20000 --no-such-flag"
)
PLAIN = Asked()
SECRETS = ("hf_abc", "hf_zyx", "hunter2", "sesame")


def sound(lab: Lab) -> None:
    """Leave it as it is."""


def torch_moved(lab: Lab) -> None:
    lab.uninstall("torch")
    files = torch_files(lab.site, check=CHECK[:-2] + "jb", version="2.10.0")
    distribution(lab.site, "torch", "2.10.0", [], files)


def cudnn_gone(lab: Lab) -> None:
    lab.uninstall("nvidia-cudnn-cu12")


def library_damaged(lab: Lab) -> None:
    lab.replace("nvidia/nccl/lib/libnccl.so.2", b"\x7fELF")


def kernel_old(lab: Lab) -> None:
    lab.uninstall("sgl-kernel")
    distribution(lab.site, "sgl-kernel", "0.3.1", ["torch==2.8.0"], kernel_files(lab.site))


def no_sglang(lab: Lab) -> None:
    lab.uninstall("sglang")


BREAKERS = (sound, torch_moved, cudnn_gone, library_damaged, kernel_old, no_sglang)


def written(target: Target, path: Path, asked: Asked = PLAIN) -> Path:
    """A snapshot of ``target`` in a file."""
    facts = pipeline.examine(target, asked)
    data = snapshot.to_object(facts, host="node17", taken="2026-11-24T03:45:00Z", version="1.2.3")
    snapshot.save(str(path), snapshot.to_text(data))
    return path


def told(report: Report) -> dict[str, Any]:
    """All of a report that must not depend on when it was made."""
    return {name: value for name, value in to_object(report).items() if name not in ("seconds", "facts")}


@needs_gcc
@pytest.mark.parametrize("breaker", BREAKERS, ids=lambda breaker: str(breaker.__name__))
@pytest.mark.parametrize("asked", [Asked(), Asked(launch=LAUNCH)], ids=["plain", "launch"])
def test_a_snapshot_gives_what_the_live_check_gave(
    breaker: Callable[[Lab], None], asked: Asked, tmp_path: Path
) -> None:
    lab = make_env(tmp_path, "0.5.8")
    breaker(lab)
    target = lab.target(ENVIRON)
    live = pipeline.check(target, asked, Options())
    path = written(target, tmp_path / "node17.json", asked)
    again = recheck.check(str(path), Asked(), Options())
    assert told(again) == told(live)
    assert again.exit_status == live.exit_status
    assert {finding.role for finding in live.findings} or breaker is sound
    (row,) = again.facts.rows("snapshot")
    assert row == {"file": str(path), "taken": "2026-11-24T03:45:00Z", "host": "node17", "tool": "1.2.3"}
    text = path.read_text()
    assert not [secret for secret in SECRETS if secret in text]
    assert not [secret for secret in SECRETS if secret in json.dumps(to_object(again))]


@needs_gcc
def test_a_later_launch_line_is_judged_with_the_variables_of_the_snapshot(tmp_path: Path) -> None:
    target = make_env(tmp_path, "0.5.8").target({**ENVIRON, "NCCL_BAD": "1"})
    path = str(written(target, tmp_path / "a.json"))
    report = recheck.check(
        path, Asked(launch="python -m sglang.launch_server --model-path m --no-such-flag"), Options()
    )
    assert any("--no-such-flag" in finding.title for finding in report.causes)
    assert any(entry.what == "model" for entry in report.facts.unknown)
    with_line = str(written(target, tmp_path / "b.json", Asked(launch=LAUNCH)))
    with pytest.raises(InputError, match="holds a launch line already"):
        recheck.check(with_line, Asked(launch=LAUNCH), Options())


def seen() -> Facts:
    """A few facts of every source."""
    facts = Facts()
    facts.put("packages", [{"name": "torch", "version": "2.9.1", "location": "/home/alice/v", "secret": "x"}], "probe")
    facts.put("environment", [{"name": "FOO_TOKEN", "value": "abcdef123456"}, {"name": "A", "value": "b"}], "probe")
    facts.put("sglang", {"version": "0.5.8"}, "derived")
    facts.put("log", {"name": "a.log", "lines": 3}, "log")
    facts.put("no.such.fact", {"password": "x"}, "probe")
    facts.put("symbols.undefined", [], "probe")
    facts.put_unknown("gpus", "no driver; see http://u:pw@host/", essential=True)
    facts.seconds["packages"] = 0.123456
    return facts


def test_only_what_was_seen_and_is_in_the_vocabulary_is_written() -> None:
    data = snapshot.to_object(seen(), host="n", taken="t", version="v")
    assert list(data) == ["schema", "tool", "taken", "host", "pseudonyms", "facts", "unknown", "seconds"]
    assert list(data["facts"]) == ["environment", "packages", "symbols.undefined"]
    assert list(data["facts"]["packages"]["rows"][0]) == ["name", "version", "location"]
    assert data["facts"]["environment"]["rows"][0]["value"] == "<redacted>"
    assert "pw" not in data["unknown"][0]["because"]
    assert data["facts"]["symbols.undefined"]["rows"] == []


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    snapshot.save(str(path), snapshot.to_text(snapshot.to_object(seen(), host="n", taken="t", version="v")))
    read = snapshot.read(str(path)).facts
    assert read.names() == ["environment", "packages", "symbols.undefined"]
    assert read.known("symbols.undefined")
    assert not read.known("sglang")
    assert [(entry.what, entry.essential) for entry in read.unknown] == [("gpus", True)]


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    facts = Facts()
    facts.put("python", {"prefix": "/opt/\udcff\x1b[31m\u202ev"}, "probe")
    path = tmp_path / "a.json"
    snapshot.save(str(path), snapshot.to_text(snapshot.to_object(facts, host="n", taken="t", version="v")))
    assert path.read_bytes().isascii()
    assert b"\x1b" not in path.read_bytes()
    assert snapshot.read(str(path)).facts.value("python", "prefix") == "/opt/\udcff\x1b[31m\u202ev"


def made(**changes: Any) -> str:
    return json.dumps({"schema": snapshot.SCHEMA, "facts": {}, "unknown": [], **changes})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: not a snapshot"),
        (b"\x00\xff\xfe", "no valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "not a snapshot"),
        (b'{"schema": "sgldoctor.report/1", "facts": {}}', "not a snapshot"),
        (b'{"schema": 7}', "not a snapshot"),
        (made(schema="sgldoctor.snapshot/2").encode(), "newer sgldoctor"),
        (made(schema="sgldoctor.snapshot/999999999999").encode(), "not a snapshot"),
        (made(facts=[]).encode(), "must be an object"),
        (made(facts={"packages": []}).encode(), "no list of rows"),
        (made(facts={"packages": {"source": "probe", "rows": [3]}}).encode(), "no object"),
        (made(facts={"packages": {"source": "probe", "rows": [{"name": {"a": 1}}]}}).encode(), "no plain value"),
        (made(facts={"packages": {"source": "probe", "rows": [{"name": [[1]]}]}}).encode(), "no plain value"),
        (made(facts={"gpus": {"source": "probe", "rows": [{"index": float("nan")}]}}).encode(), "NaN"),
        (made(facts={"gpus": {"source": "probe", "rows": [{"index": 1}]}}).replace("1}", "1e999}").encode(), "plain"),
        (made(unknown={}).encode(), '"unknown"'),
        (made(unknown=[{"what": 1, "because": ""}]).encode(), '"unknown"'),
    ],
)
def test_a_file_that_is_no_snapshot_is_told_in_one_line(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        snapshot.read(str(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_folder_an_absent_file_and_a_huge_one_are_refused(tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as stream:
        stream.truncate(snapshot.LARGEST + 1)
    for path, words in [(tmp_path, "is a folder"), (tmp_path / "none", "No such"), (huge, "larger than")]:
        with pytest.raises(InputError, match=words):
            snapshot.read(str(path))
    with pytest.raises(InputError, match="null byte"):
        snapshot.read("a\0b")


def test_facts_of_a_newer_vocabulary_are_named_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(
        made(facts={"quantum": {"source": "probe", "rows": [{"a": 1}]}, "gpus": {"source": "probe", "rows": []}})
    )
    facts = snapshot.read(str(path)).facts
    assert facts.names() == ["gpus"]
    assert "quantum" in facts.unknown[0].because


def test_a_snapshot_cannot_smuggle_in_what_is_to_be_derived(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    row = {"what": "x"}
    path.write_text(
        made(
            facts={
                "changes": {"source": "probe", "rows": [row]},
                "log": {"source": "probe", "rows": [{}]},
                "symbols.undefined": {"source": "derived", "rows": [{"symbol": "x"}]},
                "gpus": {"source": ["probe"], "rows": []},
            }
        )
    )
    assert snapshot.read(str(path)).facts.names() == []


def test_writing_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    snapshot.save(str(path), "one\n")
    link = tmp_path / "link.json"
    link.symlink_to(path)
    snapshot.save(str(link), "two\n")
    assert link.is_symlink()
    assert path.read_text() == "two\n"
    with pytest.raises(UnicodeEncodeError):  # fails in the middle: the old content stays, nothing else is left
        snapshot.save(str(path), "three \u00e9\n")
    assert path.read_text() == "two\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.json", "link.json"]
    snapshot.save("/dev/null", "x")
    assert not os.path.isfile("/dev/null")
    for bad in (tmp_path, tmp_path / "none" / "a.json"):
        with pytest.raises(InputError):
            snapshot.save(str(bad), "x")


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12),
    st.lists(st.one_of(st.text(max_size=5), st.integers(), st.none()), max_size=3),
    st.sampled_from(["2.9.1", "==1", "/"]),
)  # fmt: skip


@needs_gcc
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_values_of_any_kind_end_in_a_report(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "x.json"
    if not (tmp_path / "base.json").exists():
        lab = make_env(tmp_path / "lab", "0.5.8")
        torch_moved(lab)
        written(lab.target(ENVIRON), tmp_path / "base.json", Asked(launch=LAUNCH))
    content = json.loads((tmp_path / "base.json").read_text())
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(sorted(FACTS)))
        entry = content["facts"].setdefault(name, {"source": "probe", "rows": []})
        if not entry["rows"] or data.draw(st.booleans()):
            entry["rows"].insert(0, {column: data.draw(VALUES) for column in FACTS[name] if data.draw(st.booleans())})
        else:
            row = data.draw(st.sampled_from(entry["rows"]))
            column = data.draw(st.sampled_from(sorted(FACTS[name])))
            row[column] = data.draw(VALUES)
    path.write_text(json.dumps(content))
    report = recheck.check(str(path), Asked(), Options())
    to_object(recheck.against(report, str(tmp_path / "base.json"), Options()))
    human.render(report, 100, 1)
    recheck.against(recheck.check(str(tmp_path / "base.json"), Asked(), Options()), str(path), Options())


# ---------------------------------------------------------------------- pseudonyms


def names(key: str = "", **environ: str) -> pseudonyms.Names:
    found = pseudonyms.names_of({pseudonyms.VARIABLE: key, "USER": "alice", **environ}, "node17.corp.example")
    return found._replace(users=("alice",), homes=(("/srv/people/alice", "alice"),))


def hidden(facts: Facts, known: pseudonyms.Names, host: str = "node17.corp.example") -> str:
    return json.dumps(pseudonyms.hide(snapshot.to_object(facts, host=host, taken="t", version="v"), known))


def personal() -> Facts:
    from sgldoctor.launch import facts_of

    facts = facts_of(LAUNCH + " --host 10.1.2.3", {})
    environ = {
        **ENVIRON, "NO_PROXY": "localhost,127.0.0.1,.corp.example,node18", "HF_ENDPOINT": "https://hub.corp.example/x",
        "MC_METADATA_SERVER": "http://node17:8080/metadata", "HF_HOME": "/srv/people/alice/hf",
    }  # fmt: skip
    facts.put("environment", [{"name": name, "value": value} for name, value in environ.items()], "probe")
    facts.put("interfaces", [{"name": "eth0", "up": True, "addresses": ["10.1.2.3", "127.0.0.1", "fe80::1"]}], "probe")
    facts.put("hub", {"home": "/Users/bob/.cache/huggingface"}, "probe")
    facts.put(
        "packages", [{"name": "sglang", "version": "0.5.8", "direct_url": "git+https://git.corp.example/a"}], "probe"
    )
    facts.put_unknown("model", "/home/alice/models: Permission denied on node17")
    return facts


def test_pseudonyms_leave_no_name_of_a_host_or_a_person() -> None:
    text = hidden(personal(), names())
    for name in ("alice", "bob", "node17", "node18", "corp", "10.1.2.3", "fe80"):
        assert name not in text, name
    for kept in ("localhost", "127.0.0.1", "--dist-init-addr", ":20000", "eth0", "3128", "/home/user-"):
        assert kept in text, kept


def test_pseudonyms_are_the_same_in_every_file_and_differ_by_key() -> None:
    one, two = names(), names()
    assert hidden(personal(), one) == hidden(personal(), two)
    secret = names(key="of our own")
    assert hidden(personal(), one) != hidden(personal(), secret)
    assert secret.kind == "own key"
    # The same machine, named in full or in short, in a variable or in the header.
    short, full = pseudonyms.host("Node17", one), pseudonyms.host("node17.corp.example", one)
    assert full.startswith(short + ".net-")
    assert pseudonyms.host("node18", one) != short


def test_pseudonyms_replace_once() -> None:
    data = snapshot.to_object(personal(), host="node17.corp.example", taken="t", version="v")
    once = pseudonyms.hide(data, names())
    assert pseudonyms.hide(once, names()) == once


def test_a_user_named_like_a_package_spoils_no_fact() -> None:
    facts = Facts()
    facts.put("packages", [{"name": "sglang", "version": "0.5.8", "location": "/home/sglang/venv/sglang"}], "probe")
    facts.put("launch", {"command": "sglang serve m", "entry": "serve"}, "launch")
    known = names()._replace(users=("sglang",), homes=())
    data = pseudonyms.hide(snapshot.to_object(facts, host="n", taken="t", version="v"), known)
    (row,) = data["facts"]["packages"]["rows"]
    assert row["name"] == "sglang"
    assert row["location"].endswith("/venv/sglang")
    assert not row["location"].startswith("/home/sglang")
    assert data["facts"]["launch"]["rows"][0]["command"] == "sglang serve m"


@needs_gcc
def test_pseudonyms_change_no_verdict(tmp_path: Path) -> None:
    lab = make_env(tmp_path, "0.5.8")
    cudnn_gone(lab)
    target = lab.target(ENVIRON)
    facts = pipeline.examine(target, Asked(launch=LAUNCH))
    data = snapshot.to_object(facts, host="node17", taken="t", version="v")
    reports = []
    for name, content in (("plain", data), ("hidden", pseudonyms.hide(data, names()))):
        snapshot.save(str(tmp_path / name), snapshot.to_text(content))
        reports.append(recheck.check(str(tmp_path / name), Asked(), Options()))
    plain, other = ([(entry.rule.slug, entry.role) for entry in report.findings] for report in reports)
    assert plain == other


# ---------------------------------------------------------------------- what changed


@needs_gcc
@pytest.mark.parametrize(
    ("breaker", "first", "before", "after"),
    [
        (torch_moved, "torch", "2.9.1", "2.10.0"),
        (cudnn_gone, "nvidia-cudnn-cu12", "9.10.2.21", None),
        (kernel_old, "sgl-kernel", "0.3.21", "0.3.1"),
    ],
)
def test_the_culprit_comes_first_among_what_changed(
    breaker: Callable[[Lab], None], first: str, before: str, after: str | None, tmp_path: Path
) -> None:
    lab = make_env(tmp_path, "0.5.8")
    base = written(lab.target(ENVIRON), tmp_path / "yesterday.json")
    breaker(lab)
    distribution(lab.site, "aaa-first-by-name", "1.0")
    lab.uninstall("pyzmq")
    distribution(lab.site, "pyzmq", "99.0")
    target = lab.target({**ENVIRON, "NCCL_DEBUG": "INFO"})
    report = recheck.against(pipeline.check(target, Asked(), Options()), str(base), Options())
    rows = report.facts.rows("changes")
    assert (rows[0]["what"], rows[0]["before"], rows[0]["after"]) == (first, before, after)
    assert rows[0]["blamed_by"] in {finding.rule.slug for finding in report.causes}
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    by_what = {row["what"]: row for row in rows}
    assert by_what["NCCL_DEBUG"]["kind"] == "variable"
    assert by_what["aaa-first-by-name"]["before"] is None
    assert by_what["pyzmq"]["rank"] < by_what["aaa-first-by-name"]["rank"]
    assert [finding.rule.slug for finding in report.findings][-1] == "changed-since-snapshot"


@needs_gcc
def test_nothing_changed_is_said_and_is_no_finding(tmp_path: Path) -> None:
    target = make_env(tmp_path, "0.5.8").target(ENVIRON)
    base = written(target, tmp_path / "a.json", Asked(launch=LAUNCH))
    report = recheck.against(pipeline.check(target, Asked(launch=LAUNCH), Options()), str(base), Options())
    assert report.facts.known("changes")
    assert report.facts.rows("changes") == ()
    assert not [finding for finding in report.findings if finding.rule.slug == "changed-since-snapshot"]
