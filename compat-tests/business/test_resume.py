"""Event Socket clients that come back: numbered events, what was missed, and how much of it is lost."""
from harness import esl


def connect(site, token="new", after=None):
    """A client that has logged in and asked for numbers, and the reply to its login."""
    client = esl.Client(("127.0.0.1", site.esl_port), None)
    assert client.read().type == "auth/request"
    headers = f"\nResume-Session: {token}" + (f"\nResume-After: {after}" if after is not None else "")
    return client, client.command(f"auth ClueCon{headers}").headers


def numbers(client, count):
    """Numbers of the next events, with what the test put into them."""
    found = client.events[:count]
    del client.events[:count]
    while len(found) < count:
        message = client.read()
        if message.type == "text/event-plain":
            found.append(message)
    return [(int(message.headers["Event-Number"]), message.event.get("Told")) for message in found]


def tell(site, *words):
    with site.esl() as teller:
        for word in words:
            assert teller.command(f"sendevent CUSTOM\nEvent-Subclass: test::told\nTold: {word}").reply.startswith("+OK")


def test_a_client_that_comes_back_hears_what_it_missed(fresh):
    site = fresh.start()
    client, reply = connect(site)
    token = reply["Resume-Session"]
    assert reply["Resume-Window"] == "60" and "Resume-From" not in reply
    client.command("event plain CUSTOM test::told")
    client.command("filter Told /^[a-z]/")
    tell(site, "a", "B", "c")
    assert numbers(client, 2) == [(1, "a"), (2, "c")]
    client.sock.close()
    tell(site, "d", "E", "f")
    # It saw the first only; what it had been sent besides comes again, then what happened meanwhile.
    client, reply = connect(site, token, after=1)
    assert (reply["Resume-Session"], reply["Resume-From"]) == (token, "2") and "Resume-Lost" not in reply
    assert numbers(client, 3) == [(2, "c"), (3, "d"), (4, "f")]
    tell(site, "g")
    assert numbers(client, 1) == [(5, "g")]
    # One that says goodbye is not waited for.
    client.command("exit")
    client.sock.close()
    client, reply = connect(site, token, after=5)
    assert reply["Resume-Session"] != token and reply["Resume-Lost"] == "unknown" and "Resume-From" not in reply
    client.close()


def test_a_client_comes_back_while_its_old_connection_seems_alive(fresh):
    site = fresh.start()
    old, reply = connect(site)
    old.command("event plain CUSTOM test::told")
    tell(site, "a")
    assert numbers(old, 1) == [(1, "a")]
    # The network was cut: nothing was closed on either side.
    client, again = connect(site, reply["Resume-Session"], after=0)
    assert again["Resume-Session"] == reply["Resume-Session"] and again["Resume-From"] == "1"
    tell(site, "b")
    assert numbers(client, 2) == [(1, "a"), (2, "b")]
    old.close()
    client.close()


def test_old_clients_notice_nothing(fresh):
    site = fresh.start()
    with site.esl() as client:
        client.command("event plain CUSTOM test::told")
        tell(site, "a")
        message = client.wait_event("CUSTOM")
        assert "Event-Number" not in message.headers and message.event["Told"] == "a"
