"""Texts of SGLang: which function prints them, and in which releases."""

from __future__ import annotations

import json

from sgldoctor.knowledge import messages
from sgldoctor.knowledge.messages import fitting, matching, releases


def names(texts: list[str]) -> tuple[str, str] | None:
    among, because = fitting(texts)
    return (among[0], among[-1]) if because and among else None


def test_a_text_with_its_holes_filled_is_found() -> None:
    text = "RuntimeError: Weight input_size_per_partition = 9472 is not divisible by weight quantization block_k = 128."
    assert matching(text)[0].where.startswith("layers/quantization/")


def test_the_parts_must_stand_in_order() -> None:
    text = "block_k = 128 is not divisible by weight quantization; Weight input_size_per_partition ="
    assert not [message for message in matching(text) if "input_size_per_partition" in message.text]


def test_a_text_of_other_programs_is_not_ours() -> None:
    assert matching("ImportError: libfoo.so.1: cannot open shared object file: No such file or directory") == []


def test_texts_narrow_the_release() -> None:
    """0.5.9 changed the address in Mooncake's advice; both texts together fit no release."""
    tail = " to run SGLang with MooncakeTransferEngine."
    old = (
        "Please install mooncake by following the instructions at https://github.com/kvcache-ai/Mooncake/blob/main/doc/en/build.md"
        + tail
    )
    new = (
        "Please install mooncake by following the instructions at https://kvcache-ai.github.io/Mooncake/getting_started/build.html"
        + tail
    )
    assert names([old]) == (releases()[0], "0.5.8.post1")
    assert names([new]) == ("0.5.9", releases()[-1])
    assert names([old, new]) is None
    assert names(["nothing of SGLang"]) is None


def test_the_lines_of_the_file_are_sorted_and_each_leads_to_its_message() -> None:
    data = messages._data()
    lines = data.split(b"\n")
    assert lines[1:-1] == sorted(lines[1:-1])
    assert lines[-1] == b""
    for line in lines[1:-1:97]:
        literal, kind, text, _, where = json.loads(line)
        assert len(literal.encode()) >= messages.BEGIN
        begin = line[: len(messages.OPENS) + messages.BEGIN]
        places = [data[at : data.index(b"\n", at)] for at in messages._beginning(begin)]
        assert places == [other for other in lines if other.startswith(begin)]
        found = matching(f"a {literal} b" if text else f"Error: {literal}")
        if not text and len(literal) >= messages.TELLING:
            assert (kind, literal, where) in [(message.kind, message.text, message.where) for message in found]
