//! Two fax machines back to back. Skipped, and said so, where spandsp is not installed.

use std::path::Path;
use std::sync::Arc;

use fax::udptl::{Incoming, Outgoing, REDUNDANCY};
use fax::{
    AnswerDetector, Code, FaxEvent, Gateway, GatewaySetup, Library, Machine, MachineError, Offer,
    Report, Setup, tiff,
};

fn library() -> Option<Arc<Library>> {
    Library::load("").map_err(|error| eprintln!("SKIPPED: {error}")).ok()
}

/// A fax of so many pages of standard resolution, 1,728 by `rows` pixels, each with a pattern of its own.
fn document(path: &Path, pages: u32, rows: u32) {
    let mut out = b"II\x2a\0\x08\0\0\0".to_vec();
    let image = 216 * rows;
    for page in 0..pages {
        let directory = out.len() as u32;
        let extra = directory + 2 + 12 * 12 + 4;
        let data = extra + 16;
        let fields: [(u16, u16, u32); 12] = [
            (256, 4, 1728),
            (257, 4, rows),
            (258, 3, 1),
            (259, 3, 1),
            (262, 3, 0),
            (273, 4, data),
            (277, 3, 1),
            (278, 4, rows),
            (279, 4, image),
            (282, 5, extra),
            (283, 5, extra + 8),
            (296, 3, 2),
        ];
        out.extend((fields.len() as u16).to_le_bytes());
        for (tag, kind, value) in fields {
            out.extend(tag.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend(1_u32.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        out.extend(if page + 1 < pages { data + image } else { 0 }.to_le_bytes());
        for (above, below) in [(204_u32, 1_u32), (98, 1)] {
            out.extend(above.to_le_bytes());
            out.extend(below.to_le_bytes());
        }
        for row in 0..rows {
            let black = (row / 8 + page * 3) % 16 < 4;
            let octet = |n: u32| if black && (n / 4 + page).is_multiple_of(3) { 0xf0 } else { 0 };
            out.extend((0..216).map(octet));
        }
    }
    std::fs::write(path, out).unwrap();
}

fn setup(file: &Path, sends: bool) -> Setup {
    Setup {
        file: file.to_str().unwrap().to_owned(),
        sends,
        calls: sends,
        pages: (-1, -1),
        ident: if sends { "+49 30 1".into() } else { "+49 30 2".into() },
        header: String::new(),
        zone: String::new(),
        ecm: true,
        v17: true,
        tep: false,
        verbose: false,
    }
}

/// What one machine has reported.
#[derive(Default)]
struct Reported {
    negotiated: Option<Report>,
    pages: Vec<Report>,
    done: Option<(Code, String, Report)>,
    lines: usize,
}

impl Reported {
    fn take(&mut self, machine: &mut Machine) {
        while let Some(event) = machine.next_event() {
            match event {
                FaxEvent::Negotiated(report) => self.negotiated = Some(report),
                FaxEvent::PageDone(report) => self.pages.push(report),
                FaxEvent::Finished { code, text, report } => self.done = Some((code, text, report)),
                FaxEvent::Log(..) => self.lines += 1,
            }
        }
    }

    fn code(&self) -> Option<Code> {
        self.done.as_ref().map(|(code, ..)| *code)
    }
}

/// Lets both talk for at most so many seconds of their time.
fn talk(one: &mut Machine, other: &mut Machine, seconds: u32) -> (Reported, Reported) {
    let (mut first, mut second) = (Reported::default(), Reported::default());
    for _ in 0..seconds * 50 {
        let (mut there, mut back) = ([0; 160], [0; 160]);
        one.transmit(&mut there);
        other.transmit(&mut back);
        other.receive(&mut there);
        one.receive(&mut back);
        first.take(one);
        second.take(other);
        if first.done.is_some() && second.done.is_some() {
            break;
        }
    }
    (first, second)
}

#[test]
fn pages_go_over_a_line() {
    let Some(library) = library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from.tif"), dir.path().join("to.tif"));
    document(&from, 3, 200);
    for (ecm, v17, rate) in [(true, true, 14_400), (false, true, 14_400), (true, false, 9600)] {
        let with = |file: &Path, sends| Setup { ecm, v17, ..setup(file, sends) };
        let mut sender = Machine::audio(&library, &with(&from, true)).unwrap();
        let mut receiver = Machine::audio(&library, &with(&to, false)).unwrap();
        let (sent, received) = talk(&mut sender, &mut receiver, 120);
        for reported in [&sent, &received] {
            assert_eq!(reported.code(), Some(Code::OK), "{:?}", reported.done);
            let (_, text, report) = reported.done.clone().unwrap();
            assert_eq!((text.as_str(), report.bit_rate, report.ecm), ("OK", rate, ecm));
            let page = reported.pages.last().unwrap();
            assert_eq!((page.size, page.resolution), ((1728, 200), (8031, 3850)));
            assert!(page.octets > 100 && page.bad_rows == 0, "{page:?}");
            assert_eq!(reported.negotiated.as_ref().map(|report| report.bit_rate), Some(rate));
            assert_eq!((reported.pages.len(), reported.lines), (3, 0));
        }
        let (sent, received) = (sent.done.unwrap().2, received.done.unwrap().2);
        assert_eq!((sent.sent, sent.in_file, received.received), (3, 3, 3));
        assert_eq!((sent.local.as_str(), sent.remote.as_str()), ("+49 30 1", "+49 30 2"));
        assert_eq!(received.remote, "+49 30 1");
        assert_eq!(sent.encoding().1, if ecm { "T.6" } else { "T.4 2-D" });
        drop(receiver);
        let pages = tiff::inspect(&to).unwrap();
        assert_eq!(pages.iter().map(|p| (p.width, p.length)).collect::<Vec<_>>(), [(1728, 200); 3]);
    }
}

#[test]
fn pages_go_over_a_network_that_loses_packets() {
    let Some(library) = library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from.tif"), dir.path().join("to.tif"));
    document(&from, 2, 150);
    let agreed = Offer { max_bit_rate: 14_400 }.options();
    let mut sides = [
        Machine::t38(&library, &setup(&from, true), &agreed).unwrap(),
        Machine::t38(&library, &setup(&to, false), &agreed).unwrap(),
    ];
    let mut reported = [Reported::default(), Reported::default()];
    let mut out = [Outgoing::new(REDUNDANCY, 0), Outgoing::new(REDUNDANCY, 0)];
    let mut inc = [Incoming::default(), Incoming::default()];
    let mut lost = 0_u32;
    for _ in 0..120 * 50 {
        for me in [0, 1] {
            sides[me].advance(160);
            while let Some((packet, count)) = sides[me].next_packet() {
                let datagram = out[me].packet(&packet).unwrap();
                for _ in 0..count.max(1) {
                    lost += 1;
                    if lost.is_multiple_of(5) {
                        continue;
                    }
                    let peer = &mut sides[1 - me];
                    inc[1 - me].take(&datagram, |n, ifp| peer.receive_packet(n, ifp)).unwrap();
                }
            }
            reported[me].take(&mut sides[me]);
        }
        if reported.iter().all(|reported| reported.done.is_some()) {
            break;
        }
    }
    for reported in &reported {
        assert_eq!(reported.code(), Some(Code::OK), "{:?}", reported.done);
    }
    drop(sides);
    assert_eq!(tiff::inspect(&to).unwrap().len(), 2);
}

#[test]
fn a_fax_that_is_ended_says_so() {
    let Some(library) = library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from.tif"), dir.path().join("to.tif"));
    document(&from, 1, 1100);
    let verbose = |file: &Path, sends| Setup { verbose: true, ..setup(file, sends) };
    let mut sender = Machine::audio(&library, &verbose(&from, true)).unwrap();
    let mut receiver = Machine::audio(&library, &verbose(&to, false)).unwrap();
    let (mut sent, _) = talk(&mut sender, &mut receiver, 14);
    assert!(sent.done.is_none() && sender.is_active());
    assert!(sent.lines > 5, "{}", sent.lines);
    sender.terminate();
    sent.take(&mut sender);
    let (code, text, _) = sent.done.unwrap();
    assert_eq!((code, text.as_str()), (Code::DROPPED, "The call dropped prematurely"));
    // Part of a page is no page.
    assert_eq!(receiver.report().received, 0);
}

#[test]
fn what_cannot_be_faxed_is_said_by_its_code() {
    let Some(library) = library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to.tif");
    let wrong = dir.path().join("wrong.tif");
    std::fs::write(&wrong, b"no TIFF at all").unwrap();
    for file in [&wrong, &dir.path().join("missing.tif")] {
        let mut sender = Machine::audio(&library, &setup(file, true)).unwrap();
        let mut receiver = Machine::audio(&library, &setup(&to, false)).unwrap();
        let (sent, _) = talk(&mut sender, &mut receiver, 120);
        assert_eq!(sent.code(), Some(Code::FILE), "{:?}", sent.done);
    }
    let long = "x".repeat(256);
    for name in ["", "a\0b", &long] {
        let bad = Setup { file: name.to_owned(), ..setup(&to, false) };
        assert_eq!(Machine::audio(&library, &bad).err(), Some(MachineError::FileName));
    }
}

#[test]
fn packets_of_noise_do_no_harm() {
    let Some(library) = library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let agreed = Offer { max_bit_rate: 14_400 }.options();
    let setup = setup(&dir.path().join("to.tif"), false);
    let mut machine = Machine::t38(&library, &setup, &agreed).unwrap();
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    for n in 0..20_000_u16 {
        let packet: Vec<u8> = (0..random() % 40).map(|_| random()).collect();
        machine.receive_packet(n, &packet);
        machine.advance(160);
        while machine.next_packet().is_some() || machine.next_event().is_some() {}
    }
}

const GATEWAY: GatewaySetup = GatewaySetup { ecm: true, v17: true, tep: false, verbose: false };

/// A network between a gateway and a machine: UDPTL both ways, of which every `loses`th datagram is lost (0 = none).
struct Network {
    outgoing: [Outgoing; 2],
    incoming: [Incoming; 2],
    loses: u32,
    sent: u32,
}

impl Network {
    fn new(loses: u32) -> Self {
        Self {
            outgoing: [Outgoing::new(REDUNDANCY, 0), Outgoing::new(REDUNDANCY, 0)],
            incoming: [Incoming::default(), Incoming::default()],
            loses,
            sent: 0,
        }
    }

    /// Carries an IFP packet of side `from` to the other.
    fn carry(&mut self, from: usize, ifp: &[u8], count: usize, mut each: impl FnMut(u16, &[u8])) {
        let datagram = self.outgoing[from].packet(ifp).unwrap();
        for _ in 0..count.max(1) {
            self.sent += 1;
            if self.loses > 0 && self.sent.is_multiple_of(self.loses) {
                continue;
            }
            self.incoming[1 - from].take(&datagram, &mut each).unwrap();
        }
    }
}

/// A machine on a line and one on a network with a gateway between them, for at most so many seconds of their time.
fn through_gateway(
    line: &mut Machine,
    gateway: &mut Gateway,
    far: &mut Machine,
    loses: u32,
    seconds: u32,
) -> (Reported, Reported) {
    let mut network = Network::new(loses);
    let (mut first, mut second) = (Reported::default(), Reported::default());
    for _ in 0..seconds * 50 {
        let mut frame = [0; 160];
        line.transmit(&mut frame);
        gateway.receive(&mut frame);
        let mut frame = [0; 160];
        assert_eq!(gateway.transmit(&mut frame), 160, "silence is sent where there is no signal");
        line.receive(&mut frame);
        far.advance(160);
        while let Some((ifp, count)) = gateway.next_packet() {
            network.carry(0, &ifp, count, |number, ifp| far.receive_packet(number, ifp));
        }
        while let Some((ifp, count)) = far.next_packet() {
            network.carry(1, &ifp, count, |number, ifp| gateway.receive_packet(number, ifp));
        }
        first.take(line);
        second.take(far);
        if first.done.is_some() && second.done.is_some() {
            break;
        }
    }
    (first, second)
}

#[test]
fn pages_go_through_a_gateway_in_either_direction() {
    let Some(library) = library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from.tif"), dir.path().join("to.tif"));
    document(&from, 2, 200);
    let agreed = Offer { max_bit_rate: 14_400 }.options();
    // Whether the line sends, loss, ECM of the machines, ECM and V.17 of the gateway, rate.
    for (line_sends, loses, ecm, gateway_ecm, v17, rate) in [
        (true, 0, true, true, true, 14_400),
        (false, 0, true, true, true, 14_400),
        (true, 0, false, true, true, 14_400),
        (false, 0, false, true, true, 14_400),
        (true, 0, true, false, true, 14_400),
        (true, 0, true, true, false, 9600),
        (true, 25, true, true, true, 14_400),
        (false, 25, true, true, true, 14_400),
    ] {
        let case = format!("{line_sends} {loses} {ecm} {gateway_ecm} {v17}");
        let _old = std::fs::remove_file(&to);
        let with = |sends| Setup { ecm, ..setup(if sends { &from } else { &to }, sends) };
        let mut line = Machine::audio(&library, &with(line_sends)).unwrap();
        let mut far = Machine::t38(&library, &with(!line_sends), &agreed).unwrap();
        let set = GatewaySetup { ecm: gateway_ecm, v17, ..GATEWAY };
        let mut gateway = Gateway::new(&library, set, &agreed).unwrap();
        let reports = through_gateway(&mut line, &mut gateway, &mut far, loses, 150);
        for reported in [&reports.0, &reports.1] {
            assert_eq!(reported.code(), Some(Code::OK), "{case}: {:?}", reported.done);
            let report = &reported.done.as_ref().unwrap().2;
            assert_eq!((report.ecm, report.bit_rate), (ecm && gateway_ecm, rate), "{case}");
        }
        let report = gateway.report();
        assert_eq!((report.pages, report.ecm), (2, ecm && gateway_ecm), "{case}");
        drop((line, far));
        assert_eq!(sizes(&to), sizes(&from), "{case}");
    }
}

/// Widths and lengths of a file's pages.
fn sizes(path: &Path) -> Vec<(u64, u64)> {
    tiff::inspect(path).unwrap().iter().map(|page| (page.width, page.length)).collect()
}

#[test]
fn a_gateway_whose_line_falls_silent_keeps_time() {
    let Some(library) = library() else { return };
    let agreed = Offer { max_bit_rate: 14_400 }.options();
    let dir = tempfile::tempdir().unwrap();
    let mut far =
        Machine::t38(&library, &setup(&dir.path().join("to.tif"), false), &agreed).unwrap();
    let mut gateway = Gateway::new(&library, GATEWAY, &agreed).unwrap();
    let mut network = Network::new(0);
    let mut loud = false;
    for _ in 0..50 * 10 {
        gateway.skip(160);
        far.advance(160);
        while let Some((ifp, count)) = far.next_packet() {
            network.carry(1, &ifp, count, |number, ifp| gateway.receive_packet(number, ifp));
        }
        let mut frame = [0; 160];
        gateway.transmit(&mut frame);
        loud |= frame.iter().any(|sample| sample.unsigned_abs() > 1000);
    }
    assert!(loud, "the far machine's signals reach the line");
    assert_eq!(gateway.report().pages, 0);
}

#[test]
fn the_signals_of_a_machine_that_answers_are_found() {
    let Some(library) = library() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from.tif"), dir.path().join("to.tif"));
    document(&from, 1, 100);
    let mut frame = [0; 160];
    // Milliseconds until a machine is found by what it sends.
    let mut found = |sends: bool, after: u32| {
        let file = if sends { &from } else { &to };
        let mut machine = Machine::audio(&library, &setup(file, sends)).unwrap();
        let mut detector = AnswerDetector::new(&library).unwrap();
        (0..6000).step_by(20).find(|ms| {
            machine.transmit(&mut frame);
            *ms >= after && detector.feed(&frame)
        })
    };
    let whole = found(false, 0).expect("CED");
    assert!(whole < 2000, "{whole}");
    // Listening begins after CED: the preamble is left.
    let late = found(false, 3300).expect("preamble");
    assert!((3300..5500).contains(&late), "{late}");
    assert_eq!(found(true, 0), None, "CNG is another signal");
    let mut detector = AnswerDetector::new(&library).unwrap();
    assert!((0..500).all(|_| !detector.feed(&[0; 160])), "silence is none");
}

/// Packets that look like T.38's: indicators, and data fields of all kinds with lengths of all kinds.
fn hostile(random: &mut impl FnMut() -> u8) -> Vec<u8> {
    match random() % 4 {
        0 => (0..random() % 40).map(|_| random()).collect(),
        1 => vec![(random() % 16) << 1],
        _ => {
            let mut packet = vec![0xc0 | (random() % 16) << 1, random() % 4];
            for _ in 0..packet[1].max(1) {
                let length = u16::from(random()) % 300;
                packet.push(0x80 | (random() % 8) << 4);
                packet.extend((length.max(1) - 1).to_be_bytes());
                packet.extend((0..length).map(|_| random()));
            }
            if random().is_multiple_of(3) {
                packet.truncate(usize::from(random()));
            }
            packet
        }
    }
}

#[test]
fn packets_of_noise_do_a_gateway_no_harm() {
    let Some(library) = library() else { return };
    let agreed = Offer { max_bit_rate: 14_400 }.options();
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    for verbose in [false, true] {
        let set = GatewaySetup { verbose, ..GATEWAY };
        let mut gateway = Gateway::new(&library, set, &agreed).unwrap();
        let mut waiting = 0;
        for n in 0..20_000_u32 {
            // Numbers jump as well.
            let number = if random() < 4 { u16::from(random()) << 8 } else { n as u16 };
            gateway.receive_packet(number, &hostile(&mut random));
            let mut frame = [0; 160].map(|_: i16| i16::from(random()) << 6);
            gateway.receive(&mut frame);
            gateway.transmit(&mut frame);
            if n.is_multiple_of(1000) {
                while gateway.next_packet().is_some() {
                    waiting += 1;
                }
                let lines = std::iter::from_fn(|| gateway.next_log_line()).count();
                assert!(lines <= 256 && waiting <= 512 && (verbose || lines == 0), "{lines}");
                waiting = 0;
            }
        }
    }
}
