"""An outbound genesis server: answers, plays, collects digits, hangs up."""
import asyncio
import json
import sys

from genesis import Outbound
from genesis.exceptions import SessionGoneAway


def say(kind, **more):
    # Handlers run in threads: one write per line keeps lines whole.
    sys.stdout.write(json.dumps({"kind": kind, **more}) + "\n")
    sys.stdout.flush()


def one(value):
    return value[0] if isinstance(value, list) else value


async def ivr(session):
    say("call", uuid=session.uuid, caller=session.context.get("Caller-Caller-ID-Number"), mode=session.context.get("Socket-Mode"))
    session.on("DTMF", lambda event: say("digit", digit=event["DTMF-Digit"]))
    session.on("CHANNEL_HANGUP_COMPLETE", lambda event: say("hangup", cause=one(event["Hangup-Cause"])))
    try:
        await session.channel.answer()
        played = await session.sendmsg("execute", "playback", "tone_stream://%(600,0,500)", block=True, timeout=10)
        say("played", response=one(played.get("Application-Response")))
        digits = "2 2 1 5000 # tone_stream://%(300,0,700) silence_stream://10 pin \\d\\d 3000"
        asked = await session.sendmsg("execute", "play_and_get_digits", digits, lock=True, block=True, timeout=20)
        say("collected", pin=asked.get("variable_pin"))
        await session.channel.hangup("NORMAL_CLEARING")
        say("done")
    except SessionGoneAway:
        say("gone")


async def main():
    server = Outbound(ivr, "127.0.0.1", int(sys.argv[1]))
    await server.start(block=False)
    say("listening")
    await asyncio.Event().wait()


asyncio.run(main())
