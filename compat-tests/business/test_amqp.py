"""mod_amqp with a real RabbitMQ: events, commands, log lines, the voice bus, and a broker that is killed under load."""
import json
import threading

import pytest

from harness import ports, services, tree
from harness.services import until

pika = pytest.importorskip("pika", reason="the Python package pika is not installed")
pytestmark = pytest.mark.skipif(services.needs("erl") is not None or not services.Rabbit.is_installed(), reason="RabbitMQ is not installed")

PORT, DISTRIBUTION = 70, 71
CONNECTIONS = """<connections>
  <connection name="closed"><param name="hostname" value="127.0.0.1"/><param name="port" value="{closed}"/></connection>
  <connection name="broker"><param name="hostname" value="127.0.0.1"/><param name="virtualhost" value="/"/><param name="username" value="guest"/>
    <param name="password" value="guest"/><param name="port" value="{port}"/><param name="heartbeat" value="0"/></connection>
</connections>"""
CONF = """<include>
<configuration name="amqp.conf">
<producers><profile name="default">{connections}<params>
  <param name="exchange-name" value="TAP.Events"/><param name="exchange-type" value="topic"/><param name="reconnect_interval_ms" value="100"/>
  <param name="format_fields" value="#FreeSWITCH,Nothing|FreeSWITCH-Switchname,Event-Name,Event-Subclass,Unique-ID"/>
  <param name="enable_fallback_format_fields" value="1"/>
  <param name="event_filter" value="SWITCH_EVENT_CHANNEL_CREATE,SWITCH_EVENT_CUSTOM^test::one"/>
</params></profile></producers>
<commands><profile name="default">{connections}<params>
  <param name="exchange-name" value="TAP.Commands"/><param name="binding_key" value="commandBindingKey"/><param name="reconnect_interval_ms" value="100"/>
</params></profile></commands>
<logging><profile name="default">{connections}<params>
  <param name="exchange-name" value="TAP.Logging"/><param name="log-levels" value="err,crit"/><param name="reconnect_interval_ms" value="100"/>
</params></profile></logging>
<voice-bus><profile name="default">{connections}<params>
  <param name="exchange-name" value="voice-bus"/><param name="delivery-mode" value="2"/><param name="reconnect_interval_ms" value="100"/>
</params></profile></voice-bus>
</configuration>
</include>"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """It takes Erlang its time to start: one for all."""
    block = ports.claim()
    broker = services.Rabbit(tmp_path_factory.mktemp("broker") / "rabbit", block[PORT], block[DISTRIBUTION])
    try:
        yield broker.start()
    finally:
        broker.stop()
        block.release()


@pytest.fixture
def site(fresh, broker):
    text = CONF.format(connections=CONNECTIONS.format(port=broker.port, closed=fresh.block[tree.HTTP]))
    (fresh.conf / "autoload_configs/amqp.conf.xml").write_text(text)
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_amqp"/></modules>'))
    return fresh


def connect(broker):
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port, heartbeat=0))


def queue(channel, exchange, key, name="", durable=False):
    """A queue that gets what an exchange has for a key."""
    channel.exchange_declare(exchange, "topic", durable=True)
    name = channel.queue_declare(name, durable=durable, exclusive=not durable).method.queue
    channel.queue_bind(name, exchange, key)
    return name


def waiting(channel, name):
    """The messages in a queue now: routing key, properties, document."""
    found = []
    while True:
        method, properties, body = channel.basic_get(name, auto_ack=True)
        if method is None:
            return found
        found.append((method.routing_key, properties, json.loads(body)))


def test_events_commands_lines_and_the_voice_bus(site, broker):
    connection = connect(broker)
    channel = connection.channel()
    events, lines = queue(channel, "TAP.Events", "#"), queue(channel, "TAP.Logging", "#.ERR.#")
    bus, answers = queue(channel, "voice-bus", "call.#"), queue(channel, "answers", "mine")
    site.start()
    call = site.phone(user="alice").invite("tone")
    call.wait(200)
    uuid = json.loads(site.switch.api("show channels as json"))["rows"][0]["uuid"]
    call.hangup()

    key, properties, event = until(lambda: waiting(channel, events), "event")[0]
    assert key == f"FreeSWITCH.{event['FreeSWITCH-Switchname'].replace('.', '%2E')}.CHANNEL_CREATE..{uuid}"
    assert event["Event-Name"] == "CHANNEL_CREATE" and event["Unique-ID"] == uuid
    assert properties.content_type == "text/json" and properties.timestamp > 0

    told = []

    def all_told():
        told.extend(document for _, _, document in waiting(channel, bus))
        return told and {"CALL_END", "QUALITY"} <= {document["type"] for document in told}

    until(all_told, "end of the call")
    kinds = [document["type"] for document in told]
    assert kinds[0] == "CALL_INIT" and "CALL_ANSWERED" in kinds
    schema = json.loads((services.ROOT / "docs/call-messages.schema.json").read_text())
    for document in told:
        assert set(schema["required"]) <= set(document) <= set(schema["properties"])
        assert document["version"] == 1 and document["call_id"] == uuid and document["from"] == "alice" and document["to"] == "tone"
    end = next(document for document in told if document["type"] == "CALL_END")
    assert end["cause"] == "NORMAL_CLEARING" and end["answered"] is True

    def command(line):
        headers = {"x-fs-api-resp-exchange": "answers", "x-fs-api-resp-key": "mine"}
        channel.basic_publish("TAP.Commands", "commandBindingKey", line, pika.BasicProperties(content_type="text/plain", headers=headers))
        return until(lambda: waiting(channel, answers), "answer")[0][2]

    assert command("echo from afar") == {"output": "from afar", "command": "echo from afar", "status": 0}
    assert command("no_such_command")["status"] == 1
    # What reaches the machine is refused to those who cannot be known.
    assert "refused" in command("system touch " + str(site.where / "touched"))["output"]
    assert not (site.where / "touched").exists()

    site.switch.api("log err something broke")
    _, _, line = until(lambda: waiting(channel, lines), "line")[0]
    assert line["level"] == "ERR" and "something broke" in line["content"]
    connection.close()


def test_a_broker_killed_under_load_gets_every_message(site, broker):
    connection = connect(broker)
    queue(connection.channel(), "voice-bus", "call.call_end.#", "ends", durable=True)
    connection.close()
    site.start()
    calls, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            reply = site.switch.api("originate loopback/tone/public &hangup")
            assert reply.startswith("+OK"), reply
            calls.append(reply.split()[1])

    callers = [threading.Thread(target=load) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        until(lambda: len(calls) >= 20, "calls with the broker")
        broker.kill()
        before = len(calls)
        until(lambda: len(calls) >= before + 20, "calls without it")
        # Nor does a phone notice: each of its calls is answered, and ends when it hangs up.
        phone = site.phone()
        for _ in range(10):
            said = phone.invite("park")
            said.wait(200)
            said.hangup()
        assert broker.process.poll() is not None
        broker.start()
        before = len(calls)
        until(lambda: len(calls) >= before + 10, "calls with it again")
    finally:
        stop.set()
        for caller in callers:
            caller.join()
    wanted, told, ids = set(calls), {}, []
    connection = connect(broker)
    channel = connection.channel()

    def all_told():
        for _, properties, document in waiting(channel, "ends"):
            ids.append(properties.message_id)
            told[document["call_id"]] = document
        return wanted <= set(told)

    until(all_told, "end of each call")
    # Those on their way when the broker died may come twice, under the same identifier.
    assert len({document["id"] for document in told.values()}) == len(told) == len(set(ids))
    connection.close()
