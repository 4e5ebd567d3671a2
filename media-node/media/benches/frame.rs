//! What one 20 ms frame costs in each step of the media path, in nanoseconds.
//!
//! `cargo bench -p ferroswitch-media`; the cost of whole calls is `examples/load.rs`.

use std::hint::black_box;
use std::time::Instant;

use media::conceal::Concealer;
use media::dtmf::inband::Detector;
use media::jitter::JitterBuffer;
use media::resample::Converter;
use media::rtp::{HEADER_LEN, Header, write_header};
use media::sim::Sim;
use media::tone::{Generator, Tones};
use media::{Codec, EngineConfig, PairSpec, PlayPlan};

fn main() {
    let pcm: Vec<i16> = (0..160).map(|n| ((n * 977) % 20_000 - 10_000) as i16).collect();
    for codec in [Codec::PCMU, Codec::PCMA, Codec::L16_8K] {
        let mut payload = [0; 320];
        time(&format!("encode {}", codec.name()), || codec.encode(black_box(&pcm), &mut payload));
        let mut out = [0; 160];
        time(&format!("decode {}", codec.name()), || codec.decode(black_box(&payload), &mut out));
    }
    concealing(&pcm);
    packets();
    resampling(&pcm);
    let mut detector = Detector::new(8000);
    time("look for digits in the audio", || detector.feed(black_box(&pcm), |_, _| {}));
    let tones = Tones::parse("L=-1;%(2000,4000,440,480)").expect("a ring");
    let mut generator = Generator::new(tones, 8000);
    let mut frame = [0; 160];
    time("two tones", || generator.fill(black_box(&mut frame)));
    playback();
}

fn concealing(pcm: &[i16]) {
    let mut concealer = Concealer::new(8000);
    let mut frame = pcm.to_vec();
    time("remember a frame against loss", || concealer.heard(black_box(&mut frame)));
    time("lose a frame and get the next", || {
        concealer.conceal(black_box(&mut frame));
        concealer.heard(black_box(&mut frame));
    });
}

fn packets() {
    let mut packet = vec![0x55; HEADER_LEN + 160];
    let head = packet.first_chunk_mut().expect("twelve octets");
    write_header(head, false, 0, 1, 160, 7);
    time("read a packet's header", || Header::parse(black_box(&packet)));
    let mut buffer = JitterBuffer::new(256, 2);
    let mut seq = 0u16;
    time("jitter buffer, in and out", || {
        buffer.put(seq, u32::from(seq) * 160, black_box(&packet[HEADER_LEN..]));
        seq = seq.wrapping_add(1);
        black_box(buffer.get());
    });
}

fn resampling(pcm: &[i16]) {
    for (from, to) in [(8000, 16_000), (16_000, 8000), (8000, 48_000), (48_000, 8000)] {
        let mut converter = Converter::new(from, to).expect("ordinary rates");
        let input: Vec<i16> = pcm.iter().copied().cycle().take(from as usize / 50).collect();
        time(&format!("{from} to {to} Hz"), || {
            converter.push(black_box(&input), |piece| {
                black_box(piece.len());
            });
        });
    }
}

/// The whole path of a played frame in simulated time, network and encoding included.
fn playback() {
    let config = EngineConfig { workers: Some(1), ..EngineConfig::default() };
    let (engine, mut sim) = Sim::start(&config);
    let legs: Vec<_> = (0..100)
        .map(|_| {
            let ((one, _a), (two, _b)) = engine.open_pair(PairSpec::default()).expect("room");
            let plan = PlayPlan::from_samples(8000, vec![1000; 8000].into()).repeated(None);
            one.play(Box::new(plan)).expect("room");
            (one, two)
        })
        .collect();
    sim.run_ms(100);
    let per_pass = time("20 ms of 100 plays between in-memory legs", || sim.run_ms(20));
    println!("{:>10.0} ns per played and received frame", per_pass / legs.len() as f64);
}

/// Runs `work` for about a third of a second; prints and gives the mean.
fn time<T>(name: &str, mut work: impl FnMut() -> T) -> f64 {
    for _ in 0..100 {
        black_box(work());
    }
    let started = Instant::now();
    let mut rounds = 0u32;
    while started.elapsed().as_millis() < 300 {
        for _ in 0..100 {
            black_box(work());
        }
        rounds += 100;
    }
    let ns = started.elapsed().as_nanos() as f64 / f64::from(rounds);
    println!("{ns:>10.1} ns  {name}");
    ns
}
