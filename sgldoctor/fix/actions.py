"""The typed actions of a fix: what each one does, in words, as a command to copy, and as JSON.

An action is a value. Packages, files, variables and the rest are applied by the modules that know how
(:mod:`~sgldoctor.fix.install`, :mod:`~sgldoctor.fix.effects`); none of them ever goes through a shell.
"""

from __future__ import annotations

from sgldoctor.typed import Any, NamedTuple, Protocol


class Place(NamedTuple):
    """Where a command is to run: the interpreter as the target sees it (``""`` in a pasted log), and the uv to use.

    ``uv`` is the word to type for uv, ``""`` for pip. ``root`` says that the reader is root, so that no sudo is shown.
    """

    python: str = ""
    uv: str = ""
    root: bool = False


ANYWHERE = Place()


class Action(Protocol):
    """What every action can do."""

    @property
    def do(self) -> str:
        """The kind, as rules write it."""

    def describe(self) -> str:
        """What it does, one sentence without a full stop."""

    def command(self, place: Place | None = None) -> str:
        """What a person would type, ready for a POSIX shell; ``""`` where there is no such command."""

    def to_json(self) -> dict[str, Any]:
        """Keys as in the report's contract, beginning with ``do``."""


def quote(*words: str) -> str:
    """The words as one shell line."""
    import shlex

    return " ".join(shlex.quote(word) for word in words)


def _installer(place: Place, verb: str) -> list[str]:
    """The words in front of the requirements: ``uv pip install --python X``, ``X -m pip install``, ``pip install``."""
    if place.uv:
        return [place.uv, "pip", verb, *(["--python", place.python] if place.python else [])]
    if place.python:
        return [place.python, "-m", "pip", verb]
    return ["pip", verb]


class Install(NamedTuple):
    """Install requirements; ``reinstall`` writes the files anew even where the version is already right.

    ``releases`` says for which releases of SGLang they are right, where a log does not tell which one wrote it.
    """

    packages: tuple[str, ...]
    deps: bool = True
    reinstall: bool = False
    verify: tuple[tuple[str, str], ...] = ()
    place: Place = ANYWHERE
    releases: str = ""

    @property
    def do(self) -> str:
        """The kind."""
        return "install"

    def describe(self) -> str:
        """What is installed, and how."""
        how = "reinstall" if self.reinstall else "install"
        which = f" (for {self.releases})" if self.releases else ""
        return f"{how} {', '.join(self.packages)}" + ("" if self.deps else " and nothing else") + which

    def command(self, place: Place | None = None) -> str:
        """The line for uv or pip."""
        where = place or self.place
        words = _installer(where, "install")
        if self.reinstall:
            words.append("--reinstall" if where.uv else "--force-reinstall")
        if not self.deps:
            words.append("--no-deps")
        return quote(*words, *self.packages) + (f"  # {self.releases}" if self.releases else "")

    def to_json(self) -> dict[str, Any]:
        """``packages``, ``deps``, ``reinstall``, ``verify`` and ``releases`` where there are any, and ``command``."""
        return {
            "do": self.do, "packages": list(self.packages), "deps": self.deps, "reinstall": self.reinstall,
            **({"verify": dict(self.verify)} if self.verify else {}),
            **({"releases": self.releases} if self.releases else {}), "command": self.command(),
        }  # fmt: skip


class Uninstall(NamedTuple):
    """Remove distributions."""

    packages: tuple[str, ...]
    place: Place = ANYWHERE

    @property
    def do(self) -> str:
        """The kind."""
        return "uninstall"

    def describe(self) -> str:
        """What is removed."""
        return f"uninstall {', '.join(self.packages)}"

    def command(self, place: Place | None = None) -> str:
        """The line for uv or pip."""
        where = place or self.place
        return quote(*_installer(where, "uninstall"), *([] if where.uv else ["-y"]), *self.packages)

    def to_json(self) -> dict[str, Any]:
        """``packages`` and ``command``."""
        return {"do": self.do, "packages": list(self.packages), "command": self.command()}


class SetEnv(NamedTuple):
    """Set a variable, in the file that ``sgldoctor env`` prints."""

    name: str
    value: str

    @property
    def do(self) -> str:
        """The kind."""
        return "set-env"

    def describe(self) -> str:
        """The assignment."""
        return f"set {self.name}={self.value}"

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002  one signature for all actions
        """An ``export`` line."""
        return f"export {self.name}={quote(self.value)}"

    def to_json(self) -> dict[str, Any]:
        """``name``, ``value`` and ``command``."""
        return {"do": self.do, "name": self.name, "value": self.value, "command": self.command()}


class UnsetEnv(NamedTuple):
    """Take a variable away."""

    name: str

    @property
    def do(self) -> str:
        """The kind."""
        return "unset-env"

    def describe(self) -> str:
        """The name."""
        return f"unset {self.name}"

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """An ``unset`` line."""
        return f"unset {self.name}"

    def to_json(self) -> dict[str, Any]:
        """``name`` and ``command``."""
        return {"do": self.do, "name": self.name, "command": self.command()}


class SetFlag(NamedTuple):
    """Give a flag of the launch line, with a value or (``None``) without.

    With ``instead``, it takes the place of that flag, and of its values where it has none of its own.
    """

    flag: str
    value: str | None = None
    instead: str = ""

    @property
    def do(self) -> str:
        """The kind."""
        return "set-flag"

    @property
    def text(self) -> str:
        """The flag as it is typed."""
        return self.flag if self.value is None else f"{self.flag} {quote(self.value)}"

    def describe(self) -> str:
        """Where it belongs."""
        return f"start the server with {self.text}" + (f" instead of {self.instead}" if self.instead else "")

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """Nothing to type on its own: it belongs into the launch line."""
        return ""

    def to_json(self) -> dict[str, Any]:
        """``flag``, ``value``, ``text``, and ``instead`` where there is one."""
        instead = {"instead": self.instead} if self.instead else {}
        return {"do": self.do, "flag": self.flag, "value": self.value, "text": self.text, **instead}


class RemoveFlag(NamedTuple):
    """Take a flag, with its values, out of the launch line."""

    flag: str

    @property
    def do(self) -> str:
        """The kind."""
        return "remove-flag"

    def describe(self) -> str:
        """Which flag."""
        return f"start the server without {self.flag}"

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """Nothing to type on its own."""
        return ""

    def to_json(self) -> dict[str, Any]:
        """``flag`` and ``text``."""
        return {"do": self.do, "flag": self.flag, "text": self.describe()}


class WriteFile(NamedTuple):
    """Write a small file, whose path the rule's author chose (``~`` and ``$NAME`` of the user are expanded)."""

    path: str
    content: str

    @property
    def do(self) -> str:
        """The kind."""
        return "write-file"

    def describe(self) -> str:
        """Path and content."""
        return f"write {self.path}:\n{self.content.rstrip()}"

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """A ``printf`` into the file."""
        return f"printf '%s' {quote(self.content)} > {self.word}"

    @property
    def word(self) -> str:
        """The path as a shell word: what it expands stays outside the quotes, everything else is within."""
        import re

        match = re.fullmatch(r"(~|\$[A-Z_]+|\$\{[A-Z_]+(?::-[\w./$~-]*)?\})/(.+)", self.path, re.DOTALL)
        if match is None:
            return quote(self.path)
        return (match[1] if match[1] == "~" else f'"{match[1]}"') + "/" + quote(match[2])

    def to_json(self) -> dict[str, Any]:
        """``path``, ``content`` and ``command``."""
        return {"do": self.do, "path": self.path, "content": self.content, "command": self.command()}


class RemoveCache(NamedTuple):
    """Empty a cache that is built again by itself; ``cache`` is a key of :data:`CACHES`."""

    cache: str

    @property
    def do(self) -> str:
        """The kind."""
        return "remove-cache"

    def describe(self) -> str:
        """Which cache."""
        return f"remove the {self.cache} cache ({CACHES[self.cache]}); it is built again when needed"

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """An ``rm`` of the cache's folder, as the shell expands it."""
        return f'rm -rf -- "{CACHES[self.cache]}"'

    def to_json(self) -> dict[str, Any]:
        """``cache`` and ``command``."""
        return {"do": self.do, "cache": self.cache, "command": self.command()}


CACHES = {
    # What each program documents or its source reads: Triton (runtime/cache.py), FlashInfer (jit/env.py), torch
    # (utils/cpp_extension.py, _inductor), DeepGEMM (jit), CUDA's own compute cache.
    "triton": "${TRITON_CACHE_DIR:-$HOME/.triton/cache}",
    "flashinfer": "${FLASHINFER_WORKSPACE_BASE:-$HOME}/.cache/flashinfer",
    "torch-extensions": "${TORCH_EXTENSIONS_DIR:-$HOME/.cache/torch_extensions}",
    "torch-inductor": "${TORCHINDUCTOR_CACHE_DIR:-/tmp/torchinductor_$USER}",
    "deep-gemm": "${SGLANG_DG_CACHE_DIR:-$HOME/.cache/deep_gemm}",
    "cuda": "${CUDA_CACHE_PATH:-$HOME/.nv/ComputeCache}",
    "sglang": "${SGLANG_CACHE_DIR:-$HOME/.cache/sglang}",
}
"""Caches that may be removed, with their folder in shell notation."""


class LoadModule(NamedTuple):
    """Load a kernel module; needs root."""

    module: str
    place: Place = ANYWHERE

    @property
    def do(self) -> str:
        """The kind."""
        return "load-module"

    def describe(self) -> str:
        """Which module."""
        return f"load the kernel module {self.module} (as root, on the host)"

    def command(self, place: Place | None = None) -> str:
        """``modprobe``, with sudo where the reader is not root."""
        return quote(*([] if (place or self.place).root else ["sudo"]), "modprobe", self.module)

    def to_json(self) -> dict[str, Any]:
        """``module`` and ``command``."""
        return {"do": self.do, "module": self.module, "command": self.command()}


class SystemPackage(NamedTuple):
    """Install packages of the Linux distribution; needs root. ``tool`` is ``apt-get`` or ``dnf``."""

    packages: tuple[str, ...]
    tool: str = "apt-get"
    place: Place = ANYWHERE

    @property
    def do(self) -> str:
        """The kind."""
        return "system-package"

    def describe(self) -> str:
        """Which packages."""
        return f"install the system package{'s' if len(self.packages) > 1 else ''} {', '.join(self.packages)} (as root)"

    def command(self, place: Place | None = None) -> str:
        """The distribution's own installer, with sudo where the reader is not root."""
        sudo = [] if (place or self.place).root else ["sudo"]
        return quote(*sudo, self.tool, "install", "-y", *self.packages)

    def to_json(self) -> dict[str, Any]:
        """``packages`` and ``command``."""
        return {"do": self.do, "packages": list(self.packages), "command": self.command()}


class Manual(NamedTuple):
    """Advice. ``shown`` is a command to show; it is never run."""

    text: str
    shown: str = ""

    @property
    def do(self) -> str:
        """The kind."""
        return "manual"

    def describe(self) -> str:
        """The advice."""
        return self.text

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """The command to show, if there is one."""
        return self.shown

    def to_json(self) -> dict[str, Any]:
        """``text`` and, if there is one, ``command``."""
        return {"do": self.do, "text": self.text, **({"command": self.shown} if self.shown else {})}
