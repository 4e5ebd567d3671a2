"""LiveKit Agents (PyPI `livekit-agents`), as published, on a phone's media stream: PyPI `livekit-gateway` stands in for LiveKit's server and takes
Plivo's streams. An `AgentSession` with ears, a mind that repeats, and a voice of the test's own (tone_words), in LiveKit's base classes. No model,
no account, no room server. Argument: the gateway's port for agents. Prints JSON lines."""
import asyncio
import itertools
import logging
import os
import struct
import sys

os.environ |= {"LKG_NO_AUTO_GATEWAY": "1", "LIVEKIT_URL": f"ws://127.0.0.1:{sys.argv[1]}"}

import livekit_gateway  # noqa: E402,F401  before any other part of LiveKit: it names the library they load
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, JobExecutorType, llm, stt, tts  # noqa: E402
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN  # noqa: E402

from tone_words import RATE, Ear, speech, tell  # noqa: E402

numbers = itertools.count()


class Ears(stt.STT):
    def __init__(self):
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))

    async def _recognize_impl(self, buffer, *, language, conn_options):
        raise NotImplementedError("streams only")

    def stream(self, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return Hearing(stt=self, conn_options=conn_options, sample_rate=RATE)


class Hearing(stt.RecognizeStream):
    async def _run(self):
        ear = Ear()
        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                continue
            for word, over in ear.hear(struct.unpack(f"<{frame.samples_per_channel}h", bytes(frame.data))):
                kind = stt.SpeechEventType
                said = [stt.SpeechData(language="en", text=word, confidence=1.0)]
                for event in (kind.FINAL_TRANSCRIPT, kind.END_OF_SPEECH) if over else (kind.START_OF_SPEECH, kind.INTERIM_TRANSCRIPT):
                    self._event_ch.send_nowait(stt.SpeechEvent(event, alternatives=said))


class Mind(llm.LLM):
    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_):
        return Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class Answer(llm.LLMStream):
    async def _run(self):
        last = [item for item in self._chat_ctx.items if item.type == "message" and item.role == "user"][-1].text_content
        self._event_ch.send_nowait(llm.ChatChunk(id=str(next(numbers)), delta=llm.ChoiceDelta(role="assistant", content=last.split()[-1])))


class Voice(tts.TTS):
    def __init__(self):
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE, num_channels=1)

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return Speech(tts=self, input_text=text, conn_options=conn_options)


class Speech(tts.ChunkedStream):
    async def _run(self, output_emitter):
        samples = speech(self.input_text.strip())
        output_emitter.initialize(request_id=str(next(numbers)), sample_rate=RATE, num_channels=1, mime_type="audio/pcm")
        output_emitter.push(struct.pack(f"<{len(samples)}h", *samples))
        output_emitter.flush()


server = AgentServer(job_executor_type=JobExecutorType.THREAD, num_idle_processes=0, host="127.0.0.1", port=0,
                     load_fnc=lambda: 0.0)              # a machine that builds beside the tests is not too busy for a call


@server.rtc_session()
async def entrypoint(ctx: JobContext):
    session = AgentSession(stt=Ears(), llm=Mind(), tts=Voice(), vad=None, turn_handling={
        "turn_detection": "stt", "endpointing": {"min_delay": 0.1, "max_delay": 0.5}, "interruption": {"mode": "vad", "min_duration": 0.1},
        "preemptive_generation": {"enabled": False}})
    over = asyncio.Event()

    @session.on("conversation_item_added")
    def added(event):
        if event.item.type != "message":
            return
        tell("item", who=event.item.role, text=event.item.text_content, interrupted=event.item.interrupted)
        if event.item.role == "assistant" and event.item.text_content == "goodbye":
            over.set()

    @session.on("close")
    def closed(_):
        tell("closed")

    await ctx.connect()
    await session.start(agent=Agent(instructions="Repeat."), room=ctx.room)
    tell("session", room=ctx.room.name, participants=[p.identity for p in ctx.room.remote_participants.values()])
    await over.wait()
    await ctx.room.disconnect()
    ctx.shutdown("said goodbye")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)

    @server.once("worker_registered")
    def registered(*_):
        tell("registered")
    asyncio.run(server.run(devmode=False))
