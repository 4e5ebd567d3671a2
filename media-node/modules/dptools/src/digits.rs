//! `read`, `play_and_get_digits`, `send_dtmf` and its kin.

use std::sync::Arc;

use super::{App, Flags};
use crate::app;
use crate::app::digits::{Entry, MAX_ENTRY, Terminators, millis, parse};
use crate::app::play::{Keys, Play};
use crate::call::{AppResult, Channel, Indication, Interrupt, Session, digit_guard, transfer};
use crate::text;

/// The family.
pub const APPS: &[App] = &[
    app!(
        "read",
        "mod_dptools",
        Flags::NONE,
        "<min> <max> <file> <var_name> <timeout> <terminators> <digit_timeout>",
        "Read Digits",
        read
    ).path().marked(),
    app!(
        "play_and_get_digits",
        "mod_dptools",
        Flags::NONE,
        "\n\t<min> <max> <tries> <timeout> <terminators> <file> <invalid_file> <var_name> <regexp> [<digit_timeout>] ['<failure_ext> [failure_dp [failure_context]]']",
        "Play and get Digits",
        play_and_get_digits
    ).path().marked(),
    app!("send_dtmf", "mod_dptools", Flags::NONE, "<dtmf_data>", "Send dtmf to be sent", send_dtmf),
    app!(
        "queue_dtmf",
        "mod_dptools",
        Flags::NONE,
        "<dtmf_data>",
        "Queue dtmf to be sent",
        queue_dtmf
    ),
    app!("flush_dtmf", "mod_dptools", Flags::NONE, "", "flush any queued dtmf", flush_dtmf),
    app!("block_dtmf", "mod_dptools", Flags::NO_MEDIA, "", "Block DTMF", block_dtmf),
    app!("unblock_dtmf", "mod_dptools", Flags::NO_MEDIA, "", "Stop blocking DTMF", unblock_dtmf),
];

/// Shortest wait for the first key, milliseconds.
const MIN_TIMEOUT: i64 = 1000;

fn count(text: Option<&String>) -> i64 {
    text.map_or(0, |t| text::int(t)).clamp(0, MAX_ENTRY)
}

/// `<min> <max> <file> <var> <timeout> <terminators> [digit_timeout]`
async fn read(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 7);
    let channel = Arc::clone(session.channel());
    let min = count(words.first()).max(1);
    let max = count(words.get(1)).max(min);
    let prompt = words.get(2).cloned().unwrap_or_default();
    let variable = words.get(3).cloned().unwrap_or_default();
    let timeout = words.get(4).map_or(0, |t| text::int(t)).max(MIN_TIMEOUT);
    let digit_timeout = words.get(6).map_or(0, |t| text::int(t));
    let entry = Entry {
        min: min as usize,
        max: max as usize,
        timeout: millis(timeout),
        digit_timeout: millis(if digit_timeout > 0 { digit_timeout } else { timeout }),
        terminators: Terminators::parse(words.get(5).map_or("#", String::as_str)),
    };
    channel.unset_var("read_result");
    channel.unset_var("read_terminator_used");
    let entered = session.collect_digits(&prompt, &entry).await?;
    if let Some(key) = entered.terminator {
        channel.set_var("read_terminator_used", key.to_string());
    }
    channel.set_var("read_result", entry.result(&entered));
    if !variable.is_empty() {
        channel.set_var(variable, entered.digits);
    }
    Ok(())
}

/// `<min> <max> <tries> <timeout> <terminators> <file> <invalid_file> <var> <regex> [digit_timeout]
/// ['ext [dialplan [context]]']`
async fn play_and_get_digits(session: &mut Session, argument: &str) -> AppResult {
    let words = text::words(argument, 11);
    let channel = Arc::clone(session.channel());
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    if words.len() < 8 {
        tracing::error!(uuid = %channel.uuid(), "play_and_get_digits: too few arguments");
        return Ok(());
    }
    let timeout = text::int(word(3)).max(MIN_TIMEOUT);
    let digit_timeout = text::int(word(9));
    let min = count(words.first());
    let entry = Entry {
        min: min as usize,
        max: count(words.get(1)).max(min).max(1) as usize,
        timeout: millis(timeout),
        digit_timeout: millis(if digit_timeout > 0 { digit_timeout } else { timeout }),
        terminators: Terminators::parse(word(4)),
    };
    let tries = text::int(word(2)).max(1);
    let variable = word(7).to_owned();
    channel.unset_var(&variable);
    channel.unset_var(&format!("{variable}_invalid"));
    for _ in 0..tries {
        channel.unset_var("read_result");
        channel.unset_var("read_terminator_used");
        let entered = session.collect_digits(word(5), &entry).await?;
        if let Some(key) = entered.terminator {
            channel.set_var("read_terminator_used", key.to_string());
        }
        let long_enough = entered.digits.len() >= entry.min && entry.result(&entered) != "failure";
        channel.set_var("read_result", if long_enough { "success" } else { "failure" });
        if long_enough {
            if matches_pattern(&channel, word(8), &entered.digits) {
                channel.set_var(variable, entered.digits);
                return Ok(());
            }
            channel.set_var(format!("{variable}_invalid"), entered.digits);
        }
        if entered.give_up {
            return Ok(());
        }
        if !word(6).is_empty() && !word(6).eq_ignore_ascii_case("silence") {
            session.play(Play::once(word(6), Keys::Any)).await?;
        }
        session.flush_digits();
    }
    let exit = text::words(word(10), 3);
    if let Some(exten) = exit.first() {
        let rest = |index: usize| exit.get(index).map(String::as_str);
        transfer::transfer(&channel, exten, rest(1), rest(2));
        return Err(Interrupt::Moved);
    }
    Ok(())
}

fn matches_pattern(channel: &Channel, pattern: &str, digits: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    match dialplan_xml::regex::Pattern::new(pattern) {
        Ok(pattern) => pattern.is_match(digits),
        Err(error) => {
            tracing::error!(uuid = %channel.uuid(), "Bad pattern {pattern}: {error}");
            false
        }
    }
}

async fn send_dtmf(session: &mut Session, argument: &str) -> AppResult {
    let digits = parse(session.channel(), argument);
    if !digits.is_empty() && !session.indicate(Indication::Digits(digits)).await {
        tracing::warn!(uuid = %session.channel().uuid(), "Cannot send digits {argument}");
    }
    Ok(())
}

async fn queue_dtmf(session: &mut Session, argument: &str) -> AppResult {
    for digit in parse(session.channel(), argument) {
        session.channel().queue_digit(digit);
    }
    Ok(())
}

async fn flush_dtmf(session: &mut Session, _argument: &str) -> AppResult {
    session.flush_digits();
    Ok(())
}

async fn block_dtmf(session: &mut Session, _argument: &str) -> AppResult {
    digit_guard::block(session.channel(), true);
    Ok(())
}

async fn unblock_dtmf(session: &mut Session, _argument: &str) -> AppResult {
    digit_guard::block(session.channel(), false);
    Ok(())
}
