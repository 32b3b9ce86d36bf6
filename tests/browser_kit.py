"""A headless Chromium driven over its debugging pipe, where one is installed."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")


class Browser:
    """One tab; ``log`` holds what its console and network said."""

    def __init__(self, width: int = 1200, height: int = 900) -> None:
        self.profile = tempfile.mkdtemp()
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        words = [
            str(CHROMIUM),
            *FLAGS,
            "--remote-debugging-pipe",
            f"--user-data-dir={self.profile}",
        ]
        self.process = subprocess.Popen(
            ["bash", "-c", command, "-", *words, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.reader, self.writer = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb")
        self.numbers, self.session = itertools.count(1), ""
        self.log: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self.reader.close()
        self.writer.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method: str, **params: Any) -> Any:
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.writer.write(json.dumps(message).encode() + b"\0")
        self.writer.flush()
        while (answer := self.heard()).get("id") != number:
            self.log.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def heard(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.reader.read(1)) != b"\0":
            assert byte, "the browser is gone"
            text += byte
        return dict(json.loads(text))

    def resize(self, width: int, height: int) -> None:
        more = {"deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, **more)

    def open(self, place: Path | str) -> None:
        url = place.as_uri() if isinstance(place, Path) else place
        self.call("Page.navigate", url=url)
        self.run(
            "new Promise((done) => document.readyState === 'complete' ? done()"
            " : addEventListener('load', () => done()))"
        )
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script: str) -> Any:
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, down: bool = False) -> None:
        more = {"button": "left" if down else "none", "clickCount": int(down)}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, buttons=int(down), **more)

    def drag(self, course: list[tuple[float, float]]) -> None:
        self.mouse("mousePressed", *course[0], down=True)
        for x, y in course[1:]:
            self.mouse("mouseMoved", x, y, down=True)
        x, y = course[-1]
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left",
                  clickCount=1)  # fmt: skip

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)

    def wait(self, script: str, seconds: float = 40) -> Any:
        """The value of a script once it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, (
                f"never true: {script}: {self.run('document.body.innerText')}"
            )
            time.sleep(0.05)
        return value

    def choose(self, selector: str, *paths: Path) -> None:
        """Put files into a file input, as its dialog would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=found, files=[str(path) for path in paths])

    def screenshot(self, path: Path) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def complaints(self, home: str = "file:") -> list[Any]:
        """Errors of the console, exceptions, dialogs, and requests for anything not at home."""
        found = []
        for event in self.log:
            method, params = event.get("method", ""), event.get("params", {})
            url = params.get("request", {}).get("url", home)
            loud = params.get("type") in ("error", "warning")
            if (
                method
                in ("Runtime.exceptionThrown", "Log.entryAdded", "Page.javascriptDialogOpening")
                or (method == "Runtime.consoleAPICalled" and loud)
                or not url.startswith((home, "data:", "about:", "blob:"))
            ):
                found.append((method, url, str(params)[:500]))
        return found
