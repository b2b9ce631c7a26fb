"""A long silence on a terminal is broken; a file or a pipe sees nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import time
from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace
with common.Waiting("examining", Namespace()):
    time.sleep(1.2)
"""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_waiting_is_told_on_a_terminal_alone_and_taken_away() -> None:
    ours, theirs = os.openpty()
    piped = subprocess.Popen([sys.executable, "-c", CODE], stderr=subprocess.PIPE)
    subprocess.run([sys.executable, "-c", CODE], stderr=theirs, check=True)
    os.close(theirs)
    told = os.read(ours, 1000)
    os.close(ours)
    assert b"examining ... 1 s" in told
    assert told.endswith(b"\r\x1b[K")
    assert piped.communicate()[1] == b""
