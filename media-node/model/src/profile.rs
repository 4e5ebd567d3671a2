//! The caller profile: who calls whom, where from, and when each thing happened.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use base::far::{self, Spans};
use esl_server::event::Event;

use base::text;

use crate::state::Direction;

/// Times of one profile in microseconds since the epoch; 0 means "did not happen".
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// This profile came to be (anew at each transfer).
    pub profile_created: i64,
    /// The channel came to be.
    pub created: i64,
    pub answered: i64,
    /// First ringing.
    pub progress: i64,
    /// First early media.
    pub progress_media: i64,
    /// Hung up.
    pub hungup: i64,
    /// Transferred away.
    pub transferred: i64,
    /// Recovered after a crash.
    pub resurrected: i64,
    /// First bridged.
    pub bridged: i64,
    /// Last put on hold.
    pub last_hold: i64,
    /// Sum of all holds.
    pub hold_accum: i64,
}

impl Times {
    /// The times of a profile made at `now` (µs) for a channel made then.
    #[must_use]
    pub fn at(now: i64) -> Self {
        Self { profile_created: now, created: now, ..Self::default() }
    }
}

/// Which parts of fields came from a far end: a handful, looked through.
#[derive(Clone, Debug, Default)]
pub struct FarFields(Vec<(&'static str, Spans)>);

impl FarFields {
    fn get(&self, name: &str) -> Option<&Spans> {
        self.0.iter().find(|(field, _)| *field == name).map(|(_, spans)| spans)
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(field, _)| *field != name);
    }

    fn insert(&mut self, name: &'static str, spans: Spans) {
        self.remove(name);
        self.0.push((name, spans));
    }
}

/// One step of a call's history: the identities the dialplan sees as bare field names, and when things happened.
///
/// Each leg of a call keeps its own and shows others': copies share the identities until one of them changes.
#[derive(Clone, Debug)]
pub struct CallerProfile {
    /// When things happened.
    pub times: Times,
    identities: Arc<Identities>,
}

impl Deref for CallerProfile {
    type Target = Identities;

    fn deref(&self) -> &Identities {
        &self.identities
    }
}

impl DerefMut for CallerProfile {
    fn deref_mut(&mut self) -> &mut Identities {
        Arc::make_mut(&mut self.identities)
    }
}

/// Who calls whom, and where from.
#[derive(Clone, Debug)]
pub struct Identities {
    /// The direction the leg was made in.
    pub direction: Direction,
    /// The direction as the call sees it: flips when an outbound leg runs a dialplan.
    pub logical_direction: Direction,
    /// User part of the caller's address.
    pub username: String,
    /// Dialplan name(s), comma separated.
    pub dialplan: String,
    pub caller_id_name: String,
    pub caller_id_number: String,
    /// Caller's name before anything changed it.
    pub orig_caller_id_name: String,
    /// Caller's number before anything changed it.
    pub orig_caller_id_number: String,
    /// Called party's name.
    pub callee_id_name: String,
    /// Called party's number.
    pub callee_id_number: String,
    /// Far end's address.
    pub network_addr: String,
    /// Automatic number identification.
    pub ani: String,
    /// ANI II digits.
    pub aniii: String,
    /// What was dialled.
    pub destination_number: String,
    /// The channel's UUID.
    pub uuid: String,
    /// Which part of the switch made the profile.
    pub source: String,
    /// Why this profile replaced the one before.
    pub transfer_source: String,
    /// Names this profile in `transfer_history`.
    pub id: String,
    /// Dialplan context.
    pub context: String,
    /// The number dialled before the transfer.
    pub rdnis: String,
    /// Channel name.
    pub chan_name: String,
    /// 1 for the first profile of the channel.
    pub profile_index: String,
    /// Which parts of fields came from a far end.
    pub far: FarFields,
    /// Fields under names of the administrator's own (`set_profile_var`).
    pub soft: Vec<(String, String)>,
    /// Caller id was screened.
    pub screen: bool,
    /// Name shall not be shown.
    pub hide_name: bool,
    /// Number shall not be shown.
    pub hide_number: bool,
}

/// The name in lower case; names nearly always are.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

impl CallerProfile {
    /// An empty profile of that direction, created at `now` (µs).
    #[must_use]
    pub fn new(direction: Direction, now: i64) -> Self {
        let identities = Identities {
            direction,
            logical_direction: direction,
            username: String::new(),
            dialplan: String::new(),
            caller_id_name: String::new(),
            caller_id_number: String::new(),
            orig_caller_id_name: String::new(),
            orig_caller_id_number: String::new(),
            callee_id_name: String::new(),
            callee_id_number: String::new(),
            network_addr: String::new(),
            ani: String::new(),
            aniii: String::new(),
            destination_number: String::new(),
            uuid: String::new(),
            source: String::new(),
            transfer_source: String::new(),
            id: base::clock::new_uuid(),
            context: String::new(),
            rdnis: String::new(),
            chan_name: String::new(),
            profile_index: "1".into(),
            far: FarFields::default(),
            soft: Vec::new(),
            screen: true,
            hide_name: false,
            hide_number: false,
        };
        Self { times: Times::at(now), identities: Arc::new(identities) }
    }

    /// The field a dialplan reads by that name, in any case; `None` for a name that is no field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let text = |value: &String| Some(value.clone());
        let time = |value: i64| Some(value.to_string());
        match &*lower(name) {
            "dialplan" => text(&self.dialplan),
            "username" => text(&self.username),
            "caller_id_name" => text(&self.caller_id_name),
            "caller_id_number" => text(&self.caller_id_number),
            "orig_caller_id_name" => text(&self.orig_caller_id_name),
            "orig_caller_id_number" => text(&self.orig_caller_id_number),
            "callee_id_name" => text(&self.callee_id_name),
            "callee_id_number" => text(&self.callee_id_number),
            "ani" => text(&self.ani),
            "aniii" => text(&self.aniii),
            "network_addr" => text(&self.network_addr),
            "rdnis" => text(&self.rdnis),
            "destination_number" => text(&self.destination_number),
            "uuid" => text(&self.uuid),
            "source" => text(&self.source),
            "transfer_source" => text(&self.transfer_source),
            "context" => text(&self.context),
            "chan_name" => text(&self.chan_name),
            "profile_index" => text(&self.profile_index),
            "screen_bit" => Some(self.screen.to_string()),
            "privacy_hide_name" => Some(self.hide_name.to_string()),
            "privacy_hide_number" => Some(self.hide_number.to_string()),
            "profile_created_time" => time(self.times.profile_created),
            "created_time" => time(self.times.created),
            "answered_time" => time(self.times.answered),
            "progress_time" => time(self.times.progress),
            "progress_media_time" => time(self.times.progress_media),
            "hungup_time" => time(self.times.hungup),
            "transferred_time" => time(self.times.transferred),
            "caller_ton"
            | "caller_numplan"
            | "destination_number_ton"
            | "destination_number_numplan"
            | "ani_ton"
            | "ani_numplan"
            | "rdnis_ton"
            | "rdnis_numplan" => Some("255".into()),
            lower => self
                .soft
                .iter()
                .find(|(soft, _)| soft.eq_ignore_ascii_case(lower))
                .map(|(_, value)| value.clone()),
        }
    }

    /// [`CallerProfile::field`] for texts with a grammar: what a far end said is marked ([`far`]).
    #[must_use]
    pub fn field_marked(&self, name: &str) -> Option<String> {
        let value = self.field(name)?;
        Some(match self.far.get(&lower(name)) {
            Some(spans) => spans.mark(&value, 0),
            None => value,
        })
    }

    /// Makes what a far end says of itself fit for dialplans, logs and file names ([`text::harmless`] and its kin), and
    /// notes where it came from.
    pub fn make_harmless(&mut self) {
        let own = &mut **self;
        own.far = FarFields(FAR_FIELDS.map(|field| (field, Spans::all())).into());
        let names =
            [&mut own.caller_id_name, &mut own.orig_caller_id_name, &mut own.callee_id_name];
        for name in names {
            replace(name, text::harmless_name);
        }
        for number in [
            &mut own.username,
            &mut own.caller_id_number,
            &mut own.orig_caller_id_number,
            &mut own.callee_id_number,
            &mut own.ani,
            &mut own.rdnis,
        ] {
            replace(number, text::harmless_number);
        }
        replace(&mut own.context, text::harmless);
        // Inline applications are the switch's own: a far end cannot name this dialplan.
        if own.dialplan != "inline" {
            replace(&mut own.destination_number, text::harmless_number);
        }
    }

    /// Writes a field (`set_profile_var`); a name that is no field becomes a soft one.
    pub fn set_field(&mut self, name: &str, value: &str) {
        let (value, spans) = far::split(value);
        let (name, value) = (&*far::plain(name), &*value);
        let lower = name.to_ascii_lowercase();
        let own = &mut **self;
        if let Some(field) = FAR_FIELDS.iter().find(|field| **field == lower) {
            if spans.is_empty() {
                own.far.remove(field);
            } else {
                own.far.insert(field, spans);
            }
        }
        let slot = match lower.as_str() {
            "dialplan" => &mut own.dialplan,
            "username" => &mut own.username,
            "caller_id_name" => &mut own.caller_id_name,
            "caller_id_number" => &mut own.caller_id_number,
            "callee_id_name" => &mut own.callee_id_name,
            "callee_id_number" => &mut own.callee_id_number,
            "ani" => &mut own.ani,
            "aniii" => &mut own.aniii,
            "network_addr" => &mut own.network_addr,
            "rdnis" => &mut own.rdnis,
            "destination_number" => &mut own.destination_number,
            "uuid" => &mut own.uuid,
            "source" => &mut own.source,
            "context" => &mut own.context,
            "chan_name" => &mut own.chan_name,
            _ => {
                own.soft.retain(|(soft, _)| !soft.eq_ignore_ascii_case(name));
                own.soft.push((name.to_owned(), value.to_owned()));
                return;
            }
        };
        value.clone_into(slot);
    }

    /// Appends the profile block (`Caller-*`, `Other-Leg-*`, `Channel-*`) in the order of the wire.
    pub fn write(&self, event: &mut Event, prefix: Prefix) {
        let names = prefix.names();
        let mut at = names.iter().copied();
        let mut put = |value: &str| {
            if let Some(name) = at.next() {
                event.push(name, value);
            }
        };
        put(self.direction.name());
        // A profile shown for the other leg is a copy, and copies start out as inbound.
        put(if prefix == Prefix::OtherLeg {
            Direction::Inbound.name()
        } else {
            self.logical_direction.name()
        });
        put(&self.username);
        put(&self.dialplan);
        put(&self.caller_id_name);
        put(&self.caller_id_number);
        put(if self.caller_id_name.is_empty() { "" } else { &self.orig_caller_id_name });
        put(if self.caller_id_number.is_empty() { "" } else { &self.orig_caller_id_number });
        put(&self.callee_id_name);
        put(&self.callee_id_number);
        put(&self.network_addr);
        put(&self.ani);
        put(&self.aniii);
        put(&self.destination_number);
        put(&self.uuid);
        put(&self.source);
        put(&self.transfer_source);
        put(&self.context);
        put(&self.rdnis);
        put(&self.chan_name);
        put(if prefix == Prefix::OtherLeg { "" } else { &self.profile_index });
        for (name, value) in &self.soft {
            event.push(name.clone(), value.as_str());
        }
        let mut at = names.iter().copied().skip(TEXT_FIELDS);
        let mut put = |value: String| {
            if let Some(name) = at.next() {
                event.push(name, value);
            }
        };
        let times = &self.times;
        for value in [
            times.profile_created,
            times.created,
            times.answered,
            times.progress,
            times.progress_media,
            times.hungup,
            times.transferred,
            times.resurrected,
            times.bridged,
            times.last_hold,
            times.hold_accum,
        ] {
            put(value.to_string());
        }
        put(self.screen.to_string());
        put(self.hide_name.to_string());
        put(self.hide_number.to_string());
    }
}

fn replace(field: &mut String, harmless: impl for<'t> Fn(&'t str) -> Cow<'t, str>) {
    if let Cow::Owned(changed) = harmless(field) {
        *field = changed;
    }
}

/// Fields that hold what a far end says of itself, or dials.
const FAR_FIELDS: [&str; 10] = [
    "username",
    "caller_id_name",
    "caller_id_number",
    "orig_caller_id_name",
    "orig_caller_id_number",
    "callee_id_name",
    "callee_id_number",
    "ani",
    "rdnis",
    "destination_number",
];

/// Whose profile a block of headers shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// `Caller-`: the channel's own.
    Caller,
    /// `Other-Leg-`: the bridged or originating leg's.
    OtherLeg,
    /// `Channel-`: in the reply to `connect`.
    Channel,
    /// `Hunt-`: the channel's own, where a dialplan is looked up.
    Hunt,
}

const TEXT_FIELDS: usize = 21;

impl Prefix {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Caller => CALLER,
            Self::OtherLeg => OTHER_LEG,
            Self::Channel => CHANNEL,
            Self::Hunt => HUNT,
        }
    }
}

macro_rules! profile_headers {
    ($prefix:literal) => {
        &[
            concat!($prefix, "Direction"),
            concat!($prefix, "Logical-Direction"),
            concat!($prefix, "Username"),
            concat!($prefix, "Dialplan"),
            concat!($prefix, "Caller-ID-Name"),
            concat!($prefix, "Caller-ID-Number"),
            concat!($prefix, "Orig-Caller-ID-Name"),
            concat!($prefix, "Orig-Caller-ID-Number"),
            concat!($prefix, "Callee-ID-Name"),
            concat!($prefix, "Callee-ID-Number"),
            concat!($prefix, "Network-Addr"),
            concat!($prefix, "ANI"),
            concat!($prefix, "ANI-II"),
            concat!($prefix, "Destination-Number"),
            concat!($prefix, "Unique-ID"),
            concat!($prefix, "Source"),
            concat!($prefix, "Transfer-Source"),
            concat!($prefix, "Context"),
            concat!($prefix, "RDNIS"),
            concat!($prefix, "Channel-Name"),
            concat!($prefix, "Profile-Index"),
            concat!($prefix, "Profile-Created-Time"),
            concat!($prefix, "Channel-Created-Time"),
            concat!($prefix, "Channel-Answered-Time"),
            concat!($prefix, "Channel-Progress-Time"),
            concat!($prefix, "Channel-Progress-Media-Time"),
            concat!($prefix, "Channel-Hangup-Time"),
            concat!($prefix, "Channel-Transfer-Time"),
            concat!($prefix, "Channel-Resurrect-Time"),
            concat!($prefix, "Channel-Bridged-Time"),
            concat!($prefix, "Channel-Last-Hold"),
            concat!($prefix, "Channel-Hold-Accum"),
            concat!($prefix, "Screen-Bit"),
            concat!($prefix, "Privacy-Hide-Name"),
            concat!($prefix, "Privacy-Hide-Number"),
        ]
    };
}

const CALLER: &[&str] = profile_headers!("Caller-");
const OTHER_LEG: &[&str] = profile_headers!("Other-Leg-");
const CHANNEL: &[&str] = profile_headers!("Channel-");
const HUNT: &[&str] = profile_headers!("Hunt-");
