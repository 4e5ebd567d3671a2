"""What an office's tests share: the events of one module in order, and queues on the small tree."""
import queue as queues
import re
import time

from . import tree
from .ear import FILE, MUSIC, dial

PATIENCE = 20           # seconds a step of a queue may take on a busy machine


def listening(site, events):
    """A connection that has subscribed to events, as a fixture gives it."""
    with site.esl(timeout=PATIENCE) as client:
        client.command(f"event plain {events}")
        yield client


class Story:
    """A client of one module's events: everything told so far, in order."""

    def __init__(self, site, subclass, key):
        self.esl, self.key, self.told = site.esl(timeout=PATIENCE), key, []
        self.esl.command(f"event plain CUSTOM {subclass}")

    def close(self):
        self.esl.close()

    def until(self, action, **headers):
        """The next event of the action with those headers (`_` for `-`); those before it are kept too."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                event = self.esl.read().event
            except TimeoutError:
                break
            if not event:
                continue
            self.told.append(event)
            if event.get(self.key) == action and all(event.get(name) == value for name, value in headers.items()):
                return event
        raise AssertionError(f"no {action} {headers or ''}; told: {self.actions()}")

    def actions(self, *skipped):
        """What was told so far, without repetitions of what tells only numbers."""
        return [event[self.key] for event in self.told if event[self.key] not in skipped]

    def forget(self):
        self.told.clear()


class Watch:
    """A phone's subscription to `target`: its answer, and what it was told, in order."""

    def __init__(self, phone, package, target, body="", expires=300):
        self.phone, self.told, self.package, self.target = phone, queues.Queue(), package, target
        plain = phone.reply

        def reply(request, *rest, **more):
            if request.method == "NOTIFY":
                self.told.put(request)
            plain(request, *rest, **more)

        phone.reply = reply
        self.answer = phone.ask("SUBSCRIBE", f"sip:{target}", [f"Event: {package}", f"Expires: {expires}"], body)
        # NOTIFYs have the subscription's Call-ID: they come to the box of the request.
        box = phone.inbox[self.answer["call-id"]].__self__

        def take(packet):
            if packet.status:
                box.put(packet)
            else:
                phone.reply(packet, 200, "OK")

        phone.inbox[self.answer["call-id"]] = take
        while not box.empty():
            take(box.get_nowait()) if not box.queue[0].status else box.get_nowait()

    def until(self, wanted):
        """The next NOTIFY whose body has the pattern."""
        seen, end = [], time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                packet = self.told.get(timeout=1)
            except queues.Empty:
                continue
            if re.search(wanted, packet.body):
                return packet
            seen.append(packet.body)
        raise AssertionError(f"{wanted} was not told, but {seen}")


def with_modules(conf, *modules):
    """Loads further modules at the start."""
    path = conf / "autoload_configs/modules.conf.xml"
    path.write_text(path.read_text().replace("</modules>", "".join(f'<load module="{name}"/>' for name in modules) + "</modules>"))


def with_extensions(conf, extensions):
    """Adds extensions, name to list of (application, data), in front of the dialplan's."""
    def action(app, data=""):
        return f'<action application="{app}" data="{data}"/>'

    text = "".join(f'<extension name="{name}"><condition field="destination_number" expression="^{name}$">'
                   + "".join(action(*step) for step in steps) + "</condition></extension>" for name, steps in extensions.items())
    tree.patch(conf / "dialplan/public.xml", {r'<context name="public">': lambda found: found[0] + text})


# What a caller hears who goes on with the dialplan.
AFTERWARDS = [("playback", f"tone_stream://%(3000,0,{FILE})"), ("hangup", "")]


def queue(name, **params):
    """A `<queue>` whose callers hear music; parameters with `_` for `-`."""
    params = {"strategy": "top-down", "moh_sound": f"tone_stream://%(1000,0,{MUSIC});loops=-1", "discard_abandoned_after": "1", **params}
    lines = "".join(f'<param name="{key.replace("_", "-")}" value="{value}"/>' for key, value in params.items())
    return f'<queue name="{name}">{lines}</queue>'


def callcenter_conf(conf, queues, settings=""):
    """callcenter.conf with these queues."""
    (conf / "autoload_configs/callcenter.conf.xml").write_text(
        f'<configuration name="callcenter.conf"><settings>{settings}</settings><queues>{"".join(queues)}</queues></configuration>')


class Desk:
    """callcenter_config, by a client that fails when a command does."""

    def __init__(self, esl):
        self.esl, self.agents = esl, []

    def config(self, command):
        reply = self.esl.api("callcenter_config " + command)
        assert reply.startswith("+OK"), f"{command}: {reply}"
        return reply

    def agent(self, name, phone=None, queue="help", status="Available", kind="callback", level=1, position=1, **values):
        """An agent of a queue, with the phone it is called at."""
        self.agents.append(name)
        self.config(f"agent add {name} {kind}")
        if phone:
            self.config(f"agent set contact {name} {dial(phone)}")
        for key, value in values.items():
            self.config(f"agent set {key} {name} {value}")
        self.config(f"tier add {queue} {name} {level} {position}")
        self.config(f"agent set status {name} '{status}'")

    def state(self, name):
        """Status and state of an agent."""
        head, *rows = [line.split("|") for line in self.esl.api("callcenter_config agent list").splitlines() if "|" in line]
        row = dict(zip(head, next(row for row in rows if row[0] == name)))
        return row["status"], row["state"]

    def waiting(self, queue="help"):
        """States of the callers in the table."""
        head, *rows = [line.split("|") for line in self.esl.api(f"callcenter_config queue list members {queue}").splitlines() if "|" in line] or [[]]
        return [dict(zip(head, row))["state"] for row in rows]

    def wait_empty(self, queue="help"):
        """Until no caller is in the table any more."""
        end = time.monotonic() + PATIENCE
        while (left := self.waiting(queue)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not left, f"callers left in {queue}: {left}"

    def clear(self):
        """Takes the agents away again."""
        for name in self.agents:
            self.config(f"agent del {name}")
