"""A genesis program that watches calls and places them: a Consumer, and an Inbound connection with a Channel."""
import asyncio
import json
import sys

from genesis import Channel, Consumer, Inbound
from genesis.exceptions import AuthenticationError

HOST, PORT, PASSWORD = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def say(kind, **more):
    # Handlers run in threads: one write per line keeps lines whole.
    sys.stdout.write(json.dumps({"kind": kind, **more}) + "\n")
    sys.stdout.flush()


def one(value):
    return value[0] if isinstance(value, list) else value


consumer = Consumer(HOST, PORT, PASSWORD)


@consumer.handle("CHANNEL_ANSWER")
async def answered(event):
    say("event", name=event["Event-Name"], uuid=event["Unique-ID"], caller=event.get("Caller-Caller-ID-Number"))


@consumer.handle("CHANNEL_HANGUP_COMPLETE")
async def ended(event):
    say("event", name=event["Event-Name"], uuid=event["Unique-ID"], cause=one(event["Hangup-Cause"]))


@consumer.handle("shop::order")
async def ordered(event):
    say("custom", subclass=one(event["Event-Subclass"]), colour=event.get("Colour"), text=event.body)


subscribed = asyncio.Event()


@consumer.handle("shop::ready")
async def ready(event):
    subscribed.set()


async def watch(client):
    """Starts the consumer; its last subscription is in force once it hears of what we send ourselves."""
    watching = asyncio.create_task(consumer.start())
    while not subscribed.is_set():
        await client.send("sendevent CUSTOM\nEvent-Subclass: shop::ready")
        try:
            await asyncio.wait_for(subscribed.wait(), 0.1)
        except asyncio.TimeoutError:
            pass
    return watching


async def obey(client):
    loop, lines = asyncio.get_running_loop(), asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    channel = None
    while line := await lines.get():
        command = json.loads(line)
        if command["do"] == "send":
            reply = await client.send(command["text"])
            say("sent", text=command["text"], reply=reply.get("Reply-Text"), body=reply.body, job=reply.get("Job-UUID"))
        elif command["do"] == "dial":
            channel = await Channel.create(client, command["to"], variables=command.get("variables"))
            say("dialled", uuid=channel.uuid)
        elif command["do"] == "play":
            done = await channel.playback(command["what"], block=True)
            say("played", response=one(done.get("Application-Response")), uuid=one(done.get("Unique-ID")))
        elif command["do"] == "hangup":
            await channel.hangup(command["cause"])
            say("hung_up")


async def main():
    try:
        async with Inbound(HOST, PORT, PASSWORD) as client:
            watching = await watch(client)
            say("ready")
            await obey(client)
            watching.cancel()
    except AuthenticationError as error:
        say("refused", why=str(error))


asyncio.run(main())
