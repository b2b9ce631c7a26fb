"""Running a command as if the doctor were not there, while looking at what it prints.

Standard input is the command's own. Its standard output and error are a terminal of their own where ours are one (in
raw mode: what the command writes arrives byte for byte, and the real terminal does the rest), else pipes; one for both
where both are the same file, so that their order stays. It stays in our process group, so the keys of a terminal reach
it directly; signals that other programs send to us are sent on, once. Its end is not waited for by polling.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from sgldoctor.errors import DoctorError
from sgldoctor.typed import NamedTuple

_BLOCK = 1 << 16
LINGER = 3.0
"""Seconds that processes which outlive the command may still print."""
_SENT_ON = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGWINCH")
STOPPING = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
"""Signals that ask a program to end."""
_KERNEL = 0x80  # si_code SI_KERNEL of <asm-generic/siginfo.h>: the terminal sent it, to the whole group


class CannotStartError(DoctorError):
    """The command cannot be started; ``status`` is what a shell would end with (127 not found, 126 not runnable)."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Ended(NamedTuple):
    """How a command ended: its exit status or the signal that killed it, and by which signal it had been asked to."""

    status: int
    signal: int
    asked: int
    seconds: float
    left_behind: bool = False
    """Whether other processes still held its output open after :data:`LINGER` seconds."""

    @property
    def well(self) -> bool:
        """Whether it ended by itself, with status 0."""
        return self.status == 0 and self.signal == 0


class _Stream:
    """One output of the command: where we read it, where it goes, and whether that is a terminal."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.terminal = os.isatty(target)
        if self.terminal:
            import tty

            self.source, self.inner = os.openpty()
            tty.setraw(self.inner)
            self.resize()
        else:
            self.source, self.inner = os.pipe()
        for descriptor in (self.source, self.inner):
            os.set_inheritable(descriptor, False)

    def resize(self) -> None:
        """Give the inner terminal the size of the real one."""
        import fcntl
        import termios

        try:
            fcntl.ioctl(self.inner, termios.TIOCSWINSZ, fcntl.ioctl(self.target, termios.TIOCGWINSZ, b"\0" * 8))
        except OSError:  # a terminal without a size
            pass


def run(
    words: Sequence[str],
    environ: Mapping[str, str],
    seen: Callable[[bytes], None],
    stall: float = 0,
    stalled: Callable[[int, float], None] | None = None,
) -> Ended:
    """Run a command to its end.

    Args:
        words: program and arguments; the program is looked for on ``PATH``.
        environ: its environment.
        seen: is given everything that it prints, after that was passed on.
        stall: seconds without output after which ``stalled`` is called, in a thread, once per silence; 0: never.
        stalled: is given the process id of the command and the seconds of silence.

    Raises:
        CannotStartError: there is no such program, or it cannot be run.
    """
    streams = [_Stream(1)]
    if not _same(1, 2):
        streams.append(_Stream(2))
    own = signal.pthread_sigmask(signal.SIG_BLOCK, _waited())
    begun = time.monotonic()
    try:
        child = _start(words, environ, streams, own)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, own)
        raise
    for stream in streams:
        if not stream.terminal:  # a terminal's is kept for its size, and closed when the command has ended
            os.close(stream.inner)
    watch = _Watch(child, streams)
    try:
        left = _pass_on(streams, watch, seen, stall, stalled)
        return watch.reap(begun, left)
    finally:
        watch.stop()
        signal.pthread_sigmask(signal.SIG_SETMASK, own)


def _waited() -> set[signal.Signals]:
    """The signals to wait for; what our parent had us ignore (nohup) stays ignored."""
    wanted = {getattr(signal, name) for name in _SENT_ON}
    return {number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN} | {signal.SIGCHLD}


def _same(one: int, other: int) -> bool:
    """Whether two descriptors are one file; a descriptor that is closed counts as the same as any."""
    try:
        first, second = os.fstat(one), os.fstat(other)
    except OSError:
        return True
    return (first.st_dev, first.st_ino, first.st_rdev) == (second.st_dev, second.st_ino, second.st_rdev)


def _start(words: Sequence[str], environ: Mapping[str, str], streams: list[_Stream], mask: Iterable[int]) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, streams[0].inner, 1), (os.POSIX_SPAWN_DUP2, streams[-1].inner, 2)]
    try:
        # Python ignores SIGPIPE and SIGXFSZ, and a command would inherit that.
        return os.posix_spawnp(
            words[0], list(words), environ, file_actions=actions, setsigmask=mask,
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )  # fmt: skip
    except FileNotFoundError as error:
        raise CannotStartError(f"{words[0]}: no such command", 127) from error
    except OSError as error:
        raise CannotStartError(f"{words[0]}: {error.strerror}", 126) from error


class _Watch:
    """A thread that waits for signals: it sends them on, and wakes the reader when the command has ended."""

    def __init__(self, child: int, streams: list[_Stream]) -> None:
        self.child = child
        self.asked = 0
        self.wakes, self._wake = os.pipe()
        self._streams = streams
        self._lock = threading.Lock()
        self._gone = False
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        wanted = _waited()
        while True:
            info = signal.sigwaitinfo(wanted)
            number = info.si_signo
            with self._lock:
                if self._gone:
                    return
                if number == signal.SIGCHLD:
                    os.write(self._wake, b"c")
                    continue
                if number == signal.SIGWINCH:
                    for stream in self._streams:
                        if stream.terminal:
                            stream.resize()
                elif signal.Signals(number).name in STOPPING:
                    self.asked = self.asked or number
                if info.si_code != _KERNEL or number == signal.SIGWINCH:
                    os.kill(self.child, number)

    def ended(self) -> bool:
        """Whether the command has ended; it is not reaped yet, so that its number stays its own."""
        if os.getpid() == 1:  # in a container, orphans are ours to bury
            while (one := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and one.si_pid != self.child:
                os.waitpid(one.si_pid, 0)
        return os.waitid(os.P_PID, self.child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def reap(self, begun: float, left: bool) -> Ended:
        """How the command ended."""
        with self._lock:
            self._gone = True
            _, status = os.waitpid(self.child, 0)
        code = os.waitstatus_to_exitcode(status)
        return Ended(max(code, 0), max(-code, 0), self.asked, time.monotonic() - begun, left)

    def stop(self) -> None:
        """Let the thread end: the next signal is ours again."""
        with self._lock:
            self._gone = True
            os.close(self.wakes)
            os.close(self._wake)
        os.kill(os.getpid(), signal.SIGCHLD)


def _pass_on(
    streams: list[_Stream],
    watch: _Watch,
    seen: Callable[[bytes], None],
    stall: float,
    stalled: Callable[[int, float], None] | None,
) -> bool:
    """Pass on everything until the command has ended and its output too; True where others still hold the latter."""
    poll = select.poll()
    poll.register(watch.wakes, select.POLLIN)
    open_ = {stream.source: stream for stream in streams}
    for source in open_:
        poll.register(source, select.POLLIN)
    last = time.monotonic()
    end = 0.0
    silent = False
    while open_ or not end:
        now = time.monotonic()
        if end and now >= end:
            return True
        wait: float | None = end - now if end else None
        if stall and stalled and not silent and not end:
            if now - last >= stall:
                silent = True
                threading.Thread(target=stalled, args=(watch.child, now - last), daemon=True).start()
            else:
                wait = stall - (now - last)
        for descriptor, _ in poll.poll(None if wait is None else max(1, int(wait * 1000))):
            if descriptor == watch.wakes:
                os.read(descriptor, _BLOCK)
                if not end and watch.ended():
                    end = time.monotonic() + LINGER
                    for stream in streams:
                        if stream.terminal:
                            os.close(stream.inner)
                            stream.terminal = False
                continue
            data = _read(descriptor)
            if data and _write(open_[descriptor].target, data):
                last, silent = time.monotonic(), False
                seen(data)
                continue
            if data:
                seen(data)
            poll.unregister(descriptor)  # at its end, or its reader has gone: then the command is told by SIGPIPE
            os.close(descriptor)
            del open_[descriptor]
    return False


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _BLOCK)
    except OSError:  # EIO: all ends of the inner terminal are closed
        return b""


def _write(descriptor: int, data: bytes) -> bool:
    """Write all of it; False where nobody reads it any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # our parent made its end non-blocking
            waiting = select.poll()
            waiting.register(descriptor, select.POLLOUT)
            waiting.poll()
        except OSError:
            return False
    return True


def end_alike(ended: Ended) -> int:
    """End as the command did: by the same signal, or with the status to exit with."""
    if not ended.signal:
        return ended.status
    import resource
    import sys

    sys.stderr.flush()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))  # one core is enough
    if ended.signal not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(ended.signal, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [ended.signal])
    os.kill(os.getpid(), ended.signal)
    return 128 + ended.signal  # process 1 of a container is not killed by its own signals
