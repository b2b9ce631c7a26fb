"""Several files: who failed first is named first, in whatever order the files are given."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor import log
from sgldoctor.events import Event
from sgldoctor.log.merge import merge, moment


def failed(time: str, rank: int, message: str) -> str:
    return (
        f"[{time} TP{rank}] Load weight begin.\n"
        f"[{time} TP{rank}] Scheduler hit an exception: Traceback (most recent call last):\n"
        f'  File "/srv/a.py", line 3, in main\n{message}\n'
    )


@pytest.mark.parametrize("turned", [False, True])
def test_the_first_failing_node_comes_first(tmp_path: Path, turned: bool) -> None:
    late, early = tmp_path / "node0.log", tmp_path / "node1.log"
    late.write_text(failed("2026-02-03 10:12:30", 0, "RuntimeError: Connection closed by peer"))
    early.write_text(failed("2026-02-03 10:12:18", 8, "OSError: [Errno 28] No space left on device"))
    names = [str(late), str(early)]
    events = log.read(names[::-1] if turned else names, ()).events
    first, second = (event for event in events if event.kind == "exception")
    assert (first.type, first.rank, first.source) == ("OSError", "TP8", str(early))
    assert (second.type, second.source) == ("RuntimeError", str(late))
    assert [event.order for event in events] == list(range(len(events)))


def test_without_comparable_times_the_files_stand_as_given() -> None:
    one = [Event("exception", "a", 1, 0, time="2026-02-03 10:12:30")]
    for other in ("", "10:12:18", "2026-02-03T10:12:18Z"):
        two = [Event("exception", "b", 1, 0, time=other)]
        assert [event.text for event in merge([one, two])] == ["a", "b"]


@given(st.lists(st.lists(st.sampled_from(["", "10:00:01", "10:00:02.5", "09:59:59"]), max_size=6), max_size=4))
def test_each_file_keeps_its_own_order(times: list[list[str]]) -> None:
    files = [
        [Event("line", str(place), place + 1, 0, source=str(number), time=time) for place, time in enumerate(held)]
        for number, held in enumerate(times)
    ]
    found = merge(files)
    assert [event.order for event in found] == list(range(sum(map(len, files))))
    for number, events in enumerate(files):
        assert [event.text for event in found if event.source == str(number)] == [event.text for event in events]


def test_times_are_compared_across_days_months_and_zones() -> None:
    moments = [
        moment(text)
        for text in ("2023-12-31 23:59:59", "2024-01-01 00:00:00", "2024-02-29T12:00:00.5", "2024/03/01 00:00:00")
    ]
    seconds = [found[0] for found in moments if found]
    assert seconds == sorted(seconds)
    assert seconds[1] - seconds[0] == 1
    assert seconds[3] - seconds[2] == 12 * 3600 - 0.5
    assert moment("2026-02-03T10:00:00+08:00") == moment("2026-02-03T02:00:00Z")
    assert moment("Feb 03 10:00:00") is None
    assert moment("854.5") is None
