//! What a worker does when told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::layers::{Path, Protection};
use super::leg::{LegState, MAX_PLAYOUTS, MAX_TAPS, Route, Transport};
use super::mix::Member;
use super::playing::Playing;
use super::watching::Watching;
use super::{COMMANDS_PER_PASS, NOWHERE, Worker};
use crate::dtmf::DigitStep;
use crate::event::RecordEnd;
use crate::io::{MediaIo, Token};
use crate::latch::Latch;
use crate::leg::{BridgeOptions, PlayId, RecordId, Side};
use crate::params::{PathSpec, ProtectionSpec};
use crate::service::Retired;
use crate::shared::{Command, LegShared, NewRtp, Op, PlayControl, RecordControl};

impl<I: MediaIo> Worker<I> {
    pub(super) fn handle_commands(&mut self) {
        for _ in 0..COMMANDS_PER_PASS {
            let Some(command) = self.mailbox.next_command() else { break };
            self.handle_command(command);
        }
        for _ in 0..self.mailbox.closes_waiting() {
            let Some(leg) = self.mailbox.next_close() else { break };
            self.close_or_wait(leg);
        }
    }

    fn handle_command(&mut self, command: Command) {
        let Command { leg: shared, op } = command;
        if let Op::Attach(leg) = op {
            return self.attach(leg);
        }
        let at = shared.worker.load(Ordering::Acquire);
        if at != self.index {
            // The leg has moved meanwhile. A full queue there loses the command, as it would have
            // been refused had it been posted there.
            if let Some(mailbox) = self.mailboxes.get(at) {
                let _ = mailbox.post(Command { leg: shared, op });
            }
            return;
        }
        let Some(slot) = self.find(&shared) else { return self.ctx.jobs.retire(Retired::Op(op)) };
        let Some(leg) = self.take(slot) else { return };
        match op {
            Op::Bridge { peer, options } => self.bridge(slot, leg, peer, options),
            Op::Join { mixer, member } => self.join(slot, leg, mixer, member),
            Op::JoinPictures { mixer, picture } => {
                self.join_pictures(slot, leg, mixer, picture);
            }
            op => self.with_leg(slot, leg, |worker, leg| {
                worker.apply(slot, leg, op);
                worker.schedule(slot, leg);
            }),
        }
    }

    fn apply(&mut self, slot: u32, leg: &mut LegState, op: Op) {
        match op {
            Op::Attach(_) | Op::Bridge { .. } | Op::Join { .. } | Op::JoinPictures { .. } => {}
            Op::LookAt(source) => leg.look_at(source),
            Op::HidePictures(hidden) => leg.hide_pictures(hidden),
            Op::SetRtp(new) => self.set_rtp(leg, *new),
            Op::Play { id, plan, how } => leg.begin_play(Playing::new(id, plan), how, &self.ctx),
            Op::PlayControl { id, control } => self.control_play(leg, id, control),
            Op::Playout(playout) if leg.playouts.len() < MAX_PLAYOUTS => leg.playouts.push(playout),
            Op::Playout(playout) => self.ctx.jobs.retire(Retired::Op(Op::Playout(playout))),
            Op::EndPlayout(id) => {
                if let Some(at) = leg.playouts.iter().position(|playout| playout.id == id) {
                    let ended = leg.playouts.remove(at);
                    self.ctx.jobs.retire(Retired::Op(Op::Playout(ended)));
                }
            }
            Op::Record(tap) if leg.taps.len() < MAX_TAPS => leg.taps.push(tap),
            Op::Record(tap) => {
                tap.finish(&RecordEnd::Stopped);
                self.ctx.retire_tap(tap);
            }
            Op::RecordControl { id, control } => self.control_record(leg, id, control),
            Op::Redact { from_ms, to_ms, heard } => {
                leg.taps.iter_mut().for_each(|tap| tap.silence(from_ms, to_ms, heard));
                if !heard {
                    self.silence_in_mix(leg, from_ms, to_ms);
                }
            }
            Op::Unbridge => {
                self.unbridge(leg);
                leg.early = super::pictures::Early::default();
            }
            Op::Member(options) => {
                if let Some(member) = &mut leg.member {
                    member.set(options);
                }
            }
            Op::Noise(divisor) => {
                if let Some(room) = &mut leg.room {
                    room.set_noise(divisor);
                }
            }
            Op::Separate(pairs) => {
                if let Some(room) = &mut leg.room {
                    let old = room.separate(pairs);
                    self.ctx.jobs.retire(Retired::Op(Op::Separate(old)));
                }
            }
            Op::Echo(delay) => {
                self.unbridge(leg);
                leg.route = Route::Echo(delay);
            }
            Op::EchoOff => {
                if let Route::Echo(delay) = std::mem::replace(&mut leg.route, Route::Nowhere) {
                    self.ctx.jobs.retire(Retired::Op(Op::Echo(delay)));
                }
            }
            Op::Hold(on) => {
                leg.held = on;
                leg.last_rtp_us = self.ctx.now.us;
                leg.timeout_told = false;
            }
            Op::Gain { side: Side::Read, percent } => leg.read_level.percent = percent,
            Op::Gain { side: Side::Write, percent } => leg.write_level.percent = percent,
            Op::Mute { side: Side::Read, on } => leg.read_level.muted = on,
            Op::Mute { side: Side::Write, on } => leg.write_level.muted = on,
            Op::Digits(steps) => self.digits(leg, steps),
            Op::FlushDigits => {
                leg.digits_out.flush();
                if let Some(keys) = &mut leg.tone_keys {
                    keys.flush();
                }
            }
            Op::ToneKeys(keys) => {
                let old = std::mem::replace(&mut leg.tone_keys, keys);
                self.ctx.jobs.retire(Retired::Op(Op::ToneKeys(old)));
            }
            Op::Inband(detector) => {
                let old = std::mem::replace(&mut leg.inband, detector);
                self.ctx.jobs.retire(Retired::Op(Op::Inband(old)));
            }
            Op::SaidKeys(keys) => {
                let old = std::mem::replace(&mut leg.said_keys, keys);
                self.ctx.jobs.retire(Retired::Op(Op::SaidKeys(old)));
            }
            Op::Silence(noise) => leg.silence = noise,
            Op::Jitter(buffer) => {
                let old = std::mem::replace(&mut leg.jitter, buffer);
                (leg.jitter_due, leg.jitter_len) = (0, 0);
                self.ctx.jobs.retire(Retired::Op(Op::Jitter(old)));
            }
            Op::SideChannel(input) => {
                if let Some(old) = leg.side.replace(input) {
                    self.ctx.jobs.retire(Retired::Op(Op::SideChannel(old)));
                }
            }
            Op::Path(to) => self.set_path(leg, to),
            Op::Keys(keys) => {
                let wanted = leg.params.protection == ProtectionSpec::Handshake;
                let old = if wanted { leg.protection.set_keys(keys) } else { Some(keys) };
                if let Some(old) = old {
                    self.ctx.jobs.retire(Retired::Op(Op::Keys(old)));
                }
            }
            Op::RtcpPath(to) => {
                if matches!(leg.path, Path::Checked(_)) && !leg.params.rtcp_mux {
                    leg.rtcp_remote = to;
                }
            }
            Op::RtcpKeys(keys) => {
                let old = match &mut leg.rtcp_protection {
                    Some(own) => own.set_keys(keys),
                    None => Some(keys),
                };
                if let Some(old) = old {
                    self.ctx.jobs.retire(Retired::Op(Op::RtcpKeys(old)));
                }
            }
            Op::Watch(watch) => leg.watch = watch.map(Watching::new),
            Op::Converter(converter) => {
                if let Some(old) = leg.take_converter(converter) {
                    self.ctx.jobs.retire(Retired::Op(Op::Converter(old)));
                }
            }
        }
        let _ = slot;
    }

    fn set_rtp(&mut self, leg: &mut LegState, new: NewRtp) {
        let NewRtp { params, jitter, conceal, mut coder, mut protection, .. } = new;
        let (mut layers, mut congestion) = (new.layers, new.congestion);
        // The same layers again are those that were learnt.
        if leg.params.simulcast != params.simulcast {
            std::mem::swap(&mut leg.layers, &mut layers);
        }
        if leg.params.transport_cc != params.transport_cc {
            std::mem::swap(&mut leg.congestion, &mut congestion);
        }
        let announced = leg.params.remote != params.remote
            || leg.params.symmetric != params.symmetric
            || leg.params.path != params.path
            || !leg.active;
        if announced {
            // The same address again keeps what was learnt about the peer's real one.
            let known = leg.path.remote().filter(|_| params.held_off);
            let latch =
                || Latch::new(params.remote, params.symmetric, params.signalling).watching(known);
            match (&leg.path, params.path) {
                // The checks have the say, whatever address was negotiated.
                (Path::Checked(_), PathSpec::Checked) => {}
                (Path::Fixed(_), PathSpec::Checked) => leg.path = Path::Checked(None),
                (_, PathSpec::Address) => leg.path = Path::Fixed(latch()),
            }
        }
        let next_port = params.remote.map(|mut to| {
            if !params.rtcp_mux {
                to.set_port(to.port().saturating_add(1));
            }
            to
        });
        leg.rtcp_remote = match leg.path {
            Path::Checked(remote) if params.rtcp_mux => remote,
            _ => params.remote_rtcp.or(next_port),
        };
        if let Some(ssrc) = params.ssrc {
            leg.out.ssrc = ssrc;
        }
        if !leg.active {
            leg.active = true;
            leg.last_rtp_us = self.ctx.now.us;
        }
        leg.timeout_told = false;
        if let Some(interval) = params.rtcp_interval {
            leg.next_rtcp_us = self.ctx.now.us + interval.as_micros() as u64;
        }
        leg.forget_repack();
        // The same codec again goes on where it was: its coders know what came before.
        let kept = leg.params.codec == params.codec && leg.params.fmtp == params.fmtp;
        if !kept || leg.coder.encoder.is_none() {
            std::mem::swap(&mut leg.coder, &mut coder);
        }
        let brought = leg.params.protection == ProtectionSpec::Handshake;
        let protection = match (&params.protection, protection.take()) {
            (ProtectionSpec::Keys(_), Some(new)) => leg.protection.set_keys(new),
            (ProtectionSpec::Handshake, _) if brought => None,
            (ProtectionSpec::Handshake, _) => leg.protection.take_keys(Protection::Waiting),
            (ProtectionSpec::None | ProtectionSpec::Keys(_), _) => {
                leg.protection.take_keys(Protection::None)
            }
        };
        let apart = params.protection == ProtectionSpec::Handshake && !params.rtcp_mux;
        if apart && leg.rtcp_protection.is_none() {
            leg.rtcp_protection = Some(Protection::Waiting);
        } else if !apart && let Some(Protection::Srtp(old)) = leg.rtcp_protection.take() {
            self.ctx.jobs.retire(Retired::Op(Op::RtcpKeys(old)));
        }
        let old = std::mem::replace(&mut leg.params, params);
        let jitter = std::mem::replace(&mut leg.jitter, jitter);
        let conceal = std::mem::replace(&mut leg.conceal, conceal);
        (leg.jitter_due, leg.jitter_len) = (0, 0);
        leg.said_codec = leg.codec();
        let old = NewRtp { params: old, jitter, conceal, coder, protection, layers, congestion };
        let old = Op::SetRtp(Box::new(old));
        self.ctx.jobs.retire(Retired::Op(old));
    }

    fn set_path(&self, leg: &mut LegState, to: Option<SocketAddr>) {
        if !matches!(leg.path, Path::Checked(_)) {
            return;
        }
        leg.path = Path::Checked(to);
        if leg.params.rtcp_mux {
            leg.rtcp_remote = to;
        }
    }

    fn digits(&self, leg: &mut LegState, steps: Vec<DigitStep>) {
        for step in &steps {
            leg.press(*step);
        }
        self.ctx.jobs.retire(Retired::Op(Op::Digits(steps)));
    }

    fn control_play(&self, leg: &mut LegState, id: PlayId, control: PlayControl) {
        if let PlayControl::Stop = control {
            return leg.stop_play(id, &self.ctx);
        }
        let Some(play) = leg.play(id) else { return };
        match control {
            PlayControl::Pause(paused) => play.paused = paused,
            PlayControl::Seek { position, relative } => play.plan.seek(position, relative),
            PlayControl::Volume(percent) => play.volume.percent = percent,
            PlayControl::Speed(speed) => play.speed = speed,
            PlayControl::Stop => {}
        }
    }

    fn control_record(&mut self, leg: &mut LegState, id: RecordId, control: RecordControl) {
        let Some(index) = leg.taps.iter().position(|t| t.id == id) else { return };
        match (control, leg.taps.get_mut(index)) {
            (RecordControl::Pause(paused), Some(tap)) => tap.paused = paused,
            (RecordControl::Mask(masked), Some(tap)) => tap.masked = masked,
            (RecordControl::Stop, _) => {
                let mut tap = leg.taps.remove(index);
                tap.drain(leg.frame(), &mut self.ctx.wide);
                tap.finish(&RecordEnd::Stopped);
                self.ctx.retire_tap(tap);
            }
            (_, None) => {}
        }
    }

    // === bridges ===

    fn bridge(
        &mut self,
        slot: u32,
        mut leg: Box<LegState>,
        peer: Arc<LegShared>,
        options: BridgeOptions,
    ) {
        self.unbridge(&mut leg);
        let at = peer.worker.load(Ordering::Acquire);
        if at != self.index && at < self.mailboxes.len() {
            let shared = Arc::clone(&leg.shared);
            self.put(slot, leg);
            self.move_to(at, slot);
            if let Some(mailbox) = self.mailboxes.get(at) {
                let _ = mailbox.post(Command { leg: shared, op: Op::Bridge { peer, options } });
            }
            return;
        }
        if let Some(place) = self.find(&peer)
            && let Some(mut other) = self.take(place)
        {
            self.unbridge(&mut other);
            other.route = Route::Bridge { peer: Arc::clone(&leg.shared), options };
            leg.route = Route::Bridge { peer, options };
            self.schedule(place, &mut other);
            self.put(place, other);
        }
        self.schedule(slot, &mut leg);
        self.put(slot, leg);
    }

    /// Makes a leg a member of a mixer's conference.
    fn join(
        &mut self,
        slot: u32,
        mut leg: Box<LegState>,
        mixer: Arc<LegShared>,
        member: Box<Member>,
    ) {
        self.unbridge(&mut leg);
        let at = mixer.worker.load(Ordering::Acquire);
        if at != self.index && at < self.mailboxes.len() {
            let shared = Arc::clone(&leg.shared);
            self.put(slot, leg);
            self.move_to(at, slot);
            if let Some(mailbox) = self.mailboxes.get(at) {
                let _ = mailbox.post(Command { leg: shared, op: Op::Join { mixer, member } });
            }
            return;
        }
        if let Some(place) = self.find(&mixer)
            && let Some(mut host) = self.take(place)
        {
            let frame = host.frame();
            if let Some(room) = &mut host.room {
                let rate = member.rate();
                room.add(Arc::clone(&leg.shared), frame, member.redacts().then_some(rate));
                leg.route = Route::Mix(mixer);
                if let Some(old) = leg.member.replace(member) {
                    let mixer = Arc::clone(&leg.shared);
                    self.ctx.jobs.retire(Retired::Op(Op::Join { mixer, member: old }));
                }
            }
            self.schedule(place, &mut host);
            self.put(place, host);
        }
        self.schedule(slot, &mut leg);
        self.put(slot, leg);
    }

    /// Silences what a member of a conference said in the recordings of the conference.
    fn silence_in_mix(&mut self, leg: &LegState, from_ms: u32, to_ms: u32) {
        let (Route::Mix(mixer), Some(member)) = (&leg.route, &leg.member) else { return };
        let Some(place) = self.find(mixer).filter(|_| member.redacts()) else { return };
        let Some(Some(mixer)) = self.legs.get(place as usize) else { return };
        let held = mixer.room.as_ref().map_or(0, |room| room.held_back());
        let later = member.waiting() + held;
        mixer.taps.iter().for_each(|tap| tap.silence_mix(from_ms, to_ms, later));
    }

    /// Ends a leg's bridge on both sides, or takes it out of its conference.
    pub(super) fn unbridge(&mut self, leg: &mut LegState) {
        let (Route::Bridge { peer, .. } | Route::Mix(peer) | Route::Pictures(peer)) = &leg.route
        else {
            return;
        };
        let peer = Arc::clone(peer);
        leg.route = Route::Nowhere;
        let Some(place) = self.find(&peer) else { return };
        let Some(Some(other)) = self.legs.get_mut(place as usize) else { return };
        if let Some(room) = &mut other.room {
            room.remove(&leg.shared);
        }
        if matches!(&other.route, Route::Bridge { peer, .. } if peer.id == leg.shared.id) {
            other.route = Route::Nowhere;
        }
    }

    /// A mixer closes: its members are on their own again.
    fn dissolve(&mut self, mixer: &LegState) {
        let Some(room) = &mixer.room else { return };
        for member in room.members().iter().chain(room.viewers()) {
            if let Some(place) = self.find(member)
                && let Some(Some(leg)) = self.legs.get_mut(place as usize)
                && let Route::Mix(host) | Route::Pictures(host) = &leg.route
                && host.id == mixer.shared.id
            {
                leg.route = Route::Nowhere;
            }
        }
    }

    // === coming and going ===

    fn attach(&mut self, mut leg: Box<LegState>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.legs.push(None);
            self.legs.len() as u32 - 1
        });
        if let Transport::Rtp(sockets) = &leg.transport {
            let registered =
                self.io.register(Token { slot, rtcp: false }, &sockets.rtp).and_then(|()| {
                    match &sockets.rtcp {
                        Some(rtcp) => self.io.register(Token { slot, rtcp: true }, rtcp),
                        None => Ok(()),
                    }
                });
            // A socket that cannot be polled hears nothing: the media timeout will tell.
            drop(registered);
        }
        leg.shared.slot.store(slot as usize, Ordering::Release);
        leg.shared.worker.store(self.index, Ordering::Release);
        self.attached += 1;
        self.mailbox.legs.store(self.attached, Ordering::Relaxed);
        leg.tick_at = None;
        self.schedule(slot, &mut leg);
        self.put(slot, leg);
    }

    fn detach(&mut self, slot: u32) -> Option<Box<LegState>> {
        let mut leg = self.take(slot)?;
        if let Transport::Rtp(sockets) = &leg.transport {
            self.io.deregister(Token { slot, rtcp: false }, &sockets.rtp);
            if let Some(rtcp) = &sockets.rtcp {
                self.io.deregister(Token { slot, rtcp: true }, rtcp);
            }
        }
        leg.shared.slot.store(NOWHERE, Ordering::Release);
        leg.tick_at = None;
        self.free.push(slot);
        self.attached -= 1;
        self.mailbox.legs.store(self.attached, Ordering::Relaxed);
        Some(leg)
    }

    fn close_or_wait(&mut self, shared: Arc<LegShared>) {
        let at = shared.worker.load(Ordering::Acquire);
        if at != self.index {
            if let Some(mailbox) = self.mailboxes.get(at) {
                mailbox.close(shared);
            }
        } else if let Some(slot) = self.find(&shared) {
            self.close(slot);
        } else if shared.slot.load(Ordering::Acquire) == NOWHERE {
            // Its attachment is still in the queue: it is closed once it is here.
            self.mailbox.close(shared);
        }
    }

    fn close(&mut self, slot: u32) {
        let Some(mut leg) = self.detach(slot) else { return };
        self.unbridge(&mut leg);
        self.dissolve(&leg);
        leg.end_plays(&self.ctx);
        let frame = leg.frame();
        for tap in &mut leg.taps {
            tap.drain(frame, &mut self.ctx.wide);
            tap.finish(&RecordEnd::Closed);
        }
        leg.arrival.publish(leg.codec().clock(), &leg.shared.stats);
        leg.retell();
        self.ctx.jobs.retire(Retired::Leg(leg));
    }

    pub(super) fn close_all(&mut self) {
        for slot in 0..self.legs.len() as u32 {
            self.close(slot);
        }
    }

    // === moving ===

    /// Moves a leg, and every leg it cannot be without, to another worker.
    pub(super) fn move_to(&mut self, worker: usize, slot: u32) {
        let mut moving = vec![slot];
        let mut looked = 0;
        while let Some(&slot) = moving.get(looked) {
            looked += 1;
            for place in self.tied_to(slot) {
                if !moving.contains(&place) {
                    moving.push(place);
                }
            }
        }
        let Some(mailbox) = self.mailboxes.get(worker).cloned() else { return };
        for slot in moving {
            let Some(leg) = self.detach(slot) else { continue };
            let shared = Arc::clone(&leg.shared);
            let command = Command { leg: Arc::clone(&shared), op: Op::Attach(leg) };
            if let Err(Command { op: Op::Attach(leg), .. }) = mailbox.post(command) {
                // No room there: it stays, and the bridge does not come about.
                self.attach(leg);
                continue;
            }
            shared.worker.store(worker, Ordering::Release);
        }
    }

    fn tied_to(&self, slot: u32) -> Vec<u32> {
        let Some(Some(leg)) = self.legs.get(slot as usize) else { return Vec::new() };
        let twin = match &leg.transport {
            Transport::Memory(twin) => self.find(twin),
            _ => None,
        };
        let peer = match &leg.route {
            Route::Bridge { peer, .. } | Route::Mix(peer) | Route::Pictures(peer) => {
                self.find(peer)
            }
            _ => None,
        };
        let rooms = leg.room.iter();
        let members = rooms.flat_map(|room| room.members().iter().chain(room.viewers()));
        let members = members.filter_map(|member| self.find(member));
        twin.into_iter().chain(peer).chain(members).collect()
    }
}
