"""Child processes with a limit: the only place of the probes that starts a program."""

from __future__ import annotations

from sgldoctor.typed import NamedTuple


class Ran(NamedTuple):
    """How a child ended: ``status`` is its exit status, negative for a signal, None where it did not run to its end."""

    status: int | None
    stdout: str
    stderr: str
    because: str
    """Why there is no status: not found, no permission, no answer within the limit; ``""`` otherwise."""


def run(argv: list[str], *, seconds: float, environ: dict[str, str] | None = None, limit: int = 1 << 20) -> Ran:
    """Run ``argv`` without a shell and without input, for at most ``seconds``; never raises for what the child does.

    A child that does not end is killed with everything it started (its own session), so a program that hangs in a sick
    driver costs its limit and nothing more. Output beyond ``limit`` bytes is cut.
    """
    import os
    import signal
    import subprocess

    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            start_new_session=True,
            close_fds=True,
        )
    except FileNotFoundError:
        return Ran(None, "", "", f"{argv[0]} not found")
    except OSError as error:
        return Ran(None, "", "", f"{argv[0]}: {error.strerror or error}")
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except OSError:
            child.kill()
        # A child in uninterruptible sleep survives SIGKILL: do not wait for it longer than a moment. What it had said
        # until then is kept: it tells where it hangs.
        try:
            out, err = child.communicate(timeout=0.5)
        except subprocess.TimeoutExpired as hung:
            out, err = hung.stdout or b"", hung.stderr or b""
        because = f"{argv[0]} gave no answer within {seconds:g} s"
        return Ran(None, out[:limit].decode("utf-8", "replace"), err[:limit].decode("utf-8", "replace"), because)
    return Ran(child.returncode, out[:limit].decode("utf-8", "replace"), err[:limit].decode("utf-8", "replace"), "")
