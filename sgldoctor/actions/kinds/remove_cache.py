"""``remove-cache``: a cache that is built again by itself; set aside first, deleted only when the repair is proven."""

from __future__ import annotations

import os
from collections.abc import Mapping

from sgldoctor.actions.base import FILES, Action, Data, Ground, Place
from sgldoctor.actions.context import Context, Refused
from sgldoctor.actions.expand import expanded
from sgldoctor.errors import FixError
from sgldoctor.typed import Any, NamedTuple

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


class _RemoveCache(NamedTuple):
    cache: str


class RemoveCache(_RemoveCache, Action):
    """Empty a cache that is built again by itself; ``cache`` is a key of :data:`CACHES`."""

    __slots__ = ()
    do = "remove-cache"
    scope = FILES
    keys = ("cache",)

    @classmethod
    def form(cls, table: dict[str, Any], context: Context) -> RemoveCache:
        """One of the caches that are known."""
        cache = context.text(str(table["cache"]))
        if cache not in CACHES:
            raise Refused("the cache is not known", "remove the cache by hand")
        return cls(cache)

    def describe(self) -> str:
        """Which cache."""
        return f"remove the {self.cache} cache ({CACHES[self.cache]}); it is built again when needed"

    def command(self, place: Place | None = None) -> str:  # noqa: ARG002
        """An ``rm`` of the cache's folder, as the shell expands it."""
        return f'rm -rf -- "{CACHES[self.cache]}"'

    def to_json(self) -> dict[str, Any]:
        """``cache`` and ``command``."""
        return {"do": self.do, "cache": self.cache, "command": self.command()}

    def check(self, ground: Ground) -> str:
        """It must look like a cache of ours."""
        return _problem(expanded(CACHES[self.cache], ground.environ), ground.environ)

    def prepare(self, ground: Ground) -> dict[str, Any]:
        """``path``, and where it is set aside."""
        path = expanded(CACHES[self.cache], ground.environ)
        return {"path": path, "aside": f"{path}.sgldoctor-{ground.id}"}

    def apply(self, data: Data, ground: Ground) -> None:  # noqa: ARG002
        """Rename it."""
        _rename(data["path"], data["aside"])

    def verify(self, data: Data, ground: Ground) -> str:  # noqa: ARG002
        """It is set aside; a new one may have come since."""
        return "" if os.path.isdir(data["aside"]) else f"{data['path']} was not set aside"

    @classmethod
    def undo(cls, data: Data, ground: Ground) -> str:  # noqa: ARG003
        """Put it back, unless a new one is in use."""
        if not os.path.isdir(data["aside"]):
            return ""
        if os.path.lexists(data["path"]):
            return f"{data['path']} is in use again; the former cache is in {data['aside']}"
        _rename(data["aside"], data["path"])
        return ""

    @classmethod
    def finish(cls, data: Data) -> None:
        """Delete it."""
        if os.path.isdir(data["aside"]):
            import shutil

            shutil.rmtree(data["aside"], ignore_errors=True)


def _problem(path: str, environ: Mapping[str, str]) -> str:
    """A cache is only removed where it cannot be anything else: a real folder, ours, and well below / and $HOME."""
    home = os.path.normpath(environ.get("HOME") or os.path.expanduser("~"))
    deep = path.count("/") > 2 or path.startswith((home + "/", "/tmp/"))  # noqa: S108  where torch puts its cache
    if not deep or path == home or home.startswith(path + "/"):
        return f"{path} does not look like a cache"
    if not os.path.lexists(path):
        return f"{path} is not there"
    if os.path.islink(path) or not os.path.isdir(path):
        return f"{path} is no folder"
    if hasattr(os, "geteuid") and os.stat(path).st_uid not in (os.geteuid(), *([0] if os.geteuid() == 0 else [])):
        return f"{path} belongs to somebody else"
    return ""


def _rename(source: str, destination: str) -> None:
    try:
        os.rename(source, destination)
    except OSError as error:
        raise FixError(f"{source}: {error.strerror}") from error
