//! The video line. Video is passed through, so the choice is one of numbers and names only.

use sdp::{MediaDirection, MediaLine, SessionDescription};

use crate::choice::{Choice, Mode};
use crate::plan::{is_usable, protect, transport};
use crate::{FurtherStream, Local, Transport, VideoExtras, rooms};

/// Names of the codecs that can be passed through, with the number each has when it is static.
const CODECS: [(&str, Option<u8>); 8] = [
    ("VP8", None),
    ("VP9", None),
    ("H264", None),
    ("H265", None),
    ("AV1", None),
    ("H263", Some(34)),
    ("H263-1998", None),
    ("H261", Some(31)),
];

/// RTP clock of video, Hz.
pub(crate) const CLOCK: u32 = 90_000;

/// The video line used, or declined for want of a codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoPlan {
    /// Index of the line in the peer's description.
    pub media_index: usize,
    /// The word for its profile, as the peer wrote it.
    pub proto: String,
    /// The codec; packet time and channels mean nothing here.
    pub codec: Choice,
    /// How packets travel and are protected.
    pub transport: Transport,
    /// What the peer understands of RTCP feedback.
    pub feedback: Feedback,
    /// What was agreed for a room.
    pub extras: VideoExtras,
    /// The most the peer takes, bits a second, if it says.
    pub most: Option<u64>,
    /// The peer's direction.
    pub remote_direction: MediaDirection,
    /// The line is answered with port 0: no codec in common, another profile than the rest, or no key.
    pub declined: bool,
}

/// RTCP feedback messages (RFC 4585, RFC 5104) that a peer names in `a=rtcp-fb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Feedback {
    /// Full intra request.
    pub fir: bool,
    /// Temporary maximum bit rate.
    pub tmmbr: bool,
    /// Lost packets asked for again.
    pub nack: bool,
    /// Picture loss indication.
    pub pli: bool,
    /// Receiver estimated maximum bit rate (draft-alvestrand-rmcat-remb-03): named to browsers only, whose own it is.
    pub remb: bool,
}

impl Feedback {
    /// All that we pass on; `remb` to a browser.
    pub(crate) const fn all(remb: bool) -> Self {
        Self { fir: true, tmmbr: true, nack: true, pli: true, remb }
    }

    fn of(media: &MediaLine) -> Self {
        let mut said = Self::default();
        let lines = media.attributes.iter().filter(|a| a.name.eq_ignore_ascii_case("rtcp-fb"));
        for value in lines.filter_map(|a| a.value.as_deref()) {
            let value = value.to_ascii_lowercase();
            said.fir |= value.contains("fir");
            said.tmmbr |= value.contains("tmmbr");
            said.nack |= value.contains("nack");
            said.pli |= value.contains("pli");
            said.remb |= value.ends_with(" goog-remb");
        }
        said
    }
}

/// The canonical name of a video codec that can be passed through.
pub fn video_codec(name: &str) -> Option<&'static str> {
    CODECS.iter().map(|(known, _)| *known).find(|known| known.eq_ignore_ascii_case(name))
}

/// The static payload type of a video codec.
pub(crate) fn static_video(name: &str) -> Option<u8> {
    CODECS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1
}

/// What comes of the first video line in use; `None` when there is none, or we do not do video: it is declined then
/// like any other line that is not taken.
pub(crate) fn video_line(
    theirs: &SessionDescription,
    local: &Local,
    mode: Mode,
    feedback: bool,
) -> Option<VideoPlan> {
    let (media_index, media) =
        theirs.media.iter().enumerate().find(|(_, media)| is_usable(media, "video"))?;
    if local.video_codecs.is_empty() {
        return None;
    }
    let offered = offered(media);
    let chosen = match mode {
        Mode::Generous => {
            offered.iter().find(|theirs| local.video_codecs.iter().any(|ours| theirs.is(ours)))
        }
        Mode::Greedy | Mode::Scrooge => {
            local.video_codecs.iter().find_map(|ours| offered.iter().find(|t| t.is(ours)))
        }
    };
    let role = local.before.video_role;
    let line = (media_index, media);
    Some(plan_line(theirs, line, local, feedback, chosen.cloned(), (&local.video, role)))
}

/// The lines of video behind the first on which the peer only receives, as many as are taken, of the first's codec. A line that
/// is in use keeps its place while it is inactive, and when the peer would send on it too: it may still receive. Lines of slides
/// and the like (`a=content`, RFC 4796) are of no use here.
pub(crate) fn further_lines(
    theirs: &SessionDescription,
    local: &Local,
    first: &VideoPlan,
    feedback: bool,
) -> Vec<VideoPlan> {
    if first.declined {
        return Vec::new();
    }
    let plan = |(media_index, media): (usize, &MediaLine)| {
        let codec = offered(media).into_iter().find(|codec| codec.is(&first.codec.name));
        let bound = FurtherStream::at(local, media_index).cloned().unwrap_or_default();
        let ours = (&bound.stream, bound.role);
        let mut plan = plan_line(theirs, (media_index, media), local, feedback, codec, ours);
        if plan.remote_direction == MediaDirection::SendRecv {
            plan.remote_direction = MediaDirection::RecvOnly;
        }
        // A browser takes the numbers of all its lines for those of one count.
        plan.extras = VideoExtras::default();
        plan
    };
    let receives = |index: usize, media: &MediaLine| match MediaDirection::of(theirs, media) {
        MediaDirection::RecvOnly => true,
        MediaDirection::Inactive | MediaDirection::SendRecv => {
            FurtherStream::at(local, index).is_some()
        }
        MediaDirection::SendOnly => false,
    };
    let main = |media: &MediaLine| {
        media.attribute("content").is_none_or(|content| content.eq_ignore_ascii_case("main"))
    };
    let lines = theirs.media.iter().enumerate().skip(first.media_index + 1);
    let lines = lines.filter(|(index, media)| {
        is_usable(media, "video") && receives(*index, media) && main(media)
    });
    lines.map(plan).filter(|plan| !plan.declined).take(local.most_further).collect()
}

fn plan_line(
    theirs: &SessionDescription,
    (media_index, media): (usize, &MediaLine),
    local: &Local,
    feedback: bool,
    chosen: Option<Choice>,
    (stream, role): (&crate::LocalStream, Option<crate::DtlsRole>),
) -> VideoPlan {
    let secured = protect(theirs, media, local, feedback, &local.video_security, role);
    let path = secured
        .ok()
        .flatten()
        .and_then(|secure| transport(theirs, media, local, secure, stream).ok());
    let none = || Choice {
        payload_type: 0,
        name: String::new(),
        rate: CLOCK,
        channels: 1,
        ptime: 0,
        fmtp: None,
    };
    let remote_direction = MediaDirection::of(theirs, media);
    let sends = matches!(remote_direction, MediaDirection::SendRecv | MediaDirection::SendOnly);
    // Both need feedback, which a line without it may not be sent.
    let codec = chosen.as_ref().filter(|_| feedback);
    let extras =
        codec.map(|codec| VideoExtras::of(media, (codec.payload_type, &codec.name), sends, local));
    VideoPlan {
        media_index,
        proto: media.proto.clone(),
        extras: extras.unwrap_or_default(),
        most: rooms::most(media),
        declined: chosen.is_none() || path.is_none(),
        codec: chosen.unwrap_or_else(none),
        transport: path.unwrap_or_default(),
        feedback: Feedback::of(media),
        remote_direction,
    }
}

/// The codecs of a line in the peer's order.
pub(crate) fn offered(media: &MediaLine) -> Vec<Choice> {
    let maps: Vec<_> = media.rtpmaps().collect();
    let numbers = media.formats.iter().filter_map(|f| f.parse::<u8>().ok()).filter(|pt| *pt < 128);
    numbers
        .filter_map(|payload_type| {
            let map = maps.iter().find(|map| map.payload_type == payload_type);
            let fixed = CODECS.iter().find(|(_, number)| *number == Some(payload_type));
            let (name, rate) = match (map, fixed) {
                (Some(map), _) => (map.name.clone(), map.rate),
                (None, Some((name, _))) => ((*name).to_owned(), CLOCK),
                (None, None) => return None,
            };
            let fmtp = media.fmtp(payload_type).map(str::to_owned);
            Some(Choice { payload_type, name, rate, channels: 1, ptime: 0, fmtp })
        })
        .collect()
}
