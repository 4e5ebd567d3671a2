//! A description as the reference's SIP library writes it.
//!
//! The reference makes its descriptions in one order and shows them so (`rtp_local_sdp_str`); on the wire its library
//! prints them anew: the maps of the formats first, then the direction unless it is the default, then everything else.

use sdp::{Attribute, MediaDirection, MediaLine, SessionDescription};

/// The description as it is sent. Descriptions of peers are shown in this order as well.
#[must_use]
pub fn as_sent(description: &SessionDescription) -> SessionDescription {
    into_sent(description.clone())
}

/// [`as_sent`] of a description that is not needed any more.
#[must_use]
pub fn into_sent(mut description: SessionDescription) -> SessionDescription {
    for media in &mut description.media {
        // Of a line that is not in use nothing but itself is printed.
        if media.port == 0 {
            media.attributes.clear();
        }
        in_library_order(media);
    }
    description
}

pub(crate) fn in_library_order(media: &mut MediaLine) {
    let MediaLine { formats, attributes, .. } = media;
    let maps = formats.len() * 2;
    attributes.sort_by_cached_key(|attribute| {
        let of = |name| formats.iter().position(|format| is_of(attribute, name, format));
        let map = of("rtpmap").map(|at| at * 2).or_else(|| of("fmtp").map(|at| at * 2 + 1));
        map.unwrap_or(if is_direction(attribute) { maps } else { maps + 1 })
    });
    let mut told = false;
    attributes.retain(|attribute| {
        let default = || attribute.name.eq_ignore_ascii_case("sendrecv");
        !is_direction(attribute) || (!default() && !std::mem::replace(&mut told, true))
    });
}

fn is_of(attribute: &Attribute, name: &str, format: &str) -> bool {
    let first = |value| str::split_ascii_whitespace(value).next();
    attribute.name.eq_ignore_ascii_case(name)
        && attribute.value.as_deref().and_then(first) == Some(format)
}

fn is_direction(attribute: &Attribute) -> bool {
    use MediaDirection::{Inactive, RecvOnly, SendOnly, SendRecv};
    attribute.value.is_none()
        && [SendRecv, SendOnly, RecvOnly, Inactive]
            .iter()
            .any(|direction| attribute.name.eq_ignore_ascii_case(direction.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_come_first_then_the_direction_unless_it_is_the_default() {
        let written = |lines: &str| {
            let text = format!("v=0\r\nm=audio 4 RTP/AVP 102 101\r\n{lines}");
            let sent = as_sent(&SessionDescription::parse(&text).unwrap());
            sent.media[0].attributes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            written(
                "a=ptime:20\r\na=sendonly\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
                 a=rtpmap:102 opus/48000/2\r\na=rtcp-mux\r\n"
            ),
            "a=rtpmap:102 opus/48000/2 a=rtpmap:101 telephone-event/8000 a=fmtp:101 0-15 a=sendonly a=ptime:20 a=rtcp-mux"
        );
        assert_eq!(written("a=ptime:20\r\na=sendrecv\r\n"), "a=ptime:20");
        let unused = SessionDescription::parse("v=0\r\nm=video 0 RTP/AVP 96\r\na=recvonly\r\n");
        assert!(as_sent(&unused.unwrap()).media[0].attributes.is_empty());
    }
}
