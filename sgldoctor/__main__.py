"""Entry point: looks at the arguments before it imports anything, and turns expected errors into one line each."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0 healthy, 1 problems, 2 usage or input, 3 unknown).

    Without ``argv`` it is the process's own command line, and the process ends here.
    """
    if argv is None:
        import gc

        gc.set_threshold(50_000)  # what a start makes is needed to its end: looking for garbage in it finds none
        return _leave(_main(sys.argv[1:]))
    return _main(argv)


def _main(argv: Sequence[str]) -> int:
    arguments = list(argv)
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        _open_closed()
    from sgldoctor.errors import DoctorError

    try:
        if arguments[:1] in (["--version"], ["-V"]):
            from sgldoctor import __version__

            print(f"sgldoctor {__version__}")
            sys.stdout.flush()
            return 0
        from sgldoctor.cli import dispatch

        return dispatch(arguments)
    except DoctorError as error:
        print(f"sgldoctor: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, a pager) has gone: nothing to complain of. What was found has reached nobody, so the status
        # is that of any program in a pipe, not one of ours: 0 would say "healthy".
        _unheard()
        return 128 + 13
    except KeyboardInterrupt:
        print("sgldoctor: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        import os

        if isinstance(error, OSError) and error.filename is None and _full(error):
            _unheard()
            print(f"sgldoctor: cannot write the output: {error.strerror}", file=sys.stderr)
            return 2
        if os.environ.get("SGLDOCTOR_DEBUG"):
            raise
        print(
            f"sgldoctor: a defect of sgldoctor itself: {type(error).__name__}: {error}\n"
            "please report it with the output of the same command under SGLDOCTOR_DEBUG=1",
            file=sys.stderr,
        )
        return 2


def _full(error: OSError) -> bool:
    """Whether an error that names no file is one of writing: the disk behind standard output is full, say."""
    import errno

    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def _unheard() -> None:
    """Let what was not written yet go nowhere: Python would try again, and complain once more, at its end."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_closed() -> None:
    """Stand in for standard streams that we were started without (``>&-``), so that no file takes their numbers."""
    import os

    descriptor = 0
    while descriptor < 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
        os.set_inheritable(descriptor, descriptor <= 2)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _leave(status: int) -> int:
    """End the process without taking apart every module and rule, which would take longer than some stages.

    Where something still waits for the interpreter's own end, such as a thread, the status is returned instead.
    """
    import atexit
    import os

    lazy = sys.modules.get("sgldoctor.lazy")
    if lazy is not None:
        lazy.keep()
    waiting = getattr(atexit, "_ncallbacks", lambda: 1)()
    if not waiting and "threading" not in sys.modules and sys.stdout is not None and sys.stderr is not None:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            return status  # Python tells it
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
