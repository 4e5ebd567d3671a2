//! MP3 recordings, made from simulated calls and decoded by another program's decoder (symphonia). They need LAME, as the
//! recordings do.

mod kit;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use kit::{Call, World};
use media::event::RecordEnd;
use media::record::{Mp3Settings, RecordMix, Redaction, Tags, check_mp3, set_mp3};
use media::{Codec, LegEvent, RecordReport, RecordSpec};
use symphonia::core::audio::SampleBuffer;
use symphonia::core::errors::Error;
use symphonia::core::io::MediaSourceStream;
use symphonia::core::probe::Hint;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("media-mp3-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file's rate, its frames by what its first frame says, and its channels.
fn decode(path: &Path) -> (u32, Option<u64>, Vec<Vec<i16>>) {
    let bytes = std::fs::read(path).unwrap();
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let (probe, codecs) = (symphonia::default::get_probe(), symphonia::default::get_codecs());
    let mut hint = Hint::new();
    hint.with_extension("mp3");
    let mut format =
        probe.format(&hint, stream, &Default::default(), &Default::default()).unwrap().format;
    let params = format.default_track().unwrap().codec_params.clone();
    let mut decoder = codecs.make(&params, &Default::default()).unwrap();
    let mut sides: Vec<Vec<i16>> = vec![Vec::new(); params.channels.unwrap().count()];
    loop {
        let packet = match format.next_packet() {
            Ok(packet) => packet,
            Err(Error::IoError(_)) => break,
            Err(error) => panic!("{error}"),
        };
        let decoded = decoder.decode(&packet).unwrap();
        let mut samples = SampleBuffer::<i16>::new(decoded.capacity() as u64, *decoded.spec());
        samples.copy_interleaved_ref(decoded);
        for frame in samples.samples().chunks_exact(sides.len()) {
            sides.iter_mut().zip(frame).for_each(|(side, sample)| side.push(*sample));
        }
    }
    (params.sample_rate.unwrap(), params.n_frames, sides)
}

/// The share of a tone in the power of samples at 8 kHz.
fn share_of(hz: f64, pcm: &[i16]) -> f64 {
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in pcm.iter().enumerate() {
        let (angle, x) = (std::f64::consts::TAU * hz * n as f64 / 8000.0, f64::from(*sample));
        re += x * angle.cos();
        im += x * angle.sin();
        power += x * x;
    }
    (re * re + im * im) * 2.0 / (power.max(1.0) * pcm.len() as f64)
}

fn loudness(pcm: &[i16]) -> f64 {
    let power: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
    (power / pcm.len().max(1) as f64).sqrt()
}

/// A piece of a tone as 20 ms of L16.
fn tone(hz: f64, frame: usize) -> Vec<u8> {
    let sample = |n: usize| {
        let at = (frame * 160 + n) as f64 / 8000.0;
        ((std::f64::consts::TAU * hz * at).sin() * 8000.0) as i16
    };
    (0..160).flat_map(|n| sample(n).to_be_bytes()).collect()
}

fn done(call: &mut Call) -> RecordReport {
    let done = |e| if let LegEvent::RecordDone { report, .. } = e { Some(report) } else { None };
    call.events().into_iter().find_map(done).expect("the recording ended")
}

fn needs_lame() -> bool {
    let there = check_mp3();
    if let Err(why) = &there {
        let text = why.to_string();
        assert!(text.contains("libmp3lame.so.0") && text.contains("libmp3lame0"), "{text}");
    }
    there.is_ok()
}

#[test]
fn each_side_of_a_bridged_call_is_heard_on_its_own_channel() {
    if !needs_lame() {
        return;
    }
    let folder = Folder::new("stereo");
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::L16_8K), world.call(2, Codec::L16_8K));
    a.leg.bridge(&b.leg).unwrap();
    let mut stereo = RecordSpec::new(folder.0.join("deep/stereo.mp3"));
    stereo.mix = RecordMix::Stereo;
    stereo.tags.title = "a call".to_owned();
    let mono = RecordSpec { mix: RecordMix::Mono, ..stereo.clone() };
    let mono = RecordSpec { path: folder.0.join("mono.MP3"), ..mono };
    let ids = [&stereo, &mono].map(|spec| a.leg.record(spec.clone()).unwrap());
    for n in 0..150 {
        a.phone.speak(&tone(440.0, n));
        b.phone.speak(&tone(1000.0, n));
        world.sim.run_ms(20);
    }
    ids.iter().for_each(|id| a.leg.stop_record(*id).unwrap());
    world.sim.run_ms(20);
    let report = done(&mut a);
    assert_eq!((&report.reason, report.millis()), (&RecordEnd::Stopped, 3000));
    assert_eq!(std::fs::metadata(&report.path).unwrap().len(), report.bytes);
    assert!(std::fs::read(&stereo.path).unwrap().starts_with(b"ID3\x03"));
    let (rate, frames, sides) = decode(&stereo.path);
    assert_eq!((rate, sides.len()), (8000, 2));
    let frames = frames.expect("the first frame says the length");
    assert!((24_000..24_000 + 4 * 576).contains(&frames), "{frames}");
    for (side, own, other) in [(&sides[0], 440.0, 1000.0), (&sides[1], 1000.0, 440.0)] {
        let middle = &side[4000..20_000];
        let shares = (share_of(own, middle), share_of(other, middle));
        assert!(shares.0 > 0.95 && shares.1 < 0.001, "{own}: {shares:?}");
        assert!((4500.0..6500.0).contains(&loudness(middle)), "{}", loudness(middle));
    }
    let (rate, _, sides) = decode(&mono.path);
    assert_eq!((rate, sides.len()), (8000, 1));
    assert!((24_000..24_000 + 5 * 576).contains(&sides[0].len()), "{}", sides[0].len());
    let middle = &sides[0][4000..20_000];
    let shares = [440.0, 1000.0].map(|hz| share_of(hz, middle));
    assert!(shares.iter().all(|share| *share > 0.4), "{shares:?}");
    // Three seconds at 16 kbit/s.
    let len = std::fs::metadata(&mono.path).unwrap().len();
    assert!((6000..7000).contains(&len), "{len}");
}

#[test]
fn a_recording_goes_on_in_the_file_it_ended_in_and_never_in_another_form() {
    if !needs_lame() {
        return;
    }
    let folder = Folder::new("append");
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let mut spec = RecordSpec::new(folder.0.join("two.mp3"));
    spec.mix = RecordMix::Stereo;
    spec.append = true;
    spec.tags = Tags { artist: "tést".to_owned(), ..Tags::default() };
    for hz in [440.0, 1000.0] {
        let id = call.leg.record(spec.clone()).unwrap();
        for n in 0..50 {
            call.phone.speak(&tone(hz, n));
            world.sim.run_ms(20);
        }
        call.leg.stop_record(id).unwrap();
        world.sim.run_ms(20);
        assert_eq!(done(&mut call).reason, RecordEnd::Stopped);
    }
    let (_, frames, sides) = decode(&spec.path);
    let heard = &sides[0];
    assert!((16_000..16_000 + 8 * 576).contains(&heard.len()), "{}", heard.len());
    assert!(
        frames.is_none_or(|frames| frames >= 16_000),
        "no length that is too short: {frames:?}"
    );
    assert!(share_of(440.0, &heard[3000..7500]) > 0.95);
    assert!(share_of(1000.0, &heard[heard.len() - 6500..heard.len() - 2000]) > 0.95);
    spec.mix = RecordMix::Mono;
    call.leg.record(spec.clone()).unwrap();
    world.sim.run_ms(60);
    assert!(matches!(done(&mut call).reason, RecordEnd::Failed(why) if why.contains("channels")));
    std::fs::write(&spec.path, "no frames at all, but a text").unwrap();
    call.leg.record(spec.clone()).unwrap();
    world.sim.run_ms(60);
    assert!(matches!(done(&mut call).reason, RecordEnd::Failed(why) if why.contains("no MP3")));
    assert!(std::fs::read(&spec.path).unwrap().starts_with(b"no frames"), "it is left as it was");
}

#[test]
fn what_is_recorded_so_far_plays_when_the_process_is_gone() {
    if !needs_lame() {
        return;
    }
    let folder = Folder::new("crash");
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let mut spec = RecordSpec::new(folder.0.join("cut.mp3"));
    spec.prompt = true;
    let _id = call.leg.record(spec.clone()).unwrap();
    for n in 0..200 {
        call.phone.speak(&tone(700.0, n));
        world.sim.run_ms(20);
    }
    // It still runs; this is what a crash would leave.
    let copy = folder.0.join("left.mp3");
    std::fs::copy(&spec.path, &copy).unwrap();
    let heard = &decode(&copy).2[0];
    assert!((26_000..32_100).contains(&heard.len()), "{}", heard.len());
    assert!(share_of(700.0, &heard[4000..24_000]) > 0.95);
}

#[test]
fn what_is_to_be_kept_out_is_silent_in_frames_that_were_written() {
    if !needs_lame() {
        return;
    }
    for mix in [RecordMix::Mono, RecordMix::Stereo] {
        let folder = Folder::new(&format!("redact-{mix:?}"));
        let mut world = World::new();
        let mut call = world.call(1, Codec::L16_8K);
        let mut spec = RecordSpec::new(folder.0.join("kept-out.mp3"));
        spec.mix = mix;
        spec.redact = Some(Redaction::default());
        spec.prompt = true;
        let id = call.leg.record(spec.clone()).unwrap();
        for n in 0..300 {
            // Once when it is in the file, and once when it is not even encoded.
            if n == 150 {
                call.leg.silence_recorded(2000, 1000, false).unwrap();
            }
            if n == 250 {
                call.leg.silence_recorded(300, 0, false).unwrap();
            }
            call.phone.speak(&tone(500.0, n));
            world.sim.run_ms(20);
        }
        call.leg.stop_record(id).unwrap();
        world.sim.run_ms(20);
        assert_eq!(done(&mut call).reason, RecordEnd::Stopped);
        let heard = &decode(&spec.path).2[0];
        let at = |ms: usize| ms * 8;
        // 60 ms are held back, and LAME and the decoder take 138 ms.
        let quiet = [(1200, 2200), (4900, 5200)];
        for (from, to) in quiet {
            let piece = &heard[at(from + 20)..at(to - 20)];
            assert!(loudness(piece) < 30.0, "{mix:?} {from}: {}", loudness(piece));
        }
        for (from, to) in [(400, 900), (2600, 4500), (5600, 6000)] {
            let piece = &heard[at(from)..at(to)];
            assert!(share_of(500.0, piece) > 0.9, "{mix:?} {from}: {}", share_of(500.0, piece));
        }
    }
}

#[test]
fn settings_say_how_a_file_is_encoded() {
    if !needs_lame() {
        return;
    }
    let folder = Folder::new("settings");
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    set_mp3(Mp3Settings { kbps: 64, resample: 16_000, quality: 7 });
    let spec = RecordSpec::new(folder.0.join("wide.mp3"));
    let id = call.leg.record(spec.clone()).unwrap();
    world.sim.run_ms(20);
    set_mp3(Mp3Settings::default());
    for n in 0..100 {
        call.phone.speak(&tone(600.0, n));
        world.sim.run_ms(20);
    }
    call.leg.stop_record(id).unwrap();
    world.sim.run_ms(20);
    assert_eq!(done(&mut call).millis(), 2020);
    let len = std::fs::metadata(&spec.path).unwrap().len();
    assert!((15_000..19_000).contains(&len), "{len}");
    let (rate, _, sides) = decode(&spec.path);
    assert_eq!(rate, 16_000);
    // At twice the rate the tone is half as high by the measure.
    assert!(share_of(300.0, &sides[0][8000..24_000]) > 0.95);
}
