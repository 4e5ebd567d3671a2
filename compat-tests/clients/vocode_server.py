"""Vocode's telephony server (PyPI `vocode`), as published: its webhook, router, phone conversation, output device and echo agent. Of the test's own are
ears and a voice, in Vocode's base classes: a tone is a word, and each word is said as another tone. No model, no account. Prints JSON lines:
what was transcribed, the transcript, and the messages but `media`, as the ASGI server carries them."""
import asyncio
import audioop
import json
import os
import socket
import struct

import uvicorn
from fastapi import FastAPI
from vocode.streaming.agent.abstract_factory import AbstractAgentFactory
from vocode.streaming.agent.echo_agent import EchoAgent
from vocode.streaming.models.agent import EchoAgentConfig
from vocode.streaming.models.audio import AudioEncoding
from vocode.streaming.models.events import EventType
from vocode.streaming.models.synthesizer import SynthesizerConfig
from vocode.streaming.models.telephony import TwilioConfig
from vocode.streaming.models.transcriber import TranscriberConfig, Transcription
from vocode.streaming.synthesizer.abstract_factory import AbstractSynthesizerFactory
from vocode.streaming.synthesizer.base_synthesizer import BaseSynthesizer, SynthesisResult
from vocode.streaming.telephony.config_manager.in_memory_config_manager import InMemoryConfigManager
from vocode.streaming.telephony.server.base import TelephonyServer, TwilioInboundCallConfig
from vocode.streaming.transcriber.abstract_factory import AbstractTranscriberFactory
from vocode.streaming.transcriber.base_transcriber import BaseAsyncTranscriber
from vocode.streaming.utils.events_manager import EventsManager

from tone_words import RATE, Ear, speech, tell


class TonesConfig(TranscriberConfig, type="transcriber_tones"):
    pass


class Ears(BaseAsyncTranscriber[TonesConfig]):
    """A word that has begun is a partial transcription, one that is over a final one."""

    async def _run_loop(self):
        ear = Ear()
        while True:
            octets = await self.input_queue.get()
            for word, over in ear.hear(struct.unpack(f"<{len(octets)}h", audioop.ulaw2lin(octets, 2))):
                self.output_queue.put_nowait(Transcription(message=word, confidence=1.0, is_final=over, duration_seconds=1.0 if over else None))


class VoiceConfig(SynthesizerConfig, type="synthesizer_tones"):
    pass


class Voice(BaseSynthesizer[VoiceConfig]):
    @classmethod
    def get_voice_identifier(cls, synthesizer_config):
        return "tones"

    async def get_cached_audio(self, message):
        return None                                     # Vocode's own cache is a Redis server

    async def create_speech_uncached(self, message, chunk_size, is_first_text_chunk=False, is_sole_text_chunk=False):
        samples = speech(message.text.strip())
        octets, seconds = audioop.lin2ulaw(struct.pack(f"<{len(samples)}h", *samples), 2), len(samples) / RATE

        async def chunks():
            for at in range(0, len(octets), chunk_size):
                yield SynthesisResult.ChunkResult(octets[at:at + chunk_size], at + chunk_size >= len(octets))
        return SynthesisResult(chunks(), lambda heard: f"{message.text} for {min(heard, seconds):.0f} s")


class Transcribers(AbstractTranscriberFactory):
    def create_transcriber(self, transcriber_config):
        return Ears(transcriber_config)


class Agents(AbstractAgentFactory):
    def create_agent(self, agent_config):
        return EchoAgent(agent_config)


class Synthesizers(AbstractSynthesizerFactory):
    def create_synthesizer(self, synthesizer_config):
        return Voice(synthesizer_config)


class Events(EventsManager):
    def __init__(self):
        super().__init__(subscriptions=[EventType.PHONE_CALL_CONNECTED, EventType.PHONE_CALL_ENDED, EventType.TRANSCRIPT_COMPLETE])

    async def handle_event(self, event):
        tell(event.type.value.removeprefix("event_"),
             **({"said": [(m.sender.value, m.text) for m in event.transcript.event_logs]} if event.type == EventType.TRANSCRIPT_COMPLETE else {}))


class Wire:
    """ASGI around the application: tells of texts other than `media`."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "websocket":
            return await self.app(scope, receive, send)

        def note(way, message):
            text = message.get("text")
            if text and json.loads(text)["event"] != "media":
                tell(way, message=json.loads(text))
            elif message["type"] in ("websocket.disconnect", "websocket.close"):
                tell(way, closed=message.get("code"))
            return message

        async def received():
            return note("received", await receive())

        async def sent(message):
            await send(note("sent", message))
        return await self.app(scope, received, sent)


async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    audio = {"sampling_rate": RATE, "audio_encoding": AudioEncoding.MULAW}
    inbound = TwilioInboundCallConfig(
        url="/inbound", twilio_config=TwilioConfig(account_sid="AC1", auth_token="none"),
        agent_config=EchoAgentConfig(interrupt_sensitivity="high", end_conversation_on_goodbye=True, goodbye_phrases=["goodbye"]),
        transcriber_config=TonesConfig(chunk_size=160, **audio), synthesizer_config=VoiceConfig(**audio))
    server = TelephonyServer(f"127.0.0.1:{port}", InMemoryConfigManager(), [inbound], transcriber_factory=Transcribers(),
                             agent_factory=Agents(), synthesizer_factory=Synthesizers(), events_manager=Events())
    app = FastAPI()
    app.include_router(server.get_router())
    tell("listening", port=port)
    await uvicorn.Server(uvicorn.Config(Wire(app), log_level="warning")).serve([listener])


if __name__ == "__main__":
    os.environ.setdefault("LOGURU_LEVEL", "INFO")
    asyncio.run(main())
