//! Offers and answers against the recordings of the reference.

use sdp::{CryptoLine, MediaLine, SessionDescription};

use crate::{
    AudioPlan, Local, LocalStream, Mode, NegotiationError, Security, answer, as_sent, negotiate,
    offer, parse_codec_list,
};

mod browsers;

fn local() -> Local {
    Local {
        session_id: 10,
        version: 11,
        codecs: parse_codec_list("PCMU,PCMA"),
        telephone_event: Some(101),
        comfort_noise: true,
        rtcp_mux: false,
        audio: LocalStream { port: 27120, ..LocalStream::default() },
        ..Local::new("FreeSWITCH", [127, 0, 0, 1].into())
    }
}

fn offered(local: &Local) -> SessionDescription {
    as_sent(&offer(local))
}

fn answered(
    theirs: &SessionDescription,
    local: &Local,
    mode: Mode,
) -> Result<(AudioPlan, SessionDescription), NegotiationError> {
    let plan = negotiate(theirs, local, mode)?;
    let answer = answer(theirs, &plan, local);
    Ok((plan.audio.ok_or(NegotiationError::NoMedia)?, answer.sent))
}

fn agreed_on(
    theirs: &SessionDescription,
    local: &Local,
    mode: Mode,
) -> Result<AudioPlan, NegotiationError> {
    answered(theirs, local, mode).map(|(audio, _)| audio)
}

fn parsed(lines: &str) -> SessionDescription {
    let text =
        format!("v=0\r\no=x 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{lines}");
    SessionDescription::parse(&text).unwrap()
}

#[test]
fn the_offer_is_the_recorded_one() {
    let expected = "v=0\r\no=FreeSWITCH 10 11 IN IP4 127.0.0.1\r\ns=FreeSWITCH\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        m=audio 27120 RTP/AVP 0 8 101 13\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\n";
    assert_eq!(offered(&local()).to_string(), expected);
}

#[test]
fn keys_stand_where_the_reference_writes_them() {
    use crate::SecurityRule;
    let line = CryptoLine::new(7, "AES_CM_128_HMAC_SHA1_80", "OURS".into(), false);
    let security = |rule| Security { rule, lines: vec![line.clone()], ..Security::default() };
    let optional = Local { security: security(SecurityRule::Optional), ..local() };
    let text = offered(&optional).to_string();
    let crypto = "a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:OURS\r\na=ptime:20\r\n";
    assert!(text.contains(&format!("{crypto}m=audio 27120 RTP/AVP 0 8 101 13\r\n")), "{text}");
    let theirs =
        parsed("m=audio 4000 RTP/SAVP 0\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:THEIRS\r\n");
    let (agreed, answer) = answered(&theirs, &optional, Mode::Generous).unwrap();
    assert_eq!(agreed.transport.secure.sdes().unwrap().theirs.key, "THEIRS");
    let text = answer.to_string();
    assert!(
        text.ends_with("a=ptime:20\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:OURS\r\n"),
        "{text}"
    );
    let bare = parsed("m=audio 4000 RTP/SAVP 0\r\n");
    let (agreed, answer) = answered(&bare, &optional, Mode::Generous).unwrap();
    assert!(agreed.declined);
    assert!(answer.to_string().ends_with("m=audio 0 RTP/SAVP 19\r\n"));
    let mandatory = Local { security: security(SecurityRule::Mandatory), ..local() };
    let refused = answered(&bare, &mandatory, Mode::Generous);
    assert_eq!(refused.map(|_| ()), Err(NegotiationError::NoCodec));
}

#[test]
fn several_clocks_are_offered_as_recorded() {
    let local = Local { codecs: parse_codec_list("opus,G722,PCMU,PCMA,G729"), ..local() };
    let text = offered(&local).to_string();
    let expected = "m=audio 27120 RTP/AVP 102 9 0 8 18 103 104 101 13\r\na=rtpmap:102 opus/48000/2\r\n\
        a=fmtp:102 useinbandfec=1; maxaveragebitrate=30000; maxplaybackrate=48000; ptime=20; minptime=10; maxptime=40\r\n\
        a=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:18 G729/8000\r\n\
        a=rtpmap:103 telephone-event/48000\r\na=fmtp:103 0-15\r\na=rtpmap:104 CN/48000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtpmap:13 CN/8000\r\na=ptime:20\r\n";
    assert!(text.ends_with(expected), "{text}");
    let alone = Local { codecs: parse_codec_list("opus@16000h"), ..local };
    let text = offered(&alone).to_string();
    assert!(text.contains("m=audio 27120 RTP/AVP 102 101 13\r\n"), "{text}");
    assert!(text.contains("maxplaybackrate=16000"), "{text}");
    assert!(text.contains("a=rtpmap:101 telephone-event/48000\r\n"), "{text}");
}

#[test]
fn telephone_events_of_every_clock_are_answered_as_recorded() {
    let local = Local { codecs: parse_codec_list("opus,G722,PCMU"), ..local() };
    let events = |lines: &str| {
        let (agreed, answer) = answered(&parsed(lines), &local, Mode::Generous).unwrap();
        (agreed.telephone_event, agreed.event_clock, answer.media[0].formats.join(" "))
    };
    let opus = "a=rtpmap:96 opus/48000/2\r\na=rtpmap:110 telephone-event/48000\r\n\
        a=rtpmap:126 telephone-event/8000\r\n";
    assert_eq!(
        events(&format!("m=audio 4 RTP/AVP 96 110 126\r\n{opus}")),
        (Some(110), 48_000, "96 110".into())
    );
    assert_eq!(
        events(&format!("m=audio 4 RTP/AVP 0 110 126\r\n{opus}")),
        (Some(126), 8000, "0 126".into())
    );
    assert_eq!(
        events("m=audio 4 RTP/AVP 0 110\r\na=rtpmap:110 telephone-event/48000\r\n"),
        (Some(96), 8000, "0 96".into())
    );
    assert_eq!(events("m=audio 4 RTP/AVP 9\r\n"), (None, 8000, "9".into()));
}

#[test]
fn packet_times_are_bounded_by_the_peer_and_the_codec() {
    let local = Local { codecs: parse_codec_list("opus,PCMA@20i,PCMU@20i"), ..local() };
    let chosen = |lines: &str, mode| {
        let codec = agreed_on(&parsed(lines), &local, mode).unwrap().codec;
        (codec.payload_type, codec.ptime)
    };
    let opus = "m=audio 4 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n";
    assert_eq!(chosen(&format!("{opus}a=ptime:60\r\n"), Mode::Generous), (96, 20));
    assert_eq!(chosen(&format!("{opus}a=ptime:40\r\n"), Mode::Generous), (96, 40));
    let both = "m=audio 4 RTP/AVP 0 8\r\na=ptime:40\r\n";
    assert_eq!(
        chosen(&format!("{both}a=maxptime:20\r\n"), Mode::Generous),
        (0, 20),
        "no longer than the peer takes"
    );
    assert_eq!(chosen(both, Mode::Greedy), (0, 40), "their order where packet times differ");
    assert_eq!(chosen(both, Mode::Scrooge), (8, 20));
}

#[test]
fn a_held_call_is_answered_recvonly_before_ptime() {
    let theirs = parsed(
        "m=audio 4000 RTP/AVP 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=sendonly\r\na=ptime:30\r\n\
         m=video 5000 RTP/AVP 99\r\n",
    );
    let (agreed, answer) = answered(&theirs, &local(), Mode::Generous).unwrap();
    assert!(agreed.hold);
    assert_eq!((agreed.codec.payload_type, agreed.codec.ptime), (8, 30));
    assert_eq!(agreed.telephone_event, Some(96));
    assert_eq!(agreed.transport.remote, Some("192.0.2.1:4000".parse().unwrap()));
    assert_eq!(agreed.transport.remote_rtcp, Some("192.0.2.1:4001".parse().unwrap()));
    let text = answer.to_string();
    assert!(text.ends_with(
        "m=audio 27120 RTP/AVP 8 96\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\n\
         a=fmtp:96 0-15\r\na=recvonly\r\na=ptime:30\r\nm=video 0 RTP/AVP 19\r\n"
    ), "{text}");
}

#[test]
fn codecs_of_unlike_packet_times_are_all_offered() {
    let sections = |codecs: &str, apart: bool| -> Vec<(String, String)> {
        let local = Local { codecs: parse_codec_list(codecs), section_per_ptime: apart, ..local() };
        let offer = offered(&local);
        let shown = |m: &MediaLine| {
            assert_eq!(m.port, 27120);
            (m.formats.join(" "), m.attribute("ptime").unwrap().to_owned())
        };
        offer.media.iter().map(shown).collect()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        sections("PCMA@30i,PCMU@20i", true),
        [pair("8 101 13", "30"), pair("0 101 13", "20")]
    );
    assert_eq!(
        sections("PCMU@20i,G722@30i,PCMA,PCMU@30i,PCMU", true),
        [pair("0 8 101 13", "20"), pair("9 0 101 13", "30")]
    );
    assert_eq!(sections("PCMU@30i,PCMA,PCMU", false), [pair("0 8 101 13", "30")]);
}

#[test]
fn the_packet_time_answered_can_be_sent() {
    for (attribute, codecs, sent) in [
        ("a=ptime:10\r\n", "PCMU", 10),
        ("a=ptime:120\r\n", "PCMU", 120),
        ("a=ptime:130\r\n", "PCMU", 20),
        ("a=ptime:200\r\n", "PCMU@30i", 30),
        ("a=ptime:4000000000\r\n", "PCMU", 20),
        ("a=ptime:25\r\n", "PCMU", 20),
        ("a=ptime:5\r\n", "PCMU", 20),
        ("a=ptime:0\r\n", "PCMU@40i", 20),
        ("", "PCMU@40i", 20),
    ] {
        let theirs = parsed(&format!("m=audio 4000 RTP/AVP 0\r\n{attribute}"));
        let local = Local { codecs: parse_codec_list(codecs), ..local() };
        let (agreed, answer) = answered(&theirs, &local, Mode::Generous).unwrap();
        assert_eq!(agreed.codec.ptime, sent, "{attribute}");
        assert!(answer.to_string().contains(&format!("a=ptime:{sent}\r\n")));
    }
}

#[test]
fn greedy_takes_our_order_and_nothing_in_common_is_an_error() {
    let theirs = parsed("m=audio 4000 RTP/AVP 8 0\r\n");
    assert_eq!(agreed_on(&theirs, &local(), Mode::Greedy).unwrap().codec.payload_type, 0);
    assert_eq!(agreed_on(&theirs, &local(), Mode::Generous).unwrap().codec.payload_type, 8);
    let g729 = parsed("m=audio 4000 RTP/AVP 18\r\n");
    assert_eq!(agreed_on(&g729, &local(), Mode::Generous), Err(NegotiationError::NoCodec));
    assert_eq!(agreed_on(&parsed(""), &local(), Mode::Generous), Err(NegotiationError::NoMedia));
}

#[test]
fn an_unspecified_address_holds() {
    let theirs = parsed("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
    assert!(agreed_on(&theirs, &local(), Mode::Generous).unwrap().hold);
}

#[test]
fn rtcp_follows_its_attribute_or_the_mux() {
    let theirs = parsed("m=audio 4000 RTP/AVP 0\r\na=rtcp:4009 IN IP4 192.0.2.9\r\na=rtcp-mux\r\n");
    let agreed = agreed_on(&theirs, &local(), Mode::Generous).unwrap();
    assert_eq!(
        (agreed.transport.rtcp_mux, agreed.transport.remote_rtcp),
        (false, Some("192.0.2.9:4009".parse().unwrap()))
    );
    let mux = Local { rtcp_mux: true, ..local() };
    let agreed = agreed_on(&theirs, &mux, Mode::Generous).unwrap();
    assert_eq!(
        (agreed.transport.rtcp_mux, agreed.transport.remote_rtcp),
        (true, agreed.transport.remote)
    );
}

#[test]
fn descriptions_round_trip() {
    let text = offered(&local()).to_string();
    assert_eq!(SessionDescription::parse(&text).unwrap().to_string(), text);
}

proptest::proptest! {
    #[test]
    fn any_description_can_be_answered(text in "(v=0\r\n)?([a-z]=[ -~]{0,40}\r\n){0,12}") {
        if let Ok(theirs) = SessionDescription::parse(&text)
            && let Ok(plan) = negotiate(&theirs, &local(), Mode::Generous)
        {
            let sent = answer(&theirs, &plan, &local()).sent;
            proptest::prop_assert_eq!(sent.media.len(), theirs.media.len());
        }
    }
}
