//! What pages show of a room with `livearray-sync`: a list of its members that is kept up to date on the event channel
//! `conference-liveArray.ROOM@DOMAIN`, as the reference's live arrays are, and what each page is told when its call comes and goes.

use std::sync::Arc;

use event_channels::{EventChannels, Message};
use serde_json::{Value, json};

use super::member::Member;
use super::room::{Room, Rooms};
use crate::call::Channel;
use crate::switch::Switch;

/// Domain of rooms that have none of their own, as in the reference.
const USUAL_DOMAIN: &str = "cluecon.com";
/// Variable that names the client of a call: who is granted the room's channels.
pub(super) const HOLDER: &str = "event_channel_cookie";
/// Global variables whose rest of the name is told to pages with their value.
const TOLD_GLOBALS: &str = "conference_verto_";

/// The list of one room, and the channels it is told on.
pub(super) struct Board {
    /// `NAME@DOMAIN`: what stands behind the dot of each channel's name.
    address: String,
    /// Name of the list.
    name: String,
    /// Number of the next message.
    serial: u32,
    /// Place the next member is given.
    place: usize,
    /// What is shown of each member, by the UUID of its call.
    rows: Vec<(Arc<str>, Value)>,
    /// What was granted for each member's call, and to whom.
    grants: Vec<(Arc<str>, String, Vec<String>)>,
}

impl Board {
    fn new(room: &Room, founder: &Channel) -> Self {
        let name = room.name.split('@').next().unwrap_or_default().to_owned();
        let configured = Some(room.profile.domain.clone()).filter(|domain| !domain.is_empty());
        let of_founder = || Some(founder.var("presence_id")?.split_once('@')?.1.to_owned());
        let address = match room.name.contains('@') {
            true => room.name.clone(),
            false => {
                let domain = configured.or_else(of_founder);
                format!("{name}@{}", domain.as_deref().unwrap_or(USUAL_DOMAIN))
            }
        };
        Self { address, name, serial: 1, place: 0, rows: Vec::new(), grants: Vec::new() }
    }

    /// Name of one of the room's channels.
    pub(super) fn channel(&self, family: &str) -> String {
        format!("{family}.{}", self.address)
    }

    fn list(&self) -> String {
        self.channel("conference-liveArray")
    }

    fn next(&mut self) -> u32 {
        let serial = self.serial;
        self.serial = self.serial.wrapping_add(1);
        serial
    }

    /// Shows a member, or what has changed about it.
    fn put(&mut self, channels: &EventChannels, uuid: &Arc<str>, row: Value) {
        let mut data = Message::new();
        match self.rows.iter_mut().find(|(known, _)| known == uuid) {
            Some((_, shown)) => {
                data.insert("action".into(), "modify".into());
                shown.clone_from(&row);
            }
            None => {
                data.insert("action".into(), "add".into());
                data.insert("arrIndex".into(), self.place.into());
                self.place += 1;
                self.rows.push((Arc::clone(uuid), row.clone()));
            }
        }
        data.insert("name".into(), self.name.as_str().into());
        data.insert("hashKey".into(), (**uuid).into());
        data.insert("wireSerno".into(), self.next().into());
        data.insert("data".into(), row);
        tell(channels, data, &self.list(), None);
    }

    /// Shows a member no more.
    fn remove(&mut self, channels: &EventChannels, uuid: &Arc<str>) {
        let Some(at) = self.rows.iter().position(|(known, _)| known == uuid) else { return };
        let (_, row) = self.rows.remove(at);
        // As the reference counts: the others are given new places.
        self.place += self.rows.len();
        let mut data = Message::new();
        data.insert("name".into(), self.name.as_str().into());
        data.insert("action".into(), "del".into());
        data.insert("hashKey".into(), (**uuid).into());
        data.insert("wireSerno".into(), self.next().into());
        data.insert("data".into(), row);
        tell(channels, data, &self.list(), None);
    }

    /// A member's client may use these channels as long as the call is in the room.
    fn grant(
        &mut self,
        channels: &EventChannels,
        uuid: &Arc<str>,
        holder: String,
        granted: Vec<String>,
    ) {
        granted.iter().for_each(|channel| channels.grant(&holder, channel));
        self.grants.push((Arc::clone(uuid), holder, granted));
    }

    /// Takes back what was granted for a call, or for all.
    fn take_back(&mut self, channels: &EventChannels, of: Option<&Arc<str>>) {
        self.grants.retain(|(uuid, holder, granted)| {
            let goes = of.is_none_or(|of| of == uuid);
            if goes {
                granted.iter().for_each(|channel| channels.revoke(holder, channel));
            }
            !goes
        });
    }

    /// The whole list, for one client.
    fn whole(&self, channels: &EventChannels, session: Option<&str>) {
        let rows = self.rows.iter().map(|(uuid, row)| json!([&**uuid, row])).collect();
        tell_whole(channels, &self.name, &self.list(), rows, session);
    }
}

fn tell_whole(
    channels: &EventChannels,
    name: &str,
    list: &str,
    rows: Vec<Value>,
    session: Option<&str>,
) {
    let mut data = Message::new();
    data.insert("action".into(), "bootObj".into());
    data.insert("name".into(), name.into());
    data.insert("wireSerno".into(), (-1).into());
    data.insert("data".into(), rows.into());
    tell(channels, data, list, session);
}

/// Tells something on a channel, or to one client.
pub(super) fn tell(channels: &EventChannels, data: Message, channel: &str, session: Option<&str>) {
    let mut message = Message::new();
    message.insert("data".into(), Value::Object(data));
    message.insert("eventChannel".into(), channel.into());
    if let Some(session) = session {
        message.insert("sessid".into(), session.into());
    }
    channels.tell(&message);
}

/// The channels of event channels of a switch.
pub(super) fn channels(switch: &Switch) -> Arc<EventChannels> {
    switch.module::<EventChannels>()
}

impl Room {
    /// A member has come: it is shown, and its page is told where.
    pub(super) fn show(&self, member: &Member) {
        if !self.with(|s| s.flags.livearray_sync) {
            return;
        }
        let channels = channels(&self.switch);
        let mut board = self.board.lock();
        let board = board.get_or_insert_with(|| Board::new(self, &member.channel));
        let silent = member.state().flags.silent;
        if !silent {
            board.put(&channels, member.channel.uuid(), self.row(member));
        }
        if let Some(holder) = member.channel.var(HOLDER) {
            let granted = granted(board, member);
            board.grant(&channels, member.channel.uuid(), holder, granted);
        }
        self.welcome(&channels, board, member, true);
        if !silent {
            board.put(&channels, member.channel.uuid(), self.row(member));
        }
    }

    /// Something about a member has changed that may be shown.
    pub(super) fn show_again(&self, member: &Member) {
        let mut board = self.board.lock();
        let Some(board) = board.as_mut() else { return };
        let uuid = member.channel.uuid();
        let row = self.row(member);
        // Who has not come yet is not shown.
        if board.rows.iter().any(|(known, shown)| known == uuid && *shown != row) {
            board.put(&channels(&self.switch), uuid, row);
        }
    }

    /// A member has gone.
    pub(super) fn hide(&self, member: &Member) {
        let mut board = self.board.lock();
        let Some(board) = board.as_mut() else { return };
        let channels = channels(&self.switch);
        board.remove(&channels, member.channel.uuid());
        self.welcome(&channels, board, member, false);
        board.take_back(&channels, Some(member.channel.uuid()));
    }

    /// The room is gone, and its list with it.
    pub(super) fn clear_board(&self) {
        let Some(mut board) = self.board.lock().take() else { return };
        // The last to leave may be here before one who leaves beside it has taken back its own.
        let channels = channels(&self.switch);
        board.take_back(&channels, None);
        let mut data = Message::new();
        data.insert("action".into(), "clear".into());
        data.insert("name".into(), board.name.as_str().into());
        data.insert("wireSerno".into(), (-1).into());
        data.insert("data".into(), json!({}));
        tell(&channels, data, &board.list(), None);
    }

    /// Tells the page of a member that it is in the room, and where it hears of it; or that it is not any more.
    fn welcome(&self, channels: &EventChannels, board: &Board, member: &Member, joins: bool) {
        let uuid = member.channel.uuid();
        let flags = member.state().flags;
        let mut told = Message::new();
        let mut put = |name: &str, value: Value| told.insert(name.to_owned(), value);
        put("callID", (**uuid).into());
        let action = if joins { "conference-liveArray-join" } else { "conference-liveArray-part" };
        put("action", action.into());
        put("laChannel", board.list().into());
        put("laName", board.name.as_str().into());
        put("role", if flags.moderator { "moderator" } else { "participant" }.into());
        put("chatID", format!("conf+{}", board.address).into());
        put("conferenceMemberID", member.id.to_string().into());
        put("canvasCount", 0.into());
        if flags.silent {
            put("secondScreen", true.into());
        }
        if flags.moderator {
            put("modChannel", board.channel("conference-mod").into());
        }
        put("chatChannel", board.channel("conference-chat").into());
        put("infoChannel", board.channel("conference-info").into());
        for (name, value) in self.switch.globals().iter() {
            if let Some(rest) = name.strip_prefix(TOLD_GLOBALS) {
                put(rest, value.into());
            }
        }
        let to = member.channel.var(HOLDER).unwrap_or_else(|| uuid.to_string());
        let mut message = Message::new();
        message.insert("pvtData".into(), Value::Object(told));
        message.insert("eventChannel".into(), to.into());
        message.insert("eventType".into(), "channelPvtData".into());
        channels.tell(&message);
    }

    /// What is shown of a member: number, caller, codec, status, and with `livearray-json-status` what its page says of it.
    fn row(&self, member: &Member) -> Value {
        let profile = member.channel.profile();
        let var = |name: &str| member.channel.var(name).unwrap_or_default();
        let codec = format!("{}@{}", var("original_read_codec"), var("original_read_rate"));
        let in_json = self.with(|s| s.flags.json_status);
        let mut row = vec![
            format!("{:04}", member.id).into(),
            profile.caller_id_number.as_str().into(),
            profile.caller_id_name.as_str().into(),
            codec.into(),
            Value::from(self.status(member, in_json)),
        ];
        if in_json {
            row.push(of_page(&member.channel));
        }
        row.push(Value::Null);
        row.into()
    }

    /// What pages are told of a member's video; there are no pictures put together, and so no place in one.
    fn video_status(&self, member: &Member, seen: bool, (floor, locked): (bool, bool)) -> Value {
        let video = member.video();
        let mut told = json!({
            "visible": false,
            "noRecover": false,
            "avatarPresented": false,
            "mediaFlow": if video.sends { "sendRecv" } else { "sendOnly" },
            "muted": !seen,
            "floor": floor,
            "reservationID": null,
            "roleID": null,
            "videoLayerID": -1,
            "canvasID": 0,
            "watchingCanvasID": 0,
        });
        if floor && locked {
            told["floorLocked"] = true.into();
        }
        if member.channel.is_true("video_screen_share") {
            told["screenShare"] = true.into();
        }
        told
    }

    fn status(&self, member: &Member, in_json: bool) -> String {
        let state = member.state();
        let floor = self.with(|s| s.floor == Some(member.id));
        let word = match (state.held, state.speaks, floor, state.talking) {
            (true, ..) => "HOLD",
            (_, false, ..) => "MUTE",
            (_, _, true, true) => "TALKING (FLOOR)",
            (_, _, true, false) => "FLOOR",
            (_, _, false, true) => "TALKING",
            _ => "ACTIVE",
        };
        let video_floor = self.with(|s| s.video_floor);
        let shown = video_floor.holder == Some(member.id);
        let has_video = member.has_video();
        let video = match (has_video, state.seen, shown) {
            (false, ..) => "",
            (_, false, _) => " VIDEO (BLIND)",
            (_, _, true) => " VIDEO (FLOOR)",
            _ => " VIDEO",
        };
        let word = format!("{word}{video}");
        if !in_json {
            return word;
        }
        let audio = json!({
            "muted": !state.speaks,
            "deaf": !state.hears,
            "onHold": state.held,
            "talking": state.talking,
            "floor": floor,
            "energyScore": state.energy,
        });
        let video = match has_video {
            true => self.video_status(member, state.seen, (shown, video_floor.locked)),
            false => false.into(),
        };
        json!({ "audio": audio, "video": video, "oldStatus": word }).to_string()
    }
}

/// The `verto_dvar_*` variables of a call: what its page has to say of it.
fn of_page(channel: &Channel) -> Value {
    let told = channel.with(|data| {
        let named = data.vars.iter();
        let own = named.filter_map(|(name, value)| {
            let name = name.strip_prefix("verto_dvar_")?;
            Some((name.to_owned(), Value::from(value.to_string())))
        });
        own.collect::<Message>()
    });
    Value::Object(told)
}

/// What a member's client may hear and say: to lead the room is for moderators only, where the reference lets every member.
fn granted(board: &Board, member: &Member) -> Vec<String> {
    let mut families = vec!["conference-liveArray", "conference-chat", "conference-info"];
    if member.state().flags.moderator {
        families.push("conference-mod");
    }
    families.into_iter().map(|family| board.channel(family)).collect()
}

/// The room whose channel of that name this is.
pub(super) fn room_of(switch: &Switch, channel: &str) -> Option<Arc<Room>> {
    let family = event_channels::family(channel);
    let rooms = switch.module::<Rooms>().all();
    rooms.into_iter().find(|room| {
        let board = room.board.lock();
        board.as_ref().is_some_and(|board| board.channel(family).eq_ignore_ascii_case(channel))
    })
}

/// A client asks for the list of a channel: `data.liveArray` with `command` `bootstrap`. Other lists than that of the channel, which
/// it was let in to, it is not given.
pub(super) fn asked(switch: &Switch, channel: &str, message: &Message) {
    let wish = message.get("data").and_then(|data| data.get("liveArray"));
    let text = |name: &str| wish.and_then(|wish| wish.get(name)).and_then(Value::as_str);
    let bootstrap = text("command").is_some_and(|word| word.eq_ignore_ascii_case("bootstrap"));
    let (Some(context), Some(name)) = (text("context"), text("name")) else { return };
    if !bootstrap || !context.eq_ignore_ascii_case(channel) {
        return;
    }
    let session = message.get("sessid").and_then(Value::as_str);
    let channels = channels(switch);
    if let Some(room) = room_of(switch, channel)
        && let Some(board) = room.board.lock().as_ref().filter(|board| board.name == name)
    {
        board.whole(&channels, session);
        return;
    }
    tell_whole(&channels, name, channel, Vec::new(), session);
}

/// A client has been away: it is told again where its calls are.
pub(super) fn is_back(switch: &Switch, holder: &str) {
    let channels = channels(switch);
    for room in switch.module::<Rooms>().all() {
        for member in room.members() {
            if member.channel.var(HOLDER).as_deref() != Some(holder) {
                continue;
            }
            if let Some(board) = room.board.lock().as_ref() {
                room.welcome(&channels, board, &member, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_granted_is_taken_back_with_the_call_or_the_room() {
        let channels = EventChannels::default();
        let mut board = Board {
            address: "hall@a.test".into(),
            name: "hall".into(),
            serial: 1,
            place: 0,
            rows: Vec::new(),
            grants: Vec::new(),
        };
        let (one, other): (Arc<str>, Arc<str>) = ("1".into(), "2".into());
        for (uuid, holder) in [(&one, "s"), (&other, "t")] {
            board.grant(&channels, uuid, holder.to_owned(), vec!["c".to_owned()]);
        }
        board.take_back(&channels, Some(&one));
        assert!(!channels.may("s", "c") && channels.may("t", "c"));
        board.take_back(&channels, None);
        assert!(!channels.may("t", "c"));
    }
}
