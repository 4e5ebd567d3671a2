"""A baresip softphone: plays a tone as its microphone, records what its ear hears, obeys over TCP."""
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import threading
import time

from . import audio

MODULES = "/usr/lib/baresip/modules"
CONFIG = """\
sip_listen 127.0.0.1:{sip}
net_interface 127.0.0.1
rtp_ports {rtp}-{rtp_last}
call_local_timeout 30
call_max_calls 4
audio_source aufile,{home}/microphone.wav
audio_player aubridge,ear-{sip}
audio_alert aubridge,bell-{sip}
audio_srate {rate}
audio_channels 1
opus_stereo no
opus_sprop_stereo no
module_path {modules}
module g711.so
module g722.so
module gsm.so
module l16.so
module opus.so
module srtp.so
module dtls_srtp.so
module ice.so
module aufile.so
module aubridge.so
module sndfile.so
snd_path {home}
module_tmp uuid.so
module_tmp account.so
module_app menu.so
{lamp}
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
"""


class Baresip:
    """Uses 20 ports from `port` on: SIP and the one after it, control, then RTP."""

    def __init__(self, where, port, account, hz, rate=8000, lamp=False):
        self.home = pathlib.Path(where)
        self.home.mkdir(parents=True)
        audio.write_wav(self.home / "microphone.wav", audio.sine(hz, 30, rate=rate), rate)
        (self.home / "config").write_text(CONFIG.format(rate=rate, sip=port, rtp=port + 4, rtp_last=port + 19, control=port + 2, home=self.home, modules=MODULES,
                                                         lamp="module_app mwi.so" if lamp else ""))
        (self.home / "accounts").write_text(account + "\n")
        (self.home / "contacts").write_text("")
        self.output = open(self.home / "output", "wb")
        self.process = subprocess.Popen(["baresip", "-f", str(self.home)], stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, start_new_session=True, cwd=self.home)
        self.port, self.events, self.seen = port, queue.Queue(), []
        self.control = self._connect(port + 2)
        threading.Thread(target=self._read, daemon=True).start()

    def _connect(self, port):
        until = time.monotonic() + 10
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=5)
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    self.close()
                    raise AssertionError(f"baresip does not start:\n{self.said()}") from None
                time.sleep(0.05)

    def said(self):
        return (self.home / "output").read_text(errors="replace")[-3000:]

    def _read(self):
        """Netstrings of JSON."""
        data = b""
        self.control.settimeout(None)
        while True:
            try:
                more = self.control.recv(65536)
            except OSError:
                return
            if not more:
                return
            data += more
            while b":" in data and len(data) > int(data.split(b":")[0]) + len(data.split(b":")[0]) + 1:
                length, _, rest = data.partition(b":")
                self.events.put(json.loads(rest[:int(length)]))
                data = rest[int(length) + 1:]

    def tell(self, command, params=""):
        text = json.dumps({"command": command, "params": params, "token": "t"}).encode()
        self.control.sendall(b"%d:%s," % (len(text), text))

    def wait(self, kind, timeout=10):
        """The first unread event of that type."""
        for i, event in enumerate(self.seen):
            if event.get("type") == kind:
                return self.seen.pop(i)
        until = time.monotonic() + timeout
        while True:
            try:
                event = self.events.get(timeout=min(0.2, max(0.001, until - time.monotonic())))
            except queue.Empty:
                # A fast registrar answers before the control connection is there to hear of it.
                if kind == "REGISTER_OK" and "[1 binding]" in self.said():
                    return {"type": kind}
                if time.monotonic() < until:
                    continue
                raise AssertionError(f"baresip: no {kind} in {timeout} s; seen {[e.get('type') for e in self.seen]}\n{self.said()}") from None
            if event.get("type") == kind:
                return event
            self.seen.append(event)

    def heard(self):
        """(samples, rate) of the newest recording of the ear; complete once the call has ended."""
        files = sorted(self.home.glob("dump-*-dec.wav"))
        assert files, f"baresip recorded nothing: {os.listdir(self.home)}\n{self.said()}"
        return audio.read_wav(files[-1])

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.output.close()
        if hasattr(self, "control"):
            self.control.close()
