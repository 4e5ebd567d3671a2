//! A session description, and the answer to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiation::{Identity, Local, LocalIce, LocalStream, Mode};
use sdp::SessionDescription;

fuzz_target!(|text: &str| {
    let Ok(theirs) = SessionDescription::parse(text) else { return };
    let stream = || LocalStream { port: 4000, ice: LocalIce::new(), ..LocalStream::default() };
    let local = Local {
        codecs: negotiation::parse_codec_list("PCMU,opus,L16@16000h"),
        video_codecs: vec!["VP8".into(), "H264".into()],
        telephone_event: Some(101),
        comfort_noise: true,
        identity: Identity::new(Vec::new()),
        audio: stream(),
        video: stream(),
        text: stream(),
        ..Local::new("fuzz", [127, 0, 0, 1].into())
    };
    if let Ok(plan) = negotiation::negotiate(&theirs, &local, Mode::Greedy) {
        let answer = negotiation::answer(&theirs, &plan, &local);
        assert_eq!(answer.sent.media.len(), theirs.media.len());
    }
});
