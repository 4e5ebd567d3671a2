"""An inbound greenswitch program: subscribes to everything, dials, reports. JSON lines in and out."""
import json
import sys

import gevent
from gevent import monkey
from gevent.fileobject import FileObject

monkey.patch_all()

import greenswitch  # noqa: E402


def say(kind, **more):
    print(json.dumps({"kind": kind, **more}), flush=True)


def main():
    host, port, password = sys.argv[1:]
    client = greenswitch.InboundESL(host=host, port=int(port), password=password)
    try:
        client.connect()
    except (ValueError, greenswitch.esl.NotConnectedError) as problem:
        say("refused", why=str(problem))
        return

    def report(event):
        h = event.headers
        say("event", name=h.get("Event-Name"), uuid=h.get("Unique-ID"), digit=h.get("DTMF-Digit"), cause=h.get("Hangup-Cause"),
            job=h.get("Job-UUID"), caller=h.get("Caller-Caller-ID-Number"))

    for name in ("CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE", "DTMF", "BACKGROUND_JOB"):
        client.register_handle(name, report)
    client.register_handle("DISCONNECT", lambda event: say("disconnected"))
    say("ready", reply=client.send("EVENTS PLAIN ALL").data)

    def read():
        lines = FileObject(sys.stdin.fileno(), "r", close=False)      # a plain readline would stop every greenlet
        while line := lines.readline():
            command = json.loads(line)
            say("reply", command=command["send"], data=client.send(command["send"]).data)

    gevent.spawn(read).join()
    client.stop()


main()
