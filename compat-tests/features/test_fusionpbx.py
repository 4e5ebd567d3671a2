"""FusionPBX's own scripts, from its repository, over its own schema in PostgreSQL: directory, dialplan, configuration, recordings,
ring groups. Nothing of it is kept here: it is fetched when the tests run ($FUSIONPBX names a copy), and they are skipped without it."""
import os
import pathlib
import re
import shutil
import subprocess
import uuid

import pytest

from conftest import Site
from harness import services, tree
from harness.ear import hears, talk
from harness.services import until

SOURCE = "https://github.com/fusionpbx/fusionpbx"
CACHE = pathlib.Path(__file__).resolve().parents[1] / ".cache/fusionpbx"
SCRIPTS = "app/switch/resources/scripts"
DATABASE = 62           # offset of its port
FILE = 700
DOMAIN, DOMAIN_UUID = "pbx.test", str(uuid.UUID(int=1))


@pytest.fixture(scope="module")
def source():
    """A checkout, of the copy that is named or of the network's."""
    where = os.environ.get("FUSIONPBX", SOURCE)
    if not (CACHE / SCRIPTS).is_dir():
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.parent.mkdir(exist_ok=True)
        try:
            got = subprocess.run(["git", "clone", "-q", "--depth", "1", where, str(CACHE)], capture_output=True, text=True, timeout=120)
            problem = got.stderr.strip()
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if not (CACHE / SCRIPTS).is_dir():
            shutil.rmtree(CACHE, ignore_errors=True)
            pytest.skip(f"SKIPPED: FusionPBX's scripts cannot be fetched from {where}: {problem}")
    return CACHE


def schema(source):
    """Its tables as its own files describe them."""
    text = ""
    for path in sorted([*source.glob("app/*/app_config.php"), *source.glob("core/*/app_config.php")]):
        table, fields = None, []
        entry = re.compile(r"\['(table|fields)'\](?:\[\$z\])?\['(name|type)'\](?:\['(\w+)'\])?(?:\['text'\])?\s*=\s*[\"']([^\"']*)")
        for kind, what, database, value in entry.findall(path.read_text(errors="replace")):
            if kind == "table" and what == "name" and database in ("", "text"):
                text += statement(table, fields)
                table, fields = value, []
            elif kind == "fields" and what == "name" and database in ("", "text"):
                fields.append([value, "text"])
            elif kind == "fields" and what == "type" and database in ("", "pgsql") and fields:
                fields[-1][1] = value
        text += statement(table, fields)
    return text


def statement(table, fields):
    if not table or not fields:
        return ""
    columns = {name: kind for name, kind in fields}
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())});\n"


def row(database, table, **values):
    """One row, with a key of its own."""
    names, texts = ", ".join(values), ", ".join("'" + str(value).replace("'", "''") + "'" for value in values.values())
    assert database.ask(f"INSERT INTO {table} ({names}) VALUES ({texts})", "fusionpbx") is not None, (table, values)


def extension(number):
    return {"extension_uuid": uuid.uuid4(), "domain_uuid": DOMAIN_UUID, "extension": number, "password": f"of-{number}", "enabled": "true",
            "user_context": DOMAIN, "effective_caller_id_name": f"Desk {number}", "effective_caller_id_number": number, "call_timeout": 30}


def plan(number, actions):
    lines = "".join(f'<action application="{app}" data="{data}"/>' for app, data in actions)
    return f"""<extension name="{number}"><condition field="destination_number" expression="^{number}$">{lines}</condition></extension>"""


CONFIG = """database.0.type = pgsql
database.0.host = 127.0.0.1
database.0.port = {port}
database.0.sslmode = prefer
database.0.name = fusionpbx
database.0.username = switch
database.0.password = none
database.1.type = sqlite
database.1.path = {where}/db
database.1.name = core.db
switch.conf.dir = {where}/conf
switch.sounds.dir = {where}/sounds
switch.database.dir = {where}/db
switch.recordings.dir = {where}/recordings
switch.storage.dir = {where}/storage
switch.voicemail.dir = {where}/storage/voicemail
switch.scripts.dir = {scripts}
temp.dir = {where}
cache.method = file
cache.location = {where}/cache
"""


@pytest.fixture(scope="module")
def server(source, tmp_path_factory):
    if missing := services.needs("postgres", "initdb", "psql"):
        pytest.skip(f"SKIPPED: PostgreSQL's {missing} is not installed")
    where = tmp_path_factory.mktemp("fusionpbx")
    site = Site(where, tree.small)
    database = services.Postgres(site.block[DATABASE]).start()
    try:
        database.ask("CREATE DATABASE fusionpbx")
        assert database.ask(schema(source), "fusionpbx") is not None
        scripts = source / SCRIPTS
        fill(database, scripts, where)
        profile(database, site.block)
        for name in ("ProgramData/fusionpbx", "cache", "recordings", "sounds", "storage"):
            (where / name).mkdir(parents=True)
        (where / "ProgramData/fusionpbx/config.conf").write_text(CONFIG.format(port=site.block[DATABASE], where=where, scripts=scripts))
        (site.conf / "autoload_configs/lua.conf.xml").write_text(f"""<configuration name="lua.conf"><settings>
            <param name="script-directory" value="{scripts}/?.lua"/>
            <param name="xml-handler-script" value="{scripts}/app.lua xml_handler"/>
            <param name="xml-handler-bindings" value="configuration,dialplan,directory,languages"/></settings></configuration>""")
        site.scripts, site.database = scripts, database
        # Where its scripts look for their configuration when there is none of a system's own.
        yield site.start(env={"SystemDrive": str(where)})
    finally:
        site.close()
        database.stop()


BOX = str(uuid.UUID(int=8))
RING_GROUP = str(uuid.UUID(int=7))


def profile(database, block):
    """The SIP profile, and who may reach it and the Event Socket."""
    settings = {"sip-ip": "127.0.0.1", "rtp-ip": "127.0.0.1", "sip-port": block[tree.OPEN], "context": "public", "dialplan": "XML", "auth-calls": "false",
                "inbound-codec-prefs": "PCMU,PCMA", "outbound-codec-prefs": "PCMU,PCMA", "rfc2833-pt": "101", "manage-presence": "false",
                "apply-inbound-acl": "not_banned"}
    row(database, "v_access_controls", access_control_uuid=uuid.UUID(int=3), access_control_name="not_banned", access_control_default="allow")
    row(database, "v_sip_profiles", sip_profile_uuid=uuid.UUID(int=4), sip_profile_name="open", sip_profile_enabled="true")
    for name, value in settings.items():
        row(database, "v_sip_profile_settings", sip_profile_setting_uuid=uuid.uuid4(), sip_profile_uuid=uuid.UUID(int=4),
            sip_profile_setting_name=name, sip_profile_setting_value=value, sip_profile_setting_enabled="true")


def fill(database, scripts, where):
    row(database, "v_domains", domain_uuid=DOMAIN_UUID, domain_name=DOMAIN, domain_enabled="true")
    for number in ("101", "102", "103"):
        row(database, "v_extensions", **extension(number))
    row(database, "v_access_controls", access_control_uuid=uuid.UUID(int=2), access_control_name="offices", access_control_default="deny")
    row(database, "v_access_control_nodes", access_control_node_uuid=uuid.uuid4(), access_control_uuid=uuid.UUID(int=2), node_type="allow",
        node_cidr="192.0.2.0/24")
    row(database, "v_voicemails", voicemail_uuid=BOX, domain_uuid=DOMAIN_UUID, voicemail_id="101", voicemail_password="2468", voicemail_enabled="true",
        voicemail_attach_file="false", voicemail_local_after_email="true", voicemail_recording_options="false")
    for category, subcategory, name, value in (("switch", "voicemail", "dir", where / "storage/voicemail"), ("voicemail", "storage_type", "text", "")):
        row(database, "v_default_settings", default_setting_uuid=uuid.uuid4(), default_setting_category=category,
            default_setting_subcategory=subcategory, default_setting_name=name, default_setting_value=value, default_setting_enabled="true")
    actions = {
        "tone": [("answer", ""), ("playback", f"tone_stream://%(30000,0,{FILE})")],
        "record": [("answer", ""), ("set", f"domain_uuid={DOMAIN_UUID}"), ("set", f"domain_name={DOMAIN}"), ("set", "recording_id=77"),
                   ("set", "recording_prefix=recording"), ("set", "pin_number="), ("set", "time_limit_secs=2"), ("lua", f"{scripts}/recordings.lua")],
        "leave": [("set", f"domain_uuid={DOMAIN_UUID}"), ("set", f"domain_name={DOMAIN}"), ("set", "voicemail_id=101"), ("set", "voicemail_action=save"),
                  ("set", "skip_greeting=true"), ("set", "skip_instructions=true"), ("lua", f"{scripts}/app.lua voicemail")],
        "101": [("set", f"domain_uuid={DOMAIN_UUID}"), ("set", f"domain_name={DOMAIN}"), ("set", "hangup_after_bridge=true"),
                ("lua", f"{scripts}/app.lua follow_me")],
        "center": [("answer", ""), ("set", f"domain_uuid={DOMAIN_UUID}"), ("set", f"domain_name={DOMAIN}"), ("lua", f"{scripts}/app.lua conference_center")],
        "group": [("answer", ""), ("set", f"ring_group_uuid={RING_GROUP}"), ("set", f"domain_uuid={DOMAIN_UUID}"), ("set", f"domain_name={DOMAIN}"),
                  ("set", f"recordings_dir={where}/recordings"), ("lua", f"{scripts}/app.lua ring_groups"), ("park", "")],
    }
    for order, (number, list_) in enumerate(actions.items()):
        row(database, "v_dialplans", dialplan_uuid=uuid.uuid4(), dialplan_context="public", dialplan_name=number, dialplan_enabled="true",
            dialplan_order=order, dialplan_xml=plan(number, list_))


@pytest.fixture
def pbx(server):
    yield server
    wrong = server.settle()
    assert not wrong, "\n".join(wrong)


def test_the_directory_comes_from_its_tables(pbx):
    api = pbx.switch.api
    assert api(f"user_data 101@{DOMAIN} param password") == "of-101"
    assert api(f"user_data 101@{DOMAIN} var user_context") == DOMAIN
    assert api(f"user_exists id 109 {DOMAIN}") == "false"
    pbx.database.ask("UPDATE v_extensions SET password = 'changed' WHERE extension = '103'", "fusionpbx")
    assert api(f"user_data 103@{DOMAIN} param password") == "changed"


def test_the_dialplan_comes_from_its_tables(pbx):
    call = pbx.phone().invite("tone")
    call.wait(200)
    hears(call, FILE)
    call.hangup()


def test_configuration_comes_from_its_tables(pbx):
    api = pbx.switch.api
    api("reloadacl")
    until(lambda: api("acl 192.0.2.9 offices").strip() == "true", "its access list")
    assert api("acl 198.51.100.9 offices").strip() == "false"


def test_a_phone_registers_with_the_password_of_its_tables(pbx):
    assert pbx.phone(user="101", password="wrong", domain=DOMAIN).register().status == 403
    phone = pbx.phone(user="101", password="of-101", domain=DOMAIN)
    assert phone.register().status == 200
    phone.register(expires=0)


def test_its_ring_group_calls_its_members(pbx):
    row(pbx.database, "v_ring_groups", ring_group_uuid=RING_GROUP, domain_uuid=DOMAIN_UUID, ring_group_name="sales", ring_group_extension="group",
        ring_group_strategy="simultaneous", ring_group_call_timeout=30, ring_group_enabled="true", ring_group_context="public",
        ring_group_ringback="${us-ring}", ring_group_call_screen_enabled="false", ring_group_call_forward_enabled="false",
        ring_group_follow_me_enabled="false")
    row(pbx.database, "v_ring_group_destinations", ring_group_destination_uuid=uuid.uuid4(), domain_uuid=DOMAIN_UUID, ring_group_uuid=RING_GROUP,
        destination_number="102", destination_delay=0, destination_timeout=30, destination_enabled="true", destination_prompt=0)
    member = pbx.phone(user="102", password="of-102", domain=DOMAIN)
    assert member.register().status == 200
    call = pbx.phone().invite("group")
    far = member.accept()
    far.answer()
    call.wait(200)
    talk(call, far)
    far.hangup()
    call.wait_end()
    member.register(expires=0)


def test_its_follow_me_finds_a_phone_elsewhere(pbx):
    plan_uuid = uuid.uuid4()
    row(pbx.database, "v_follow_me", follow_me_uuid=plan_uuid, domain_uuid=DOMAIN_UUID, follow_me_enabled="true")
    row(pbx.database, "v_follow_me_destinations", follow_me_destination_uuid=uuid.uuid4(), domain_uuid=DOMAIN_UUID, follow_me_uuid=plan_uuid,
        follow_me_destination="102", follow_me_delay=0, follow_me_timeout=30, follow_me_order=1)
    pbx.database.ask(f"UPDATE v_extensions SET follow_me_uuid = '{plan_uuid}' WHERE extension = '101'", "fusionpbx")
    member = pbx.phone(user="102", password="of-102", domain=DOMAIN)
    assert member.register().status == 200
    call = pbx.phone().invite("101")
    far = member.accept()
    far.answer()
    call.wait(200)
    talk(call, far)
    call.hangup()
    far.wait_end()
    member.register(expires=0)


def test_its_conference_centre_lets_callers_in_by_pin(pbx):
    center, profile_uuid = uuid.uuid4(), uuid.uuid4()
    row(pbx.database, "v_conference_profiles", conference_profile_uuid=profile_uuid, profile_name="default", profile_enabled="true")
    for name, value in (("rate", 8000), ("interval", 20), ("energy-level", 0)):
        row(pbx.database, "v_conference_profile_params", conference_profile_param_uuid=uuid.uuid4(), conference_profile_uuid=profile_uuid,
            profile_param_name=name, profile_param_value=value, profile_param_enabled="true")
    row(pbx.database, "v_conference_centers", conference_center_uuid=center, domain_uuid=DOMAIN_UUID, conference_center_extension="center",
        conference_center_greeting="tone_stream://%(300,0,700)", conference_center_enabled="true")
    row(pbx.database, "v_conference_rooms", conference_room_uuid=uuid.uuid4(), domain_uuid=DOMAIN_UUID, conference_center_uuid=center,
        conference_room_name="board", moderator_pin="2468", participant_pin="1357", profile="default", max_members=0, enabled="true",
        record="false", wait_mod="false", moderator_endconf="false", announce_name="false", announce_count="false", announce_recording="false",
        mute="false", sounds="false")
    assert pbx.switch.api("load mod_conference").startswith("+OK")
    calls = []
    for pin in ("2468#", "1357#"):
        call = pbx.phone().invite("center")
        call.wait(200)
        hears(call, FILE, frames=3)
        call.rtp.digits(pin)
        calls.append(call)
    talk(*calls)
    for call in calls:
        call.hangup()


def test_its_script_records_a_prompt(pbx):
    call = pbx.phone().invite("record")
    call.wait(200)
    call.rtp.tone(FILE)
    made = until(lambda: list((pbx.where / "recordings").rglob("recording77*")), "recording", 30)
    until(lambda: made[0].stat().st_size > 8000, "its audio", 30)
    call.hangup()


def test_its_voicemail_keeps_a_message(pbx):
    call = pbx.phone().invite("leave")
    call.wait(200)
    call.rtp.tone(FILE)
    folder = pbx.where / "storage/voicemail/default" / DOMAIN / "101"
    (kept,) = until(lambda: list(folder.glob("msg_*.wav")), "message", 30)
    until(lambda: kept.stat().st_size > 40000, "its audio", 30)
    call.hangup()
    # The script writes it down once the caller has gone.
    rows = until(lambda: pbx.database.ask("SELECT caller_id_number, voicemail_uuid, message_length FROM v_voicemail_messages", "fusionpbx"), "row", 30)
    assert rows[0][:2] == ["phone", BOX] and int(rows[0][2]) >= 2, rows
    until(lambda: pbx.switch.api("lua_scripts count").strip() == "0", "end of its scripts", 30)
