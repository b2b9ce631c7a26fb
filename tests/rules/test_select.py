"""Selecting: what a rule fires on, and what it makes of it."""

from __future__ import annotations

import time

import pytest

from sgldoctor.events import Event, Frame
from sgldoctor.facts import Facts
from sgldoctor.rules.base import RuleBase
from sgldoctor.rules.limit import TimedOut, search
from sgldoctor.rules.select import fits, select
from tests.rules.make import exceptions, findings, log_rule, rule


def test_named_groups_become_parameters_title_and_subject() -> None:
    made = rule(
        "lib",
        title="{library} cannot be loaded",
        log=[{"anchor": "cannot open", "pattern": r"(?P<library>lib[\w.]{1,40}): cannot open"}],
    )
    (found,) = findings(exceptions("ImportError: libfoo.so.9: cannot open shared object file"), made)
    assert (found.title, found.subject, found.params) == (
        "libfoo.so.9 cannot be loaded",
        "libfoo.so.9",
        {"library": "libfoo.so.9"},
    )


def test_one_finding_for_each_subject_and_all_evidence_counted() -> None:
    made = rule("lib", log=[{"anchor": ": gone", "pattern": r"(?P<library>lib\w{1,9}): gone"}])
    found = findings(exceptions("liba: gone", "libb: gone", *["liba: gone"] * 9), made)
    assert {finding.subject: finding.times for finding in found} == {"liba": 10, "libb": 1}
    assert len(found[0].evidence) == 5


def test_what_is_found_without_a_name_joins_what_is_found_with_one() -> None:
    made = rule(
        "lib",
        title="{library} of {owner} is gone",
        subject="{library}",
        log=[{"anchor": "gone"}, {"anchor": "lost", "pattern": "(?P<library>lib[a-z]{1,9}) lost"}],
        fact=[{"each": "packages.damaged"}],
    )
    facts = Facts()
    facts.put("packages.damaged", {"owner": "torch"}, "probe")
    (found,) = findings(exceptions("something is gone", "liba lost"), made, facts=facts)
    assert (found.subject, found.title, found.times) == ("liba", "liba of torch is gone", 3)


@pytest.mark.parametrize(
    ("match", "fires"),
    [
        ({"anchor": "broken"}, True),
        ({"anchor": "broken", "in": ["warning"]}, False),
        ({"anchor": "broken", "in": ["any"]}, True),
        ({"anchor": "broken", "type": "Import*"}, True),
        ({"anchor": "broken", "type": "ValueError"}, False),
        ({"anchor": "broken", "place": "deepep.py"}, True),
        ({"anchor": "broken", "place": "dispatch"}, True),
        ({"anchor": "broken", "place": "mooncake.py"}, False),
        ({"anchor": "broken", "place": ["mooncake.py", "deepep.py"]}, True),
        ({"anchor": "broken", "place": ["mooncake.py", "nixl.py"]}, False),
        ({"anchor": "broken", "inner": "deepep.py"}, True),
        ({"anchor": "broken", "inner": ["mooncake.py", "deepep.py"]}, True),
        ({"anchor": "broken", "inner": "outer.py"}, False),
        ({"anchor": ["whole", "broken"]}, True),
        ({"anchor": ["whole", "sound"]}, False),
        ({"anchor": "broken", "unless": "harmless"}, True),
        ({"anchor": "broken", "unless": "part"}, False),
        ({"anchor": "broken", "also": ["elsewhere"]}, True),
        ({"anchor": "broken", "also": ["nowhere"]}, False),
        ({"anchor": "broken", "never": ["nowhere"]}, True),
        ({"anchor": "broken", "never": ["nowhere", "elsewhere"]}, False),
        ({"anchor": "Broken"}, False),
    ],
)
def test_conditions_of_a_log_match(match: dict[str, object], fires: bool) -> None:
    frames = (
        Frame("/opt/venv/sglang/srt/outer.py", 4, "run", "dispatch()"),
        Frame("/opt/venv/sglang/srt/layers/moe/token_dispatcher/deepep.py", 12, "dispatch", "self.x()"),
        Frame("/opt/venv/torch/nn/modules/module.py", 9, "__getattr__", "raise"),
    )
    events = [
        Event("exception", "ImportError: broken part", 3, 0, type="ImportError", frames=frames),
        Event("line", "said elsewhere", 9, 1),
    ]
    assert bool(findings(events, rule("it", log=[match]))) is fires


def test_fact_rows_are_selected_and_named_in_evidence() -> None:
    facts = Facts()
    facts.put(
        "libraries.unresolved", [{"library": "libcudnn.so.9", "owner": "torch"}, {"library": "libfoo.so"}], "derived"
    )
    made = rule("cudnn", fact=[{"each": "libraries.unresolved", "where": {"library": "libcudnn*"}}])
    (found,) = findings([], made, facts=facts)
    assert found.subject == "libcudnn.so.9"
    assert found.evidence[0].source == "probe"
    assert "owner torch" in found.evidence[0].text


def test_unknown_is_never_false() -> None:
    made = rule("torch", fact=[{"each": "kernel", "where": {"torch_fits": False}}])
    unknown, no_column = Facts(), Facts()
    no_column.put("kernel", {"name": "sgl-kernel"}, "probe")
    undecided = Facts()
    undecided.put("kernel", {"torch_fits": None}, "probe")
    assert [findings([], made, facts=facts) for facts in (unknown, no_column, undecided)] == [[], [], []]


@pytest.mark.parametrize(
    ("value", "wanted", "fit"),
    [
        ("libcudnn.so.9", "libcudnn*", True),
        ("libcudnn.so.9", "!libcudnn*", False),
        ("a", ["b", "a"], True),
        (["x", "y"], "y", True),
        (True, True, True),
        (1, True, False),
        (True, "True", False),
        (1024, 1024, True),
        (1024, "10*", True),
    ],
)
def test_conditions_on_columns(value: object, wanted: object, fit: bool) -> None:
    assert fits({"column": value}, {"column": wanted}) is fit


def test_needs_must_select_something_too() -> None:
    made = log_rule(
        "deepep", "DeepEP is not installed", needs=[{"each": "launch.option", "where": {"flag": "--moe-a2a-backend"}}]
    )
    events = exceptions("ImportError: DeepEP is not installed")
    facts = Facts()
    assert findings(events, made, facts=facts) == []
    facts.put("launch.option", {"flag": "--moe-a2a-backend", "value": "deepep"}, "log")
    assert len(findings(events, made, facts=facts)) == 1


@pytest.mark.parametrize(("answer", "fires"), [(True, True), (None, True), (False, False)])
def test_when_keeps_a_rule_to_its_releases(answer: bool | None, fires: bool) -> None:
    made = log_rule("bug", "fault", when={"sglang": ">=1"})
    assert bool(select(Facts(), exceptions("fault"), [made], lambda _when: answer)) is fires


def test_a_regex_that_hangs_is_stopped_and_reported() -> None:
    made = rule("slow", log=[{"anchor": "aaaa", "pattern": "(a+)+$"}])
    facts = Facts()
    begin = time.monotonic()
    assert findings(exceptions("a" * 300 + "b"), made, facts=facts) == []
    assert time.monotonic() - begin < 5
    assert [entry.what for entry in facts.unknown] == ["rule slow"]


def test_the_limit_leaves_no_timer_behind() -> None:
    import re
    import signal

    with pytest.raises(TimedOut):
        search(re.compile("(a+)+$"), "a" * 300 + "b")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert search(re.compile("b"), "a" * 300 + "b")


def test_every_anchor_that_stands_in_a_text_is_present_whatever_its_digits() -> None:
    anchors = ["sm_90a", "[Errno 98]", "12345678", "ab", "libcudnn.so.9", "no such file", "1a2b3c4d"]
    rules = RuleBase.of([log_rule(f"rule-{number}", anchor) for number, anchor in enumerate(anchors)])
    text = "\n".join(f"a line {number} with {anchor} in it" for number, anchor in enumerate(anchors))
    assert rules.present(text) == set(anchors)
    for anchor in anchors:
        assert rules.present(f"one {anchor}\none 7") == {anchor}
    assert rules.present("[Errno 99]\nlibcudnn.so.8\nsm_\n90a\nno such 1file") == set()
