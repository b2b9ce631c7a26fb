"""Ranking: which finding is the cause, and what explains the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.events import Event
from sgldoctor.facts import Facts
from tests.rules.make import exceptions, findings, log_rule, roles, rule


def test_first_in_time_is_the_best_cause() -> None:
    found = findings(
        exceptions("second-fault", "first-fault"), log_rule("b", "first-fault"), log_rule("a", "second-fault")
    )
    assert [finding.rule.slug for finding in found] == ["a", "b"]
    assert roles(found) == {"a": "cause", "b": "cause"}


def test_echo_is_a_symptom_of_the_cause_before_it() -> None:
    echo = log_rule("echo", "sigquit", role="symptom")
    found = findings(exceptions("real-fault", "sigquit"), echo, log_rule("real", "real-fault"))
    assert roles(found) == {"real": "cause", "echo": "symptom"}
    assert found[1].explained_by == "real"


def test_echo_alone_stays_a_symptom_without_a_cause() -> None:
    (only,) = findings(exceptions("sigquit"), log_rule("echo", "sigquit", role="symptom"))
    assert (only.role, only.explained_by) == ("symptom", None)


def test_frame_gives_way_to_what_is_inside_its_own_text() -> None:
    frame = log_rule("frame", "CRITICAL", frame=True)
    found = findings(
        exceptions("CRITICAL: could not load\n- libnvrtc.so.12: cannot open"), frame, log_rule("lib", "cannot open")
    )
    assert roles(found) == {"lib": "cause", "frame": "symptom"}


def test_frame_alone_is_the_cause() -> None:
    assert roles(findings(exceptions("CRITICAL"), log_rule("frame", "CRITICAL", frame=True))) == {"frame": "cause"}


def test_frame_before_an_unrelated_later_cause_stays_a_cause() -> None:
    found = findings(
        exceptions("CRITICAL", "other-fault"),
        log_rule("frame", "CRITICAL", frame=True),
        log_rule("other", "other-fault"),
    )
    assert roles(found) == {"other": "cause", "frame": "cause"}


def test_generic_gives_way_on_the_same_event_only() -> None:
    generic = log_rule("any-library", "cannot open", generic=True)
    found = findings(exceptions("libcudnn cannot open", "libfoo cannot open"), generic, log_rule("cudnn", "libcudnn"))
    assert roles(found)["cudnn"] == "cause"
    assert roles(findings(exceptions("libcudnn cannot open"), generic, log_rule("cudnn", "libcudnn"))) == {
        "cudnn": "cause",
        "any-library": "symptom",
    }


def test_inner_exception_of_a_chain_explains_the_outer() -> None:
    outer, inner = log_rule("outer", "outer-fault"), log_rule("inner", "inner-fault")
    found = findings(exceptions("inner-fault", "outer-fault", chain=1), outer, inner)
    assert roles(found) == {"inner": "cause", "outer": "symptom"}


def test_a_warning_never_explains_an_error() -> None:
    warning = log_rule("warning", "odd", severity="warning", explains=["error"])
    found = findings(exceptions("odd", "bad"), warning, log_rule("error", "bad"))
    assert roles(found) == {"error": "cause", "warning": "cause"}


def test_explains_may_name_a_cause_and_points_to_the_end_of_the_line() -> None:
    a = log_rule("a", "fault-a", explains=["b"])
    b = log_rule("b", "fault-b", explains=["c"])
    c = log_rule("c", "fault-c")
    found = findings(exceptions("fault-c", "fault-b", "fault-a"), a, b, c)
    assert roles(found) == {"a": "cause", "b": "symptom", "c": "symptom"}
    assert {finding.explained_by for finding in found[1:]} == {"a"}


def test_rules_that_explain_each_other_leave_the_earlier_one() -> None:
    a, b = log_rule("a", "fault-a", explains=["b"]), log_rule("b", "fault-b", explains=["a"])
    assert roles(findings(exceptions("fault-b", "fault-a"), a, b)) == {"b": "cause", "a": "symptom"}


def test_two_particular_rules_on_one_event_are_both_causes() -> None:
    found = findings(
        exceptions("first-fault second-fault"), log_rule("a", "first-fault"), log_rule("b", "second-fault")
    )
    assert roles(found) == {"a": "cause", "b": "cause"}


def test_a_notice_stays_one_beside_a_cause() -> None:
    notice = log_rule("notice", "worth-knowing", role="notice", generic=True)
    found = findings(exceptions("worth-knowing fault"), notice, log_rule("cause", "fault"))
    assert roles(found) == {"cause": "cause", "notice": "notice"}
    assert found[1].explained_by is None


def test_a_rule_may_want_to_be_told_before_another_as_severe() -> None:
    events = exceptions("fault-a", "fault-b", "fault-c")
    a, b = log_rule("a", "fault-a"), log_rule("b", "fault-b")
    first = log_rule("c", "fault-c", before=["a"])
    assert list(roles(findings(events, a, b, first))) == ["c", "a", "b"]
    second = log_rule("c", "fault-c", before=["b"])
    assert list(roles(findings(events, a, b, second))) == ["a", "c", "b"]
    mild = log_rule("c", "fault-c", before=["a"], severity="warning")
    assert list(roles(findings(events, a, b, mild))) == ["a", "b", "c"]
    assert list(roles(findings(events, a, b, log_rule("c", "fault-c", before=["another"])))) == ["a", "b", "c"]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 2), st.integers(0, 2)), max_size=12), st.data())
def test_there_is_always_a_cause_where_a_cause_rule_fired(
    shape: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """No web of frames, chains and explanations may explain everything away."""
    names = [f"rule-{number}" for number in range(5)]
    rules = [
        log_rule(
            name,
            f"text-{name}",
            frame=data.draw(st.booleans()),
            generic=data.draw(st.booleans()),
            explains=data.draw(st.lists(st.sampled_from(names), max_size=3)),
        )
        for name in names
    ]
    events = [
        Event("exception", f"text-{names[which]}", line=order + 1, order=order, chain=chain, depth=depth)
        for order, (which, chain, depth) in enumerate(shape)
    ]
    found = findings(events, *rules)
    assert len(found) == len({which for which, _, _ in shape})
    if found:
        assert found[0].role == "cause"
        causes = {finding.rule.slug for finding in found if finding.role == "cause"}
        assert all(finding.explained_by in causes for finding in found if finding.role == "symptom")


def test_an_echo_that_was_read_from_the_machine_has_the_cause_of_the_log() -> None:
    facts = Facts()
    facts.put("packages", {"name": "numpy"}, "probe")
    echo = rule("echo", fact=[{"each": "packages"}], role="symptom")
    found = findings(exceptions("fault"), echo, log_rule("real", "fault"), facts=facts)
    assert roles(found) == {"real": "cause", "echo": "symptom"}
    assert found[1].explained_by == "real"


def test_what_failed_in_the_log_comes_before_what_was_read_from_the_machine() -> None:
    facts = Facts()
    facts.put("packages", {"name": "numpy"}, "probe")
    machine = rule("a-machine", fact=[{"each": "packages"}])
    assert list(roles(findings(exceptions("fault"), machine, log_rule("b-log", "fault"), facts=facts))) == [
        "b-log",
        "a-machine",
    ]


def test_two_subjects_of_one_rule_do_not_explain_each_other() -> None:
    wide = rule("wide", log=[{"anchor": "fault", "pattern": r"fault (?P<name>\w{1,9})"}], subject="{name}",
                explains=["wide"])  # fmt: skip
    found = findings(exceptions("fault one", "fault two"), wide)
    assert [(finding.subject, finding.role) for finding in found] == [("one", "cause"), ("two", "cause")]


def test_a_frame_is_explained_by_a_fault_before_it_not_by_one_after_it() -> None:
    frame, real = log_rule("frame", "CRITICAL", frame=True), log_rule("real", "fault")
    assert roles(findings(exceptions("fault", "CRITICAL"), frame, real)) == {"real": "cause", "frame": "symptom"}
    assert roles(findings(exceptions("CRITICAL", "fault"), frame, real)) == {"real": "cause", "frame": "cause"}


def test_before_may_name_a_cause() -> None:
    kind = log_rule("a", "fault-a", cause="kind")
    first = log_rule("b", "fault-b", before=["kind"])
    assert list(roles(findings(exceptions("fault-a", "fault-b"), kind, first))) == ["b", "a"]
