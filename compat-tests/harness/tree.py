"""Configuration folders for one run: copies with the ports of one block, everything else as it came."""
import re
import shutil

from .switch import ROOT, SHARED

TREES = SHARED / "conf-trees"

# What the users of vanilla register with here.
PASSWORD = "compat-7391"
# What stands where in a block of ports.
ESL, OPEN, AUTH, EXTERNAL, INTERNAL, CARRIER, APP, HTTP = 0, 1, 2, 3, 4, 50, 60, 61


def patch(path, rules):
    """Replace each pattern exactly once; a pattern that is not found is a change of the tree we did not see."""
    text = path.read_text()
    for pattern, replacement in rules.items():
        text, count = re.subn(pattern, replacement, text)
        if count != 1:
            raise ValueError(f"{path}: {pattern} found {count} times")
    path.write_text(text)


def small(block, where):
    """The tree in compat-tests/conf."""
    conf = where / "conf"
    shutil.copytree(ROOT / "compat-tests/conf", conf)
    own = {"esl_port": block[ESL], "open_port": block[OPEN], "auth_port": block[AUTH], "carrier_port": block[CARRIER],
           "app_port": block[APP], "rtp_first": block.rtp[0], "rtp_last": block.rtp[1]}
    patch(conf / "vars.xml", {rf'"{name}=\d+"': f'"{name}={port}"' for name, port in own.items()})
    return conf


def shipped(block, where):
    """The configuration the project ships, on loopback; everything but the ports as a user gets it."""
    conf = where / "conf"
    shutil.copytree(ROOT / "conf", conf)
    patch(conf / "vars.xml", {
        r'"bind_ip=\$\$\{local_ip_v4\}"': '"bind_ip=127.0.0.1"',
        r'internal_sip_port=5060': f'internal_sip_port={block[INTERNAL]}',
        r'external_sip_port=5080': f'external_sip_port={block[EXTERNAL]}',
        r'event_socket_port=8021': f'event_socket_port={block[ESL]}'})
    patch(conf / "autoload_configs/switch.conf.xml", {
        r'(rtp-start-port" value=)"\d+"': rf'\1"{block.rtp[0]}"', r'(rtp-end-port" value=)"\d+"': rf'\1"{block.rtp[1]}"'})
    return conf


def vanilla(block, where, overlay=None):
    """FreeSWITCH's sample tree on loopback. `overlay` names a folder of conf-trees laid over it."""
    conf = where / "conf"
    shutil.copytree(TREES / "vanilla", conf)
    if overlay:
        shutil.copytree(TREES / overlay, conf, dirs_exist_ok=True)
    for path in [conf, *conf.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    patch(conf / "vars.xml", {
        r'(?=  <X-PRE-PROCESS cmd="set" data="default_password)': '  <X-PRE-PROCESS cmd="set" data="local_ip_v4=127.0.0.1"/>\n',
        r'default_password=1234': f'default_password={PASSWORD}',       # or every call waits ten seconds to say so
        r'cmd="stun-set" data="external_rtp_ip=[^"]*"': 'cmd="set" data="external_rtp_ip=127.0.0.1"',
        r'cmd="stun-set" data="external_sip_ip=[^"]*"': 'cmd="set" data="external_sip_ip=127.0.0.1"',
        r'internal_sip_port=5060': f'internal_sip_port={block[INTERNAL]}',
        r'internal_tls_port=5061': f'internal_tls_port={block[10]}',
        r'external_sip_port=5080': f'external_sip_port={block[EXTERNAL]}',
        r'external_tls_port=5081': f'external_tls_port={block[11]}'})
    patch(conf / "autoload_configs/event_socket.conf.xml", {
        r'name="listen-port" value="8021"': f'name="listen-port" value="{block[ESL]}"',
        r'name="listen-ip" value="::"': 'name="listen-ip" value="127.0.0.1"'})
    patch(conf / "autoload_configs/switch.conf.xml", {
        r'<!-- <param name="rtp-start-port" value="16384"/> -->': f'<param name="rtp-start-port" value="{block.rtp[0]}"/>',
        r'<!-- <param name="rtp-end-port" value="32768"/> -->': f'<param name="rtp-end-port" value="{block.rtp[1]}"/>'})
    patch(conf / "sip_profiles/internal.xml", {
        r'name="ws-binding"  value=":5066"': f'name="ws-binding"  value=":{block[12]}"',
        r'name="wss-binding" value=":7443"': f'name="wss-binding" value=":{block[13]}"'})
    patch(conf / "autoload_configs/verto.conf.xml", {
        r'\$\$\{local_ip_v4\}:8081': f'127.0.0.1:{block[18]}', r'\$\$\{local_ip_v4\}:8082': f'127.0.0.1:{block[19]}',
        r'(?s)<profile name="default-v6">.*?</profile>': ''})
    for name in ("internal-ipv6", "external-ipv6"):          # not every machine has an address of that kind
        (conf / f"sip_profiles/{name}.xml").unlink()
    return conf


EXTRA_PROFILE = """<profile name="{name}">
  <gateways>
    <gateway name="{name}-carrier">
      <param name="proxy" value="{ip}:{carrier}"/>
      <param name="register" value="false"/>
      <param name="register-transport" value="{transport}"/>
      <param name="username" value="account"/>
      <param name="password" value="of-{name}"/>
      <param name="realm" value="{name}.example"/>
      <param name="gw-auth-acl" value="{askers}"/>
      <variables><variable name="p:callee_id_name" value="the carrier" direction="outbound"/></variables>
    </gateway>
  </gateways>
  <settings>
    <param name="sip-ip" value="{bare}"/>
    <param name="rtp-ip" value="{bare}"/>
    <param name="sip-port" value="{port}"/>
    <param name="context" value="public"/>
    <param name="inbound-codec-prefs" value="PCMU,PCMA"/>
    <param name="outbound-codec-prefs" value="PCMU,PCMA"/>
    <param name="manage-presence" value="false"/>
    {more}
  </settings>
</profile>
"""
RELIABLE, TCP, SIX, NATTED, OUTSIDE, STUN, HEP = 5, 6, 7, 8, 9, 14, 15


def rich(block, where):
    """The small tree with more profiles: one with reliable ringing, one whose carrier speaks TCP, one on IPv6, one whose
    phones sit behind NAT and whose callers are known by their address, one that asks a STUN server where it is."""
    conf = small(block, where)

    def profile(name, offset, more="", ip="127.0.0.1", transport="udp"):
        askers = "127.0.0.66/32" if name == "tcp" else ""
        text = EXTRA_PROFILE.format(askers=askers, name=name, port=block[offset], ip=ip, bare=ip.strip("[]"), carrier=block[CARRIER], transport=transport, more=more)
        (conf / f"sip_profiles/{name}.xml").write_text(text)

    profile("reliable", RELIABLE, '<param name="enable-100rel" value="true"/>')
    profile("tcp", TCP, transport="tcp")
    profile("six", SIX, ip="[::1]")
    patch(conf / "autoload_configs/sofia.conf.xml", {r'(?=  <profiles>)': f'  <global_settings><param name="capture-server" value="udp:127.0.0.1:{block[HEP]};hep=3;capture_id=7"/></global_settings>\n'})
    profile("outside", OUTSIDE, "".join(f'<param name="ext-{kind}-ip" value="stun:127.0.0.1:{block[STUN]}"/>' for kind in ("sip", "rtp"))
            + '<param name="local-network-acl" value="none"/>')
    profile("natted", NATTED, '<param name="apply-nat-acl" value="rfc1918.auto"/><param name="accept-blind-reg" value="true"/>'
            '<param name="force-register-domain" value="$${domain}"/><param name="force-register-db-domain" value="$${domain}"/>'
            '<param name="local-network-acl" value="none"/><param name="auth-calls" value="true"/><param name="apply-inbound-acl" value="known"/>')
    patch(conf / "autoload_configs/acl.conf.xml", {r'(?=    <list name="not_banned")': '    <list name="known" default="deny"><node type="allow" domain="$${domain}"/></list>\n'})
    patch(conf / "directory/users.xml", {r'(?=        </users>)': '          <user id="trunk" cidr="127.0.0.20/32"><variables><variable name="user_context" value="of-trunk"/>'
                                         '<variable name="tariff" value="gold"/></variables></user>\n'})
    (conf / "dialplan/more.xml").write_text("""<include>
  <context name="of-trunk">
    <extension name="all"><condition><action application="answer"/><action application="park"/></condition></extension>
  </context>
</include>
""")
    return conf


def guarded(block, where):
    """The small tree with a trunk, 127.0.0.20, on the access list of the profile that asks for passwords."""
    conf = small(block, where)
    patch(conf / "autoload_configs/acl.conf.xml", {r'(?=    <list name="not_banned")': '    <list name="trunks" default="deny"><node type="allow" cidr="127.0.0.20/32"/></list>\n'})
    profile = next(p for p in (conf / "sip_profiles").iterdir() if 'name="auth"' in p.read_text())
    patch(profile, {r'(?=    <param name="auth-calls")': '    <param name="apply-inbound-acl" value="trunks"/>\n'})
    return conf
