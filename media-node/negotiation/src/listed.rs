//! Codec lists and descriptions against the codecs the media engine has.

use media::Codec;
use sdp::{MediaLine, SessionDescription, T38Options, static_codec};

use crate::video::video_codec;
use crate::{Choice, CodecPref, parse_codec_list};

/// The audio codec an entry of a codec list means.
#[must_use]
pub fn known_codec(pref: &CodecPref) -> Option<Codec> {
    match pref.rate {
        Some(rate) => Codec::by_pref(&pref.name, rate),
        None => Codec::all().iter().find(|c| c.name().eq_ignore_ascii_case(&pref.name)).copied(),
    }
}

/// The audio codecs of a list that we have, spelt as descriptions spell them.
#[must_use]
pub fn audio_codecs(list: &str) -> Vec<CodecPref> {
    let spelt = |pref: CodecPref| {
        let codec = known_codec(&pref)?;
        let rate = if codec.clock() == codec.rate() { codec.clock() } else { codec.rate() };
        Some(CodecPref { name: codec.name().to_owned(), rate: Some(rate), ..pref })
    };
    parse_codec_list(list).into_iter().filter_map(spelt).collect()
}

/// The video codecs of a list, likewise.
#[must_use]
pub fn video_codecs(list: &str) -> Vec<String> {
    let names = parse_codec_list(list).into_iter().filter_map(|pref| video_codec(&pref.name));
    names.map(str::to_owned).collect()
}

/// What a description offers of a codec list, the way `ep_codec_string` shows it.
#[must_use]
pub fn common_codecs(description: &SessionDescription, ours: &str) -> String {
    let audio: Vec<Codec> = parse_codec_list(ours).iter().filter_map(known_codec).collect();
    let video = video_codecs(ours);
    let mut names = Vec::new();
    for media in &description.media {
        match media.kind.as_str() {
            _ if media.port == 0 => {}
            "audio" => names.extend(common_audio(media, &audio)),
            // Further lines of video name the same codecs again.
            "video" => {
                let mut new = common_video(media, &video);
                new.retain(|name| !names.contains(name));
                names.append(&mut new);
            }
            "image" if T38Options::is_fax(media) => names.push("t38".to_owned()),
            _ => {}
        }
    }
    names.join(",")
}

/// The codecs of a description that a codec list has, with their numbers and formats.
#[must_use]
pub fn offered_choices(description: &SessionDescription, ours: &str) -> Vec<Choice> {
    let audio = audio_codecs(ours);
    let video = video_codecs(ours);
    let mut choices = Vec::new();
    for media in description.media.iter().filter(|media| media.port != 0) {
        let of_media = match media.kind.as_str() {
            "audio" => crate::choice::offered(media),
            "video" => crate::video::offered(media),
            _ => continue,
        };
        let has = |choice: &Choice| match media.kind.as_str() {
            "audio" => audio.iter().any(|pref| choice.is(&pref.name)),
            _ => video.iter().any(|name| choice.is(name)),
        };
        choices.extend(of_media.into_iter().filter(has));
    }
    choices
}

fn common_audio(media: &MediaLine, ours: &[Codec]) -> Vec<String> {
    let ptime = media.attribute("ptime").and_then(|text| text.parse::<u32>().ok()).unwrap_or(20);
    let maps: Vec<_> = media.rtpmaps().collect();
    let of = |pt: u8| {
        let map = maps.iter().find(|map| map.payload_type == pt);
        let (name, rate, channels) = match map {
            Some(map) => (map.name.as_str(), map.rate, map.channels),
            None => static_codec(pt)?,
        };
        let codec = ours.iter().find(|c| c.name().eq_ignore_ascii_case(name))?;
        Some(named(codec, name, rate, ptime, channels))
    };
    media.formats.iter().filter_map(|format| of(format.parse().ok()?)).collect()
}

fn common_video(media: &MediaLine, ours: &[String]) -> Vec<String> {
    let maps: Vec<_> = media.rtpmaps().collect();
    let of = |pt: u8| {
        let map = maps.iter().find(|map| map.payload_type == pt)?;
        let name = ours.iter().find(|name| name.eq_ignore_ascii_case(&map.name))?;
        let module = match name.as_str() {
            "VP8" | "VP9" => "CORE_VPX_MODULE",
            "AV1" => "mod_av",
            _ => "mod_h26x",
        };
        let fmtp = media.fmtp(pt).map(|fmtp| format!("~{fmtp}")).unwrap_or_default();
        Some(format!("{module}.{name}{fmtp}"))
    };
    media.formats.iter().filter_map(|format| of(format.parse().ok()?)).collect()
}

/// An audio codec at the rate offered: bit rate and channels where they are not the usual.
fn named(codec: &Codec, name: &str, rate: u32, ptime: u32, channels: u8) -> String {
    let mut text = format!("{}.{name}@{rate}h@{ptime}i", codec.module());
    if codec.bit_rate() > 0 && codec.clock() == rate {
        text.push_str(&format!("@{}b", codec.bit_rate()));
    }
    if channels > 1 {
        text.push_str(&format!("@{channels}c"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_common_is_named_as_recorded_and_read_again() {
        let text = "v=0\r\nm=video 4 RTP/AVP 97 99 96\r\na=rtpmap:97 H264/90000\r\n\
            a=fmtp:97 profile-level-id=42801F;packetization-mode=1\r\na=rtpmap:99 NOPE/90000\r\n\
            a=rtpmap:96 vp8/90000\r\nm=audio 6 RTP/AVP 0 111 18\r\na=rtpmap:111 opus/48000/2\r\n\
            m=image 8 udptl t38\r\n";
        let offer = SessionDescription::parse(text).unwrap();
        let listed = common_codecs(&offer, "OPUS,PCMU,VP8,H264");
        assert_eq!(
            listed,
            "mod_h26x.H264~profile-level-id=42801F;packetization-mode=1,CORE_VPX_MODULE.VP8,\
             CORE_PCM_MODULE.PCMU@8000h@20i@64000b,mod_opus.opus@48000h@20i@2c,t38"
        );
        assert_eq!(video_codecs(&listed), ["H264", "VP8"]);
        let names: Vec<_> = audio_codecs(&listed).into_iter().map(|pref| pref.name).collect();
        assert_eq!(names, ["PCMU", "opus"]);
        let h264 = parse_codec_list(&listed).remove(0);
        assert_eq!(h264.fmtp.as_deref(), Some("profile-level-id=42801F;packetization-mode=1"));
    }
}
