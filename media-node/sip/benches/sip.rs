//! What SIP costs: reading and writing messages, and whole calls through two stacks on loopback.
//!
//!     cargo bench -p ferroswitch-sip

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::message::{Headers, Message, MessageLimits, Name, parse};
use sip::stack::{Body, DialogEvent, Incoming, InviteSpec, Stack, StackConfig, Transport};
use sip::uri::{NameAddr, Uri};

/// Calls of one measurement of whole calls.
const CALLS: usize = 3000;
/// Calls under way at once.
const TOGETHER: usize = 50;

fn main() {
    let invite = invite();
    println!("INVITE of {} bytes", invite.len());
    measure("parse", || parse(black_box(&invite), &MessageLimits::default()).is_ok());
    let Ok(Message::Request(request)) = parse(&invite, &MessageLimits::default()) else { return };
    measure("typed Via, From, To, CSeq, Contact", || {
        let h = black_box(&request.headers);
        (
            h.via().is_some(),
            h.from_addr().is_some(),
            h.to_addr().is_some(),
            h.cseq().is_some(),
            h.contact().is_some(),
        )
    });
    measure("response with ten headers, built and written", || {
        let mut response = black_box(&request).response(200, "OK");
        for (name, value) in HEADERS {
            response.headers.push(*name, value);
        }
        response.to_bytes()
    });
    whole_calls();
}

const HEADERS: &[(Name, &str)] = &[
    (Name::Contact, "<sip:1001@198.51.100.7:5060;transport=udp>"),
    (Name::UserAgent, "FreeSWITCH-mod_sofia/1.10.12-release"),
    (Name::Accept, "application/sdp"),
    (
        Name::Allow,
        "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY",
    ),
    (Name::Supported, "timer, path, replaces"),
    (Name::AllowEvents, "talk, hold, conference, refer"),
    (Name::ContentType, "application/sdp"),
    (Name::ContentDisposition, "session"),
];

/// Runs a step for about half a second and prints its mean time.
fn measure<T>(name: &str, mut step: impl FnMut() -> T) {
    let mut rounds = 0u32;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        for _ in 0..1000 {
            black_box(step());
        }
        rounds += 1000;
    }
    println!("{name}: {:.3} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds));
}

/// An INVITE as a busy PBX sends it.
fn invite() -> Bytes {
    let mut text = String::from(
        "INVITE sip:1001@198.51.100.7:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.10:5080;rport;branch=z9hG4bKtX8Qj6e2r3y4K\r\n\
         Via: SIP/2.0/UDP 192.0.2.11;received=192.0.2.11;branch=z9hG4bK776asdhds\r\n\
         Record-Route: <sip:192.0.2.10:5080;lr;ftag=as58f4201b>\r\nMax-Forwards: 69\r\n\
         From: \"Anna Desk\" <sip:301@pbx.example.com>;tag=Qe6D8ZpZN4X6F\r\nTo: <sip:1001@198.51.100.7>\r\n\
         Call-ID: 9438ebf4-5fa8-1240-4587-cbecd50bcea3\r\nCSeq: 123043619 INVITE\r\n\
         Contact: <sip:mod_sofia@192.0.2.10:5080>\r\nUser-Agent: FreeSWITCH-mod_sofia/1.10.12-release\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY\r\n\
         Supported: timer, path, replaces\r\nAllow-Events: talk, hold, conference, refer\r\nSession-Expires: 1800\r\n\
         X-Account: 4711\r\nX-Campaign: spring\r\nP-Asserted-Identity: \"Anna Desk\" <sip:301@pbx.example.com>\r\n\
         Content-Type: application/sdp\r\nContent-Disposition: session\r\n",
    );
    let mut sdp = String::from(
        "v=0\r\no=FreeSWITCH 1795167289 1795167290 IN IP4 192.0.2.10\r\ns=FreeSWITCH\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
         m=audio 27534 RTP/AVP 0 8 9 102 101 13\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\n\
         a=rtpmap:102 opus/48000/2\r\na=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; ptime=20\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\n",
    );
    while text.len() + sdp.len() < 1780 {
        sdp.push_str("a=x-padding:0\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{sdp}", sdp.len()));
    Bytes::from(text)
}

/// INVITE, 180, 200, ACK, BYE, 200 between two stacks in one thread: the time is that of both ends.
fn whole_calls() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    let cpu = processor_time();
    let start = Instant::now();
    runtime.block_on(async {
        let stack = |_: &str| async {
            let mut config = StackConfig::new(vec![(Transport::Udp, ([127, 0, 0, 1], 0).into())]);
            config.limits.requests_per_second = 0;
            Stack::start(config).await.ok()
        };
        let (Some((alice, _quiet)), Some((bob, mut calls))) =
            (stack("alice").await, stack("bob").await)
        else {
            return;
        };
        let to = bob.listening()[0].1;
        let from = alice.listening()[0].1;
        tokio::spawn(async move {
            while let Some(Incoming::Invite(invite)) = calls.recv().await {
                tokio::spawn(async move {
                    let (dialog, mut events) = invite.into_dialog();
                    let contact = || {
                        let mut headers = Headers::new();
                        headers.push(Name::Contact, format!("<sip:bob@{to}>"));
                        headers
                    };
                    dialog.provisional(180, "", contact(), None);
                    dialog.answer(contact(), Some(Body::sdp("v=0\r\n")));
                    while events.recv().await.is_some() {}
                });
            }
        });
        let workers = (0..TOGETHER).map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move {
                for _ in 0..CALLS / TOGETHER {
                    one_call(&alice, from, to).await;
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            let _ = worker.await;
        }
    });
    let per_call = |seconds: f64| seconds * 1e6 / CALLS as f64;
    println!(
        "whole call, both ends: {:.1} µs, processor {:.1} µs",
        per_call(start.elapsed().as_secs_f64()),
        per_call(processor_time() - cpu)
    );
}

async fn one_call(alice: &Stack, from: std::net::SocketAddr, to: std::net::SocketAddr) {
    let parts = (Uri::parse(&format!("sip:bob@{to}")), NameAddr::parse("<sip:alice@a.example>"));
    let (Some(uri), Some(who)) = parts else { return };
    let Some(contact) = NameAddr::parse(&format!("<sip:alice@{from}>")) else { return };
    let mut spec = InviteSpec::new(uri, who, contact);
    spec.body = Some(Body::sdp("v=0\r\n"));
    let (dialog, mut events) = alice.invite(spec);
    while let Some(event) = events.recv().await {
        if matches!(event, DialogEvent::Answered(_)) {
            dialog.bye(Headers::new());
        }
    }
}

/// Processor time of this process, seconds; 0 where it cannot be told.
fn processor_time() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return 0.0 };
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 =
        after.split_ascii_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok()).sum();
    ticks / 100.0
}
