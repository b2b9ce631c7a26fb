from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.probe.kernel_log import kernel_events, parse
from tests.probe.machine import lay, target

XID = "4,812,90000000,-;NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
FAULT = (
    "4,813,95000000,-;NVRM: Xid (PCI:0000:3b:00): 31, pid=4321, name=python3, Ch 00000008, MMU Fault: ENGINE GRAPHICS"
)
OOM = "3,900,96000000,-;Out of memory: Killed process 4321 (python3) total-vm:1kB, anon-rss:1kB"
GROUP = "3,901,97000000,-;Memory cgroup out of memory: Killed process 77 (sglang::schedul) total-vm:1kB"


def test_xid_of_the_hardware() -> None:
    row = parse(XID, now=100.0)
    assert row is not None
    assert (row["kind"], row["code"], row["device"], row["by_program"], row["age_s"]) == (
        "xid",
        79,
        "0000:3b:00",
        False,
        10,
    )
    assert "off the bus" in row["meaning"]


def test_xid_of_a_program() -> None:
    row = parse(FAULT, now=None)
    assert row is not None
    assert (row["code"], row["by_program"], row["age_s"]) == (31, True, None)


@pytest.mark.parametrize(("record", "name"), [(OOM, "python3 (pid 4321)"), (GROUP, "sglang::schedul (pid 77)")])
def test_out_of_memory(record: str, name: str) -> None:
    row = parse(record, now=1e6)
    assert row is not None
    assert row["kind"] == "oom"
    assert name in row["meaning"]


@pytest.mark.parametrize("record", ["", ";", "6,1,2,-;usb 1-1: new device", " DEVICE=+pci:0000:3b:00.0", "NVRM: Xid"])
def test_other_records(record: str) -> None:
    assert parse(record, now=1.0) is None


@given(st.text(max_size=200))
def test_any_record(record: str) -> None:
    row = parse(f"1,2,3,-;NVRM: Xid (PCI:0000:3b:00): 79,{record}", now=1.0)
    assert row is not None
    assert len(row["text"]) <= 300
    assert parse(record.replace("memory", ""), now=1.0) is None or "Xid" in record


def test_the_newest_are_kept(tmp_path: Path) -> None:
    lines = "\n".join(XID.replace("79,", f"{code},") for code in range(100, 200))
    rows = kernel_events(target(lay(tmp_path, {"/dev/kmsg": f"{lines}\n{OOM}\n"}))).rows("host.events")
    assert len(rows) == 50
    assert [row["kind"] for row in rows[-2:]] == ["xid", "oom"]
    assert rows[-2]["code"] == 199


def test_where_it_may_not_be_read(tmp_path: Path) -> None:
    facts = kernel_events(target(tmp_path))
    assert not facts.known("host.events")
    assert facts.unknown[0].because.startswith("/dev/kmsg: ")
