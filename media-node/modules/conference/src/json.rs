//! What programs are told of a room with the flag `json-events` when a member comes or leaves: the whole room as JSON, on the event
//! channel `conference.ROOM@DOMAIN`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use event_channels::Message;
use serde_json::{Value, json};

use super::board;
use super::member::Member;
use super::room::Room;
use crate::call::Channel;

/// Members that have left and are still told of; the reference tells of all.
const OLD_USERS: usize = 1000;
/// What a description is without one in the profile.
const DESCRIPTION: &str = "FreeSWITCH Conference";
/// Domain of rooms without one, as in the reference.
const USUAL_DOMAIN: &str = "cluecon.com";

/// Those who have left, in order.
#[derive(Debug, Default)]
pub struct Left(VecDeque<Value>);

impl Room {
    /// Tells the room; `gone` has just left it.
    pub(super) fn tell_json(&self, gone: Option<&Arc<Member>>) {
        if !self.with(|s| s.flags.json_events) {
            return;
        }
        let configured = Some(self.profile.domain.clone()).filter(|domain| !domain.is_empty());
        let domain = configured.or_else(|| self.switch.global("domain"));
        let domain = domain.unwrap_or_else(|| USUAL_DOMAIN.to_owned());
        let gone = gone.map(|member| self.user(member, &domain, false));
        let users: Vec<Value> =
            self.members().iter().map(|member| self.user(member, &domain, true)).collect();
        let (count, old) = self.with(|s| {
            let left = &mut s.left.0;
            left.extend(gone);
            while left.len() > OLD_USERS {
                left.pop_front();
            }
            (s.count(), s.left.0.iter().rev().cloned().collect::<Vec<_>>())
        });
        let address = format!("{}@{domain}", self.name);
        let mut data = Message::new();
        let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
        put("entity", address.as_str().into());
        let description = self.profile.params.get("description").filter(|text| !text.is_empty());
        put("conferenceDescription", description.unwrap_or(DESCRIPTION).into());
        put("conferenceState", "active".into());
        put("userCount", count.to_string().into());
        put("users", users.into());
        put("oldUsers", old.into());
        let channels = board::channels(&self.switch);
        board::tell(&channels, data, &format!("conference.{address}"), None);
    }

    fn user(&self, member: &Member, domain: &str, here: bool) -> Value {
        let channel = &member.channel;
        let profile = channel.profile();
        let held = channel.flags.held.load(Ordering::Relaxed);
        let invited = channel.var("conference_invite_uri");
        let mut user = json!({
            "entity": invited.unwrap_or_else(|| format!("{}@{domain}", profile.caller_id_number)),
            "displayText": profile.caller_id_name,
            "status": if here { "connected" } else { "disconnected" },
            "joinTime": time(self.created),
            "memberId": member.id.to_string(),
            "variables": {},
        });
        if here {
            user["variables"] = variables(channel);
            let flow = match (member.state().speaks, held) {
                (true, false) => "sendrecv",
                (false, false) => "recvonly",
                (true, true) => "sendonly",
                (false, true) => "inactive",
            };
            if let Some(ssrc) = channel.var("rtp_use_ssrc") {
                user["rtpAudioSSRC"] = ssrc.into();
            }
            user["rtpAudioDirection"] = flow.into();
            if member.has_video() {
                if let Some(ssrc) = channel.var("rtp_use_video_ssrc") {
                    user["rtpVideoSSRC"] = ssrc.into();
                }
                let flow = if held { "sendonly" } else { "sendrecv" };
                user["rtpVideoDirection"] = flow.into();
            }
        }
        user
    }
}

/// The variables of a call that begin with `json_`, or with what `json_conference_var_prefix` says.
fn variables(channel: &Channel) -> Value {
    let prefix = channel.var("json_conference_var_prefix").unwrap_or_else(|| "json_".to_owned());
    let all = prefix.eq_ignore_ascii_case("__all__");
    let told = channel.with(|data| {
        let named = data.vars.iter();
        let told = named.filter(|(name, _)| {
            let start = name.get(..prefix.len());
            all || start.is_some_and(|start| start.eq_ignore_ascii_case(&prefix))
        });
        told.map(|(name, value)| (name.to_owned(), Value::from(value.to_string())))
            .collect::<Message>()
    });
    Value::Object(told)
}

/// A time as the reference writes it here: `2026-01-31T12:00:00+01:00`.
fn time(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let local = at.to_zoned(base::clock::zone());
    local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
