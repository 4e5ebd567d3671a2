"""Debian's Chromium without a window, driven over its debugging pipe: pages in real browsers, with microphones that hear a tone.

`Chromium` is one process with one microphone; each `Page` of it is a tab. Expressions are evaluated in the page, promises awaited.
"""
import base64
import fcntl
import functools
import http.server
import itertools
import json
import os
import queue
import shutil
import subprocess
import threading
import time

import pytest

from . import audio

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-first-run",
         "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required",
         "--allow-loopback-in-peer-connection", "--disable-features=WebRtcHideLocalIpsWithMdns", "--ignore-certificate-errors",
         "--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio"]


def needed():
    """Chromium's path; without it the test is skipped, and says so."""
    path = shutil.which("chromium")
    if not path:
        pytest.skip("SKIPPED: no chromium (apt-get install chromium)")
    return path


class Chromium:
    """A browser whose microphone hears `hz` without end."""

    def __init__(self, where, hz=440):
        where.mkdir(parents=True, exist_ok=True)
        microphone = where / f"microphone-{hz}.wav"
        audio.write_wav(microphone, audio.sine(hz, 10, rate=48000), rate=48000)
        self.numbers, self.replies, self.pages, self.shots = itertools.count(1), {}, {}, where
        ours, theirs = os.pipe(), os.pipe()             # (their fd 3 reads ours[0]; their fd 4 writes theirs[1])
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (ours[0], theirs[1])]

        def place():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
        argv = [needed(), *FLAGS, f"--use-file-for-fake-audio-capture={microphone}", f"--user-data-dir={where}/profile-{hz}", "about:blank"]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(where / f"chromium-{hz}.log", "wb"),
                                        preexec_fn=place, pass_fds=(3, 4), start_new_session=True)
        for fd in (ours[0], theirs[1], *high):
            os.close(fd)
        self.out, self.incoming = os.fdopen(ours[1], "wb", buffering=0), os.fdopen(theirs[0], "rb", buffering=0)
        self.lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        buffer = b""
        while chunk := self.incoming.read(1 << 16):
            *messages, buffer = (buffer + chunk).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.replies.pop(message["id"]).put(message)
                elif page := self.pages.get(message.get("sessionId")):
                    page.on_event(message)

    def ask(self, method, session=None, timeout=30, **params):
        number, reply = next(self.numbers), queue.Queue()
        self.replies[number] = reply
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        with self.lock:
            self.out.write(json.dumps(message).encode() + b"\0")
        said = reply.get(timeout=timeout)
        assert "error" not in said, f"{method}: {said['error']}"
        return said["result"]

    def page(self, url):
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network"):
            page.ask(f"{domain}.enable")
        page.open(url)
        return page

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Page:
    def __init__(self, browser, session):
        self.browser, self.session, self.log, self.requests = browser, session, [], []

    def on_event(self, message):
        if message["method"] == "Runtime.consoleAPICalled":
            self.log.append(" ".join(str(a.get("value", a.get("description", ""))) for a in message["params"]["args"]))
        elif message["method"] == "Runtime.exceptionThrown":
            self.log.append(str(message["params"]["exceptionDetails"]))
        elif message["method"] == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])

    def ask(self, method, **params):
        return self.browser.ask(method, session=self.session, **params)

    def open(self, url):
        self.ask("Page.navigate", url=url)
        self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    def run(self, expression, timeout=30):
        """The value of an expression, or of what it promises."""
        said = self.browser.ask("Runtime.evaluate", session=self.session, timeout=timeout, expression=expression, awaitPromise=True,
                                returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in said, f"{expression}: {said['exceptionDetails']}\n" + "\n".join(self.log[-20:])
        return said["result"].get("value")

    def until(self, expression, timeout=20):
        """Until an expression is true."""
        end = time.monotonic() + timeout
        while not self.run(f"Promise.resolve({expression}).then(Boolean)"):
            assert time.monotonic() < end, f"not {expression} in {timeout} s\n" + "\n".join(self.log[-30:])
            time.sleep(0.1)

    def hears(self, hz, timeout=20, times=4):
        """Until the loudest tone was this one so many times on end."""
        end, row, heard = time.monotonic() + timeout, 0, None
        while row < times:
            heard = self.run("heard()")
            row = row + 1 if abs(heard - hz) < 15 else 0
            assert time.monotonic() < end, f"{heard} Hz heard, not {hz}\n" + "\n".join(self.log[-30:])
            time.sleep(0.1)

    def shot(self, name, wide=1000, high=700, phone=False):
        """A picture of the page, kept in the folder of the browser."""
        self.ask("Emulation.setDeviceMetricsOverride", width=390 if phone else wide, height=800 if phone else high,
                 deviceScaleFactor=2 if phone else 1, mobile=phone)
        path = self.browser.shots / f"{name}.png"
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))
        return path


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder):
    """A web server for a folder, on a free port: (its address, a function that ends it)."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}", lambda: (server.shutdown(), server.server_close())
