"""A program on a terminal of its own, and a person who answers what it asks."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 60
"""How long the program may say nothing."""


def talk(
    command: Sequence[str], answers: Sequence[tuple[bytes, bytes]], cwd: Path, environ: Mapping[str, str] | None = None
) -> tuple[bytes, int]:
    """What appears on a terminal of 70 columns, and the status.

    Args:
        command: the program and its arguments.
        answers: what is awaited and what is typed then, in order.
        cwd: where it runs.
        environ: its variables, by default ours.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execvpe(command[0], list(command), dict(os.environ if environ is None else environ))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 70, 0, 0))
    shown = b""
    begin = 0
    waiting = list(answers)
    while select.select([terminal], [], [], SECONDS)[0]:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        shown += piece
        if waiting and waiting[0][0] in shown[begin:]:
            os.write(terminal, waiting.pop(0)[1])
            begin = len(shown)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return shown, os.waitstatus_to_exitcode(status)
