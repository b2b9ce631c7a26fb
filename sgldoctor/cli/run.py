"""``sgldoctor run``: run a command untouched; when it dies, say why."""

from __future__ import annotations

import os
import sys
import time

from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace
from sgldoctor.cli.quantities import seconds
from sgldoctor.errors import DoctorError, UsageError
from sgldoctor.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sgldoctor.report.model import Report
    from sgldoctor.running.child import Ended
    from sgldoctor.running.kept import Kept

EPILOG = """examples:
  sgldoctor run -- python -m sglang.launch_server --model-path /models/m --tp 8
  sgldoctor run --bundle crash.tar.gz -- python -m sglang.launch_server --model-path /models/m
  sgldoctor run --stall 300 -- ./start.sh            also tell what is known when nothing is printed for 5 minutes
  ENTRYPOINT ["sgldoctor", "run", "--", "python", "-m", "sglang.launch_server"]

The command keeps its input, its output byte for byte (on a terminal: with colours and bars), its signals and its exit
status (127: no such command, 126: cannot be run). What the doctor has to say goes to standard error, after the
command's own words. A few MB of the output are kept: its beginning, the first failures, its end. A command that ends
with 0, or because it was asked to (Ctrl-C, SIGTERM), is not explained.
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status."""
    made = common.parser("run", "Run a command, and explain it at once if it dies.", EPILOG, common.PLAIN)
    made.usage = "sgldoctor run [OPTION...] -- COMMAND..."
    made.add_argument(
        "--stall", metavar="SECONDS", type=seconds, default=0.0, help="explain when it prints nothing for so long"
    )
    made.add_argument(
        "--bundle", metavar="FILE", help="if it fails or is stopped: write log, report and snapshot, redacted (.tar.gz)"
    )
    made.add_argument(
        "--pseudonyms", action="store_true", help="with --bundle: replace names of hosts and users, and addresses"
    )
    made.add_argument("--here", action="store_true", help="also take into account what a probe of this machine sees")
    made.add_argument("--sglang", metavar="V", default="", help="the release, if the log does not say so")
    common.environment(made)
    args, words = made.before_command(arguments, "command")
    if not words:
        raise UsageError("give a command after '--' (try 'sgldoctor run --help')")
    if args.bundle and os.path.isdir(args.bundle):
        raise UsageError(f"--bundle {args.bundle}: is a folder; name a file in it")
    if args.bundle and not os.path.isdir(os.path.dirname(args.bundle) or "."):
        # said now, while it can be mended, and not when the server has died after hours; it is started all the same
        folder = os.path.dirname(args.bundle)
        print(f"sgldoctor: --bundle {args.bundle}: there is no folder {folder}; make it meanwhile", file=sys.stderr)
    if args.pseudonyms and not args.bundle:
        raise UsageError("--pseudonyms goes with --bundle")
    release = common.release(args.sglang)
    options = common.options(args)  # complains now rather than when the server has died
    from sgldoctor.running import child
    from sgldoctor.running.kept import Kept

    kept = Kept()
    silences: list[str] = []

    def stalled(pid: int, seconds: float) -> None:
        try:
            silences.append(_silence(kept, pid, seconds, args, release, options))
        except Exception as error:  # noqa: BLE001 - the command goes on whatever becomes of our words about it
            silences.append(f"{type(error).__name__}: {error}")
        _say(silences[-1])

    begun = time.time()
    try:
        ended = child.run(words, os.environ, kept.add, args.stall, stalled)
    except child.CannotStartError as error:
        print(f"sgldoctor: {error}", file=sys.stderr)
        return error.status
    try:
        _after(ended, kept, args, release, options, words, begun, silences)
    except (DoctorError, OSError) as error:  # the status is the command's, whatever becomes of our words about it
        _say(f"sgldoctor: {error}\n")
    return child.end_alike(ended)


def _after(
    ended: Ended,
    kept: Kept,
    args: Namespace,
    release: str,
    options: Any,
    words: list[str],
    begun: float,
    silences: list[str],
) -> None:
    """Explain the end, and write the bundle."""
    import signal

    if ended.left_behind:
        _say(
            "sgldoctor: the command has ended; processes that it started still hold its output, which goes on unread\n"
        )
    if ended.well or ended.signal == signal.SIGPIPE:
        return
    if ended.asked and not args.bundle:
        return
    report, text = _explained(kept, args, release, options)
    if not ended.asked:
        _say(_told(report, ended, args))
    if args.bundle:
        from sgldoctor.running import bundle

        how = {
            "command": words, "status": ended.status, "signal": _name(ended.signal), "asked": _name(ended.asked),
            "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begun)), "seconds": round(ended.seconds, 3),
            "bytes": kept.size, "kept": len(text), "silences": silences,
        }  # fmt: skip
        from sgldoctor.cli.redact import hiding

        bundle.write(args.bundle, how, text, report, _snapshot(args), hiding() if args.pseudonyms else str)
        _say(f"sgldoctor: bundle written to {args.bundle}\n")


def _snapshot(args: Namespace) -> str:
    """The snapshot of machine and environment, or why there is none."""
    from sgldoctor import snapshot
    from sgldoctor.cli.snapshot import taken

    return snapshot.to_text(taken(common.target(args), pseudonyms=args.pseudonyms))


def _explained(
    kept: Kept, args: Namespace, release: str, options: Any, *, probing: bool = True
) -> tuple[Report, bytes]:
    """The report on what was kept, its lines numbered as they were printed, and that text."""
    import io

    from sgldoctor import pipeline
    from sgldoctor.running.kept import line_of, text_of

    text, starts = text_of(kept.passages())
    here = common.target(args) if args.here and probing else None
    report = pipeline.explain(["-"], options, stdin=io.BytesIO(text), here=here, sglang=release)
    if len(starts) == 1:
        return report, text
    findings = tuple(
        finding._replace(
            evidence=tuple(
                entry._replace(line=line_of(entry.line, starts)) if entry.line else entry for entry in finding.evidence
            )
        )
        for finding in report.findings
    )
    failures = tuple(failure._replace(line=line_of(failure.line, starts)) for failure in report.failures)
    return report._replace(findings=findings, failures=failures), text


def _told(report: Report, ended: Ended, args: Namespace) -> str:
    how = f"was killed by {_name(ended.signal)}" if ended.signal else f"ended with status {ended.status}"
    line = f"sgldoctor: the command {how} after {_duration(ended.seconds)}"
    if args.format == "json":
        return common.rendered(report, "json", 0, 0)
    if not report.findings and not report.failures:
        hint = ""
        if _name(ended.signal) == "SIGKILL":
            hint = "; most often it is the kernel that kills so, for want of memory: see 'dmesg | grep -i oom'"
        return f"{line}; nothing in its output tells why{hint}\n"
    return f"\n{line}\n" + _human(report, args)


def _human(report: Report, args: Namespace) -> str:
    verbosity = int(args.verbose) - int(args.quiet)
    columns = args.width or 100
    if not common.in_colour(args.color, sys.stderr):
        return common.rendered(report, "human", max(columns, 40), verbosity)
    import io

    from sgldoctor.report import human

    out = io.StringIO()
    human.paint(report, out, columns, verbosity)
    return out.getvalue()


def _silence(kept: Kept, pid: int, seconds: float, args: Namespace, release: str, options: Any) -> str:
    """What is known while the command prints nothing."""
    from sgldoctor.report.redact import redact
    from sgldoctor.report.text import clean
    from sgldoctor.running import processes

    lines = [f"\nsgldoctor: nothing was printed for {_duration(seconds)}; the command goes on (process {pid})"]
    last = redact(clean(kept.last_line().decode("utf-8", "replace")))
    if last:
        lines.append(f"  last line: {last[:200]}")
    family = processes.of(pid)
    busy = [row for row in family if row.share >= 0.05]
    if family:
        doing = ", ".join(f"{row.name} ({row.pid}, {row.share:.0%})" for row in busy[:5])
        lines.append(f"  {len(family)} process{'es' if len(family) > 1 else ''}; using a processor: {doing or 'none'}")
    odd = [row for row in family if row.state in "DTZ"]
    lines += [f"  {row.name} ({row.pid}) {processes.STATES[row.state]}" for row in odd[:5]]
    report, _ = _explained(kept, args, release, options, probing=False)
    if report.findings or report.failures:
        return "\n".join(lines) + "\n" + _human(report, args)
    return "\n".join([*lines, "  nothing wrong found in what it has printed (an idle server prints nothing)"]) + "\n"


def _name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name if number else ""
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _say(text: str) -> None:
    """Write to standard error, whole; whoever has closed it does not want to know."""
    try:
        sys.stderr.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
