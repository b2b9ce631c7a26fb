from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.version import parse

from sgldoctor.actions.base import Action
from sgldoctor.actions.kinds.install import Install
from sgldoctor.actions.kinds.load_module import LoadModule
from sgldoctor.actions.kinds.manual import Manual
from sgldoctor.actions.kinds.remove_flag import RemoveFlag
from sgldoctor.actions.kinds.set_env import SetEnv
from sgldoctor.actions.kinds.set_flag import SetFlag
from sgldoctor.actions.kinds.uninstall import Uninstall
from sgldoctor.actions.kinds.unset_env import UnsetEnv
from sgldoctor.facts import Facts
from sgldoctor.fix.install import Installer, Move, Settings, last_words
from sgldoctor.fix.lane import indexes
from sgldoctor.fix.launchline import rewritten
from sgldoctor.fix.plan import Change, Plan, make
from sgldoctor.fix.recipe import Fix
from sgldoctor.fix.steps import Step
from sgldoctor.fix.verify import verify
from sgldoctor.knowledge import releases
from sgldoctor.probe.run import Ran
from sgldoctor.report.plan import changes, script, table
from sgldoctor.rules.schema import Evidence, Finding, build


def finding(slug: str, **rule: Any) -> Finding:
    data = {"title": slug, "cause": "c", "about": "a", "fact": [{"each": "packages"}], **rule}
    made = build(data, slug, "libraries", slug)
    return Finding(made, {}, "", slug, made.role, (), 1)


def planned(
    fixes: dict[str, list[Fix]], facts: Facts | None = None, pins: dict[str, str] | None = None, **options: Any
) -> Plan:
    findings = [finding(slug) for slug in fixes]
    return make(findings, lambda one: fixes[one.rule.slug], facts or installed(), (pins or {}).get, **options)


def installed(**versions: str) -> Facts:
    facts = Facts()
    rows = [{"name": name.replace("_", "-"), "version": version} for name, version in versions.items()]
    facts.put("packages", rows, "probe")
    return facts


def safe(*actions: Any) -> list[Fix]:
    return [Fix("do it", "safe", actions)]


def test_all_packages_become_one_transaction_in_the_right_order() -> None:
    plan = planned(
        {
            "a": safe(Install(("cudnn==9",), deps=False)),
            "b": safe(Install(("numpy",))),
            "c": safe(Uninstall(("one", "two")), Install(("one==1",), deps=False)),
            "d": safe(Install(("nccl==2",), deps=False, reinstall=True)),
            "e": safe(Install(("cudnn==9",), deps=False)),
        },
        installed(one="1", two="2", nccl="2"),
    )
    assert plan.steps == (
        Step("uninstall", ("one", "two")),
        Step("install", ("numpy",)),
        Step("install", ("cudnn==9", "one==1"), deps=False),
        Step("install", ("nccl==2",), deps=False, reinstall=True),
    )
    assert {change.name: (change.now, change.then) for change in plan.changes} == {
        "one": ("1", "1 (reinstalled)"), "two": ("2", "-"), "numpy": ("-", "newest"), "cudnn": ("-", "9"),
        "nccl": ("2", "2 (reinstalled)"),
    }  # fmt: skip


def test_wheel_that_shares_files_with_one_that_goes_is_reinstalled() -> None:
    facts = installed(old="2", right="1")
    facts.put("record.shared", {"first": "old", "second": "right"}, "probe")
    plan = planned({"a": safe(Uninstall(("old",)))}, facts)
    assert plan.steps == (Step("uninstall", ("old",)), Step("install", ("right==1",), deps=False, reinstall=True))
    assert "right shares files with old" in plan.notes[0]
    # The right one is to be installed anyhow, at the version that is there: then it must be a reinstall.
    plan = planned({"a": safe(Uninstall(("old",)), Install(("right==1",), deps=False))}, facts)
    assert plan.steps == (Step("uninstall", ("old",)), Step("install", ("right==1",), deps=False, reinstall=True))


def test_conflict_is_settled_by_the_pin_by_preference_or_refused() -> None:
    fixes = {"a": safe(Install(("torch==2.9.1",))), "b": safe(Install(("torch==2.11.0",)))}
    plan = planned(fixes, unsafe=True, pins={"torch": "torch==2.11.0"})
    assert plan.steps == (Step("install", ("torch==2.11.0",)),)
    assert "a wants torch==2.9.1 and b wants torch==2.11.0" in plan.notes[0]
    assert planned(fixes, unsafe=True, prefer=["c"]).notes == ("--prefer c: that rule has found nothing here",)
    plan = planned(fixes, unsafe=True, prefer=["a"])
    assert plan.steps == (Step("install", ("torch==2.9.1",)),)
    plan = planned(fixes, unsafe=True)
    assert plan.empty
    assert [entry.because for entry in plan.left] == [
        "a wants torch==2.9.1 and b wants torch==2.11.0: choose with --prefer RULE"
    ] * 2
    plan = planned({"a": safe(Install(("torch",))), "b": safe(Install(("torch==2.11.0",)))}, unsafe=True)
    assert plan.steps == (Step("install", ("torch==2.11.0",)),)


@pytest.mark.parametrize(
    ("fix", "because"),
    [
        (Fix("x", "manual", (Manual("y"),)), "it is advice: a person has to do it"),
        (Fix("x", "unsafe", (Install(("a",)),)), "it is marked unsafe: say --unsafe to have it done"),
        (Fix("x", "safe", (LoadModule("nvidia_peermem"),)), "it needs root"),
        (Fix("x", "safe", (SetFlag("--tp-size", "2"),)), "the launch line is yours to change"),
        (Fix("x", "safe", ()), "it has nothing to apply"),
    ],
)
def test_what_is_not_applied_is_said(fix: Fix, because: str) -> None:
    plan = planned({"a": [fix]})
    assert plan.empty
    assert plan.left[0].because == because
    assert any(because in line for line in table(plan))


def test_no_fix_moves_torch_under_the_name_of_safe() -> None:
    fix = safe(Install(("torchvision", "torch==2.9.1")))
    assert planned({"a": fix}, installed(torch="2.9.1+cu129")).steps
    for facts in (installed(torch="2.11.0"), installed(numpy="1")):
        plan = planned({"a": fix}, facts)
        assert plan.empty
        assert "it needs the torch that belongs here" in plan.left[0].because
        assert planned({"a": fix}, facts, unsafe=True).steps


def test_first_fix_that_may_be_applied_is_taken() -> None:
    fixes = [Fix("x", "unsafe", (Install(("a",)),)), Fix("y", "safe", (Install(("b",)),))]
    assert planned({"a": fixes}).steps == (Step("install", ("b",)),)
    assert planned({"a": fixes}, unsafe=True).steps == (Step("install", ("a",)),)
    assert planned({"a": [Fix("x", "safe", (LoadModule("m"),))]}, unsafe=True, root=True).others == (LoadModule("m"),)


def test_only_causes_that_are_errors_are_repaired() -> None:
    fix = Fix("x", "safe", (SetEnv("A", "1"),))
    findings = [finding("a", severity="warning"), finding("b", role="symptom"), finding("c", role="notice")]
    assert make(findings, lambda _: [fix], Facts(), lambda _: None).empty
    assert not make(findings, lambda _: [fix], Facts(), lambda _: None, severities=("error", "warning")).empty


def test_flags_are_shown_in_the_launch_line() -> None:
    facts = installed()
    facts.put(
        "launch", {"command": "python -m sglang.launch_server --model-path m --tp 3 --trust-remote-code"}, "launch"
    )
    plan = planned({"a": safe(SetFlag("--tp-size", "4"), RemoveFlag("--trust-remote-code"))}, facts)
    assert plan.launch == "python -m sglang.launch_server --model-path m --tp 4"


@pytest.mark.parametrize(
    ("line", "action", "result"),
    [
        ("x --a 1 --b", SetFlag("--a", "2"), "x --a 2 --b"),
        ("x --a=1 --b", SetFlag("--a", "2"), "x --a=2 --b"),
        ("x --b 2>&1 | tee log", SetFlag("--a", "2"), "x --b --a 2 2>&1 | tee log"),
        ("x --b 'it is' &", SetFlag("--a"), "x --b 'it is' --a &"),
        ("x --cuda-graph-bs 1 2 4 --b", RemoveFlag("--cuda-graph-bs"), "x --b"),
        ("x --a 1 && y --a 2", RemoveFlag("--a"), "x && y --a 2"),
        ("cd /x && sglang serve m --a 1 --a 3", SetFlag("--a", "2"), "cd /x && sglang serve m --a 2"),
        ("X=1 sglang serve m", SetEnv("Y", "a b"), "X=1 Y='a b' sglang serve m"),
        ("X=1 Y=2 sglang serve m", UnsetEnv("X"), "Y=2 sglang serve m"),
        ("sglang serve m --a -1 --b", SetFlag("--a", "$(id)"), "sglang serve m --a '$(id)' --b"),
        ("x --b", RemoveFlag("--a"), "x --b"),
    ],
)
def test_launch_line_keeps_everything_else(line: str, action: Action, result: str) -> None:
    assert rewritten(line, [action]) == result


def test_script_quotes_what_it_runs(tmp_path: Path) -> None:
    from sgldoctor.actions.base import Place

    plan = planned({"a": safe(SetEnv("A", "x y; touch there"))})
    show = 'printf %s "$A"'
    text = script(plan, None, Place()) + f"\n. ./sgldoctor-env.sh\n{show}\n"
    said = subprocess.run(["sh", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == "x y; touch there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sgldoctor-env.sh"]


def test_title_from_a_log_stays_a_comment_of_the_script() -> None:
    from sgldoctor.actions.base import Place

    hostile = "x\nreboot\r\x1b[2Jreboot\u2028reboot"
    plan = planned({"a": [Fix(hostile, "safe", (SetEnv("A", "1"),))], "b": [Fix(hostile, "manual", ())]})
    lines = script(plan, None, Place()).splitlines()
    run = [line for line in lines if not line.startswith("#")]
    assert run[0] == "set -eu"
    assert len(run) == 2
    assert run[1].startswith("printf ")
    assert not any("\x1b" in line or "\r" in line for line in (*lines, *table(plan)))


def test_proof() -> None:
    before, facts = [finding("a"), finding("b")], (installed(), installed())
    targets = [("a", "")]
    assert verify(before, [finding("b")], targets, facts).proven
    assert verify(before, before, targets, facts).still == ("a",)
    logged = finding("l", fact=[], log=[{"anchor": "some text"}])
    told = verify([logged], [], [("l", "")], facts)
    assert (told.proven, told.gone, told.unseen) == (True, (), ("l",))
    worse = verify(before, [finding("b"), finding("new")], targets, facts)
    assert (worse.proven, worse.new) == (False, ("new",))
    busy = finding("busy", fact=[{"each": "gpu.busy"}])
    assert verify(before, [finding("b"), busy], targets, facts).proven, "a GPU in use is no fault of the repair"
    more = installed()
    more.put("packages.missing", {"name": "x"}, "derived")
    assert not verify(before, [], targets, (installed(), more)).proven


def lane_facts(torch: str, kernel: str = "0.3.21") -> Facts:
    facts = installed(sglang="0.5.8", torch=torch, sgl_kernel=kernel)
    facts.put("sglang", {"version": "0.5.8"}, "probe")
    return facts


@pytest.mark.parametrize(
    ("torch", "result"),
    [
        ("2.8.0", "torch==2.9.1"),  # of the default index
        ("2.8.0+cu129", "torch==2.9.1+cu129"),  # of PyTorch's index, of the CUDA major of this SGLang
        ("2.9.1+cu130", "torch==2.9.1+cu130"),  # the right release: which build is not for a repair of files to change
        ("2.11.0+cu130", "torch==2.9.1"),  # a foreign lane is the fault itself
        ("2.13.0+cpu", "torch==2.9.1"),
    ],
)
def test_torch_is_repaired_from_the_index_that_it_came_from(torch: str, result: str) -> None:
    plan = planned({"a": safe(Install(("torch==2.9.1",), reinstall=True))}, lane_facts(torch), unsafe=True)
    assert {text for step in plan.steps for text in step.packages} == {result}
    url = "https://download.pytorch.org/whl/" + result.partition("+")[2]
    assert indexes([result]) == ((url,) if "+" in result else ())


def test_kernel_keeps_its_lane() -> None:
    facts = lane_facts("2.9.1+cu130", "0.3.19+cu130")
    plan = planned({"a": safe(Install(("sgl-kernel==0.3.21",), deps=False))}, facts)
    assert plan.steps[0].packages == ("sgl-kernel==0.3.21+cu130",)
    assert indexes(plan.steps[0].packages) == ("https://docs.sglang.ai/whl/cu130",)


def test_installers_are_told_about_the_lane() -> None:
    step = Step("install", ("torch==2.9.1+cu129",))
    words = Installer("uv", ("uv", "pip"), "/p", {}, Settings()).words(step)
    assert "--extra-index-url https://download.pytorch.org/whl/cu129 --index-strategy unsafe-best-match" in " ".join(
        words
    )
    words = Installer("pip", ("/p", "-m", "pip"), "/p", {}, Settings(no_index=True)).words(step)
    assert words == ["/p", "-m", "pip", "install", "--no-index", "torch==2.9.1+cu129"]


def test_damaged_package_is_reinstalled_without_its_dependencies() -> None:
    plan = planned({"a": safe(Install(("numpy==2",), reinstall=True))}, installed(numpy="2"))
    assert plan.steps == (Step("install", ("numpy==2",)), Step("install", ("numpy==2",), deps=False, reinstall=True))


def test_what_the_wrong_torch_moved_along_goes_back_with_it() -> None:
    facts = installed(torch="2.11.0", cuda_bindings="13.5.0", transformers="5.0")
    rows = [
        {"name": "torch", "pin": "torch==2.9.1", "mover": ""},
        {"name": "cuda-bindings", "pin": "cuda-bindings~=12.9.0", "mover": "torch"},
        {"name": "transformers", "pin": "transformers==4.57.1", "mover": ""},
    ]
    facts.put("packages.unpinned", rows, "derived")
    plan = planned({"a": safe(Install(("torch==2.9.1",)))}, facts, unsafe=True)
    assert plan.steps == (
        Step("install", ("torch==2.9.1",)),
        Step("install", ("cuda-bindings~=12.9.0",), deps=False),
    )
    assert [change.name for change in changes(plan)] == ["torch", "cuda-bindings"]
    assert changes(plan, [Move("torch", "2.11.0", "2.9.1"), Move("triton", "3.6.0", "3.5.1")]) == [
        Change("torch", "2.11.0", "2.9.1", "a"),
        Change("triton", "3.6.0", "3.5.1", "required by the others"),
    ]


@pytest.mark.parametrize(
    ("wanted", "asked", "gone"),
    [
        ("", "", {"nvidia-cuda-nvrtc-cu12", "nvidia-cublas-cu12"}),
        ("", "nvidia-cublas-cu12", {"nvidia-cuda-nvrtc-cu12"}),
        ("+cu129", "", set()),
    ],
    ids=["nobody asks for them", "somebody does", "the right torch is of CUDA 12, too"],
)
def test_what_came_with_a_torch_of_another_cuda_goes_with_it(wanted: str, asked: str, gone: set[str]) -> None:
    """They would be loaded in place of the right ones: torch looks into the folders of CUDA 12 first."""
    release = next(
        found
        for version in sorted(releases.versions(), key=parse, reverse=True)
        if (found := releases.release(version)) and any(re.match(r"torch==", line) for line in found.pins)
    )
    right = next(line.partition("==")[2] for line in release.pins if line.startswith("torch=="))
    facts = Facts()
    leftovers = {"nvidia-cuda-nvrtc-cu12": ["nvidia-cublas-cu12"], "nvidia-cublas-cu12": []}
    rows = [
        {"name": "sglang", "version": release.version, "requires": list(release.pins)},
        {"name": "torch", "version": "2.0.0", "requires": list(leftovers)},
        *({"name": name, "version": "12.8.1", "requires": needs} for name, needs in leftovers.items()),
        {"name": "somebody", "version": "1", "requires": [asked] if asked else []},
    ]
    facts.put("packages", rows, "probe")
    facts.put("python", {"version": "3.12.0"}, "probe")
    facts.put("torch", {"version": "2.0.0", "cuda": "12.8"}, "probe")
    plan = planned({"a": [Fix("put it back", "unsafe", (Install((f"torch=={right}{wanted}",)),))]}, facts, unsafe=True)
    assert {name for step in plan.steps if step.verb == "uninstall" for name in step.packages} == gone
    assert {change.why for change in plan.changes if change.name in gone} <= {"nothing that stays asks for it"}


def test_absent_package_brings_what_it_needs_and_nothing_else() -> None:
    there = ("requests", "click", "einops", "ninja", "packaging", "tqdm", "apache_tvm_ffi", "nvidia_cutlass_dsl")
    facts = installed(sglang="0.5.8", torch="2.9.1", numpy="2.0", nvidia_ml_py="13", **dict.fromkeys(there, "1"))
    fix = safe(Install(("flashinfer-python==0.6.1",), deps=False))
    steps = planned({"a": fix}, facts).steps
    assert steps[-1] == Step("install", ("flashinfer-python==0.6.1",), deps=False)
    (brought,) = steps[:-1]
    assert brought.deps
    assert {text.split(">")[0] for text in brought.packages} == {"nvidia-cudnn-frontend", "tabulate"}
    facts.put("packages", {"name": "flashinfer-python", "version": "0.5.3"}, "probe")
    assert planned({"a": fix}, facts).steps == steps[-1:], "it was there: its own kind of finding tells what it lacks"


def test_words_of_the_installer_are_shown_without_secrets() -> None:
    ran = Ran(1, "Looking in indexes: https://me:s3cret@mirror.example/simple\n", "ERROR: no\n", "")
    assert "s3cret" not in last_words(ran)
    assert "mirror.example" in last_words(ran)


@pytest.mark.parametrize(
    ("facts", "line", "left"),
    [
        ({}, 3, True),
        ({}, 0, False),
        ({"record.damaged": [{"name": "cudnn"}]}, 3, False),
        ({"libraries.unresolved": [{"provider": "cudnn", "owner": "torch", "kind": "wheel"}]}, 3, False),
        ({"record.damaged": None}, 3, False),
    ],
    ids=["sound", "seen by a probe", "damaged", "not found by the loader", "files not looked at"],
)
def test_a_log_of_another_day_reinstalls_nothing(facts: dict[str, Any], line: int, left: bool) -> None:
    known = installed(cudnn="9")
    for name, rows in ({"record.damaged": [], "loader.missing": []} | facts).items():
        if rows is not None:
            known.put(name, rows, "probe")
    told = finding("a")._replace(evidence=(Evidence("a.log", "libcudnn.so.9: cannot open", line),))
    fixes = safe(Install(("cudnn==9",), deps=False, reinstall=True))
    plan = make([told], lambda _: fixes, known, lambda _: None)
    assert bool(plan.left) is left
    assert bool(plan.steps) is not left


def test_a_plan_says_which_warnings_it_leaves() -> None:
    findings = [finding("bad"), finding("off-pin", severity="warning"), finding("full-disk", severity="warning")]
    fixes = {
        "bad": safe(Install(("a==1",))),
        "off-pin": safe(Install(("b==1",))),
        "full-disk": [Fix("x", "manual", ())],
    }
    plan = make(findings, lambda one: fixes[one.rule.slug], installed(), lambda _: None)
    assert plan.notes == ("warnings are repaired with --strict only: off-pin",)
    assert not make(
        findings, lambda one: fixes[one.rule.slug], installed(), lambda _: None, severities=("error", "warning")
    ).notes
