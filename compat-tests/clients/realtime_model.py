"""A Realtime model's stand-in in the types of PyPI `openai`: what the switch sends is read as that package's client events and as nothing else, what
is sent to it are its server events. Echoes each second it hears as a response. Prints JSON lines; takes them on its standard input."""
import asyncio
import base64
import json
import sys
import warnings

from aiohttp import web
from openai.types import realtime as types
from pydantic import TypeAdapter

from tone_words import tell

CLIENT, SERVER = TypeAdapter(types.RealtimeClientEvent), TypeAdapter(types.RealtimeServerEvent)
RATE = 24_000
wire = None


async def send(kind, **fields):
    """A server event, which must be one of the package's in every field."""
    event = SERVER.validate_python({"type": kind, "event_id": "e1", **fields}, strict=True)
    await wire.send_str(event.model_dump_json(exclude_none=True))


async def connected(request):
    global wire
    wire = web.WebSocketResponse(max_msg_size=0)
    await wire.prepare(request)
    tell("connected", authorization=request.headers.get("Authorization", ""))
    await send("session.created", session={"type": "realtime", "id": "s1", "object": "realtime.session"})
    heard, appended, told, answers = b"", 0, False, 0
    async for message in wire:
        try:
            event = CLIENT.validate_json(message.data, strict=True)
        except ValueError as error:
            tell("wrong", text=message.data[:200], why=str(error)[:500])
            continue
        if event.type != "input_audio_buffer.append":
            tell("client", type=event.type, event=json.loads(message.data))
            continue
        heard += base64.b64decode(event.audio, validate=True)
        appended += 1
        if not told and appended >= 50:
            told = True
            tell("appended", octets=len(heard) // appended)
        if len(heard) >= RATE * 2:
            answers += 1
            answer, heard = heard, b""
            place = {"response_id": f"r{answers}", "item_id": f"i{answers}", "output_index": 0, "content_index": 0}
            await send("response.output_audio.delta", delta=base64.b64encode(answer).decode(), **place)
            await send("response.output_audio_transcript.delta", delta="tone", **place)
    tell("closed", code=wire.close_code)
    return wire


async def commands():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await send(**json.loads(line))


async def main():
    app = web.Application()
    app.router.add_get("/v1/realtime", connected)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    tell("listening", port=site._server.sockets[0].getsockname()[1])
    await commands()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main())
