"""A real headless Chromium, driven through its debugging pipe: no driver program and no package is needed."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (path := shutil.which(name))), ""
)
needs_browser = pytest.mark.skipif(not PROGRAM, reason="no Chromium here")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"
).split()
PATIENCE = 60.0


class Page:
    """One page in a browser of its own; ``said`` are console messages and errors, ``asked`` the addresses it loaded."""

    def __init__(self, file: Path, profile: Path, width: int = 1100, height: int = 900) -> None:
        to_browser, self.write = os.pipe()
        self.read, from_browser = os.pipe()
        # The browser reads its orders from descriptor 3 and answers on 4.
        start = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        command = ["bash", "-c", start, "bash", PROGRAM, *FLAGS, f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(
            [*command, f"--window-size={width},{height}"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.loaded = False
        self.number = 0
        self.rest = b""
        self.session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=file.as_uri())
        end = time.monotonic() + PATIENCE
        while not self.loaded and time.monotonic() < end:
            self._hear(end)

    def close(self) -> None:
        """End the browser."""
        self.process.kill()
        self.process.wait()
        os.close(self.write)
        os.close(self.read)

    def run(self, script: str) -> Any:
        """The value of an expression in the page, promises awaited, as if the user had acted."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self) -> bytes:
        """The page as PNG."""
        return b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One order and its answer."""
        self.number += 1
        order: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            order["sessionId"] = self.session
        os.write(self.write, json.dumps(order).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while True:
            answer = self._hear(end)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _hear(self, end: float) -> dict[str, Any]:
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            piece = os.read(self.read, 1 << 20)
            assert piece, "the browser has gone"
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\0")
        heard: dict[str, Any] = json.loads(line)
        params = heard.get("params", {})
        if heard.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.said.append(json.dumps(params)[:500])
        elif heard.get("method") == "Network.requestWillBeSent":
            self.asked.append(str(params["request"]["url"]))
        elif heard.get("method") == "Page.loadEventFired":
            self.loaded = True
        return heard
