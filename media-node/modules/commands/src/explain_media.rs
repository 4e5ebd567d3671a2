//! `explain media`: what was offered, chosen, learnt and heard on a call, and why there is no sound.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use media::Stats;
use media::picture::{LegVideo, Watches};

use crate::call::{Channel, bypass};

/// What the rules below look at.
#[derive(Clone, Debug, Default)]
struct Seen {
    answered: bool,
    media: bool,
    bypass: bool,
    held: bool,
    keys_pending: bool,
    path: bool,
    flow: String,
    partner: bool,
    runs: bool,
    packets_in: u64,
    audio_in: u64,
    odd_in: u64,
    packets_out: u64,
}

/// Tells of a call's media.
pub(super) fn told(channel: &Channel) -> String {
    let mut text = format!("{} ({})\n", channel.name(), state(channel));
    let var = |name: &str| channel.var(name).filter(|value| !value.is_empty());
    let mut line = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(text, "  {what:<10}{value}");
        }
    };
    line("offered", var("ep_codec_string"));
    line("tried", var("rtp_use_codec_string"));
    line("chosen", var("rtp_last_audio_codec_string"));
    line("video", var("rtp_last_video_codec_string"));
    let video = channel.with(|data| data.find_slot::<LegVideo>().cloned()).unwrap_or_default();
    let stats = video.leg.as_ref().filter(|_| video.codec.is_some()).map(|leg| leg.stats());
    line("pictures", stats.as_ref().map(pictures));
    let (shown, hidden) = match video.watches {
        Some(why @ Watches::OtherCodec { .. }) => (None, Some(format!("! {why}"))),
        watches => (watches.map(|member| member.to_string()), None),
    };
    line("watches", shown);
    let also: Vec<_> = video.also_watches.iter().map(|member| format!("member {member}")).collect();
    line("and", Some(also.join(", ")).filter(|also| !also.is_empty()));
    line("digits", var("dtmf_type"));
    line("direction", var("audio_media_flow"));
    line("protected", Some(channel.with(|data| data.secure.clone())).filter(|s| !s.is_empty()));
    let address = |ip: &str, port: &str| Some(format!("{}:{}", var(ip)?, var(port)?));
    line("ours", address("local_media_ip", "local_media_port"));
    line("shown as", var("advertised_media_ip"));
    line("theirs", address("remote_media_ip", "remote_media_port"));
    line("described", address("remote_audio_ip_reported", "remote_audio_port_reported"));
    let stats = channel.media().map(|media| media.stats());
    if let Some(stats) = &stats {
        line("heard", Some(heard(stats)));
        line("sent", Some(sent(stats)));
    }
    if let Some(hidden) = hidden {
        let _ = writeln!(text, "  {hidden}");
    }
    for reason in reasons(&seen(channel, stats.as_ref())) {
        let _ = writeln!(text, "  ! {reason}");
    }
    text
}

fn state(channel: &Channel) -> &'static str {
    match (channel.is_up(), channel.is_answered(), channel.has_media()) {
        (false, ..) => "hung up",
        (_, true, _) => "answered",
        (_, _, true) => "early media",
        _ => "not answered",
    }
}

fn heard(stats: &Stats) -> String {
    let inbound = &stats.inbound;
    format!(
        "{} packets, {} with audio, {:.1} % lost, MOS {:.2}",
        inbound.packet_count,
        inbound.media_packet_count,
        inbound.jitter_loss_rate * 100.0,
        inbound.mos
    )
}

fn pictures(stats: &Stats) -> String {
    let (got, sent) = (stats.inbound.packet_count, stats.outbound.packet_count);
    format!("{got} packets came, {sent} were sent")
}

fn sent(stats: &Stats) -> String {
    let outbound = &stats.outbound;
    format!("{} packets, {} with audio", outbound.packet_count, outbound.media_packet_count)
}

fn seen(channel: &Channel, stats: Option<&Stats>) -> Seen {
    let webrtc =
        channel.var("rtp_local_sdp_str").is_some_and(|ours| ours.contains("a=fingerprint:"));
    let secure = channel.with(|data| data.secure.clone());
    let inbound = stats.map(|stats| stats.inbound).unwrap_or_default();
    Seen {
        answered: channel.is_answered() || channel.has_media(),
        media: stats.is_some(),
        bypass: bypass::is_on(channel),
        held: channel.flags.held.load(Ordering::Relaxed),
        keys_pending: webrtc && !secure.starts_with("srtp:dtls"),
        path: channel.var("remote_media_ip").is_some_and(|ip| ip != "0.0.0.0"),
        flow: channel.var("audio_media_flow").unwrap_or_default(),
        partner: channel.partner().is_some(),
        runs: channel.with(|data| !data.doing.is_empty()),
        packets_in: inbound.packet_count,
        audio_in: inbound.media_packet_count,
        odd_in: inbound.unauthentic_packet_count,
        packets_out: stats.map_or(0, |stats| stats.outbound.packet_count),
    }
}

/// Why nothing is heard in one direction or the other; the first reason is the one to look at.
fn reasons(seen: &Seen) -> Vec<&'static str> {
    if seen.bypass {
        return vec![
            "media passes by the switch (bypass_media): what is heard is between the far ends",
        ];
    }
    if !seen.answered || !seen.media {
        return vec!["there is no media yet: the call is not answered and has no early media"];
    }
    let mut reasons = Vec::new();
    if seen.keys_pending {
        reasons.push(
            "the keys are not there: connectivity checks or the DTLS handshake have not ended; nothing is taken or sent before",
        );
    }
    if seen.held {
        reasons.push("the far end holds the call");
    }
    match seen.flow.as_str() {
        "inactive" => reasons.push("the direction agreed on is inactive"),
        "recvonly" => reasons.push("the far end only sends: it is not sent anything"),
        "sendonly" => reasons.push("the far end only listens: nothing of it is expected"),
        _ => {}
    }
    let expects = !matches!(seen.flow.as_str(), "inactive" | "sendonly");
    if expects && seen.packets_in == 0 && seen.odd_in == 0 {
        reasons.push(
            "nothing has arrived at our address: a firewall or NAT on the way, or the far end was shown an address it cannot reach",
        );
    } else if seen.odd_in > 0 && seen.audio_in == 0 {
        reasons
            .push("packets arrive that are not protected with the key agreed on: they are refused");
    } else if expects && seen.packets_in > 0 && seen.audio_in == 0 {
        reasons.push("packets arrive, and none has audio of the codec agreed on");
    }
    if seen.packets_out == 0 && !seen.path {
        reasons.push("the far end's address is not known: nothing can be sent");
    } else if seen.packets_out == 0 && !seen.partner && !seen.runs {
        reasons.push("nothing is sent: no application plays, and there is no partner");
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Seen {
        Seen {
            answered: true,
            media: true,
            path: true,
            flow: "sendrecv".into(),
            partner: true,
            packets_in: 500,
            audio_in: 499,
            packets_out: 500,
            ..Seen::default()
        }
    }

    #[test]
    fn each_silence_has_its_reason_and_sound_has_none() {
        assert!(reasons(&well()).is_empty());
        for (seen, word) in [
            (Seen { answered: false, ..well() }, "not answered"),
            (Seen { bypass: true, ..well() }, "bypass_media"),
            (Seen { keys_pending: true, ..well() }, "handshake"),
            (Seen { held: true, ..well() }, "holds"),
            (Seen { packets_in: 0, audio_in: 0, ..well() }, "nothing has arrived"),
            (Seen { packets_in: 0, audio_in: 0, odd_in: 9, ..well() }, "not protected"),
            (Seen { audio_in: 0, ..well() }, "none has audio"),
            (Seen { packets_out: 0, path: false, ..well() }, "address is not known"),
            (Seen { packets_out: 0, partner: false, ..well() }, "no application plays"),
            (Seen { flow: "inactive".into(), ..well() }, "inactive"),
        ] {
            let said = reasons(&seen);
            assert!(said.first().is_some_and(|reason| reason.contains(word)), "{word}: {said:?}");
        }
    }
}
