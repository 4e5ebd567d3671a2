//! The invariant that a media thread neither allocates nor frees per packet, held against the real
//! engine on loopback: every allocation is counted by the thread that makes it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use media::rtp::{HEADER_LEN, write_header};
use media::{Codec, Engine, EngineConfig, Leg, RtpParams, RtpSpec};

/// Counts what the worker does, once it is known which thread that is.
struct Counting;

static WORKER: AtomicI32 = AtomicI32::new(0);
static BY_WORKER: AtomicU64 = AtomicU64::new(0);

fn note() {
    let worker = WORKER.load(Ordering::Relaxed);
    if worker != 0 && rustix::thread::gettid().as_raw_nonzero().get() == worker {
        BY_WORKER.fetch_add(1, Ordering::Relaxed);
    }
}

/// Finds the engine's only worker among this process's threads.
fn find_worker() -> i32 {
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = thread.unwrap().path();
        if std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "media-0") {
            return path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        }
    }
    panic!("the engine has no worker");
}

// SAFETY: every call is handed on to the system's allocator as it came; counting touches neither the
// memory nor the layout.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promises about the layout are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note();
        // SAFETY: the pointer came from `alloc` above, thus from the system, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Phone {
    socket: UdpSocket,
    server: SocketAddr,
    leg: Leg,
    seq: u16,
}

impl Phone {
    fn new(engine: &Engine, codec: Codec, edit: impl Fn(&mut RtpParams)) -> Self {
        let socket = UdpSocket::bind((HERE, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (leg, events) = engine.open_rtp(RtpSpec::new(HERE)).unwrap();
        // Nothing reads the events of these legs: they are not kept either.
        drop(events);
        let mut params = RtpParams::new(codec, codec.static_pt().unwrap());
        params.remote = Some(socket.local_addr().unwrap());
        edit(&mut params);
        leg.set_rtp(params).unwrap();
        let server = SocketAddr::new(HERE, leg.rtp_port());
        Self { socket, server, leg, seq: 0 }
    }

    fn speak(&mut self, pt: u8) {
        self.seq += 1;
        let mut packet = [0x55; HEADER_LEN + 160];
        let timestamp = u32::from(self.seq) * 160;
        write_header(packet.first_chunk_mut().unwrap(), false, pt, self.seq, timestamp, 7);
        self.socket.send_to(&packet, self.server).unwrap();
    }

    fn hear(&self) {
        self.socket.recv(&mut [0; 2048]).expect("a packet");
    }
}

/// Sends packets one at a time until each has come out at the other side; gives what the worker
/// allocated during the second half.
fn relayed(from: &mut Phone, to: &Phone, pt: u8) -> u64 {
    let mut before = 0;
    for n in 0..200 {
        if n == 100 {
            before = BY_WORKER.load(Ordering::SeqCst);
        }
        from.speak(pt);
        to.hear();
    }
    BY_WORKER.load(Ordering::SeqCst) - before
}

#[test]
fn a_worker_allocates_nothing_per_packet() {
    let config =
        EngineConfig { workers: Some(1), port_min: 23_000, port_max: 23_999, ..Default::default() };
    let engine = Engine::start(config).unwrap();
    let (mut a, b) =
        (Phone::new(&engine, Codec::PCMU, |_| {}), Phone::new(&engine, Codec::PCMU, |_| {}));
    a.leg.bridge(&b.leg).unwrap();
    // A packet has come through: the thread runs and has its name.
    relayed(&mut a, &b, 0);
    WORKER.store(find_worker(), Ordering::SeqCst);
    assert_eq!(relayed(&mut a, &b, 0), 0, "relayed");

    let (mut a, b) =
        (Phone::new(&engine, Codec::PCMU, |_| {}), Phone::new(&engine, Codec::PCMA, |_| {}));
    a.leg.bridge(&b.leg).unwrap();
    assert_eq!(relayed(&mut a, &b, 0), 0, "transcoded");

    let (mut a, b) = (
        Phone::new(&engine, Codec::PCMU, |_| {}),
        Phone::new(&engine, Codec::PCMU, |p| p.ptime = 10),
    );
    a.leg.bridge(&b.leg).unwrap();
    assert_eq!(relayed(&mut a, &b, 0), 0, "repacked");

    let (a, b) =
        (Phone::new(&engine, Codec::PCMU, |_| {}), Phone::new(&engine, Codec::PCMU, |_| {}));
    for phone in [&a, &b] {
        let pcm: Vec<i16> = vec![1000; 80_000];
        phone.leg.play(Box::new(media::PlayPlan::from_samples(8000, pcm.into()))).unwrap();
        (0..10).for_each(|_| phone.hear());
    }
    let before = BY_WORKER.load(Ordering::SeqCst);
    (0..50).for_each(|_| {
        a.hear();
        b.hear();
    });
    assert_eq!(BY_WORKER.load(Ordering::SeqCst) - before, 0, "played");

    // The counter sees the worker at all: a conference grows when a member joins.
    let (mixer, _events) = engine.open_mixer(8000, 20).unwrap();
    a.leg.join(&mixer, media::MemberOptions::default()).unwrap();
    while BY_WORKER.load(Ordering::SeqCst) == 0 {
        a.hear();
    }
}
