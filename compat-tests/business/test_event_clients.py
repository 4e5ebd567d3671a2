"""Many readers of everything, some of whom have stopped; and readers that ask for a part of what there is."""
import json
import socket
import threading

from harness import esl
from harness.services import until

READERS, STOPPED = 50, 5


def reader(site, command="event plain ALL"):
    client = esl.Client(("127.0.0.1", site.esl_port), timeout=60)
    assert client.command(command).reply.startswith("+OK")
    return client


def sequences(client, last):
    """Numbers of the events a client gets, up to the one that carries the word `last`."""
    found = []
    while True:
        message = client.events.pop(0) if client.events else client.read()
        if message.type == "text/event-plain":
            found.append(message.event["Event-Sequence"])
            if message.event.get("Told") == last:
                return found


def test_fifty_readers_of_everything_with_five_of_them_stopped(fresh):
    site = fresh.start()
    before = site.switch.rss_kb()
    readers = [reader(site) for _ in range(READERS - STOPPED)]
    stopped = []
    for _ in range(STOPPED):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", site.esl_port))
        sock.sendall(b"auth ClueCon\n\nevent plain ALL\n\n")       # and not a byte is read from now on
        stopped.append(sock)
    until(lambda: len(json.loads(site.switch.api("show event_clients as json")).get("rows", [])) == READERS, "readers")
    found = {}

    def listen(at):
        found[at] = sequences(readers[at], "last")

    threads = [threading.Thread(target=listen, args=(at,)) for at in range(len(readers))]
    for thread in threads:
        thread.start()
    for _ in range(60):
        assert site.switch.api("originate loopback/tone/public &hangup").startswith("+OK")
    site.switch.wait_idle()
    # What the machine's own buffers do not take waits in the queues of those who have stopped.
    big = "x" * 40_000
    with site.esl() as teller:
        for word in ["more"] * 200 + ["last"]:
            assert teller.command(f"sendevent CUSTOM\nEvent-Subclass: test::told\nBig: {big}\nTold: {word}").reply.startswith("+OK")
    for thread in threads:
        thread.join()
    # A reader that came later began later; from then on all hear the same, in the same order.
    assert len(found) == len(readers)
    shortest = min(map(len, found.values()))
    assert shortest > 260 and len({tuple(sequence[-shortest:]) for sequence in found.values()}) == 1
    assert all(len(sequence) == len(set(sequence)) for sequence in found.values())
    # The events of this very command are on their way to all of them: who is far behind is meant.
    rows = json.loads(site.switch.api("show event_clients as json"))["rows"]
    behind = [row for row in rows if int(row["bytes"]) > 1_000_000]
    assert len(behind) == STOPPED and all(int(row["waiting"]) > 0 and int(row["lag_ms"]) > 0 for row in behind), rows
    assert all(row["lost"] == "0" for row in rows)
    # Their queues share the events: five of them cost no more than one.
    assert site.switch.rss_kb() - before < 200_000
    for sock in stopped:
        sock.close()
    for client in readers:
        client.close()
    until(lambda: "rows" not in json.loads(site.switch.api("show event_clients as json")), "end of the clients")


def test_a_reader_gets_the_headers_and_events_it_asked_for(fresh):
    site = fresh.start()
    client = esl.Client(("127.0.0.1", site.esl_port))
    reply = client.command("event plain CUSTOM test::told\nEvent-Headers: told, Other-*\nEvent-Filter: Told /^a/\nEvent-Filter: Kind -no")
    assert reply.reply == "+OK event listener enabled plain" and reply.headers["Event-Selection"] == "2 headers, 2 conditions"
    assert "Event-Selection" not in client.command("event plain CUSTOM test::whole").headers

    def tell(subclass, **headers):
        lines = "".join(f"\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
        with site.esl() as teller:
            assert teller.command(f"sendevent CUSTOM\nEvent-Subclass: test::{subclass}{lines}").reply.startswith("+OK")

    tell("told", Told="b", Kind="yes")
    tell("told", Told="ab", Kind="no")
    tell("told", Told="abc", Kind="yes", Other_Thing="1", Not_That="2")
    tell("whole", Told="x", Kind="no")
    first, second = client.wait_event("CUSTOM"), client.wait_event("CUSTOM")
    assert set(first.event) == {"Event-Name", "Event-Subclass", "Told", "Other-Thing"}
    assert (first.event["Told"], first.event["Other-Thing"], first.event["Event-Subclass"]) == ("abc", "1", "test::told")
    assert second.event["Told"] == "x" and "Event-Date-Timestamp" in second.event
    # Asked for again without headers, the type comes whole.
    client.command("event json CUSTOM test::told")
    tell("told", Told="b", Kind="no")
    message = client.wait_event("CUSTOM")
    assert message.event["Kind"] == "no" and "Core-UUID" in message.event
    assert client.command("event plain TALK\nEvent-Filter: alone").reply == "-ERR Event-Filter needs a header and a value"
    client.close()


def test_a_selection_outlives_the_connection(fresh):
    site = fresh.start()
    client = esl.Client(("127.0.0.1", site.esl_port), None)
    client.read()
    token = client.command("auth ClueCon\nResume-Session: new").headers["Resume-Session"]
    client.command("event plain CUSTOM test::told\nEvent-Headers: Told")
    client.sock.close()
    with site.esl() as teller:
        teller.command("sendevent CUSTOM\nEvent-Subclass: test::told\nTold: a\nMore: b")
    client = esl.Client(("127.0.0.1", site.esl_port), None)
    client.read()
    client.command(f"auth ClueCon\nResume-Session: {token}\nResume-After: 0")
    assert set(client.wait_event("CUSTOM").event) == {"Event-Name", "Event-Subclass", "Told"}
    client.close()
