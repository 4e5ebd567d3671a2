//! Recordings on disk, made from simulated calls.

mod kit;

use std::path::{Path, PathBuf};

use kit::{Call, World};
use media::event::RecordEnd;
use media::record::{RecordMix, SilenceStop, Tags};
use media::{Codec, LegEvent, RecordReport, RecordSpec, wav};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("media-rec-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn report(call: &mut Call) -> RecordReport {
    let events = call.events();
    let done = |e| if let LegEvent::RecordDone { report, .. } = e { Some(report) } else { None };
    events.into_iter().find_map(done).expect("the recording ended")
}

fn speak(world: &mut World, call: &mut Call, frames: usize, value: i16) {
    for _ in 0..frames {
        call.phone.speak(&value.to_be_bytes().repeat(160));
        world.sim.run_ms(20);
    }
}

fn interleaved(path: &Path) -> Vec<i16> {
    let file = std::fs::read(path).unwrap();
    let info = wav::info(&file).unwrap();
    file[info.data].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

#[test]
fn what_the_leg_said_is_in_the_file_for_as_long_as_it_lasted() {
    let folder = Folder::new("said");
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let path = folder.file("deep/er/said.wav");
    let mut spec = RecordSpec::new(&path);
    spec.tags = Tags { title: "a call".to_owned(), ..Tags::default() };
    let id = call.leg.record(spec).unwrap();
    speak(&mut world, &mut call, 100, 1234);
    call.leg.stop_record(id).unwrap();
    world.sim.run_ms(20);
    let report = report(&mut call);
    assert_eq!(report.reason, RecordEnd::Stopped);
    assert_eq!(report.lost, 0);
    assert_eq!(report.millis(), 2000);
    let samples = interleaved(&path);
    assert_eq!(samples.len() as u64, report.samples);
    assert!(samples.iter().filter(|s| **s == 1234).count() >= 97 * 160);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), report.bytes);
}

#[test]
fn a_bridged_call_in_stereo_has_a_side_for_each() {
    let folder = Folder::new("stereo");
    let mut world = World::new();
    let (mut a, mut b) = (world.call(1, Codec::L16_8K), world.call(2, Codec::L16_8K));
    a.leg.bridge(&b.leg).unwrap();
    let path = folder.file("stereo.wav");
    let mut spec = RecordSpec::new(&path);
    spec.mix = RecordMix::Stereo;
    let id = a.leg.record(spec).unwrap();
    for _ in 0..50 {
        a.phone.speak(&111i16.to_be_bytes().repeat(160));
        b.phone.speak(&222i16.to_be_bytes().repeat(160));
        world.sim.run_ms(20);
    }
    a.leg.stop_record(id).unwrap();
    world.sim.run_ms(20);
    assert_eq!(report(&mut a).reason, RecordEnd::Stopped);
    let samples = interleaved(&path);
    let middle = &samples[samples.len() / 4 * 2..samples.len() / 4 * 2 + 320];
    assert!(middle.chunks_exact(2).all(|s| s == [111, 222]), "{:?}", &middle[..8]);
}

#[test]
fn silence_ends_it_and_the_limit_ends_it() {
    let folder = Folder::new("ends");
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let mut spec = RecordSpec::new(folder.file("silence.wav"));
    spec.mix = RecordMix::ReadOnly;
    spec.silence = Some(SilenceStop { threshold: 200, after_ms: 1000, before_ms: None });
    call.leg.record(spec).unwrap();
    speak(&mut world, &mut call, 100, 1000);
    speak(&mut world, &mut call, 70, 10);
    let ended = report(&mut call);
    assert_eq!(ended.reason, RecordEnd::Silence);
    assert!((2950..=3150).contains(&ended.millis()), "{}", ended.millis());
    let mut spec = RecordSpec::new(folder.file("limit.wav"));
    spec.limit_ms = Some(500);
    call.leg.record(spec).unwrap();
    world.sim.run_ms(600);
    let ended = report(&mut call);
    assert_eq!((&ended.reason, ended.millis()), (&RecordEnd::Limit, 500));
}

#[test]
fn another_rate_is_converted_and_another_extension_coded() {
    let folder = Folder::new("formats");
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    let mut spec = RecordSpec::new(folder.file("wide.wav"));
    spec.rate = Some(16_000);
    let wide = call.leg.record(spec).unwrap();
    let coded = call.leg.record(RecordSpec::new(folder.file("coded.PCMU"))).unwrap();
    for _ in 0..50 {
        call.phone.speak(&[0x35; 160]);
        world.sim.run_ms(20);
    }
    call.leg.stop_record(wide).unwrap();
    call.leg.stop_record(coded).unwrap();
    world.sim.run_ms(20);
    let info = wav::info(&std::fs::read(folder.file("wide.wav")).unwrap()).unwrap();
    assert_eq!(info.rate, 16_000);
    assert!((31_000..=32_100).contains(&info.data.len()), "{}", info.data.len());
    let coded = std::fs::read(folder.file("coded.PCMU")).unwrap();
    assert_eq!(coded.len(), 8000);
    assert_eq!(coded[4000], 0x35);
}

#[test]
fn appending_goes_on_where_the_file_ended() {
    let folder = Folder::new("append");
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    for append in [false, true] {
        let mut spec = RecordSpec::new(folder.file("two.wav"));
        spec.append = append;
        spec.tags.artist = "twice".to_owned();
        let id = call.leg.record(spec).unwrap();
        speak(&mut world, &mut call, 10, 5);
        call.leg.stop_record(id).unwrap();
        world.sim.run_ms(20);
    }
    assert_eq!(interleaved(&folder.file("two.wav")).len(), 2 * 1600);
}

#[test]
fn what_is_appended_takes_the_rate_of_the_file_and_never_its_wrong_channels() {
    let folder = Folder::new("append-rate");
    std::fs::create_dir_all(&folder.0).unwrap();
    let header = |channels| wav::Header { rate: 16_000, channels }.bytes(3200, 0);
    // A file of other software, with a chunk before its audio.
    let mut file = header(1).to_vec();
    file.splice(36..36, *b"junk\x04\0\0\0none");
    file.extend([1, 0].repeat(1600));
    std::fs::write(folder.file("other.wav"), &file).unwrap();
    std::fs::write(folder.file("stereo.wav"), [header(2).to_vec(), vec![0; 3200]].concat())
        .unwrap();
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    let mut spec = RecordSpec::new(folder.file("other.wav"));
    spec.append = true;
    let id = call.leg.record(spec.clone()).unwrap();
    speak(&mut world, &mut call, 50, 5);
    call.leg.stop_record(id).unwrap();
    world.sim.run_ms(20);
    let (info, samples) = wav::decode(&std::fs::read(folder.file("other.wav")).unwrap()).unwrap();
    assert_eq!((info.rate, &samples[..1600]), (16_000, &[1; 1600][..]));
    assert!((1600 + 15_500..1600 + 16_400).contains(&samples.len()), "{}", samples.len());
    call.events();
    spec.path = folder.file("stereo.wav");
    call.leg.record(spec).unwrap();
    world.sim.run_ms(20);
    assert!(matches!(report(&mut call).reason, RecordEnd::Failed(why) if why.contains("channels")));
    assert_eq!(std::fs::read(folder.file("stereo.wav")).unwrap().len(), 44 + 3200);
}

#[test]
fn a_file_that_cannot_be_written_is_told_not_hidden() {
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    call.leg.record(RecordSpec::new("/proc/none/x.wav")).unwrap();
    world.sim.run_ms(60);
    assert!(matches!(report(&mut call).reason, RecordEnd::Failed(_)));
    call.phone.speak(&[1; 160]);
    world.sim.run_ms(60);
}

#[test]
fn a_disk_that_fills_up_ends_the_recording_with_the_reason_and_not_the_call() {
    let folder = Folder::new("full");
    std::fs::create_dir_all(&folder.0).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.file("call.raw")).unwrap();
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    call.leg.echo(true).unwrap();
    call.leg.record(RecordSpec::new(folder.file("call.raw"))).unwrap();
    speak(&mut world, &mut call, 300, 1000);
    let report = report(&mut call);
    assert!(
        matches!(&report.reason, RecordEnd::Failed(why) if why.contains("space")),
        "{report:?}"
    );
    let before = call.phone.heard().len();
    assert!(before > 290, "{before}");
    speak(&mut world, &mut call, 10, 1000);
    assert!(call.phone.heard().len() >= 9);
}

#[test]
fn a_format_that_cannot_be_written_is_refused_by_name() {
    let folder = Folder::new("formats");
    let mut world = World::new();
    let mut call = world.call(1, Codec::PCMU);
    call.leg.record(RecordSpec::new(folder.file("call.gsm"))).unwrap();
    world.sim.run_ms(50);
    let report = report(&mut call);
    assert!(matches!(&report.reason, RecordEnd::Failed(why) if why.contains("gsm")), "{report:?}");
    assert!(!folder.file("call.gsm").exists());
}

#[test]
fn closing_the_leg_closes_the_file() {
    let folder = Folder::new("close");
    let mut world = World::new();
    let mut call = world.call(1, Codec::L16_8K);
    call.leg.record(RecordSpec::new(folder.file("cut.wav"))).unwrap();
    speak(&mut world, &mut call, 50, 7);
    let Call { leg, mut events, .. } = call;
    drop(leg);
    world.sim.run_ms(20);
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert!(
        told.iter().any(|e| matches!(e, LegEvent::RecordDone { report, .. }
        if report.reason == RecordEnd::Closed && report.samples == 8000)),
        "{told:?}"
    );
    assert_eq!(interleaved(&folder.file("cut.wav")).len(), 8000);
}

#[test]
fn writing_over_leaves_the_rest_of_an_older_file() {
    for name in ["over.wav", "over.raw"] {
        let folder = Folder::new(&format!("over-{}", &name[5..]));
        let mut world = World::new();
        let mut call = world.call(1, Codec::L16_8K);
        let path = folder.file(name);
        for (frames, value, over) in [(50, 1111, false), (20, 2222, true)] {
            let mut spec = RecordSpec::new(&path);
            spec.mix = RecordMix::ReadOnly;
            spec.over = over;
            spec.tags.title = "a tag".to_owned();
            let id = call.leg.record(spec).unwrap();
            speak(&mut world, &mut call, frames, value);
            call.leg.stop_record(id).unwrap();
            world.sim.run_ms(20);
            assert_eq!(report(&mut call).reason, RecordEnd::Stopped);
        }
        let samples = match name {
            "over.wav" => interleaved(&path),
            _ => std::fs::read(&path)
                .unwrap()
                .chunks_exact(2)
                .map(|b| i16::from_le_bytes([b[0], b[1]]))
                .collect(),
        };
        assert_eq!(samples.len(), 50 * 160, "{name}: as long as it was");
        assert!(samples[8 * 160..18 * 160].iter().all(|s| *s == 2222), "{name}: the new");
        assert!(samples[25 * 160..].iter().all(|s| *s == 1111), "{name}: the old");
    }
}

#[test]
fn a_leg_that_is_recorded_hears_noise_where_that_is_asked_for() {
    let folder = Folder::new("waste");
    let mut world = World::new();
    let call = world.call(1, Codec::L16_8K);
    let mut spec = RecordSpec::new(folder.file("waste.wav"));
    spec.mix = RecordMix::ReadOnly;
    let quiet = call.leg.record(spec.clone()).unwrap();
    world.sim.run_ms(400);
    assert!(call.phone.heard().is_empty(), "nothing is sent unless it is asked for");
    call.leg.stop_record(quiet).unwrap();
    spec.waste = Some(1400);
    let id = call.leg.record(spec).unwrap();
    world.sim.run_ms(400);
    let heard = call.phone.heard();
    assert!(heard.len() >= 15, "{}", heard.len());
    call.leg.stop_record(id).unwrap();
    world.sim.run_ms(40);
    let _last = call.phone.heard();
    world.sim.run_ms(200);
    assert!(call.phone.heard().is_empty(), "it ends with the recording");
}
