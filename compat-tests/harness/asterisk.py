"""Asterisk's fax applications as the far end of a call. Debian 12 has no Asterisk: `./test` puts the packages of Debian 11, unpacked, into
compat-tests/.cache/asterisk; one that is installed is taken as well."""
import os
import pathlib
import shutil
import subprocess
import time

from .switch import ROOT

UNPACKED = ROOT / "compat-tests/.cache/asterisk"
MODULES = ["res_sorcery_config", "res_sorcery_memory", "res_pjproject", "pbx_config", "codec_ulaw", "codec_alaw", "res_rtp_asterisk", "res_timing_timerfd",
           "bridge_simple", "app_dial", "app_verbose", "res_clioriginate", "func_channel", "app_system", "res_fax", "res_fax_spandsp", "chan_sip"]


def modules(root):
    """The folder of an Asterisk's modules, or None where those of faxes and of this SIP are missing."""
    places = (root / "usr/lib/asterisk/modules", root / "usr/lib/x86_64-linux-gnu/asterisk/modules")
    return next((path for path in places if all((path / f"{name}.so").exists() for name in ("chan_sip", "res_fax_spandsp"))), None)


def program():
    """(program, folder it was unpacked to or "/"), or None."""
    own = UNPACKED / "usr/sbin/asterisk"
    if own.exists() and modules(UNPACKED):
        return own, UNPACKED
    there = shutil.which("asterisk", path=os.environ.get("PATH", "") + ":/usr/sbin")
    return (pathlib.Path(there), pathlib.Path("/")) if there and modules(pathlib.Path("/")) else None


class Asterisk:
    """On `port` of 127.0.0.1, with `media` ports from there on: 20 for UDPTL, 20 for RTP. Calls of `number` run the dialplan
    `extensions[number]`: a list of applications."""

    def __init__(self, where, port, media, switch, extensions):
        self.where, self.port = where / "asterisk", port
        self.binary, root = program()
        self.env = dict(os.environ, LD_LIBRARY_PATH=f"{root}/usr/lib:{root}/usr/lib/x86_64-linux-gnu") if root != pathlib.Path("/") else None
        for name in ("etc", "lib", "run", "log", "spool"):
            (self.where / name).mkdir(parents=True)
        places = {"astetcdir": "etc", "astvarlibdir": "lib", "astdbdir": "lib", "astkeydir": "lib", "astagidir": "lib", "astspooldir": "spool",
                  "astrundir": "run", "astlogdir": "log"}
        self._write("asterisk", "directories", *[f"{name} => {self.where}/{place}" for name, place in places.items()],
                    f"astmoddir => {modules(root)}", f"astdatadir => {root}/usr/share/asterisk")
        self._write("modules", "modules", "autoload=no", *[f"load={name}.so" for name in MODULES])
        self._write("logger", "logfiles", "full => notice,warning,error,verbose,fax")
        self._write("udptl", "general", f"udptlstart={media}", f"udptlend={media + 19}", "use_even_ports=no")
        self._write("rtp", "general", f"rtpstart={media + 20}", f"rtpend={media + 39}")
        t38 = "t38pt_udptl=yes,redundancy,maxdatagram=400"
        self._write("sip", "general", "context=default", "allowguest=yes", f"udpbindaddr=127.0.0.1:{port}", "disallow=all", "allow=ulaw", "directmedia=no", t38,
                    "[switch]", "type=peer", f"host={switch[0]}", f"port={switch[1]}", "insecure=port,invite", "qualify=no", t38)
        lines = []
        for number, applications in extensions.items():
            lines += [f"{'exten => ' + number if not n else ' same =>'}{',' if not n else ' '}{'1' if not n else 'n'},{app}" for n, app in enumerate(applications)]
        lines.append(f"exten => h,1,System(echo ${{FAXSTATUS}} ${{FAXMODE}} ${{FAXPAGES}} > {self.where}/result)")
        self._write("extensions", "default", *lines)
        self.process = subprocess.Popen([self.binary, "-f", "-C", self.where / "etc/asterisk.conf"], env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=open(self.where / "out", "w"), stderr=subprocess.STDOUT)
        try:
            self._await(lambda: "fully booted" in self.ask("core waitfullybooted"), "Asterisk is not up")
        except BaseException:
            self.close()
            raise

    def _write(self, name, section, *lines):
        (self.where / f"etc/{name}.conf").write_text("\n".join([f"[{section}]", *lines, ""]))

    def _await(self, done, what, timeout=30):
        until = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < until and self.process.poll() is None, f"{what}: {self.log()}"
            time.sleep(0.2)

    def log(self):
        full = self.where / "log/full"
        return (full if full.exists() else self.where / "out").read_text()[-3000:]

    def ask(self, command):
        """What Asterisk's console answers."""
        done = subprocess.run([self.binary, "-C", self.where / "etc/asterisk.conf", "-rx", command], env=self.env, capture_output=True, text=True, timeout=20)
        return done.stdout

    def call(self, number, extension):
        """Calls the switch, and goes on in an extension of its own."""
        self.ask(f"channel originate SIP/switch/{number} extension {extension}@default")

    def result(self, timeout=30):
        """(status, mode, pages) of the fax, once its call is over."""
        path = self.where / "result"
        self._await(lambda: path.exists() and path.read_text().strip(), "no result", timeout)
        return tuple(path.read_text().split())

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
