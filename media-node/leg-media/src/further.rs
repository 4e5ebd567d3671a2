//! Lines of video behind the first, on which the far end only receives: each shows it another member of a room. The room says
//! how many it takes ([`LegVideo::room_lines`]); such a line has a media leg, checks and a handshake of its own, as the first.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use media::picture::{FurtherLine, LegVideo, RoomTakes};
use media::{Engine, RtpSpec};
use negotiation::{FurtherStream, LocalIce, Plan, RoomVideo, VideoPlan};
use webrtc::link::LinkEvent;

use super::apply::flow;
use super::reach::Reach;
use super::streams::{bound, set};
use crate::call::Channel;

/// How many further lines the room of a channel has use for.
fn room_lines(channel: &Channel) -> usize {
    let room = channel.with(|data| data.find_slot::<LegVideo>().map(|video| video.room_lines));
    room.unwrap_or_default()
}

/// What the room of a channel takes of its video beside.
pub(super) fn room_video(channel: &Channel) -> RoomVideo {
    let room = channel.with(|data| data.find_slot::<LegVideo>().map(|video| video.room_takes));
    let RoomTakes { simulcast, transport_cc } = room.unwrap_or_default();
    RoomVideo { simulcast, transport_cc }
}

/// The further lines of a leg.
#[derive(Default)]
pub(super) struct Further(Vec<Line>);

struct Line {
    media_index: usize,
    leg: Arc<media::Leg>,
    ice: Option<LocalIce>,
    reach: Reach,
}

impl Further {
    /// How many lines are taken of an offer: as many as the room of the channel has use for, and those that are in use; none
    /// outside of rooms.
    pub(super) fn most(&self, channel: &Channel) -> usize {
        match room_lines(channel) {
            0 => 0,
            lines => lines.max(self.0.len()),
        }
    }

    /// Binds ports for the lines agreed on that have none, and gives up those of lines that are no longer there. Lines for which
    /// no port can be had are left out of what is agreed ([`Further::keep_bound`]): the call goes on without.
    pub(super) fn open(
        &mut self,
        channel: &Channel,
        engine: &Engine,
        spec: &RtpSpec,
        (plans, checks): (&[VideoPlan], bool),
    ) {
        self.0.retain(|line| plans.iter().any(|plan| plan.media_index == line.media_index));
        for VideoPlan { media_index, .. } in plans {
            if self.0.iter().any(|line| line.media_index == *media_index) {
                continue;
            }
            let leg = match engine.open_rtp(spec.clone()) {
                Ok((leg, _no_events)) => leg,
                Err(error) => {
                    tracing::warn!(uuid = %channel.uuid(), "Video line {media_index} and those behind it are declined: {error}");
                    break;
                }
            };
            let ice = if checks { LocalIce::new() } else { None };
            let (leg, reach) = (Arc::new(leg), Reach::default());
            self.0.push(Line { media_index: *media_index, leg, ice, reach });
        }
        self.0.sort_by_key(|line| line.media_index);
    }

    /// Takes the lines that have no port out of what is agreed: they are answered with port 0.
    pub(super) fn keep_bound(&self, plan: &mut Plan) {
        plan.further.retain(|plan| self.0.iter().any(|line| line.media_index == plan.media_index));
    }

    /// The ports bound.
    pub(super) fn ports(&self) -> Vec<u16> {
        self.0.iter().map(|line| line.leg.rtp_port()).collect()
    }

    /// Takes candidates of the line in this place that came later.
    pub(super) fn add_candidates(&self, media_index: usize, candidates: &[sdp::Candidate]) {
        let mut lines = self.0.iter().filter(|line| line.media_index == media_index);
        if let Some(line) = lines.next() {
            line.reach.add_candidates(candidates);
        }
    }

    /// Makes other credentials: the far end's checks begin anew.
    pub(super) fn prepare_checks(&mut self) {
        self.0.iter_mut().for_each(|line| line.ice = LocalIce::new());
    }

    /// What the lines have bound, with the roles of the last exchange; without `before` there was none. Outside of rooms they
    /// are of no use, and offered and answered no more.
    pub(super) fn streams(&self, channel: &Channel, before: Option<&Plan>) -> Vec<FurtherStream> {
        if room_lines(channel) == 0 {
            return Vec::new();
        }
        let stream = |line: &Line| {
            let plan = before.into_iter().flat_map(|plan| &plan.further);
            let mut plan = plan.filter(|plan| plan.media_index == line.media_index);
            let role = plan.next().and_then(|plan| plan.transport.secure.dtls()).map(|d| d.role);
            let stream =
                negotiation::LocalStream { ice: line.ice.clone(), ..bound(Some(&line.leg)) };
            FurtherStream { media_index: line.media_index, stream, role }
        };
        self.0.iter().map(stream).collect()
    }

    /// What others are told of the lines.
    pub(super) fn known(&self, plan: &Plan, held: bool) -> Vec<FurtherLine> {
        let known = |line: &Line| {
            let mut plan = plan.further.iter().filter(|plan| plan.media_index == line.media_index);
            let wants = plan.any(|plan| flow(plan.remote_direction.answer(), held).sends());
            FurtherLine { leg: Arc::clone(&line.leg), wants }
        };
        self.0.iter().map(known).collect()
    }

    /// Tells the media legs what was agreed.
    pub(super) fn apply(
        &mut self,
        channel: &Channel,
        bind_ip: IpAddr,
        plan: &Plan,
        (held, association): (bool, u32),
        identity: Option<&webrtc::dtls::Identity>,
    ) {
        for line in &mut self.0 {
            let Some(agreed) = plan.further.iter().find(|p| p.media_index == line.media_index)
            else {
                continue;
            };
            let direction = flow(agreed.remote_direction.answer(), held);
            let number = agreed.codec.payload_type;
            let how = (direction, !plan.feedback);
            set(channel, &line.leg, &agreed.transport, number, how, &agreed.extras);
            if !line.reach.apply(&line.leg, bind_ip, &agreed.transport, identity, association) {
                tracing::error!(uuid = %channel.uuid(), "Video line {}: no checks and no handshake: the media engine is overloaded", line.media_index);
            }
        }
    }

    /// The next thing that checks or a handshake of a line lead to. May be given up half-way.
    pub(super) async fn link_event(&mut self) -> LinkEvent {
        // Each is asked anew whenever one may have something: the events of a link wait in a queue until they are taken.
        std::future::poll_fn(|context| {
            for line in &mut self.0 {
                if let Poll::Ready(event) = pin!(line.reach.event()).poll(context) {
                    return Poll::Ready(event);
                }
            }
            Poll::Pending
        })
        .await
    }
}
