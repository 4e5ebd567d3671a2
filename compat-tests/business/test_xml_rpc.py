"""mod_xml_rpc: commands by web address and by Python's XML-RPC client."""
import urllib.error
import urllib.request
import xmlrpc.client

import pytest

from harness import tree

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
