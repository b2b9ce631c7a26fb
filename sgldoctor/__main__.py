"""Entry point: looks at the arguments before it imports anything, and turns expected errors into one line each."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0 healthy, 1 problems, 2 usage or input, 3 unknown)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["--version"], ["-V"]):
        from sgldoctor import __version__

        print(f"sgldoctor {__version__}")
        return 0
    from sgldoctor.cli import run
    from sgldoctor.errors import DoctorError

    try:
        return run(arguments)
    except DoctorError as error:
        print(f"sgldoctor: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, a pager) has gone: not our failure. Python would complain once more at exit.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("sgldoctor: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        import os

        if os.environ.get("SGLDOCTOR_DEBUG"):
            raise
        print(
            f"sgldoctor: a defect of sgldoctor itself: {type(error).__name__}: {error}\n"
            "please report it with the output of the same command under SGLDOCTOR_DEBUG=1",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
