"""The installer: uv, else the target's own pip. Chosen, asked beforehand what it would do, and run without a shell."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from sgldoctor.errors import FixError
from sgldoctor.facts import Facts
from sgldoctor.fix import lane, pipconf
from sgldoctor.fix.steps import Step, name_of
from sgldoctor.fix.tools import find_uv
from sgldoctor.folders import key_of
from sgldoctor.probe.run import Ran
from sgldoctor.probe.target import Target
from sgldoctor.report.redact import redact
from sgldoctor.typed import NamedTuple

RESOLVE_SECONDS = 900.0
APPLY_SECONDS = 7200.0
"""A torch with its CUDA wheels is 3 GB: an hour and more on a slow line."""
MISDIRECTING = (
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_PYTHON",
    "UV_TARGET",
    "UV_PREFIX",
    "UV_SYSTEM_PYTHON",
)
"""Variables that would send an install elsewhere than into the environment examined."""


class Settings(NamedTuple):
    """What the user chose.

    Attributes:
        choice: ``auto``, ``uv`` or ``pip``.
        find_links: folders or pages of wheels.
        no_index: whether only these are used.
        constraints: constraint files.
        break_system: whether PEP 668 is overridden.
    """

    choice: str = "auto"
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    constraints: tuple[str, ...] = ()
    break_system: bool = False


class Installer(NamedTuple):
    """How to call it: ``kind`` is uv or pip, ``argv`` the words up to and including ``pip``.

    ``listed`` has, for requirements that pip takes from a file only, the path of that file; ``lanes`` says whether the
    public indexes of labelled builds are named besides the user's own places.
    """

    kind: str
    argv: tuple[str, ...]
    python: str
    environ: dict[str, str]
    settings: Settings
    listed: Mapping[str, str] = {}
    lanes: bool = True

    @property
    def prefix(self) -> str:
        """The environment's folder."""
        return os.path.dirname(os.path.dirname(self.python))

    def words(self, step: Step, *, dry: bool = False, anew: bool = False) -> list[str]:
        """The whole command line of a step. ``anew`` asks the dry run for what is there already, too."""
        words = [*self.argv, step.verb]
        if self.kind == "uv":
            words += ["--python", self.python]
        elif step.verb == "uninstall":
            words.append("-y")
        if self.settings.break_system:
            words.append("--break-system-packages")
        if step.verb == "uninstall":
            return [*words, *step.packages]
        if dry:
            words.append("--dry-run")
        if step.reinstall or anew:
            words.append("--reinstall" if self.kind == "uv" else "--force-reinstall")
        if not step.deps:
            words.append("--no-deps")
        words += self.sources(step.packages)
        for text in step.packages:
            words += ["-r", self.listed[text]] if text in self.listed else [text]
        return words

    def sources(self, packages: Sequence[str]) -> list[str]:
        """The options that say where wheels of these packages come from, and what they are held to."""
        words: list[str] = []
        if self.settings.no_index:
            words.append("--no-index")
        extra = lane.indexes(packages) if self.lanes and not self.settings.no_index else ()
        for url in extra:
            words += ["--extra-index-url", url]
        if extra and self.kind == "uv":
            # uv would take everything from the first index that has the name: the lane's index has old copies of much.
            words += ["--index-strategy", "unsafe-best-match"]
        for place in self.settings.find_links:
            words += ["--find-links", place]
        for path in self.settings.constraints:
            words += ["--constraint", path]
        return words


def constrained(installer: Installer, steps: Sequence[Step], facts: Facts, folder: str) -> Installer:
    """With the exact pins of SGLang, torch and their kin as constraints, so that no dependency moves any of them.

    What the steps name themselves is left out: there the plan decides. Nothing is written where no step resolves
    dependencies.
    """
    if not any(step.deps and step.verb == "install" for step in steps):
        return installer
    from sgldoctor.actions import files
    from sgldoctor.derive.needs import installed, table

    named = {name_of(text) for step in steps for text in step.packages}
    known, torch = table(facts), installed(facts).get("torch")
    pins = [need for name, need in sorted(known.pins.items()) if need.exact and name not in named]
    if "torch" in named:
        # It brings its own pins, and which they are depends on the build that the indexes have.
        pins = [need for need in pins if need.by not in ("torch", "cuda-toolkit")]
    lines = [f"{need.pin}  # {need.by} {need.by_version}\n" for need in pins]
    if known.torch_off and torch is not None and "torch" not in named:
        # It was not asked for that torch goes back; and what the right one pins does not go with the one that stays.
        lines = [line for line, need in zip(lines, pins, strict=True) if need.by != "torch" and need.name != "torch"]
        lines.append(f"torch=={torch['version']}  # as it is: it moves with --unsafe only\n")
    if not lines:
        return installer
    path = os.path.join(folder, "constraints", key_of(installer.prefix) + ".txt")
    files.write(path, "".join(lines))
    settings = installer.settings
    return installer._replace(settings=settings._replace(constraints=(*settings.constraints, path)))


def placed(installer: Installer, steps: Sequence[Step]) -> Installer:
    """Without the public indexes of labelled builds where the user's own places have what the steps want of them.

    A mirror of such an index is named by whoever has no way to the public one, or is not to use it.
    """
    own = installer.settings.find_links or pipconf.own_places(installer.kind, installer.prefix, installer.environ)
    local = installer._replace(lanes=False)
    asked = [step for step in steps if step.verb == "install" and lane.indexes(step.packages)]
    if not own or not asked or installer.settings.no_index:
        return installer
    # Anew: what is there now may be uninstalled before, and has to come from somewhere.
    tries = (run(local, local.words(step, dry=True, anew=not step.deps), RESOLVE_SECONDS) for step in asked)
    return local if all(ran.status == 0 for ran in tries) else installer


class Move(NamedTuple):
    """What would be done to one distribution; ``""`` for absent, ``size`` of its wheel in bytes, 0 if unknown."""

    name: str
    now: str
    then: str
    size: int = 0


def choose(target: Target, settings: Settings, has_pip: bool) -> Installer:
    """The installer for a target.

    Raises:
        FixError: neither is there, or the one that was asked for is not.
    """
    python = target.python or os.path.join(target.prefix, "bin", "python")  # of an image whose interpreter lies outside
    uv = find_uv(target.environ) if settings.choice in ("auto", "uv") else ""
    if settings.choice == "uv" and not uv:
        raise FixError("uv is not on PATH: install it, or use --installer pip")
    if settings.choice == "pip" and not has_pip:
        raise FixError(
            f"{python} has no pip: leave --installer pip out where uv is there, or run '{python} -m ensurepip'"
        )
    if not uv and not has_pip:
        raise FixError(f"{python} has no pip, and uv is not on PATH: install uv, or run '{python} -m ensurepip'")
    environ = {name: value for name, value in target.environ.items() if name not in MISDIRECTING}
    environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    environ["PIP_NO_INPUT"] = "1"
    if not uv:
        return Installer("pip", (python, "-m", "pip"), python, environ, settings)
    more, no_index = pipconf.for_uv(target.prefix, environ)
    settings = settings._replace(no_index=settings.no_index or no_index)
    return Installer("uv", (uv, "pip"), python, {**environ, **more}, settings)


def run(installer: Installer, words: Sequence[str], seconds: float, keep: Sequence[int] = ()) -> Ran:
    """Run the installer without input, in a session of its own, for at most ``seconds``.

    The descriptors in ``keep`` stay open in it: a lock held by one outlives the doctor for as long as the installer
    works, so that no second doctor interferes with what a killed one has begun.
    """
    import signal
    import subprocess

    try:
        child = subprocess.Popen(
            list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=installer.environ, start_new_session=True, pass_fds=tuple(keep), cwd="/",
        )  # fmt: skip
    except OSError as error:
        return Ran(None, "", "", f"{words[0]}: {error.strerror or error}")
    try:
        out, err = child.communicate(timeout=seconds)
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as stopped:
        # SIGINT lets pip and uv put back what they hold in their hands; SIGKILL would not.
        _signal(child.pid, signal.SIGINT)
        try:
            out, err = child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            _signal(child.pid, signal.SIGKILL)
            out, err = child.communicate()
        why = "interrupted" if isinstance(stopped, KeyboardInterrupt) else f"no end within {seconds:g} s"
        return Ran(None, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), why)
    return Ran(child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), "")


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except OSError:
        return


def last_words(ran: Ran, lines: int = 12) -> str:
    """The end of what the installer said, for a message; it may name an index with its password."""
    said = [line.rstrip() for line in f"{ran.stdout}\n{ran.stderr}".splitlines() if line.strip()]
    return redact("\n".join(([ran.because] if ran.because else []) + said[-lines:]))


def resolve(installer: Installer, steps: Sequence[Step], before: Mapping[str, str]) -> tuple[Move, ...]:
    """What the steps would do, asked of the installer without touching anything.

    Raises:
        FixError: a step cannot be resolved; the message ends with the installer's words.
    """
    gone = {name for step in steps if step.verb == "uninstall" for name in step.packages}
    moves = {name: Move(name, before.get(name, ""), "") for name in gone}
    for step in steps:
        if step.verb == "uninstall":
            continue
        anew = any(name_of(text) in gone for text in step.packages)
        ran = run(installer, installer.words(step, dry=True, anew=anew and not step.deps), RESOLVE_SECONDS)
        if ran.status != 0:
            what = ", ".join(step.packages)
            raise FixError(f"{installer.kind} cannot resolve {what}; nothing was changed\n{last_words(ran)}")
        for name, version in _would(ran).items():
            moves[name] = Move(name, before.get(name, ""), version)
        if anew and step.deps:
            # What goes is still there while the dry run looks: it does not name what it finds installed.
            for text in step.packages:
                name = name_of(text)
                moves[name] = (
                    moves[name]._replace(then=moves[name].then or before.get(name, ""))
                    if name in moves
                    else (Move(name, before.get(name, ""), before.get(name, "")))
                )
    return tuple(moves[name] for name in sorted(moves))


def _would(ran: Ran) -> dict[str, str]:
    """Name to version of what would be installed: ``+ numpy==2.2.6`` of uv, ``Would install numpy-2.2.6`` of pip."""
    from sgldoctor.knowledge.releases import normalise

    found: dict[str, str] = {}
    for line in f"{ran.stdout}\n{ran.stderr}".splitlines():
        match = re.fullmatch(r" [+~] ([A-Za-z0-9._-]+)(?:==(\S+))?.*", line)
        if match:
            found[normalise(match[1])] = match[2] or ""
        elif line.startswith("Would install "):
            for word in line.split()[2:]:
                name, _, version = word.rpartition("-")
                if name:  # uv's summary has no names: "Would install 2 packages"
                    found[normalise(name)] = version
    return found


def clean_cache(installer: Installer, names: Sequence[str]) -> Ran:
    """Drop uv's cached copies: needed where a damaged file is a hard link to the cache, so that both are damaged."""
    return run(installer, [installer.argv[0], "cache", "clean", *names], 120.0)
