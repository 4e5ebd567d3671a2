//! Messages of a program, in the dialect the first byte chooses: texts, binary messages, and what the engine answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Map;
use voice::audio::Coding;
use voice::capture::Mix;
use voice::dialects::{audiosocket, chan_websocket, fork, openai, stream, twilio};
use voice::opus::Opus;
use voice::playout::Queue;
use voice::{Action, Dialect, Input};

fn dialect(kind: u8) -> Box<dyn Dialect> {
    let flavours = ["twilio", "telnyx", "plivo", "exotel", "vonage"];
    match kind % 10 {
        0 => Box::new(fork::Fork::new(fork::Setup { rate: 8000, bidirectional: true, ..Default::default() })),
        1 => {
            let setup = fork::Setup { rate: 8000, bidirectional: true, back: 16_000, ..Default::default() };
            Box::new(fork::Fork::new(setup))
        }
        2 => Box::new(stream::Stream::new(stream::Setup { rate: 8000, frame_ms: 20, ..Default::default() })),
        3 => {
            let setup = stream::Setup { rate: 8000, frame_ms: 20, playback: Some(8000), ..Default::default() };
            Box::new(stream::Stream::new(setup))
        }
        4 => Box::new(openai::Model::new(openai::Setup { rate: 24_000, frame_ms: 20, ..Default::default() })),
        5 => Box::new(audiosocket::AudioSocket::new("x", 8000)),
        6 => Box::new(chan_websocket::ChanWebsocket::new(chan_websocket::Setup {
            json: kind & 0x80 != 0,
            coding: if kind & 0x40 != 0 { Coding::Opus } else { Coding::Linear },
            rate: 8000,
            connection: String::new(),
            channel: String::new(),
            channel_id: String::new(),
            variables: Map::new(),
        })),
        _ => Box::new(twilio::MediaStream::new(twilio::Setup {
            flavour: twilio::Flavour::of(flavours[usize::from(kind) / 10 % 5]).unwrap_or_default(),
            coding: if kind & 0x80 != 0 { Coding::Opus } else { Coding::Ulaw },
            rate: 8000,
            mix: Mix::Stereo,
            call: String::new(),
            stream: String::new(),
            account: String::new(),
            from: String::new(),
            to: String::new(),
            parameters: Map::new(),
        })),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let mut dialect = dialect(*kind);
    let mut queue = Queue::new(1000, 30);
    let mut opus = dialect.wanted().opus.then(|| Opus::new(8000)).flatten();
    let mut actions = Vec::new();
    dialect.feed(Input::Opened, &mut actions);
    // Messages are separated by a byte that no UTF-8 has.
    for message in rest.split(|byte| *byte == 0xff) {
        match std::str::from_utf8(message) {
            Ok(text) => dialect.feed(Input::Text(text), &mut actions),
            Err(_) => dialect.feed(Input::Binary(message), &mut actions),
        }
    }
    dialect.feed(Input::Binary(rest), &mut actions);
    for action in std::mem::take(&mut actions) {
        match action {
            Action::Play(rate, samples) => {
                queue.push(rate, samples, 0);
            }
            Action::PlayFrame(frame) => {
                let coder = opus.as_mut().expect("frames are for those who want them");
                let samples = coder.decode(&frame);
                queue.push_frame(coder.rate(), samples, Some(frame), 0);
            }
            Action::Mark(name) => {
                dialect.feed(Input::Heard(&name), &mut actions);
                dialect.feed(Input::Cleared(&name), &mut actions);
                queue.mark(name);
            }
            _ => {}
        }
    }
    assert!(queue.queued_ms() <= 1000, "the queue is bounded");
    for action in &actions {
        if let Action::Text(text) = action {
            assert!(!text.is_empty());
        }
    }
});
