from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor import actions
from sgldoctor.actions import validate
from sgldoctor.actions.base import Place
from sgldoctor.actions.kinds.install import Install
from sgldoctor.actions.kinds.manual import Manual
from sgldoctor.actions.kinds.remove_cache import CACHES, RemoveCache
from sgldoctor.actions.kinds.set_env import SetEnv
from sgldoctor.actions.kinds.uninstall import Uninstall
from sgldoctor.actions.kinds.write_file import WriteFile
from sgldoctor.facts import Facts
from sgldoctor.fix.recipe import Fix, fixes
from sgldoctor.rules.schema import Finding, build

PINS = {"nvidia-cudnn": "nvidia-cudnn-cu12==9.10.2.21", "kernel": "sgl-kernel==0.3.21", "numpy": "numpy==2.4.6"}


def finding(*actions: dict[str, Any], params: dict[str, Any] | None = None, **recipe: Any) -> Finding:
    table = {"title": "Repair it", "safety": "safe", "action": list(actions), **recipe}
    data = {"title": "t", "cause": "c", "about": "a", "fact": [{"each": "packages"}], "fix": [table]}
    rule = build(data, "some-rule", "libraries", "some-rule.toml")
    return Finding(rule, params or {}, "", "t", "cause", (), 1)


def one(
    *actions: dict[str, Any],
    params: dict[str, Any] | None = None,
    facts: Facts | None = None,
    pins: dict[str, str] = PINS,
    **recipe: Any,
) -> Fix:
    (fix,) = fixes(finding(*actions, params=params, **recipe), facts or Facts(), pins.get)
    return fix


def test_pin_becomes_an_exact_requirement() -> None:
    fix = one({"do": "install", "packages": ["{pin:nvidia-cudnn}"], "deps": False}, title="Put {library} back",
              params={"library": "libcudnn.so.9"})  # fmt: skip
    assert fix.safety == "safe"
    assert fix.title == "Put libcudnn.so.9 back"
    assert fix.actions == (Install(("nvidia-cudnn-cu12==9.10.2.21",), deps=False),)
    assert fix.to_json()["actions"] == [
        {
            "do": "install",
            "packages": ["nvidia-cudnn-cu12==9.10.2.21"],
            "deps": False,
            "reinstall": False,
            "command": "pip install --no-deps nvidia-cudnn-cu12==9.10.2.21",
        }
    ]


def test_bare_name_in_a_recipe_takes_the_version_that_is_pinned() -> None:
    assert one({"do": "install", "packages": ["numpy"]}).actions == (Install(("numpy==2.4.6",)),)
    assert one({"do": "install", "packages": ["hatchling"]}).actions == (Install(("hatchling",)),)


def test_name_of_a_parameter_can_be_pinned() -> None:
    action = {"do": "install", "packages": ["{pin:{name}}"]}
    assert one(action, params={"name": "numpy"}).actions == (Install(("numpy==2.4.6",)),)
    fix = one(action, params={"name": "numpy} --index-url http://evil {"})
    assert fix.safety == "manual"
    assert fix.actions[0].command() == ""


def test_list_valued_parameter_stands_for_its_members() -> None:
    fix = one({"do": "uninstall", "packages": ["{names}"]}, params={"names": ["sgl-kernel", "sglang-kernel"]})
    assert fix.actions == (Uninstall(("sgl-kernel", "sglang-kernel")),)


def test_unknown_placeholder_makes_advice() -> None:
    fix = one({"do": "install", "packages": ["{pin:no-such-thing}"]})
    assert fix.safety == "manual"
    assert fix.unresolved == ("pin:no-such-thing",)
    advice = "install no-such-thing, in the version that belongs to the installed SGLang and torch"
    assert fix.actions == (Manual(advice),)
    assert fix.actions[0].command() == ""
    assert "sgldoctor check --fix" in fix.note


def test_pin_of_an_unknown_release_is_shown_for_each_range_of_releases() -> None:
    fix = one({"do": "install", "packages": ["{pin:nvidia-nccl}"], "deps": False})
    assert (fix.safety, fix.unresolved) == ("manual", ("pin:nvidia-nccl",))
    assert len(fix.actions) > 2
    for action in fix.actions:
        assert isinstance(action, Install)
        assert action.packages[0].startswith("nvidia-nccl-cu")
        assert action.command() == f"pip install --no-deps {action.packages[0]}  # {action.releases}"
        assert action.to_json()["releases"].startswith("SGLang ")
    assert "sgldoctor check --fix" in fix.note


def test_pin_on_which_all_fitting_releases_agree_can_be_applied() -> None:
    facts = Facts()
    facts.put("log.releases", {"first": "0.5.8", "last": "0.5.9"}, "derived")
    fix = one({"do": "install", "packages": ["{pin:kernel}"]}, params={}, facts=facts, pins={})
    assert (fix.safety, fix.unresolved) == ("safe", ())
    (action,) = fix.actions
    assert isinstance(action, Install)
    assert action.packages == ("sgl-kernel==0.3.21",)
    assert action.releases == "SGLang 0.5.8 to 0.5.9"


def test_library_of_a_log_tells_the_family_of_the_wheel() -> None:
    action = {"do": "install", "packages": ["{pin}"], "deps": False}
    fix = one(action, params={"library": "libcudnn_ops.so.9"})
    assert fix.actions == (Install(("nvidia-cudnn-cu12==9.10.2.21",), deps=False),)
    unknown = one(action, params={"library": "libexample.so.1"})
    assert unknown.unresolved == ("pin",)
    hostile = one(action, params={"library": "libcudnn$(id)} --index-url x.so.9"})
    assert hostile.actions[0].command() == ""


@pytest.mark.parametrize(
    "hostile",
    [
        "evil-package",
        "numpy; rm -rf /",
        "numpy @ https://evil.example/numpy.whl",
        "git+https://evil.example/x",
        "--index-url=http://evil.example",
        "-r/etc/passwd",
        "../../tmp/numpy",
        "numpy==1 --hash x",
        "numpy==$(id)",
        "numpy\x1b[2J",
        "n" * 5000,
        "numpy; python_version > '3'",
    ],
)
def test_hostile_package_from_a_log_is_never_in_an_action(hostile: str) -> None:
    for template in ("{name}", "{pin:{name}}", "numpy=={name}"):
        for kind in ("install", "uninstall"):
            fix = one({"do": kind, "packages": [template]}, params={"name": hostile})
            assert fix.safety == "manual", (template, fix)
            assert all(not action.command() for action in fix.actions)


def test_package_of_the_environment_or_of_the_knowledge_may_come_from_a_log() -> None:
    facts = Facts()
    facts.put("packages", {"name": "my-own", "version": "1.0"}, "probe")
    action = {"do": "install", "packages": ["{name}"]}
    assert one(action, params={"name": "My.Own==1.0"}, facts=facts).actions == (Install(("my-own==1.0",)),)
    assert one(action, params={"name": "transformers==4.57.1"}).safety == "safe"


def test_recipe_for_another_release_is_left_out_and_for_an_unknown_one_says_its_range() -> None:
    action = {"do": "manual", "text": "do it"}
    facts = Facts()
    facts.put("sglang", {"version": "0.5.8"}, "probe")
    assert fixes(finding(action, when={"sglang": ">=0.5.10"}), facts, PINS.get) == ()
    assert fixes(finding(action, when={"sglang": "<0.5.10"}), facts, PINS.get)[0].note == ""
    assert ">=0.5.10" in fixes(finding(action, when={"sglang": ">=0.5.10"}), Facts(), PINS.get)[0].note


def test_variables() -> None:
    assert one({"do": "set-env", "name": "NCCL_DEBUG", "value": "INFO"}).actions == (SetEnv("NCCL_DEBUG", "INFO"),)
    action = {"do": "set-env", "name": "{name}", "value": "{value}"}
    known = "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK"
    assert one(action, params={"name": known, "value": "512"}).actions[0].command() == f"export {known}=512"
    literal = {"do": "set-env", "name": "no_proxy", "value": "127.0.0.1,localhost"}
    assert one(literal).actions == (SetEnv("no_proxy", "127.0.0.1,localhost"),)
    assert one(action, params={"name": "no_proxy", "value": "x"}).safety == "manual"
    for name, value in [("LD_PRELOAD", "/tmp/x.so"), ("PATH", "/tmp"), (known, "$(id)"), (known, "a\nb"), ("a b", "1")]:
        assert one(action, params={"name": name, "value": value}).safety == "manual"


def test_flags_are_those_of_the_release() -> None:
    facts = Facts()
    facts.put("sglang", {"version": "0.5.8"}, "probe")
    good = one({"do": "set-flag", "flag": "--attention-backend", "value": "triton"}, facts=facts)
    assert good.actions[0].describe() == "start the server with --attention-backend triton"
    for flag, value in [("--no-such-flag", "1"), ("--attention-backend", "nope"), ("--x;reboot", "1")]:
        assert one({"do": "set-flag", "flag": flag, "value": value}, facts=facts).safety == "manual"
    assert one({"do": "remove-flag", "flag": "--no-such-flag"}, facts=facts).safety == "safe"


def test_path_is_never_taken_from_a_parameter() -> None:
    action = {"do": "write-file", "path": "{file}", "content": "x"}
    assert one(action, params={"file": "/etc/passwd"}).safety == "manual"
    literal = {"do": "write-file", "path": "~/.config/x.conf", "content": "{value}\n"}
    assert one(literal, params={"value": "1"}).actions == (WriteFile("~/.config/x.conf", "1\n"),)


def test_cache_module_and_system_package() -> None:
    assert one({"do": "remove-cache", "cache": "triton"}).actions == (RemoveCache("triton"),)
    assert one({"do": "remove-cache", "cache": "/etc"}).safety == "manual"
    assert one({"do": "load-module", "module": "nvidia_peermem"}).actions[0].command() == "sudo modprobe nvidia_peermem"
    assert one({"do": "load-module", "module": "{m}"}, params={"m": "-r nvidia"}).safety == "manual"
    numa = {"do": "system-package", "packages": ["{library}"]}
    fix = one(numa, params={"library": "libnuma.so.1"})
    assert fix.actions[0].command() == "sudo apt-get install -y libnuma1"
    facts = Facts()
    facts.put("host", {"distribution": "Rocky Linux 9.4", "root": True}, "probe")
    facts.put("python", {"executable": "/opt/venv/bin/python", "chosen": "--venv /opt/venv"}, "probe")
    fix = one(numa, params={"library": "libnuma.so.1"}, facts=facts)
    assert fix.actions[0].command() == "dnf install -y numactl-libs"
    assert one(numa, params={"library": "evil; reboot.so.1"}).safety == "manual"
    assert one({"do": "system-package", "packages": ["{p}"]}, params={"p": "evil"}).safety == "manual"


def test_advice_shows_no_command_with_hostile_parts() -> None:
    action = {"do": "manual", "text": "look at {name}", "command": "pip show {name}"}
    assert one(action, params={"name": "torch"}).actions[0].command() == "pip show torch"
    assert one(action, params={"name": "torch; id"}).actions[0].command() == ""
    assert one(action).actions[0].command() == ""


def test_commands_name_the_interpreter() -> None:
    action = Install(("torch==2.9.1",), deps=False, reinstall=True)
    uv, pip = Place("/opt/my venv/bin/python", "uv"), Place("/opt/my venv/bin/python")
    assert action.command(uv) == (
        "uv pip install --python '/opt/my venv/bin/python' --reinstall --no-deps torch==2.9.1"
    )
    assert action.command(pip) == "'/opt/my venv/bin/python' -m pip install --force-reinstall --no-deps torch==2.9.1"
    gone = Uninstall(("a", "b"))
    assert gone.command(uv) == "uv pip uninstall --python '/opt/my venv/bin/python' a b"
    assert gone.command(pip) == "'/opt/my venv/bin/python' -m pip uninstall -y a b"
    assert gone.command() == "pip uninstall -y a b"


def test_every_kind_of_action_can_be_formed() -> None:
    examples: dict[str, dict[str, Any]] = {
        "install": {"packages": ["numpy"]},
        "uninstall": {"packages": ["numpy"]},
        "set-env": {"name": "NCCL_DEBUG", "value": "INFO"},
        "unset-env": {"name": "NCCL_DEBUG"},
        "set-flag": {"flag": "--tp-size", "value": "2"},
        "remove-flag": {"flag": "--tp-size"},
        "write-file": {"path": "~/x", "content": "y"},
        "remove-cache": {"cache": next(iter(CACHES))},
        "load-module": {"module": "gdrdrv"},
        "system-package": {"packages": ["libnuma1"]},
        "manual": {"text": "t"},
    }
    assert sorted(examples) == list(actions.names())
    for do, keys in examples.items():
        fix = one({"do": do, **keys})
        assert fix.safety == "safe"
        assert fix.actions[0].to_json()["do"] == fix.actions[0].do == do
        assert fix.actions[0].describe()


@given(st.text(max_size=60))
def test_no_text_makes_a_command_of_more_words(text: str) -> None:
    """Whatever a log holds, a command has the words of its recipe: one requirement, one name, one value."""
    cases: list[tuple[dict[str, Any], int]] = [
        ({"do": "install", "packages": ["{t}"], "deps": False}, 4),
        ({"do": "uninstall", "packages": ["{t}"]}, 4),
        ({"do": "set-env", "name": "NCCL_DEBUG", "value": "{t}"}, 2),
        ({"do": "load-module", "module": "{t}"}, 3),
    ]
    for action, length in cases:
        command = one(action, params={"t": text}).actions[0].command()
        assert not command or len(shlex.split(command)) == length


@given(st.text())
def test_requirements_are_canonical_or_refused(text: str) -> None:
    checked = validate.requirement(text)
    if checked is not None:
        name, canonical = checked
        assert validate.NAME.fullmatch(name)
        assert validate.requirement(canonical) == checked
        assert not set(canonical) & set(" \t\n;@/$`'\"")


def test_commands_are_for_the_environment_probed_also_when_a_log_names_another() -> None:
    facts = Facts()
    facts.put("python", {"version": "3.12", "executable": "/usr/bin/python"}, "log")
    action = {"do": "install", "packages": ["numpy"]}
    assert one(action, facts=facts).actions[0].command() == "pip install numpy==2.4.6"
    facts.put("python", {"executable": "/opt/venv/bin/python", "chosen": "--venv /opt/venv"}, "probe")
    facts.put("packages", {"name": "pip", "version": "26"}, "probe")
    assert "/opt/venv/bin/python" in one(action, facts=facts).actions[0].command()


def test_pins_of_many_releases_stand_where_the_recipe_has_them() -> None:
    before = {"do": "set-env", "name": "NCCL_DEBUG", "value": "INFO"}
    wheel = {"do": "install", "packages": ["{pin:nvidia-nccl}"], "deps": False}
    fix = one(before, wheel, {"do": "manual", "text": "start again"})
    assert fix.actions[0] == SetEnv("NCCL_DEBUG", "INFO")
    assert fix.actions[-1] == Manual("start again")
    assert all(isinstance(action, Install) for action in fix.actions[1:-1])


def test_older_releases_than_are_shown_are_mentioned() -> None:
    fix = one({"do": "install", "packages": ["{pin:flashinfer-python}"]}, pins={})
    assert len(fix.actions) == 6
    assert "Older releases: name yours with --sglang." in fix.note.split("  ")[0]
    assert fix.note.startswith("Older releases")


def test_a_hostile_name_beside_a_pin_of_an_unknown_release_stays_advice() -> None:
    fix = one({"do": "install", "packages": ["{pin:nvidia-nccl}", "{name}"]}, params={"name": "x; reboot"}, pins={})
    assert fix.safety == "manual"
    assert fix.actions
    assert all(not action.command() for action in fix.actions)


def test_an_environment_without_pip_is_repaired_by_uv() -> None:
    facts = Facts()
    facts.put("python", {"executable": "/nowhere/bin/python", "chosen": "--venv /nowhere"}, "probe")
    action = {"do": "install", "packages": ["numpy"]}
    assert one(action, facts=facts).actions[0].command().startswith("uv pip install --python /nowhere/bin/python ")
    facts.put("packages", {"name": "pip", "version": "26"}, "probe")
    assert one(action, facts=facts).actions[0].command().startswith("/nowhere/bin/python -m pip install ")
