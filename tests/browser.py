"""Drive headless Chromium with real keys and clicks, through the DevTools protocol over pipes."""

import json
import os
import shutil
import subprocess

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_KEYS = {"Enter": 13, "Tab": 9, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37}
_KEYS |= {"ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Browser:
    """A page in a window of a size; `problems` are what its console showed."""

    def __init__(self, folder, url, width=500, height=900):
        read_commands, self._commands = os.pipe()
        self._answers, write_answers = os.pipe()

        def connect():  # Chromium reads from 3 and writes to 4
            ours = [os.dup(read_commands), os.dup(write_answers)]
            os.dup2(ours[0], 3)
            os.dup2(ours[1], 4)

        self._process = subprocess.Popen(
            [
                *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu"),
                *(f"--user-data-dir={folder}/browser", f"--window-size={width},{height}"),
                *("--hide-scrollbars", "--remote-debugging-pipe", "about:blank"),
            ],
            preexec_fn=connect,
            close_fds=False,
            stderr=subprocess.DEVNULL,
        )
        for descriptor in (read_commands, write_answers):
            os.close(descriptor)
        self._buffer, self._number, self._session, self.problems = b"", 0, None, []
        targets = self.send("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in targets if each["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            self.send(f"{domain}.enable")
        self._loaded = False
        self.send("Page.navigate", url=url)
        while not self._loaded:
            self._receive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def send(self, method, **parameters):
        """Return the result of a command of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _receive(self):
        while b"\0" not in self._buffer:
            read = os.read(self._answers, 1 << 20)
            assert read, "the browser has ended"
            self._buffer += read
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        kind = message.get("method", "")
        if kind == "Page.loadEventFired":
            self._loaded = True
        elif kind in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.problems.append(message["params"])
        return message

    def run(self, script):
        """Return the value of an expression in JavaScript."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys):
        """Press keys, one after another; Shift+Tab goes back."""
        for name in keys:
            *modifiers, key = name.split("+")
            event = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
            event["modifiers"] = 8 if modifiers else 0
            text = {"text": "\r"} if key == "Enter" else {}
            self.send("Input.dispatchKeyEvent", type="keyDown", **event, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def point(self, x, y, *, click=False):
        """Move the mouse, and click."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        if click:
            for kind in ("mousePressed", "mouseReleased"):
                self.send(
                    "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
                )

    def accessible(self):
        """Return (role, name, properties) of what a screen reader finds, in its order."""
        found = []
        for node in self.send("Accessibility.getFullAXTree")["nodes"]:
            if not node["ignored"]:
                properties = {
                    p["name"]: p["value"].get("value") for p in node.get("properties", ())
                }
                name = node.get("name", {}).get("value", "")
                found.append((node["role"]["value"], name, properties))
        return found
