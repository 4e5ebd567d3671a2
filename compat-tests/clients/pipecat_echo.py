"""A Pipecat pipeline that says what it hears, for telephony by Pipecat's own detection and serializers. No model, no account."""
import asyncio
import sys

import uvicorn
from fastapi import FastAPI, WebSocket
from pipecat.frames.frames import InputAudioRawFrame, InterruptionFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.exotel import ExotelFrameSerializer
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.serializers.vonage import VonageFrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

app = FastAPI()


class Echo(FrameProcessor):
    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels))
        else:
            await self.push_frame(frame, direction)


def serializer(kind, call):
    if kind == "twilio":
        return TwilioFrameSerializer(call["stream_id"], params=TwilioFrameSerializer.InputParams(auto_hang_up=False))
    if kind == "telnyx":
        return TelnyxFrameSerializer(call["stream_id"], call["outbound_encoding"], "PCMU",
                                     params=TelnyxFrameSerializer.InputParams(auto_hang_up=False))
    if kind == "plivo":
        return PlivoFrameSerializer(call["stream_id"], params=PlivoFrameSerializer.InputParams(auto_hang_up=False))
    return ExotelFrameSerializer(call["stream_id"])


async def talk(websocket, wire):
    params = FastAPIWebsocketParams(serializer=wire, audio_in_enabled=True, audio_out_enabled=True)
    transport = FastAPIWebsocketTransport(websocket, params)
    pipeline = Pipeline([transport.input(), Echo(), transport.output()])
    task = PipelineTask(pipeline, params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000))

    @transport.event_handler("on_client_disconnected")
    async def gone(*_):
        await task.cancel()
    await PipelineRunner(handle_sigint=False).run(task)


@app.websocket("/")
async def telephony(websocket: WebSocket):
    await websocket.accept()
    kind, call = await parse_telephony_websocket(websocket)
    print(f"detected {kind} {call['call_id']}", flush=True)
    await talk(websocket, serializer(kind, call))


@app.websocket("/vonage")
async def vonage(websocket: WebSocket):
    await websocket.accept()
    await talk(websocket, VonageFrameSerializer())


if __name__ == "__main__":
    print("ready", flush=True)
    asyncio.run(uvicorn.Server(uvicorn.Config(app, "127.0.0.1", int(sys.argv[1]), log_level="warning")).serve())
