//! What bridged calls cost on this machine, over loopback, beside a bare forwarder's cost.
//!
//! `cargo run --profile bench -p ferroswitch-media --example load [calls] [seconds] [calls with an encoder]`
//!
//! Each call is two phones on sockets of their own, bridged; each phone sends 50 packets a second
//! that carry the time they were sent. Printed per mode: the worker thread's CPU time as a share of
//! a core per call, delay added, and packets lost. Legs of browsers speak Opus over SRTP (AES_CM_128_HMAC_SHA1_80); what their
//! protection and their codec cost stands beside our own plain relay.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use media::rtp::{HEADER_LEN, write_header};
use media::srtp::{Keying, OVERHEAD, Srtp, SrtpKeys, Suite};
use media::{Codec, Engine, EngineConfig, Leg, PlayPlan, ProtectionSpec, RtpParams, RtpSpec};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PAYLOAD: usize = 160;

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let calls: usize = args.next().and_then(|a| a.parse().ok()).unwrap_or(200);
    let seconds: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(10);
    println!("{calls} calls, {seconds} s each");
    bare(calls, seconds)?;
    let relay = bridged("bridged PCMU", [PLAIN, PLAIN], calls, seconds)?;
    let marked = |name: &str, sides: [Side; 2], calls: usize| {
        let cost = bridged(name, sides, calls, seconds)?;
        println!("    {:.2} times the plain relay", cost / relay.max(f64::EPSILON));
        Ok::<_, io::Error>(())
    };
    marked("PCMU, SRTP to RTP", [SECURE, PLAIN], calls)?;
    marked("PCMU, SRTP to SRTP", [SECURE, SECURE], calls)?;
    marked("Opus, SRTP to SRTP", [BROWSER, BROWSER], calls)?;
    // An encoder per call: more would fill the core, and a full one says nothing of the cost.
    let coded: usize = args.next().and_then(|a| a.parse().ok()).unwrap_or(100).min(calls);
    marked("Opus SRTP to PCMU RTP", [BROWSER, PLAIN], coded)?;
    let rated = |rate| Codec::by_pref("opus", rate).expect("a rate of Opus");
    let opus = |rate| Side { codec: rated(rate), secure: true };
    marked(
        "Opus at 16 kHz to G722",
        [opus(16_000), Side { codec: Codec::G722, secure: false }],
        coded,
    )?;
    marked("Opus at 8 kHz to PCMU", [opus(8000), PLAIN], coded)?;
    bridged("PCMU-PCMA", [PLAIN, Side { codec: Codec::PCMA, secure: false }], calls, seconds)?;
    playing(calls, seconds)
}

/// How one party of a call speaks.
#[derive(Clone, Copy, PartialEq)]
struct Side {
    codec: Codec,
    secure: bool,
}

const PLAIN: Side = Side { codec: Codec::PCMU, secure: false };
const SECURE: Side = Side { codec: Codec::PCMU, secure: true };
const BROWSER: Side = Side { codec: Codec::OPUS, secure: true };

/// The keys of both directions, seen from the switch, or from the phone.
fn keys(phone: bool) -> SrtpKeys {
    let suite = Suite::Aes128CmSha80;
    let key = |octet: u8| {
        let master = vec![octet; suite.key_len() + suite.salt_len()];
        Keying::new(suite, &master).expect("a key of the right length")
    };
    let (ours, theirs) = if phone { (key(2), key(1)) } else { (key(1), key(2)) };
    SrtpKeys { local: ours, remote: Some(theirs) }
}

/// A second of packets in a codec: a voice-like sound, so that none is silence to it.
fn said(codec: Codec) -> Vec<Vec<u8>> {
    let samples = codec.frame_samples(20);
    let rate = f64::from(codec.rate());
    let mut coder = codec.coder(None);
    let wave = |n: usize| {
        let t = n as f64 / rate;
        let pitch = (t * 140.0 * std::f64::consts::TAU).sin();
        let vowel =
            (t * 900.0 * std::f64::consts::TAU).sin() + (t * 2100.0 * std::f64::consts::TAU).sin();
        ((pitch + 1.0) * vowel * 3000.0 * (t * 4.0).sin().abs()) as i16
    };
    (0..50)
        .map(|frame| {
            let pcm: Vec<i16> = (frame * samples..(frame + 1) * samples).map(wave).collect();
            let mut out = vec![0; 1500];
            let n = match &mut coder.encoder {
                Some(encoder) => encoder.encode(&pcm, &mut out),
                None => codec.encode(&pcm, &mut out),
            };
            out.truncate(n);
            out
        })
        .collect()
}

/// Two bound sockets per call in a plain poll loop: the floor.
fn bare(calls: usize, seconds: u64) -> io::Result<()> {
    use rustix::event::epoll;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = Vec::new();
    let mut phones = Vec::new();
    for index in 0..calls * 2 {
        let socket = UdpSocket::bind((LOOPBACK, 0))?;
        socket.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&epoll, &socket, data, epoll::EventFlags::IN)?;
        phones.push(Phone::new(index)?);
        sockets.push(socket);
    }
    let targets: Vec<SocketAddr> = phones.iter().map(|p| p.addr).collect();
    for (phone, socket) in phones.iter_mut().zip(&sockets) {
        phone.server = socket.local_addr()?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let forwarder = thread::Builder::new().name("bare-forwarder".to_owned()).spawn(move || {
        let mut buffer = [0; 2048];
        let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        while !flag.load(Ordering::Relaxed) {
            let mut events = Vec::with_capacity(1024);
            let spare = rustix::buffer::spare_capacity(&mut events);
            let _ = epoll::wait(&epoll, spare, Some(&timeout));
            for event in &events {
                let index = event.data.u64() as usize;
                if let Ok((len, _)) = sockets[index].recv_from(&mut buffer) {
                    let _ = sockets[index ^ 1].send_to(&buffer[..len], targets[index ^ 1]);
                }
            }
        }
    })?;
    let report = drive(phones, seconds, "bare-forwarder", true);
    stop.store(true, Ordering::Relaxed);
    let _ = forwarder.join();
    report.print("bare forwarder", calls);
    Ok(())
}

fn engine() -> io::Result<Engine> {
    Engine::start(EngineConfig {
        workers: Some(1),
        port_min: 30_000,
        port_max: 39_998,
        ..EngineConfig::default()
    })
}

fn leg(engine: &Engine, side: Side, phone: &mut Phone) -> Leg {
    let codec = side.codec;
    let (leg, events) = engine.open_rtp(RtpSpec::new(LOOPBACK)).expect("ports for all calls");
    // Nothing listens: the engine must not mind.
    drop(events);
    let mut params = RtpParams::new(codec, codec.static_pt().unwrap_or(96));
    params.remote = Some(phone.addr);
    params.te_recv = Some(101);
    params.rtcp_interval = Some(Duration::from_secs(5));
    if side.secure {
        params.protection = ProtectionSpec::Keys(keys(false));
        phone.protection = Some(Srtp::new(keys(true)));
    }
    leg.set_rtp(params).expect("room in the queue");
    phone.server = SocketAddr::new(LOOPBACK, leg.rtp_port());
    phone.pt = codec.static_pt().unwrap_or(96);
    phone.ticks = codec.ticks(codec.frame_samples(20)) as u32;
    phone.said = said(codec);
    leg
}

/// Prints what such calls cost; returns the share of a core per call.
fn bridged(name: &str, sides: [Side; 2], calls: usize, seconds: u64) -> io::Result<f64> {
    let engine = engine()?;
    let mut phones = Vec::new();
    let mut legs = Vec::new();
    for index in 0..calls {
        let (mut one, mut two) = (Phone::new(index * 2)?, Phone::new(index * 2 + 1)?);
        let (left, right) = (leg(&engine, sides[0], &mut one), leg(&engine, sides[1], &mut two));
        left.bridge(&right).expect("room in the queue");
        phones.extend([one, two]);
        legs.extend([left, right]);
    }
    // The send time is in the samples of plain PCMU: what is transcoded or protected does not show it.
    let timed = sides == [PLAIN, PLAIN];
    let report = drive(phones, seconds, "media-0", timed);
    let cost = report.cpu / calls as f64;
    report.print(name, calls);
    print_load(&engine);
    Ok(cost)
}

fn playing(calls: usize, seconds: u64) -> io::Result<()> {
    let engine = engine()?;
    let prompt: Arc<[i16]> = (0..80_000).map(|n| (n % 200) as i16 * 50).collect();
    let mut phones = Vec::new();
    let mut legs = Vec::new();
    for index in 0..calls {
        let mut phone = Phone::new(index)?;
        let leg = leg(&engine, PLAIN, &mut phone);
        let plan = PlayPlan::from_samples(8000, Arc::clone(&prompt)).repeated(None);
        leg.play(Box::new(plan)).expect("room in the queue");
        phones.push(phone);
        legs.push(leg);
    }
    drive(phones, seconds, "media-0", false).print("playback (and 50 pps in)", calls);
    print_load(&engine);
    Ok(())
}

fn print_load(engine: &Engine) {
    for load in engine.load() {
        println!("    {load:?}");
    }
    println!("    resident {} kB", status_kb("VmRSS"));
}

struct Phone {
    socket: UdpSocket,
    addr: SocketAddr,
    server: SocketAddr,
    pt: u8,
    seq: u16,
    /// Timestamp units of a packet.
    ticks: u32,
    /// Payloads, said one after the other without end.
    said: Vec<Vec<u8>>,
    protection: Option<Srtp>,
    offset: Duration,
}

impl Phone {
    fn new(index: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind((LOOPBACK, 0))?;
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        // Spread over the packet interval, like calls that began at any time.
        let offset = Duration::from_micros(index as u64 * 7919 % 20_000);
        let (ticks, said, protection) = (PAYLOAD as u32, vec![vec![0xd5; PAYLOAD]], None);
        Ok(Self { socket, addr, server: addr, pt: 0, seq: 0, ticks, said, protection, offset })
    }

    fn speak(&mut self, started: Instant) {
        let mut packet = [0; 1500 + OVERHEAD];
        self.seq = self.seq.wrapping_add(1);
        let payload = &self.said[usize::from(self.seq) % self.said.len()];
        let mut len = HEADER_LEN + payload.len();
        packet[HEADER_LEN..len].copy_from_slice(payload);
        if let Some(head) = packet.first_chunk_mut() {
            let timestamp = u32::from(self.seq).wrapping_mul(self.ticks);
            write_header(head, false, self.pt, self.seq, timestamp, u32::from(self.addr.port()));
        }
        match &mut self.protection {
            Some(srtp) => len = srtp.protect_rtp(&mut packet, len).expect("room for the tag"),
            None => {
                let now = started.elapsed().as_nanos() as u64;
                packet[HEADER_LEN..HEADER_LEN + 8].copy_from_slice(&now.to_be_bytes());
            }
        }
        let _ = self.socket.send_to(&packet[..len], self.server);
    }
}

struct Report {
    cpu: f64,
    sent: u64,
    heard: u64,
    delays_us: Vec<u32>,
    switches: f64,
}

impl Report {
    fn print(mut self, name: &str, calls: usize) {
        self.delays_us.sort_unstable();
        let at = |share: f64| {
            let index = (self.delays_us.len() as f64 * share) as usize;
            self.delays_us.get(index).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
        };
        println!(
            "{name:26} {:.4} % of a core per call; delay p50 {:.2} p99 {:.2} ms; sent {} heard {}; {:.0} switches/s",
            self.cpu * 100.0 / calls as f64,
            at(0.5),
            at(0.99),
            self.sent,
            self.heard,
            self.switches,
        );
    }
}

/// Sends and receives for all phones; measures the thread called `thread` meanwhile.
fn drive(mut phones: Vec<Phone>, seconds: u64, thread: &str, timed: bool) -> Report {
    let started = Instant::now();
    let mut due: Vec<Duration> = phones.iter().map(|p| p.offset).collect();
    let warm_up = Duration::from_secs(1);
    let end = Duration::from_secs(seconds) + warm_up;
    let mut report = Report { cpu: 0.0, sent: 0, heard: 0, delays_us: Vec::new(), switches: 0.0 };
    let mut before = None;
    loop {
        let now = started.elapsed();
        if before.is_none() && now > warm_up {
            before = Some((usage(thread), now));
        }
        if now > end + Duration::from_millis(200) {
            break;
        }
        for (phone, due) in phones.iter_mut().zip(&mut due) {
            if now >= *due && now < end {
                phone.speak(started);
                *due += Duration::from_millis(20);
                report.sent += 1;
            }
            let mut buffer = [0; 2048];
            while let Ok(len) = phone.socket.recv(&mut buffer) {
                report.heard += 1;
                let stamp = buffer.get(HEADER_LEN..len).and_then(|p| p.first_chunk::<8>());
                if let (true, Some(stamp)) = (timed && now > warm_up, stamp) {
                    let sent = u64::from_be_bytes(*stamp);
                    let took = (started.elapsed().as_nanos() as u64).saturating_sub(sent);
                    report.delays_us.push((took / 1000) as u32);
                }
            }
        }
        thread::sleep(Duration::from_micros(300));
        if now < end
            && now > warm_up
            && let Some((used, at)) = before
        {
            let (cpu, switches) = usage(thread);
            let span = (now - at).as_secs_f64().max(0.001);
            report.cpu = (cpu - used.0) / span;
            report.switches = (switches - used.1) / span;
        }
    }
    report
}

/// CPU seconds and voluntary context switches of the thread of that name.
fn usage(name: &str) -> (f64, f64) {
    let mut ids = HashMap::new();
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let comm = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        ids.insert(comm.trim().to_owned(), entry.path());
    }
    let Some(path) = ids.get(name) else { return (0.0, 0.0) };
    let schedstat = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
    let ns: f64 = schedstat.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    let status = fs::read_to_string(path.join("status")).unwrap_or_default();
    (ns / 1e9, field(&status, "voluntary_ctxt_switches") as f64)
}

fn status_kb(name: &str) -> u64 {
    field(&fs::read_to_string("/proc/self/status").unwrap_or_default(), name)
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|l| l.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}
