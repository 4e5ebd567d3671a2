"""A plain event socket client for the harness itself (the tests use other people's)."""
import json
import socket
import time
from urllib.parse import unquote


class Refused(Exception):
    """The server closed the door: wrong password, access list, or an early end."""


class Message:
    """One message: envelope headers and body. Events also have `event`, their headers decoded."""

    def __init__(self, headers, body):
        self.headers, self.body = headers, body
        self.type = headers.get("Content-Type", "")
        self.event = {}
        if self.type == "text/event-plain":
            head, _, self.event_body = body.partition("\n\n")
            for line in head.split("\n"):
                name, _, value = line.partition(": ")
                self.event[name] = unquote(value)
        elif self.type == "text/event-json":
            self.event = json.loads(body)

    @property
    def reply(self):
        return self.headers.get("Reply-Text", "")

    def __repr__(self):
        return f"<{self.type} {self.event.get('Event-Name') or self.reply or self.body[:60]!r}>"


class Client:
    """Authenticated unless `password` is None. Waits at most `timeout` seconds for anything."""

    def __init__(self, address, password="ClueCon", timeout=10, sock=None):
        self.timeout = timeout
        self.sock = sock or socket.create_connection(address, timeout=timeout)
        self.sock.settimeout(timeout)
        self.buffer, self.events = b"", []
        if password is not None:
            banner = self.read()
            if banner.type != "auth/request":
                raise Refused(banner.type)
            if self.command(f"auth {password}").reply != "+OK accepted":
                raise Refused("password")

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- reading

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Refused("closed")
        self.buffer += data

    def read(self):
        """The next message, whatever it is."""
        while b"\n\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\n\n")
        headers = {}
        for line in head.decode("utf-8", "replace").split("\n"):
            name, _, value = line.partition(": ")
            headers[name] = value
        need = int(headers.get("Content-Length", 0))
        while len(self.buffer) < need:
            self._more()
        body, self.buffer = self.buffer[:need], self.buffer[need:]
        return Message(headers, body.decode("utf-8", "replace"))

    def _until(self, wanted):
        while True:
            message = self.read()
            if message.type in wanted:
                return message
            self.events.append(message)

    # ---- asking

    def send(self, text):
        self.sock.sendall(text.encode() + b"\n\n")

    def command(self, text):
        self.send(text)
        return self._until(("command/reply", "text/disconnect-notice"))

    def api(self, command):
        self.send("api " + command)
        message = self._until(("api/response", "command/reply"))
        return message.body or message.reply

    def bgapi(self, command):
        """Runs in the background; returns the text of BACKGROUND_JOB (which must be subscribed)."""
        job = self.command("bgapi " + command).headers["Job-UUID"]
        return self.wait_event("BACKGROUND_JOB", **{"Job-UUID": job}).event_body

    def execute(self, uuid, app, arg="", **more):
        lines = [f"sendmsg {uuid}", "call-command: execute", f"execute-app-name: {app}"]
        lines += [f"execute-app-arg: {arg}"] if arg else []
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in more.items()]
        return self.command("\n".join(lines))

    def wait_event(self, name, timeout=None, **headers):
        """The first event with that name and those header values (keys may use _ for -), old or new."""
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        until = time.monotonic() + (timeout or self.timeout)

        def fits(m):
            return m.event.get("Event-Name") == name and all(m.event.get(k) == v for k, v in headers.items())

        for i, message in enumerate(self.events):
            if fits(message):
                return self.events.pop(i)
        while True:
            self.sock.settimeout(max(0.01, until - time.monotonic()))
            try:
                message = self.read()
            except (TimeoutError, socket.timeout):
                seen = ", ".join(repr(m) for m in self.events[-15:])
                raise AssertionError(f"no {name} {headers or ''} in time; seen: {seen}") from None
            finally:
                self.sock.settimeout(self.timeout)
            if fits(message):
                return message
            self.events.append(message)
