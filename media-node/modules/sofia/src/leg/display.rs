//! The displays of phones: who is shown there, told in the form each of them understands; and who the far end says it
//! is now.

use sip::message::{Headers, Request};

use super::SofiaLeg;
use crate::call::display::Party;
use crate::call::endpoint::{DialogMethod, DialogRequest};
use crate::call::{Cause, Channel};
use crate::identity::Named;
use crate::profile::host_text;
use crate::variables;

/// Phones that take a new `P-Asserted-Identity` in UPDATE for their display, by a part of their `User-Agent`.
const TAKE_UPDATE: [&str; 12] = [
    "poly",
    "cisco/spa50",
    "cisco/spa525",
    "cisco/spa30",
    "fanvil",
    "grandstream",
    "ringotel",
    "groundwire",
    "yealink",
    "mitel",
    "panasonic",
    "aastra",
];
/// From this version on, as one number, snom phones read the other party from From.
const SNOM_FROM: u32 = 8_04_24;

/// How a phone is told what to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// INFO `message/update_display`: another switch of this kind.
    FreeSwitch,
    /// INFO `message/sipfrag` with From and To. True: the party stands in From.
    Sipfrag(bool),
    /// UPDATE with `P-Asserted-Identity`.
    Update,
}

/// What a far end understands; `None` when it has no display we know to reach.
fn form(agent: &str, allow: &str, takes_displays: bool, any_agent: bool) -> Option<Form> {
    if takes_displays {
        return Some(Form::FreeSwitch);
    }
    let agent = agent.to_ascii_lowercase();
    if agent.contains("snom") {
        return Some(Form::Sipfrag(snom_version(&agent) >= SNOM_FROM));
    }
    let known = TAKE_UPDATE.iter().any(|known| agent.contains(known))
        && !(agent.contains("aastra") && agent.contains("intelligate"));
    let updates = allow.to_ascii_uppercase().contains("UPDATE");
    (updates && !agent.is_empty() && (known || any_agent)).then_some(Form::Update)
}

/// `snom370/8.4.35` as 80435; 0 when it cannot be read.
fn snom_version(agent: &str) -> u32 {
    let Some((_, version)) = agent.split_once('/') else { return 0 };
    let mut parts = version.split('.').map(|part| {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        part.get(..digits.min(4)).and_then(|digits| digits.parse::<u32>().ok()).unwrap_or(0)
    });
    match (parts.next(), parts.next(), parts.next()) {
        (Some(major), Some(minor), Some(patch)) => major * 10_000 + minor * 100 + patch,
        _ => 0,
    }
}

impl SofiaLeg {
    /// Shows the far end a party, in the form it understands.
    pub(super) fn show_party(
        &self,
        channel: &Channel,
        name: &str,
        number: &str,
    ) -> Result<(), Cause> {
        if !channel.is_answered() || !self.profile.settings.load().send_display_update {
            return Ok(());
        }
        let agent = channel.var("sip_user_agent").unwrap_or_default();
        let allow = channel.var("sip_allow").unwrap_or_default();
        let any_agent = channel.is_true("update_ignore_ua");
        match form(&agent, &allow, self.takes_displays, any_agent) {
            Some(Form::FreeSwitch) => self.send_request(DialogRequest {
                method: DialogMethod::Info,
                headers: vec![
                    ("X-FS-Display-Name", name.to_owned()),
                    ("X-FS-Display-Number", number.to_owned()),
                ],
                body: Some(("message/update_display".into(), String::new())),
            }),
            Some(Form::Sipfrag(from)) => {
                let line = |text: &str| text.replace(['\r', '\n'], " ");
                let who = format!("\"{}\" {}", line(name).replace('"', "'"), line(number));
                let (from, to) = if from {
                    (format!(" {who}"), String::new())
                } else {
                    (String::new(), format!(" {who}"))
                };
                self.send_info("message/sipfrag", format!("From:{from}\r\nTo:{to}\r\n"))
            }
            Some(Form::Update) => {
                let ip = host_text(self.profile.settings.load().sip_ip);
                let Some(who) = variables::identity(Some(name), number, &ip) else {
                    return Ok(());
                };
                let mut headers = vec![("P-Asserted-Identity", who)];
                headers
                    .extend(channel.var("presence_call_info_full").map(|info| ("Call-Info", info)));
                self.send_request(DialogRequest {
                    method: DialogMethod::Update,
                    headers,
                    body: None,
                })
            }
            None => Ok(()),
        }
    }

    /// Remembers whether the far end is a switch that takes displays by INFO.
    pub(super) fn note_support(&mut self, headers: &Headers) {
        if let Some(support) = headers.named("X-FS-Support") {
            self.takes_displays = support.contains("update_display");
        }
    }

    /// Who the far end says it is, in an answer, UPDATE or INFO. `tell`: programs and the other leg hear of it.
    pub(super) fn learn_party(&self, channel: &Channel, headers: &Headers, tell: bool) {
        if channel.is_true("ignore_display_updates")
            || !self.profile.settings.load().send_display_update
        {
            return;
        }
        let fields = if channel.shows_caller() {
            ("caller_id_name", "caller_id_number")
        } else {
            ("callee_id_name", "callee_id_number")
        };
        let known = Party {
            name: channel.field(fields.0).unwrap_or_default(),
            number: channel.field(fields.1).unwrap_or_default(),
        };
        if let Some(party) = said(headers, &known, channel.is_true("sip_ignore_remote_cid")) {
            channel.learn_party(&party, tell);
        }
    }
}

/// The party a message names, with what is known already for what it leaves out; `None` when it says nothing.
fn said(headers: &Headers, known: &Party, ignores_remote: bool) -> Option<Party> {
    if ignores_remote {
        return None;
    }
    let (name, number) =
        match (headers.named("X-FS-Display-Name"), headers.named("X-FS-Display-Number")) {
            (None, None) => {
                let named = Named::in_header(headers, "P-Asserted-Identity")
                    .or_else(|| Named::in_header(headers, "Remote-Party-ID"))?;
                let number = named.address.uri.user().map(str::to_owned);
                (named.display, number)
            }
            (name, number) => (name.map(sip::uri::unescape), number.map(str::to_owned)),
        };
    let filled = |said: Option<String>, known: &str| {
        said.filter(|text| !text.is_empty()).unwrap_or_else(|| known.to_owned())
    };
    let number = filled(number, &known.number);
    let name = filled(name, &known.name);
    let name = if name.is_empty() { number.clone() } else { name };
    (!number.is_empty()).then(|| Party {
        name: crate::text::harmless_name(&name).into_owned(),
        number: crate::text::harmless_number(&number).into_owned(),
    })
}

/// Is the INFO one that changes our display?
pub(super) fn changes_display(request: &Request) -> bool {
    request
        .headers
        .content_type()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("message/update_display"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phone_is_told_in_its_own_form() {
        let updates = "INVITE, ACK, UPDATE";
        for (agent, allow, switch, any, expected) in [
            ("FreeSWITCH", "", true, false, Some(Form::FreeSwitch)),
            ("snom370/8.4.35", updates, false, false, Some(Form::Sipfrag(true))),
            ("snom370/8.4.18", updates, false, false, Some(Form::Sipfrag(false))),
            ("snom", updates, false, false, Some(Form::Sipfrag(false))),
            ("Yealink SIP-T46S 66.85", updates, false, false, Some(Form::Update)),
            ("Yealink SIP-T46S 66.85", "INVITE", false, false, None),
            ("PolycomVVX-VVX_400/5.9", updates, false, false, Some(Form::Update)),
            ("Aastra Intelligate", updates, false, false, None),
            ("Linphone/5", updates, false, false, None),
            ("Linphone/5", updates, false, true, Some(Form::Update)),
            ("", updates, false, true, None),
        ] {
            assert_eq!(form(agent, allow, switch, any), expected, "{agent}");
        }
    }

    #[test]
    fn a_message_names_the_party_in_one_of_three_ways() {
        let known = Party { name: "Old".into(), number: "100".into() };
        let heard = |lines: &[(&str, &str)]| {
            let headers: Headers = lines.iter().copied().collect();
            said(&headers, &known, false).map(|party| (party.name, party.number))
        };
        let pair = |name: &str, number: &str| Some((name.to_owned(), number.to_owned()));
        assert_eq!(
            heard(&[("X-FS-Display-Name", "Ann%20B"), ("X-FS-Display-Number", "200")]),
            pair("Ann B", "200")
        );
        assert_eq!(heard(&[("X-FS-Display-Number", "200")]), pair("Old", "200"));
        assert_eq!(
            heard(&[("P-Asserted-Identity", "\"Ann\" <sip:h>, <sip:201@h>")]),
            pair("Ann", "201")
        );
        assert_eq!(heard(&[("Remote-Party-ID", "<sip:202@h>;party=called")]), pair("Old", "202"));
        assert_eq!(heard(&[("Subject", "x")]), None);
    }
}
