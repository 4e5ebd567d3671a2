"""An outbound greenswitch server: answers, plays, collects digits, then bridges or hangs up."""
import json
import logging
import sys

import gevent
from gevent import monkey

monkey.patch_all()

import greenswitch  # noqa: E402

logging.basicConfig(level=logging.INFO, stream=sys.stderr)


def say(kind, **more):
    print(json.dumps({"kind": kind, **more}), flush=True)


class Ivr:
    def __init__(self, session):
        self.session = session

    def run(self):
        try:
            self.talk()
        except greenswitch.esl.OutboundSessionHasGoneAway:
            say("gone")
        self.session.stop()

    def talk(self):
        s = self.session
        s.connect()
        s.myevents()
        s.linger()
        s.register_handle("DTMF", lambda e: say("digit", digit=e.headers["DTMF-Digit"]))
        say("call", uuid=s.uuid, call_uuid=s.call_uuid, caller=s.caller_id_number)
        with s.while_connected():
            say("answer", reply=s.answer())
            played = s.playback("tone_stream://%(600,0,500)")
            say("played", response=played.headers.get("Application-Response"))
            digits = s.play_and_get_digits("2", "2", "1", "5000", "#", "tone_stream://%(300,0,700)", "silence_stream://10", "choice",
                                           r"\d\d", "3000", "''", response_timeout=20)
            say("collected", digits=digits)
            if digits == "21":
                done = s.bridge("sofia/gateway/carrier/2100", block=True, response_timeout=30)
                say("bridged", cause=done.headers.get("variable_originate_disposition"))
            s.hangup("NORMAL_CLEARING")
        say("done")
        gevent.sleep(0.2)


def main():
    server = greenswitch.OutboundESLServer(bind_address="127.0.0.1", bind_port=int(sys.argv[1]), application=Ivr, max_connections=5)
    listening = gevent.spawn(server.listen)
    while not server._running:
        gevent.sleep(0.01)
    say("listening")
    listening.join()


main()
