//! Legs of different codecs together: what one says in its codec the other hears in its own.

mod kit;

use kit::{Call, World, assert_continuous};
use media::codec::{Coder, Coding};
use media::dtmf::{Digit, DigitStep};
use media::rtp::seq_distance;
use media::{Codec, JitterSpec, LegEvent, MemberOptions};

/// The far end of a call, with coders of its own.
struct Ear {
    codec: Codec,
    coder: Coder,
    phase: f64,
}

impl Ear {
    fn new(codec: Codec) -> Self {
        Self { codec, coder: codec.coder(None), phase: 0.0 }
    }

    /// The next 20 ms of a tone, coded.
    fn tone(&mut self, hz: f64) -> Vec<u8> {
        self.tone_at(hz, 8000.0)
    }

    fn tone_at(&mut self, hz: f64, amplitude: f64) -> Vec<u8> {
        let step = hz * std::f64::consts::TAU / f64::from(self.codec.rate());
        let pcm: Vec<i16> = (0..self.codec.frame_samples(20))
            .map(|_| {
                self.phase += step;
                (self.phase.sin() * amplitude) as i16
            })
            .collect();
        let mut out = vec![0; 4096];
        let n = match &mut self.coder.encoder {
            Some(encoder) => encoder.encode(&pcm, &mut out),
            None => self.codec.encode(&pcm, &mut out),
        };
        out.truncate(n);
        out
    }

    fn hear(&mut self, payload: &[u8]) -> Vec<i16> {
        let mut out = vec![0; 5760];
        let n = match &mut self.coder.decoder {
            Some(decoder) => decoder.decode(payload, &mut out),
            None => self.codec.decode(payload, &mut out),
        };
        out.truncate(n);
        out
    }

    /// The share of the power of what was heard that lies at `hz`, and the level.
    fn judge(&self, pcm: &[i16], hz: f64) -> (f64, f64) {
        let step = hz * std::f64::consts::TAU / f64::from(self.codec.rate());
        let (mut re, mut im, mut all) = (0.0, 0.0, 1.0);
        for (n, s) in pcm.iter().enumerate() {
            let (s, phase) = (f64::from(*s), n as f64 * step);
            re += s * phase.cos();
            im += s * phase.sin();
            all += s * s;
        }
        let n = pcm.len() as f64;
        (2.0 * (re * re + im * im) / (all * n), (all / n).sqrt())
    }
}

fn send(call: &mut Call, codec: Codec, payload: &[u8]) {
    call.phone.seq = call.phone.seq.wrapping_add(1);
    let ticks = codec.ticks(codec.frame_samples(20)) as u32;
    call.phone.timestamp = call.phone.timestamp.wrapping_add(ticks);
    call.phone.send(call.phone.seq, call.phone.timestamp, call.phone.pt, false, payload);
}

fn opus_8k() -> Codec {
    Codec::by_pref("opus", 8000).unwrap()
}

fn spoken() -> Vec<Codec> {
    let usual = |c: &&Codec| !c.is_passed_only() && ![12_000, 24_000, 32_000].contains(&c.rate());
    Codec::all().iter().filter(usual).copied().collect()
}

#[test]
fn a_tone_crosses_every_pair_of_codecs() {
    for from in spoken() {
        for to in spoken() {
            let mut world = World::new();
            let (mut a, b) = (world.call(1, from), world.call(2, to));
            a.leg.bridge(&b.leg).unwrap();
            let (mut mouth, mut ear) = (Ear::new(from), Ear::new(to));
            for _ in 0..75 {
                let payload = mouth.tone(440.0);
                send(&mut a, from, &payload);
                world.sim.run_ms(20);
            }
            let heard = b.phone.heard();
            assert!((70..=76).contains(&heard.len()), "{from:?} -> {to:?}: {}", heard.len());
            assert_continuous(&heard);
            let ticks = to.ticks(to.frame_samples(20)) as u32;
            for pair in heard.windows(2).skip(5) {
                let step = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
                assert_eq!(step, ticks, "{from:?} -> {to:?}");
            }
            let pcm: Vec<i16> = heard.iter().flat_map(|p| ear.hear(&p.payload)).collect();
            let (purity, level) = ear.judge(&pcm[pcm.len() / 3..], 440.0);
            assert!(purity > 0.9, "{from:?} -> {to:?}: {purity}");
            assert!((4000.0..7000.0).contains(&level), "{from:?} -> {to:?}: {level}");
        }
    }
}

#[test]
fn packets_of_one_codec_pass_untouched() {
    for codec in Codec::all() {
        let mut world = World::new();
        let (mut a, b) = (world.call(1, *codec), world.call(2, *codec));
        a.leg.bridge(&b.leg).unwrap();
        let mut mouth = Ear::new(*codec);
        let mut sent = Vec::new();
        for n in 0..10u8 {
            let passed = vec![n; 20];
            let payload = if codec.is_passed_only() { passed } else { mouth.tone(440.0) };
            send(&mut a, *codec, &payload);
            sent.push(payload);
            world.sim.run_ms(20);
        }
        let heard: Vec<_> = b.phone.heard().into_iter().map(|p| p.payload).collect();
        assert_eq!(heard, sent, "{codec:?}");
    }
}

#[test]
fn members_of_every_codec_hear_each_other_in_a_conference() {
    for rate in [8000, 16_000, 48_000] {
        for codec in spoken() {
            let mut world = World::new();
            let (mixer, _events) = world.engine.open_mixer(rate, 20).unwrap();
            let (mut a, b) = (world.call(1, codec), world.call(2, Codec::G722));
            let mut third = world.call(3, Codec::PCMA);
            for leg in [&a.leg, &b.leg, &third.leg] {
                leg.join(&mixer, MemberOptions::default()).unwrap();
            }
            let (mut mouth, mut other) = (Ear::new(codec), Ear::new(Codec::PCMA));
            let (mut wide, mut own) = (Ear::new(Codec::G722), Ear::new(codec));
            for _ in 0..75 {
                let payload = mouth.tone(440.0);
                send(&mut a, codec, &payload);
                let payload = other.tone(1000.0);
                send(&mut third, Codec::PCMA, &payload);
                world.sim.run_ms(20);
            }
            let heard = b.phone.heard();
            let pcm: Vec<i16> = heard.iter().flat_map(|p| wide.hear(&p.payload)).collect();
            for hz in [440.0, 1000.0] {
                let (purity, _) = wide.judge(&pcm[pcm.len() / 3..], hz);
                assert!((0.35..0.65).contains(&purity), "{codec:?} at {rate}: {hz} Hz {purity}");
            }
            let heard = a.phone.heard();
            let pcm: Vec<i16> = heard.iter().flat_map(|p| own.hear(&p.payload)).collect();
            let (purity, _) = own.judge(&pcm[pcm.len() / 3..], 1000.0);
            assert!(purity > 0.9, "{codec:?} at {rate} hears itself: {purity}");
        }
    }
}

#[test]
fn digits_are_counted_in_the_clock_of_their_events() {
    for (codec, clock) in [(Codec::OPUS, 48_000), (Codec::OPUS, 8000), (Codec::G722, 8000)] {
        let mut world = World::new();
        let mut call = world.call_with(1, codec, |p| p.te_clock = clock);
        let digit = Digit::new('5').unwrap();
        call.leg.send_dtmf(vec![DigitStep::Press { digit, duration: 800 }]).unwrap();
        world.sim.run_ms(300);
        let events: Vec<_> =
            call.phone.heard().into_iter().filter(|p| p.header.pt == kit::TE).collect();
        let last = events.last().unwrap();
        let duration = u16::from_be_bytes([last.payload[2], last.payload[3]]);
        assert_eq!(u32::from(duration), clock / 10, "100 ms");
        let ms = u16::try_from(clock / 1000).unwrap();
        for n in 1..=5 {
            call.phone.event(7, n == 5, n * 20 * ms, 90_000);
            world.sim.run_ms(20);
        }
        assert!(
            call.events().iter().any(|e| matches!(
                e,
                LegEvent::Digit { digit, duration: 800, .. } if digit.as_char() == '7'
            )),
            "{codec:?} {clock}"
        );
    }
}

#[test]
fn what_is_lost_is_made_up_in_every_codec() {
    for codec in spoken() {
        for jitter in [None, Some(JitterSpec { ms: 40, max_ms: None })] {
            let to = if codec.coding() == Coding::Ulaw { Codec::PCMA } else { Codec::PCMU };
            let mut world = World::new();
            let mut a = world.call_with(1, codec, |p| p.jitter = jitter);
            let mut b = world.call_with(2, to, |p| p.ptime = 40);
            a.leg.bridge(&b.leg).unwrap();
            let (mut mouth, mut ear) = (Ear::new(codec), Ear::new(to));
            let mut pcm = Vec::new();
            for n in 0..150 {
                let payload = mouth.tone(440.0);
                if n % 20 == 19 {
                    a.phone.seq = a.phone.seq.wrapping_add(1);
                    let ticks = codec.ticks(codec.frame_samples(20)) as u32;
                    a.phone.timestamp = a.phone.timestamp.wrapping_add(ticks);
                } else {
                    send(&mut a, codec, &payload);
                }
                world.sim.run_ms(20);
                pcm.extend(b.phone.heard().iter().flat_map(|p| ear.hear(&p.payload)));
            }
            assert!(b.events().is_empty());
            let quiet = pcm[8000..pcm.len() - 800]
                .chunks(160)
                .filter(|c| c.iter().all(|s| s.abs() < 500))
                .count();
            assert_eq!(quiet, 0, "{codec:?} {jitter:?}: gaps of 20 ms");
        }
    }
}

#[test]
fn a_codec_changed_in_mid_call_goes_on_in_one_stream() {
    let mut world = World::new();
    let (mut a, b) = (world.call(1, Codec::PCMU), world.call(2, Codec::PCMU));
    a.leg.bridge(&b.leg).unwrap();
    let mut heard = Vec::new();
    for codec in [Codec::PCMU, Codec::OPUS, Codec::G722] {
        let mut params = media::RtpParams::new(codec, codec.static_pt().unwrap_or(96));
        params.remote = Some(b.phone.socket.addr());
        b.leg.set_rtp(params).unwrap();
        let (mut mouth, mut ear) = (Ear::new(Codec::PCMU), Ear::new(codec));
        let mut pcm = Vec::new();
        for _ in 0..75 {
            let payload = mouth.tone(440.0);
            send(&mut a, Codec::PCMU, &payload);
            world.sim.run_ms(20);
            let packets = b.phone.heard();
            pcm.extend(packets.iter().flat_map(|p| ear.hear(&p.payload)));
            heard.extend(packets);
        }
        let (purity, _) = ear.judge(&pcm[pcm.len() / 2..], 440.0);
        assert!(purity > 0.9, "{codec:?}: {purity}");
    }
    for pair in heard.windows(2) {
        assert_eq!(seq_distance(pair[0].header.seq, pair[1].header.seq), 1);
        assert_eq!(pair[0].header.ssrc, pair[1].header.ssrc);
    }
}

/// Half a second of a tone, `quiet` frames of silence, and half a second of the tone again, to a leg whose far end asked
/// for `fmtp`; what that heard in the silence and from the tone after it on, with when it came.
fn talk_and_pause(from: Codec, to: Codec, fmtp: &str, quiet: u64) -> Vec<(u64, kit::Packet)> {
    let mut world = World::new();
    let (mut a, b) =
        (world.call(1, from), world.call_with(2, to, |params| params.fmtp = Some(fmtp.into())));
    a.leg.bridge(&b.leg).unwrap();
    let mut mouth = Ear::new(from);
    let mut heard = Vec::new();
    for n in 0..50 + quiet {
        let silent = (25..25 + quiet).contains(&n);
        let payload = if silent { mouth.tone_at(440.0, 0.0) } else { mouth.tone(440.0) };
        send(&mut a, from, &payload);
        world.sim.run_ms(20);
        heard.extend(b.phone.heard().into_iter().map(|packet| (n, packet)));
    }
    heard
}

#[test]
fn silence_is_hardly_sent_to_who_asks_for_that() {
    for (from, to) in
        [(Codec::PCMU, Codec::OPUS), (Codec::G722, Codec::OPUS), (Codec::L16_8K, opus_8k())]
    {
        for effort in [5, 8] {
            let quiet = 150;
            let fmtp = format!("usedtx=1; x-complexity={effort}");
            let heard = talk_and_pause(from, to, &fmtp, quiet);
            let what = format!("{from:?} -> {to:?} at {effort}");
            let silent: Vec<_> =
                heard.iter().filter(|(n, _)| (28..25 + quiet).contains(n)).collect();
            // 200 ms of it, then one packet in 400 ms; the encoder's own analysis takes a little longer to be sure.
            let most = if effort < 7 { 20 } else { 40 };
            assert!((12..=most).contains(&silent.len()), "{what}: {} in the silence", silent.len());
            let packets: Vec<_> = heard.iter().map(|(_, packet)| packet.clone()).collect();
            assert_continuous(&packets);
            // Time goes on: what is heard is stamped with when it was said.
            let (first, last) = (&heard[5], heard.last().unwrap());
            let passed = last.1.header.timestamp.wrapping_sub(first.1.header.timestamp);
            assert_eq!(u64::from(passed), (last.0 - first.0) * 960, "{what}");
            let talk = heard.iter().find(|(n, _)| *n >= 25 + quiet).unwrap();
            // The encoder's own analysis does not say which of its packets is a sign of life.
            let marked = talk.1.header.marker || effort >= 7;
            assert!(marked, "{what}: talk begins with a mark");
            assert!(heard.iter().all(|(_, packet)| packet.payload.len() > 2), "{what}");
            let mut ear = Ear::new(to);
            let again = heard.iter().map(|(n, p)| (*n, ear.hear(&p.payload))).collect::<Vec<_>>();
            let pcm: Vec<i16> = again
                .iter()
                .filter(|(n, _)| *n >= 30 + quiet)
                .flat_map(|(_, pcm)| pcm.clone())
                .collect();
            let (purity, level) = ear.judge(&pcm, 440.0);
            assert!(purity > 0.9 && (4000.0..7000.0).contains(&level), "{what}: {purity} {level}");
        }
        let all = talk_and_pause(from, to, "usedtx=0", 50).len();
        assert!((95..=101).contains(&all), "{from:?}: {all} without the wish");
    }
}

#[test]
fn a_peer_that_leaves_silence_out_is_heard_as_silent() {
    for jitter in [None, Some(60)] {
        let mut world = World::new();
        let mut a = world.call_with(1, Codec::OPUS, |params| {
            params.jitter = jitter.map(|ms| JitterSpec { ms, max_ms: None });
        });
        let b = world.call(2, Codec::PCMU);
        a.leg.bridge(&b.leg).unwrap();
        let (mut mouth, mut ear) = (Ear::new(Codec::OPUS), Ear::new(Codec::PCMU));
        let mut heard = Vec::new();
        for n in 0..170u32 {
            let payload = match n {
                // As browsers do: silence for 200 ms, then a packet of one octet in 400 ms.
                50..60 => mouth.tone_at(440.0, 0.0),
                60..120 if n % 20 == 0 => vec![0x78],
                60..120 => {
                    a.phone.timestamp = a.phone.timestamp.wrapping_add(960);
                    Vec::new()
                }
                _ => mouth.tone(440.0),
            };
            if !payload.is_empty() {
                send(&mut a, Codec::OPUS, &payload);
            }
            world.sim.run_ms(20);
            heard.extend(b.phone.heard().into_iter().map(|packet| (n, packet)));
        }
        let packets: Vec<_> = heard.iter().map(|(_, packet)| packet.clone()).collect();
        assert_continuous(&packets);
        let mut part = |from: u32, to: u32| {
            let of = heard.iter().filter(|(n, _)| (from..to).contains(n));
            of.flat_map(|(_, p)| ear.hear(&p.payload)).collect::<Vec<_>>()
        };
        let pause = part(58, 120);
        let loudest = pause.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
        assert!(loudest < 300, "{jitter:?}: {loudest} in the pause");
        let after = part(132, 170);
        let (purity, level) = ear.judge(&after, 440.0);
        assert!(purity > 0.9 && (4000.0..7000.0).contains(&level), "{jitter:?}: {purity} {level}");
    }
}

#[test]
fn what_comes_from_a_telephone_is_encoded_narrow_and_what_comes_after_it_wide() {
    // RFC 6716 §3.1: the bandwidth a packet says it has.
    let band = |payload: &[u8]| match payload[0] >> 3 {
        0..4 | 16..20 => 8000,
        4..8 => 12_000,
        8..12 | 20..24 => 16_000,
        12 | 13 | 24..28 => 24_000,
        _ => 48_000,
    };
    for (from, widest) in [(Codec::PCMU, 8000), (Codec::G722, 16_000)] {
        let mut world = World::new();
        let (mut a, b) = (world.call(1, from), world.call(2, Codec::OPUS));
        a.leg.bridge(&b.leg).unwrap();
        let mut mouth = Ear::new(from);
        for _ in 0..50 {
            let payload = mouth.tone(440.0);
            send(&mut a, from, &payload);
            world.sim.run_ms(20);
        }
        let heard = b.phone.heard();
        assert!(heard.len() > 40);
        assert!(heard.iter().skip(2).all(|p| band(&p.payload) <= widest), "{from:?}");
        let wide: std::sync::Arc<[i16]> = (0..96_000u32)
            .map(|n| {
                ((f64::from(n) * 6000.0 * std::f64::consts::TAU / 48_000.0).sin() * 8000.0) as i16
            })
            .collect();
        let plan = media::PlayPlan::from_samples(48_000, wide);
        b.leg.play(Box::new(plan)).unwrap();
        world.sim.run_ms(1500);
        let heard = b.phone.heard();
        let mut ear = Ear::new(Codec::OPUS);
        let pcm: Vec<i16> = heard.iter().flat_map(|p| ear.hear(&p.payload)).collect();
        let (purity, level) = ear.judge(&pcm[pcm.len() / 2..], 6000.0);
        assert!(purity > 0.8 && level > 3000.0, "{from:?}: {purity} {level} after a telephone");
    }
}
