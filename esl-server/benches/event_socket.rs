//! What the Event Socket costs: building and rendering events, handing them to readers, answering.
//!
//!     cargo bench -p esl-server
//!
//! Server threads are measured by their own CPU time, so the readers in this process do not count.
//! Targets: an event to one of 50 readers at most 6 µs of CPU; `api` p50 below 60 µs.
#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use esl_server::{Event, EventName, Format, Switch, Vars, fire};
use support::{FakeSwitch, PASSWORD, serve};
use tokio::runtime::Runtime;

const READERS: usize = 50;
const EVENTS: usize = 2_000;
const ROUND_TRIPS: usize = 20_000;
const SERVER_THREAD: &str = "esl-server";

fn main() {
    // `cargo test --benches` only wants to know that it starts.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    serialisation();
    bus_only();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(SERVER_THREAD)
        .enable_all()
        .build()
        .expect("a runtime");
    let switch = FakeSwitch::new();
    let (server, addr) = runtime.block_on(serve(&switch));
    round_trips(addr);
    pipelined(addr);
    for format in ["plain", "json"] {
        fan_out(addr, &switch, format, Pace::Burst);
        fan_out(addr, &switch, format, Pace::OneByOne);
    }
    drop(server);
    finish(runtime);
}

fn finish(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_secs(1));
}

/// As many variables as an answered SIP call has.
fn variables() -> Arc<Vars> {
    Arc::new(
        (0..90)
            .map(|n| {
                (format!("variable_name_{n}"), format!("sip:10{n}@10.0.0.{n}:5060;transport=udp"))
            })
            .collect(),
    )
}

fn channel_event(vars: &Arc<Vars>) -> Event {
    let mut event = Event::new(EventName::ChannelAnswer);
    for header in [
        "Channel-State",
        "Channel-Call-State",
        "Channel-Name",
        "Unique-ID",
        "Call-Direction",
        "Answer-State",
    ] {
        event.push(header, "some value");
    }
    event.push_vars("Caller-", Arc::clone(vars)).push_vars("variable_", Arc::clone(vars));
    event
}

fn serialisation() {
    let switch = FakeSwitch::new();
    let vars = variables();
    let each = |name: &str, work: &mut dyn FnMut()| {
        let rounds = 20_000;
        let start = Instant::now();
        for _ in 0..rounds {
            work();
        }
        println!("{name:44} {:8.2} us", start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
    };
    each("build and fire, nobody listens", &mut || {
        black_box(fire!(switch.bus(), channel_event(&vars)));
    });
    for format in [Format::Plain, Format::Json, Format::Xml] {
        let name = format!("build, fire and render {}", format.as_str());
        each(&name, &mut || {
            black_box(fire!(switch.bus(), channel_event(&vars)).message(format));
        });
    }
    let mut live = variables();
    each("set a variable while an event holds them", &mut || {
        let held = Arc::clone(&live);
        Arc::make_mut(&mut live).set("variable_name_7", "new");
        drop(black_box(held));
    });
}

fn bus_only() {
    let switch = FakeSwitch::new();
    let mut readers: Vec<_> = (0..READERS).map(|_| switch.bus().subscribe(1000)).collect();
    for reader in &readers {
        reader.listen(EventName::ChannelAnswer);
    }
    let vars = variables();
    let start = Instant::now();
    for _ in 0..EVENTS {
        fire!(switch.bus(), channel_event(&vars));
        for reader in &mut readers {
            black_box(reader.try_recv());
        }
    }
    let each = start.elapsed().as_secs_f64() * 1e9 / (EVENTS * READERS) as f64;
    println!("{:44} {each:8.0} ns per reader", "bus: queue and take, no sockets");
}

fn logged_in(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("a server");
    stream.set_nodelay(true).expect("a socket");
    read_block(&mut stream);
    ask(&mut stream, &format!("auth {PASSWORD}\n\n"));
    stream
}

fn ask(stream: &mut TcpStream, command: &str) {
    stream.write_all(command.as_bytes()).expect("a live server");
    read_block(stream);
}

fn read_block(stream: &mut TcpStream) {
    let (mut seen, mut byte) = ([0; 2], [0; 1]);
    while seen != *b"\n\n" {
        stream.read_exact(&mut byte).expect("a live server");
        seen = [seen[1], byte[0]];
    }
}

fn round_trips(addr: SocketAddr) {
    let mut stream = logged_in(addr);
    let reply = b"Content-Type: api/response\nContent-Length: 1\n\nx";
    let mut buffer = vec![0; reply.len()];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    let cpu = server_cpu();
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        stream.write_all(b"api eval x\n\n").expect("a live server");
        stream.read_exact(&mut buffer).expect("a live server");
        times.push(start.elapsed());
    }
    let cpu = (server_cpu() - cpu).as_secs_f64() * 1e6 / ROUND_TRIPS as f64;
    times.sort();
    let at = |share: usize| times[ROUND_TRIPS * share / 100].as_secs_f64() * 1e6;
    println!("{:44} p50 {:.0} us, p99 {:.0} us, CPU {cpu:.1} us", "api round trip", at(50), at(99));
}

fn pipelined(addr: SocketAddr) {
    let mut stream = logged_in(addr);
    let reply = b"Content-Type: api/response\nContent-Length: 1\n\nx";
    let mut sender = stream.try_clone().expect("a socket");
    let cpu = server_cpu();
    let start = Instant::now();
    let writer = std::thread::spawn(move || {
        for _ in 0..ROUND_TRIPS / 100 {
            sender.write_all("api eval x\n\n".repeat(100).as_bytes()).expect("a live server");
        }
    });
    let mut buffer = vec![0; reply.len() * ROUND_TRIPS];
    stream.read_exact(&mut buffer).expect("a live server");
    let took = start.elapsed().as_secs_f64() * 1e6 / ROUND_TRIPS as f64;
    writer.join().expect("the writer");
    let cpu = (server_cpu() - cpu).as_secs_f64() * 1e6 / ROUND_TRIPS as f64;
    println!("{:44} {took:.2} us each, CPU {cpu:.2} us", "api pipelined");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// As fast as they can be fired.
    Burst,
    /// One every 200 µs, so that every reader sleeps in between.
    OneByOne,
}

fn fan_out(addr: SocketAddr, switch: &Arc<FakeSwitch>, format: &str, pace: Pace) {
    let vars = variables();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let mut stream = logged_in(addr);
            ask(&mut stream, &format!("event {format} CHANNEL_ANSWER\n\n"));
            std::thread::spawn(move || {
                let mark: &[u8] = b"Content-Type: text/event-";
                let (mut seen, mut kept, mut buffer) = (0, Vec::new(), vec![0; 262_144]);
                while seen < EVENTS {
                    let n = stream.read(&mut buffer).expect("a live server");
                    assert!(n > 0, "closed early");
                    kept.extend_from_slice(&buffer[..n]);
                    seen += memchr::memmem::find_iter(&kept, mark).count();
                    let tail = memchr::memmem::rfind(&kept, mark).map_or(0, |at| at + mark.len());
                    let keep_from = tail.max(kept.len().saturating_sub(mark.len() - 1));
                    kept.drain(..keep_from);
                }
            })
        })
        .collect();
    let (cpu, start) = (server_cpu(), Instant::now());
    for _ in 0..EVENTS {
        fire!(switch.bus(), channel_event(&vars));
        if pace == Pace::OneByOne {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    let fired = start.elapsed();
    for reader in readers {
        reader.join().expect("a reader");
    }
    let deliveries = (EVENTS * READERS) as f64;
    let cpu = (server_cpu() - cpu).as_secs_f64() * 1e6 / deliveries;
    let name = format!(
        "{format} to {READERS} readers, {}",
        if pace == Pace::Burst { "burst" } else { "one by one" }
    );
    println!(
        "{name:44} CPU {cpu:.2} us per delivery, {:.0} deliveries/s, firing {:.2} us per event",
        deliveries / start.elapsed().as_secs_f64(),
        fired.as_secs_f64() * 1e6 / EVENTS as f64,
    );
}

/// CPU time of the server's threads so far.
fn server_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let on_cpu = stat.split_whitespace().next()?.parse::<u64>().ok()?;
        (name.trim() == SERVER_THREAD).then_some(on_cpu)
    });
    Duration::from_nanos(nanos.sum())
}
