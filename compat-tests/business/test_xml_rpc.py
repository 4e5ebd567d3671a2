"""mod_xml_rpc: commands by web address and by Python's XML-RPC client."""
import base64
import re
import urllib.error
import urllib.request
import xmlrpc.client

import pytest

from harness import audio, office, tree

CONF = """<include>
<configuration name="xml_rpc.conf"><settings>
  <param name="http-port" value="{http}"/><param name="auth-realm" value="freeswitch"/><param name="auth-user" value="freeswitch"/>
  <param name="auth-pass" value="works-here"/>
</settings></configuration>
</include>"""


@pytest.fixture
def site(fresh):
    (fresh.conf / "autoload_configs/xml_rpc.conf.xml").write_text(CONF.format(http=fresh.block[tree.HTTP]))
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_xml_rpc"/></modules>'))
    return fresh.start()


def test_commands_by_address_and_by_xml_rpc(site):
    base = f"127.0.0.1:{site.block[tree.HTTP]}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{base}/webapi/status")
    assert refused.value.code == 401 and "freeswitch" in refused.value.headers["WWW-Authenticate"]
    login = urllib.request.HTTPBasicAuthHandler()
    login.add_password("freeswitch", f"http://{base}/", "freeswitch", "works-here")
    opener = urllib.request.build_opener(login)
    with opener.open(f"http://{base}/webapi/echo?a%20%3Cb%3E+c") as answer:
        assert answer.headers["Content-Type"] == "text/html" and answer.read() == b"a <b> c"
    with opener.open(f"http://{base}/txtapi/status") as answer:
        assert answer.headers["Content-Type"] == "text/plain" and b"UP 0 years" in answer.read()
    server = xmlrpc.client.ServerProxy(f"http://freeswitch:works-here@{base}/RPC2")
    assert server.freeswitch.api("echo", "x & <y>") == "x & <y>"
    assert "total" in server.freeswitch.api("show", "channels")
    with pytest.raises(xmlrpc.client.Fault):
        server.system.halt()
    with pytest.raises(xmlrpc.client.ProtocolError):
        xmlrpc.client.ServerProxy(f"http://freeswitch:guess@{base}/RPC2").freeswitch.api("status", "")


def test_a_mailbox_in_a_browser(fresh, tmp_path):
    (fresh.conf / "autoload_configs/xml_rpc.conf.xml").write_text(CONF.format(http=fresh.block[tree.HTTP]))
    (fresh.conf / "autoload_configs/voicemail.conf.xml").write_text(
        f'<configuration name="voicemail.conf"><profiles><profile name="default"><param name="storage-dir" value="{fresh.where}/boxes"/></profile></profiles></configuration>')
    office.with_modules(fresh.conf, "mod_xml_rpc", "mod_voicemail")
    for user in ("one-thousand", "one-thousand-one"):
        tree.patch(fresh.conf / "directory/users.xml", {rf'value="{user}"/>': f'value="{user}"/><param name="http-allowed-api" value="voicemail"/>'})
    domain = re.search(r'domain=([^"]+)"', (fresh.conf / "vars.xml").read_text())[1]
    site = fresh.start()
    audio.write_wav(tmp_path / "m.wav", audio.sine(700, 2))
    assert site.switch.api(f"vm_inject 1000@{domain}@default {tmp_path}/m.wav 555 '<b>Al</b>'") == "+OK\n"
    base = f"http://127.0.0.1:{site.block[tree.HTTP]}/webapi/voicemail"

    def ask(path, user, password):
        token = base64.b64encode(f"{user}@{domain}:{password}".encode()).decode()
        with urllib.request.urlopen(urllib.request.Request(base + path, headers={"Authorization": f"Basic {token}"})) as answer:
            return answer.headers, answer.read()

    headers, page = ask("/web", "1000", "one-thousand")
    assert headers["Content-Type"].startswith("text/html") and "sandbox" in headers["Content-Security-Policy"]
    assert b"Message from &lt;b&gt;Al&lt;/b&gt; 555" in page and b"<p>1 message</p>" in page and b"Last Heard: never" in page
    name = re.search(rb'/webapi/voicemail/get/(msg_[^"]+[.]wav)"', page)[1].decode()
    headers, sound = ask(f"/get/{name}", "1000", "one-thousand")
    assert headers["Content-Type"] == "audio/x-wav"
    (tmp_path / "got.wav").write_bytes(sound)
    assert audio.seconds_of(700, *audio.read_wav(tmp_path / "got.wav")) > 1
    assert site.switch.api(f"vm_boxcount 1000@{domain}|all") == "0:1:0:0"
    # Another user sees its own box, whatever it asks for.
    assert b"<p>0 messages</p>" in ask("/web", "1001", "one-thousand-one")[1]
    assert b"There is no such message" in ask(f"/get/{name}", "1001", "one-thousand-one")[1]
    feed = ask(f"?rss+h+1+/x+1000+{domain}", "1001", "one-thousand-one")[1]
    assert b"<rss" in feed and b"1001@" in feed and name.encode() not in feed
    assert b"Message Deleted" in ask(f"/del/{name}", "1000", "one-thousand")[1]
    assert site.switch.api(f"vm_boxcount 1000@{domain}|all") == "0:0:0:0"
    assert b"<p>0 messages</p>" in ask("/web", "1000", "one-thousand")[1]
