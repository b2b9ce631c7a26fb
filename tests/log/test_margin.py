"""What stands before every line is taken off, whatever it is, where it hides a traceback; the rest stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sgldoctor.log.document import clean

LOG = """\
[2026-02-03 10:12:10 TP0] Load weight begin.

Traceback (most recent call last):
  File "/opt/sglang/srt/managers/scheduler.py", line 2980, in run_scheduler_process
    scheduler = Scheduler(server_args)
                ^^^^^^^^^^^^^^^^^^^^^^
  File "/opt/sglang/srt/model_loader/loader.py", line 12, in load
    raise ValueError("no")
ValueError: no
""".splitlines()
MARGINS: dict[str, Callable[[int], str]] = {
    "number": lambda number: f"{number}: ",
    "number in a column": lambda number: f"{number:6}\t",
    "number and bar": lambda number: f"{number:4} | ",
    "grep -n": lambda number: f"server.log:{number}:",
    "stern": lambda _: "sglang-0 sglang ",
    "kubetail": lambda _: "[sglang-0 sglang] ",
    "pm2": lambda _: "0|sglang  | ",
    "ts": lambda number: f"Nov 27 10:00:{number:02} ",
    "own stamp": lambda number: f"[2026-11-27 10:00:{number:02}] [sglang] ",
    "CloudWatch": lambda number: f"2026-11-27T10:00:{number:02}.000000+00:00 sglang/worker/0a1b2c3d ",
}


def cleaned(lines: list[str]) -> list[tuple[str, str]]:
    return [(line.text, line.rank) for line in clean(list(enumerate(map(str.encode, lines), 1))) if line.text]


PLAIN = cleaned(LOG)


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("stripped", [False, True])
def test_a_margin_is_taken_off(name: str, stripped: bool) -> None:
    wrapped = [MARGINS[name](number) + text for number, text in enumerate(LOG, 1)]
    wrapped = [text.rstrip() for text in wrapped] if stripped else wrapped
    assert cleaned(wrapped) == PLAIN


def test_margins_of_two_pods() -> None:
    both = [f"{pod} {text}" for text in LOG for pod in ("sglang-prefill", "sglang-decode")]
    assert cleaned(both) == [line for line in PLAIN for _ in range(2)]


def test_line_numbers_stay_those_of_the_file() -> None:
    wrapped = [f"{number}: {text}".encode() for number, text in enumerate(LOG, 1)]
    shown = {line.text: line.number for line in clean(list(enumerate(wrapped, 1)))}
    assert shown["ValueError: no"] == 9


@pytest.mark.parametrize(
    "lines",
    [
        LOG,
        [
            f"[2026-02-03 10:12:10 TP{number}] {text}" for number, text in enumerate(LOG)
        ],  # SGLang's own prefix tells ranks
        ["error: " + text if "Traceback" in text else text for text in LOG],  # one line is no margin
        ["first", "x: Traceback (most recent call last):", "last"],
    ],
)
def test_what_is_no_margin_stays(lines: list[str]) -> None:
    from sgldoctor.log import document, margin

    found = margin.margin_of(lines)
    assert found is None
    assert document.clean(list(enumerate(map(str.encode, lines), 1)))


def test_a_margin_of_many_numbers_has_one_way_to_match() -> None:
    """Between two numbers something must stand: else a long row of digits could be divided in countless ways."""
    from sgldoctor.log.margin import margin_of

    numbers = " ".join("1" * 70)
    found = margin_of([f"{numbers}x {text}" for text in LOG])
    assert found is not None
    assert r"\d+ *\d+" not in found.pattern
    assert r"\d+\d+" not in found.pattern
    assert found.match("1" * 100_000) is None
