"""The portal on a server of the tests: its configuration, pages logged in, and what a test does on them."""
import socket
import threading

import pytest

from . import chromium, ear, tree
from .switch import ROOT

WS, WSS, HTTP = 70, 71, 72          # places in the block of ports
CUSTOMER, AGENT = 440, 620          # what their microphones hear
PLAIN = "{absolute_codec_string=PCMU}"     # phones of the harness know no Opus, and a caller's codec is offered alone
EAR = (ROOT / "compat-tests/browsers/pages/ear.js").read_text().replace("let analyser", "var analyser")

DIALPLAN = """
  <extension name="agents"><condition field="destination_number" expression="^6000$">
    <action application="set" data="hangup_after_bridge=true"/>
    <action application="bridge" data="user/1001@$${domain}"/></condition></extension>
  <extension name="plain"><condition field="destination_number" expression="^plain-(.+)$">
    <action application="bridge" data="{absolute_codec_string=PCMU}sofia/gateway/carrier/$1"/></condition></extension>
  <extension name="hall"><condition field="destination_number" expression="^hall$">
    <action application="set" data="absolute_codec_string=PCMU"/><action application="set" data="suppress_cng=true"/>
    <action application="answer"/><action application="conference" data="hall@default"/></condition></extension>
  <extension name="menu"><condition field="destination_number" expression="^9999$">
    <action application="answer"/><action application="playback" data="tone_stream://%(1000,0,1400);loops=-1"/></condition></extension>
"""
ROOMS = """<configuration name="conference.conf"><caller-controls/><profiles><profile name="default">
  <param name="rate" value="8000"/><param name="interval" value="20"/><param name="energy-level" value="0"/><param name="video-max-pictures" value="9"/>
</profile></profiles></configuration>
"""


class Wire:
    """A way to the switch that can be cut."""

    def __init__(self, to):
        self.to, self.pairs = to, []
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = self.door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near = self.door.accept()[0]
            except OSError:
                return
            far = socket.create_connection(self.to)
            self.pairs.append((near, far))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(a, b), daemon=True).start()

    @staticmethod
    def _pass(a, b):
        try:
            while data := a.recv(1 << 16):
                b.sendall(data)
        except OSError:
            pass
        for end in (a, b):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for pair in self.pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs.clear()


def configured(block, where, websocket):
    """A small tree with the portal's pages, which register at `websocket`."""
    conf = tree.small(block, where)
    dist = ROOT / "portal/dist"
    if not (dist / "index.html").exists():
        pytest.skip("SKIPPED: the portal is not built (cd portal && npm ci && npm run build)")
    tree.patch(conf / "sip_profiles/auth.xml", {
        r'(<param name="context")': rf"""<param name="ws-binding" value=":{block[WS]}"/>
    <param name="wss-binding" value=":{block[WSS]}"/>
    <param name="tls-cert-dir" value="{where}/certs"/>
    <param name="apply-candidate-acl" value="any_v4.auto"/>
    <param name="inbound-late-negotiation" value="true"/>
    \1""",
        r'name="inbound-codec-prefs" value="[^"]*"': 'name="inbound-codec-prefs" value="OPUS,PCMU"',
        r'name="outbound-codec-prefs" value="[^"]*"': 'name="outbound-codec-prefs" value="OPUS,PCMU"'})
    (conf / "autoload_configs/http_api.conf.xml").write_text(f"""<configuration name="http_api.conf"><settings>
      <param name="listen-port" value="{block[HTTP]}"/><param name="portal-dir" value="{dist}"/>
      <param name="portal-websocket" value="{websocket}"/><param name="portal-domain" value="test.example"/>
    </settings></configuration>\n""")
    (conf / "autoload_configs/conference.conf.xml").write_text(ROOMS)
    tree.patch(conf / "dialplan/public.xml", {r'(?<=<context name="public">)': DIALPLAN.replace("\\", r"\\")})
    tree.patch(conf / "autoload_configs/modules.conf.xml", {
        r"(?=  </modules>)": '    <load module="mod_http_api"/>\n    <load module="mod_conference"/>\n'})
    tree.patch(conf / "vars.xml", {r"(?=</include>)": f'  <X-PRE-PROCESS cmd="set" data="hold_music={ear.TONE}"/>\n'})
    return conf


def log_in_page(browser, site, path, user="1000", password="one-thousand"):
    """A page of the portal, registered."""
    page = browser.page(f"http://127.0.0.1:{site.block[HTTP]}{path}")
    page.until("document.querySelector('#user')")
    page.run(f"user.value = {user!r}; password.value = {password!r}; document.querySelector('form').requestSubmit()")
    page.until("document.querySelector('#status')?.textContent == 'online'")
    return page


def press(page, text, where="main"):
    """Presses the button with that text, once it is there."""
    page.until(f"[...document.querySelectorAll('{where} button')].some((b) => b.textContent == {text!r} && !b.disabled)")
    page.run(f"[...document.querySelectorAll('{where} button')].find((b) => b.textContent == {text!r}).click()")


def state(page, text):
    page.until(f"[...document.querySelectorAll('.state')].some((p) => p.textContent == {text!r})")


def capture_sound(page):
    """Makes what calls of the page play audible to the test: their streams are those of its audio elements."""
    page.run("window.speakers = []; const real = Audio; window.Audio = function () { const a = new real(); speakers.push(a); return a; }; 1")
    page.run(EAR + "; 1")


def hears(page, hz):
    page.until("speakers.some((s) => s.srcObject?.active)")
    page.run("listen(speakers.findLast((s) => s.srcObject?.active).srcObject)")
    page.hears(hz)


# ---- fixtures: tests import them by name

@pytest.fixture(scope="module")
def browsers(tmp_path_factory):
    made = [chromium.Chromium(tmp_path_factory.mktemp(f"chromium-{hz}"), hz) for hz in (CUSTOMER, AGENT)]
    yield made
    for browser in made:
        browser.close()


@pytest.fixture
def pages(site):
    """Opens pages of the portal, logged in; they are gone after the test."""
    opened = []

    def log_in(browser, path, *account):
        opened.append(log_in_page(browser, site, path, *account))
        return opened[-1]
    yield log_in
    for page in opened:
        page.open("about:blank#")
        page.ask("Page.close")
