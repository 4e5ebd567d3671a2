//! Browsers: feedback, DTLS and ICE.

use super::*;
use crate::{Before, CandidateFilter, DtlsRole, FurtherStream, Identity, LocalIce, Secure};
use sdp::{Credentials, Fingerprint};

const ICE: &str = "a=candidate:1 1 udp 2122260223 192.0.2.7 15200 typ host generation 0\r\n\
    a=ice-ufrag:theirs\r\na=ice-pwd:theirPassword0123456789\r\n";
const KEYS: &str = "a=fingerprint:sha-256 0A:1B\r\na=setup:actpass\r\na=rtcp-mux\r\n";

fn stream(port: u16, ssrc: u32) -> LocalStream {
    let credentials = Credentials { ufrag: "ours".into(), pwd: "ourPassword".into() };
    let ice = LocalIce { credentials, more: Vec::new(), foundation: "0123456789".into() };
    LocalStream { port, rtcp_port: Some(port + 1), ssrc, ice: Some(ice) }
}

fn browser() -> Local {
    let digest = |hash: &str, first| Fingerprint { hash: hash.into(), digest: vec![first, 1] };
    Local {
        codecs: parse_codec_list("opus,PCMU"),
        video_codecs: vec!["VP8".into(), "H264".into()],
        rtcp_mux: true,
        identity: Some(Identity {
            fingerprints: vec![digest("sha-256", 2), digest("sha-512", 5)],
            msid: "MSID".into(),
            cname: "CNAME".into(),
        }),
        audio: stream(27_372, 11),
        video: stream(27_256, 22),
        ..local()
    }
}

fn audio(lines: &str) -> String {
    format!(
        "m=audio 15200 UDP/TLS/RTP/SAVPF 111 13 110\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n\
         a=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n{lines}"
    )
}

#[test]
fn a_browser_is_answered_line_by_line_as_recorded() {
    let offer = parsed(&format!(
        "a=group:BUNDLE 0 1\r\n{}m=video 15200 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 VP8/90000\r\n\
         a=rtpmap:97 rtx/90000\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n{ICE}{KEYS}\
         m=application 15200 UDP/DTLS/SCTP webrtc-datachannel\r\na=setup:actpass\r\n",
        audio(&format!("{ICE}{KEYS}"))
    ));
    let local = browser();
    let plan = negotiate(&offer, &local, Mode::Generous).unwrap();
    let written = answer(&offer, &plan, &local);
    let expected = "a=msid-semantic: WMS MSID\r\n\
        m=audio 27372 UDP/TLS/RTP/SAVPF 111 110 13\r\na=rtpmap:111 opus/48000/2\r\n\
        a=fmtp:111 useinbandfec=1; minptime=10\r\na=rtpmap:110 telephone-event/48000\r\na=rtpmap:13 CN/8000\r\n\
        a=ptime:20\r\na=fingerprint:sha-256 02:01\r\na=setup:active\r\na=rtcp-mux\r\na=rtcp:27372 IN IP4 127.0.0.1\r\n\
        a=ice-ufrag:ours\r\na=ice-pwd:ourPassword\r\n\
        a=candidate:0123456789 1 udp 2130706431 127.0.0.1 27372 typ host generation 0\r\na=end-of-candidates\r\n\
        a=ssrc:11 cname:CNAME\r\na=ssrc:11 msid:MSID a0\r\na=ssrc:11 mslabel:MSID\r\na=ssrc:11 label:MSIDa0\r\n\
        m=video 27256 UDP/TLS/RTP/SAVPF 96\r\nb=AS:1024\r\na=rtpmap:96 VP8/90000\r\n\
        a=fingerprint:sha-256 02:01\r\na=setup:active\r\na=rtcp-mux\r\na=rtcp:27256 IN IP4 127.0.0.1\r\n\
        a=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n\
        a=ssrc:22 cname:CNAME\r\na=ssrc:22 msid:MSID v0\r\na=ssrc:22 mslabel:MSID\r\na=ssrc:22 label:MSIDv0\r\n\
        a=ice-ufrag:ours\r\na=ice-pwd:ourPassword\r\n\
        a=candidate:0123456789 1 udp 2130706431 127.0.0.1 27256 typ host generation 0\r\na=end-of-candidates\r\n\
        m=application 0 UDP/DTLS/SCTP 19\r\n";
    let text = written.sent.to_string();
    assert!(text.ends_with(expected), "{text}");
    assert!(written.shown.to_string().contains("a=ptime:20\r\na=sendrecv\r\na=fingerprint:"));
    let transport = plan.audio.unwrap().transport;
    let ice = transport.ice.unwrap();
    assert_eq!((&*ice.ours.ufrag, &*ice.theirs.ufrag, ice.controlling), ("ours", "theirs", false));
    assert_eq!(ice.candidates.len(), 1);
    assert!(ice.complete && transport.rtcp_mux);
    assert_eq!(transport.remote, Some("192.0.2.7:15200".parse().unwrap()));
    assert_eq!(transport.remote_rtcp, transport.remote);
    assert!(matches!(transport.secure, Secure::Dtls(dtls) if dtls.role == DtlsRole::Client));
}

#[test]
fn a_browser_is_offered_as_recorded() {
    let local = Local {
        webrtc: true,
        offer_video: Some(sdp::MediaDirection::SendRecv),
        video_codecs: vec!["VP8".into()],
        ..browser()
    };
    let expected = "a=msid-semantic: WMS MSID\r\nm=audio 27372 RTP/SAVPF 102 0 104 105 101 13\r\n\
        a=rtpmap:102 opus/48000/2\r\n\
        a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40\r\n\
        a=rtpmap:0 PCMU/8000\r\na=rtpmap:104 telephone-event/48000\r\na=rtpmap:105 CN/48000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=rtpmap:13 CN/8000\r\na=fingerprint:sha-256 02:01\r\n\
        a=setup:actpass\r\na=rtcp-mux\r\na=rtcp:27372 IN IP4 127.0.0.1\r\na=ssrc:11 cname:CNAME\r\n\
        a=ssrc:11 msid:MSID a0\r\na=ssrc:11 mslabel:MSID\r\na=ssrc:11 label:MSIDa0\r\na=ice-ufrag:ours\r\n\
        a=ice-pwd:ourPassword\r\na=candidate:0123456789 1 udp 2130706431 127.0.0.1 27372 typ host generation 0\r\n\
        a=candidate:0123456789 2 udp 2130706431 127.0.0.1 27372 typ host generation 0\r\na=ptime:20\r\n\
        m=video 27256 RTP/SAVPF 103\r\nb=AS:1024\r\na=rtpmap:103 VP8/90000\r\na=fingerprint:sha-256 02:01\r\n\
        a=setup:actpass\r\na=rtcp-mux\r\na=rtcp:27256 IN IP4 127.0.0.1\r\na=rtcp-fb:103 ccm fir\r\n\
        a=rtcp-fb:103 ccm tmmbr\r\na=rtcp-fb:103 nack\r\na=rtcp-fb:103 nack pli\r\na=rtcp-fb:103 goog-remb\r\na=ssrc:22 cname:CNAME\r\n\
        a=ssrc:22 msid:MSID v0\r\na=ssrc:22 mslabel:MSID\r\na=ssrc:22 label:MSIDv0\r\na=ice-ufrag:ours\r\n\
        a=ice-pwd:ourPassword\r\na=candidate:0123456789 1 udp 2130706431 127.0.0.1 27256 typ host generation 0\r\n\
        a=candidate:0123456789 2 udp 2130706430 127.0.0.1 27256 typ host generation 0\r\na=end-of-candidates\r\n";
    let text = offered(&local).to_string();
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn roles_follow_setup_and_stay_within_a_call() {
    let role = |setup: &str, before: Before| {
        let keys = KEYS.replace("a=setup:actpass\r\n", setup);
        let offer = parsed(&audio(&format!("{ICE}{keys}")));
        let plan = negotiate(&offer, &Local { before, ..browser() }, Mode::Generous).unwrap();
        plan.audio.unwrap().transport.secure.dtls().map(|dtls| dtls.role)
    };
    let (first, within) = (Before::default, || Before { within: true, ..Before::default() });
    let kept = Before { audio_role: Some(DtlsRole::Client), ..within() };
    assert_eq!(role("a=setup:actpass\r\n", first()), Some(DtlsRole::Client));
    assert_eq!(role("a=setup:passive\r\n", first()), Some(DtlsRole::Client));
    assert_eq!(role("a=setup:active\r\n", first()), Some(DtlsRole::Server));
    assert_eq!(role("", first()), Some(DtlsRole::Server));
    assert_eq!(role("a=setup:actpass\r\n", kept), Some(DtlsRole::Client));
    assert_eq!(role("a=setup:actpass\r\n", within()), Some(DtlsRole::Server), "a new line");
}

#[test]
fn lines_that_cannot_be_secured_or_reached_are_declined_or_refused() {
    let took = |lines: &str, local: &Local| {
        let plan = negotiate(&parsed(&audio(lines)), local, Mode::Generous)?;
        Ok(plan.audio.is_some_and(|audio| !audio.declined))
    };
    let all = format!("{ICE}{KEYS}");
    assert_eq!(took(&all, &browser()), Ok(true));
    let bare = format!("{ICE}a=setup:actpass\r\na=rtcp-mux\r\n");
    assert_eq!(took(&bare, &browser()), Ok(false), "no fingerprint");
    assert_eq!(took(&all, &Local { identity: None, ..browser() }), Ok(false), "no certificate");
    let hidden = all.replace("192.0.2.7", "4f2a.local");
    assert_eq!(took(&hidden, &browser()), Err(NegotiationError::NoCandidate));
    assert_eq!(took(&format!("{hidden}a=ice-options:trickle\r\n"), &browser()), Ok(true));
    let filter = CandidateFilter::new(|ip| ip.is_loopback());
    let kept_out = took(&all, &Local { candidates: filter, ..browser() });
    assert_eq!(kept_out, Err(NegotiationError::NoCandidate));
}

#[test]
fn plain_audio_beside_video_with_feedback_is_declined() {
    let offer = parsed(
        "m=audio 4000 RTP/AVP 0\r\nm=video 4002 RTP/AVPF 96\r\na=rtpmap:96 VP8/90000\r\n\
         a=rtcp-fb:* ccm fir\r\na=sendonly\r\n",
    );
    let plan = negotiate(&offer, &browser(), Mode::Generous).unwrap();
    let text = answer(&offer, &plan, &browser()).sent.to_string();
    assert!(text.contains("m=audio 0 RTP/AVP 19\r\nm=video 27256 RTP/AVPF 96\r\nb=AS:1024\r\n"));
    assert!(
        text.contains("a=recvonly\r\na=rtcp:27257 IN IP4 127.0.0.1\r\na=rtcp-fb:96 ccm fir\r\n")
    );
    assert!(
        text.contains("a=candidate:0123456789 2 udp 2130706430 127.0.0.1 27257 typ host"),
        "{text}"
    );
}

/// Further lines of video as a browser offers them in a room, the second of them held.
fn with_further_lines(local: &Local, most_further: usize) -> (SessionDescription, Local) {
    let line = |port: u16, direction: &str, codec: &str| {
        format!(
            "m=video {port} UDP/TLS/RTP/SAVPF 98\r\na=rtpmap:98 {codec}/90000\r\na=rtcp-fb:98 goog-remb\r\n\
             a={direction}\r\n{ICE}{KEYS}"
        )
    };
    let text = [
        audio(&format!("{ICE}{KEYS}")),
        line(15_202, "sendrecv", "VP8"),
        line(15_204, "recvonly", "VP8"),
        line(15_206, "inactive", "VP8"),
        line(15_208, "recvonly", "H264"),
        line(15_210, "sendrecv", "VP8"),
        line(15_212, "recvonly", "VP8"),
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n".to_owned(),
    ];
    (parsed(&text.concat()), Local { most_further, ..local.clone() })
}

#[test]
fn further_lines_are_taken_as_many_as_there_is_use_for_and_only_to_send() {
    let (offer, local) = with_further_lines(&browser(), 0);
    let plan = negotiate(&offer, &local, Mode::Generous).unwrap();
    assert!(plan.further.is_empty(), "as the reference outside of rooms");
    for (most, places) in [(8, &[2, 6][..]), (1, &[2])] {
        let local = Local { most_further: most, ..local.clone() };
        let plan = negotiate(&offer, &local, Mode::Generous).unwrap();
        let taken: Vec<_> = plan.further.iter().map(|line| line.media_index).collect();
        assert_eq!(taken, places);
    }
    let local = Local {
        most_further: 8,
        further: [(2, 40_000, 31), (3, 40_002, 32), (6, 40_004, 33)]
            .map(|(media_index, port, ssrc)| FurtherStream {
                media_index,
                stream: stream(port, ssrc),
                role: None,
            })
            .into(),
        ..local
    };
    let plan = negotiate(&offer, &local, Mode::Generous).unwrap();
    let written = answer(&offer, &plan, &local).sent;
    let shown = |line: &MediaLine| {
        let direction =
            line.attributes.iter().find(|a| ["sendonly", "inactive"].contains(&&*a.name));
        (line.port, direction.map(|a| a.name.clone()).unwrap_or_default())
    };
    let lines: Vec<_> = written.media[2..].iter().map(shown).collect();
    let expected = [
        (40_000, "sendonly"),
        (40_002, "inactive"),
        (0, ""),
        (0, ""),
        (40_004, "sendonly"),
        (0, ""),
    ];
    assert_eq!(lines, expected.map(|(port, direction)| (port, direction.to_owned())));
    let text = written.media[6].to_string();
    for said in [
        "a=rtcp-fb:98 goog-remb\r\n",
        "a=ssrc:33 msid:MSID v6\r\n",
        "a=ice-ufrag:ours\r\n",
        "a=setup:active\r\n",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // An offer of ours later in the call has all of them in their places.
    let again = Local {
        webrtc: true,
        offer_video: Some(sdp::MediaDirection::SendRecv),
        video_codecs: vec!["VP8".into()],
        before: Before {
            lines: written.media.iter().map(|l| (l.kind.clone(), l.proto.clone())).collect(),
            audio_index: Some(0),
            video_index: Some(1),
            within: true,
            ..Before::default()
        },
        ..local
    };
    let ours = offered(&again);
    let ports: Vec<_> = ours.media.iter().map(|line| (&*line.kind, line.port)).collect();
    let video = |port| ("video", port);
    assert_eq!(
        ports,
        [
            ("audio", 27_372),
            video(27_256),
            video(40_000),
            video(40_002),
            video(0),
            video(0),
            video(40_004),
            ("application", 0)
        ]
    );
    assert!(ours.media[6].to_string().contains("a=sendonly\r\n"));
    assert_eq!(ours.media[7].proto, "UDP/DTLS/SCTP");
}

#[test]
fn later_offers_keep_the_places_of_lines_whatever_they_are() {
    let places = |lines: &[(&str, &str)], audio_index, video_index, further: &[usize]| -> Vec<_> {
        let before = Before {
            lines: lines.iter().map(|(kind, proto)| ((*kind).into(), (*proto).into())).collect(),
            audio_index,
            video_index,
            within: true,
            ..Before::default()
        };
        let further = further.iter().map(|at| FurtherStream {
            media_index: *at,
            stream: stream(40_000, 31),
            role: None,
        });
        let local = Local {
            offer_video: video_index.map(|_| sdp::MediaDirection::SendRecv),
            video_codecs: vec!["VP8".into()],
            further: further.collect(),
            security: Security::default(),
            before,
            webrtc: false,
            ..browser()
        };
        let made = offered(&local).media;
        made.into_iter().map(|line| (line.kind, line.port)).collect()
    };
    let line = |kind: &str, port: u16| (kind.to_owned(), port);
    let (audio, video) = (("audio", "RTP/AVP"), ("video", "RTP/AVP"));
    let fax = ("image", "udptl");
    assert_eq!(
        places(&[audio, fax], Some(0), None, &[]),
        [line("audio", 27_372), line("image", 0)]
    );
    assert_eq!(
        places(&[video, audio], Some(1), Some(0), &[]),
        [line("video", 27_256), line("audio", 27_372)]
    );
    assert_eq!(
        places(&[audio, ("text", "RTP/AVP"), video, fax, video], Some(0), Some(2), &[4]),
        [("audio", 27_372), ("text", 0), ("video", 27_256), ("image", 0), ("video", 40_000)]
            .map(|(kind, port)| line(kind, port))
    );
    assert_eq!(places(&[fax], None, None, &[]), [line("audio", 27_372)], "after a fax");
    assert_eq!(
        places(&[video], None, Some(0), &[]),
        [line("video", 27_256), line("audio", 27_372)]
    );
}

#[test]
fn further_lines_are_the_main_ones_and_stay_when_the_peer_would_send() {
    let (_, local) = with_further_lines(&browser(), 8);
    let taken = |direction: &str, extra: &str, bound: bool| {
        let line = |port: u16, lines: &str| {
            format!(
                "m=video {port} UDP/TLS/RTP/SAVPF 98\r\na=rtpmap:98 VP8/90000\r\n{lines}{ICE}{KEYS}"
            )
        };
        let further = line(15_204, &format!("a={direction}\r\n{extra}"));
        let offer = [audio(&format!("{ICE}{KEYS}")), line(15_202, ""), further].concat();
        let stream = || FurtherStream { media_index: 2, stream: stream(40_000, 31), role: None };
        let further = bound.then(stream).into_iter().collect();
        let local = Local { further, ..local.clone() };
        let plan = negotiate(&parsed(&offer), &local, Mode::Generous).unwrap();
        plan.further.first().map(|line| line.remote_direction.answer().as_str())
    };
    assert_eq!(taken("recvonly", "", false), Some("sendonly"));
    assert_eq!(taken("recvonly", "a=content:main\r\n", false), Some("sendonly"));
    assert_eq!(taken("recvonly", "a=content:slides\r\n", false), None);
    assert_eq!(taken("inactive", "", false), None);
    assert_eq!(taken("inactive", "", true), Some("inactive"));
    assert_eq!(taken("sendrecv", "", true), Some("sendonly"));
    assert_eq!(taken("sendrecv", "", false), None);
    assert_eq!(taken("sendonly", "", true), None);
}

const EXTENSIONS: &str = "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
    a=extmap:4/sendrecv urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
    a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n";

/// A browser's offer of audio and a line of video with these lines.
fn with_video(lines: &str) -> SessionDescription {
    parsed(&format!(
        "{}m=video 15202 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 VP9/90000\r\n\
         a=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 nack pli\r\n{lines}{ICE}{KEYS}",
        audio(&format!("{ICE}{KEYS}"))
    ))
}

fn in_room() -> Local {
    Local { room_video: crate::RoomVideo { simulcast: true, transport_cc: true }, ..browser() }
}

#[test]
fn simulcast_and_transport_feedback_are_answered_in_rooms_and_nowhere_else() {
    let layers = "a=rid:l send\r\na=rid:m send\r\na=rid:h send\r\na=simulcast:send l;m;h\r\n";
    let offer = with_video(&format!("{EXTENSIONS}{layers}"));
    let plain = {
        let plan = negotiate(&offer, &browser(), Mode::Generous).unwrap();
        answer(&offer, &plan, &browser()).sent.media[1].to_string()
    };
    for word in ["simulcast", "rid", "extmap", "transport-cc"] {
        assert!(!plain.contains(word), "{word}: {plain}");
    }
    assert!(plain.contains("b=AS:1024\r\n") && plain.starts_with("m=video 27256 "));

    let local = in_room();
    let plan = negotiate(&offer, &local, Mode::Generous).unwrap();
    let text = answer(&offer, &plan, &local).sent.media[1].to_string();
    for line in [
        "b=AS:4096",
        "a=rtcp-fb:96 transport-cc",
        "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=rid:l recv",
        "a=rid:m recv",
        "a=rid:h recv",
        "a=simulcast:recv l;m;h",
    ] {
        assert!(text.contains(&format!("{line}\r\n")), "{line}: {text}");
    }
    assert_eq!(text.matches("a=extmap").count(), 2);
    // An offer of ours later in the call says the same.
    let before = Before {
        video_extras: plan.video.as_ref().unwrap().extras.clone(),
        within: true,
        ..Before::default()
    };
    let again = Local {
        webrtc: true,
        offer_video: Some(sdp::MediaDirection::SendRecv),
        video_codecs: vec!["VP8".into()],
        before,
        ..local
    };
    let text = crate::offer(&again).media[1].to_string();
    assert!(text.contains("a=simulcast:recv l;m;h\r\n"), "{text}");
    assert!(text.contains("transport-cc\r\n") && text.contains("a=extmap:3 http"), "{text}");
}

#[test]
fn what_is_no_simulcast_is_a_plain_line() {
    let rids = |lines: &str| {
        let plan = negotiate(&with_video(lines), &in_room(), Mode::Generous).unwrap();
        let video = plan.video.unwrap();
        assert!(!video.declined, "{lines}");
        video.extras.simulcast.map_or(String::new(), |simulcast| simulcast.rids.join(";"))
    };
    let rid = |names: &[&str]| -> String {
        names.iter().map(|name| format!("a=rid:{name} send\r\n")).collect()
    };
    let three = rid(&["a", "b", "c"]);
    let with = |simulcast: &str| rids(&format!("{EXTENSIONS}{three}a=simulcast:{simulcast}\r\n"));
    assert_eq!(with("send ~a,b;c recv x"), "a;c", "the first of alternatives, paused or not");
    assert_eq!(with("recv x send a;b"), "a;b");
    assert_eq!(with("send a;d;b"), "a;b", "one without a line of its own");
    for other in ["send a", "send a;a;a", "recv a;b", "send", "", "send ;;;", "a;b"] {
        assert_eq!(with(other), "", "{other}");
    }
    let many: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let names: Vec<_> = many.iter().map(String::as_str).collect();
    let lines = format!("{EXTENSIONS}{}a=simulcast:send {}\r\n", rid(&names), many.join(";"));
    assert_eq!(rids(&lines), "0;1;2", "as many as are taken");
    let long = "x".repeat(17);
    for bad in ["a b", "\u{e4}", &long, "a/b"] {
        let lines = format!("{EXTENSIONS}{}a=simulcast:send {bad};a\r\n", rid(&[bad, "a"]));
        assert_eq!(rids(&lines), "", "{bad}");
    }
    // Of other codecs only; without the extension, or with a number that fits into no packet; on a line that only receives.
    let of_others = "a=rid:a send pt=97\r\na=rid:b send pt=97\r\na=simulcast:send a;b\r\n";
    assert_eq!(rids(&format!("{EXTENSIONS}{of_others}")), "");
    let of_both = of_others.replace("=97", "=97,96;max-width=640");
    assert_eq!(rids(&format!("{EXTENSIONS}{of_both}")), "a;b");
    let lines = format!("{three}a=simulcast:send a;b\r\n");
    assert_eq!(rids(&lines), "");
    for number in ["0", "15", "255", "256", "4294967306", "-1", ""] {
        let extension =
            format!("a=extmap:{number} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n");
        assert_eq!(rids(&format!("{extension}{lines}")), "", "{number}");
    }
    assert_eq!(rids(&format!("{EXTENSIONS}{lines}a=recvonly\r\n")), "");
    for (way, taken) in
        [("/sendrecv", "a;b"), ("/sendonly", "a;b"), ("/recvonly", ""), ("/inactive", "")]
    {
        let extension =
            format!("a=extmap:5{way} urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n");
        assert_eq!(rids(&format!("{extension}{lines}")), taken, "{way}");
    }
}

#[test]
fn a_peer_says_how_much_it_takes() {
    for (line, most) in [
        ("", None),
        ("b=AS:200\r\n", Some(200_000)),
        ("b=TIAS:150000\r\nb=AS:200\r\n", Some(150_000)),
        ("b=AS:99999999999999999999\r\nb=X:1\r\nb=AS\r\n", None),
    ] {
        let offer = parsed(&format!(
            "{}m=video 15202 UDP/TLS/RTP/SAVPF 96\r\n{line}a=rtpmap:96 VP8/90000\r\n{ICE}{KEYS}",
            audio(&format!("{ICE}{KEYS}"))
        ));
        let plan = negotiate(&offer, &browser(), Mode::Generous).unwrap();
        assert_eq!(plan.video.unwrap().most, most, "{line}");
    }
}
