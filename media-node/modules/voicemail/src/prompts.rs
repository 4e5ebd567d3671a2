//! What is said and asked: every prompt is a phrase macro of the caller's language.

use std::path::Path;
use std::time::Duration;

use base::far;
use switch_core::app::digits::{Entered, Entry, Terminators};
use switch_core::app::play::{Ended, Keys, Play, steer};
use switch_core::call::{Channel, Digit, Interrupt, Session};

use crate::profile::Profile;

/// Digits of a mailbox or a password at most.
const MAX_DIGITS: usize = 79;

/// Says a macro about some data. A macro that is not there is silence; the log says so.
pub(crate) async fn say(
    session: &mut Session,
    name: &str,
    data: &str,
    keys: Keys<'_>,
) -> Result<Ended, Interrupt> {
    // Whatever the data holds (a caller's number, say), it is data.
    let text = format!("phrase:{name}:{}", far::mark(data));
    session.play(Play::once(&text, keys)).await
}

/// Says a macro that asks nothing. Keys pressed meanwhile cut it short and answer the next question.
pub(crate) async fn tell(session: &mut Session, name: &str, data: &str) -> Result<(), Interrupt> {
    say(session, name, data, Keys::Any).await.map(drop)
}

/// Says a macro until the first key and takes up to `most` keys (0 is many).
pub(crate) async fn ask(
    session: &mut Session,
    name: &str,
    data: &str,
    most: usize,
    terminators: &str,
    timeout: Duration,
) -> Result<String, Interrupt> {
    say(session, name, data, Keys::Any).await?;
    let most = if most == 0 { MAX_DIGITS } else { most };
    Ok(entered(session, most, terminators, timeout).await?.digits)
}

async fn entered(
    session: &mut Session,
    max: usize,
    terminators: &str,
    timeout: Duration,
) -> Result<Entered, Interrupt> {
    let terminators = Terminators::parse(terminators);
    let entry = Entry { min: 0, max, timeout, digit_timeout: timeout, terminators };
    session.collect_digits("", &entry).await
}

/// [`ask`] as `read` does it, which leaves variables behind.
pub(crate) async fn read(
    session: &mut Session,
    name: &str,
    data: &str,
    most: usize,
    terminators: &str,
    timeout: Duration,
) -> Result<String, Interrupt> {
    session.channel().unset_var("read_result");
    session.channel().unset_var("read_terminator_used");
    say(session, name, data, Keys::Any).await?;
    let entered = entered(session, most, terminators, timeout).await?;
    if let Some(key) = entered.terminator {
        session.channel().set_var("read_terminator_used", key.to_string());
    }
    let result = if entered.timed_out { "timeout" } else { "success" };
    session.channel().set_var("read_result", result);
    Ok(entered.digits)
}

/// Says a macro; the key that ended it, if it is one of those.
pub(crate) async fn say_until(
    session: &mut Session,
    name: &str,
    data: &str,
    keys: &str,
) -> Result<Option<char>, Interrupt> {
    Ok(key_of(say(session, name, data, Keys::Stop(keys)).await?))
}

/// Any key, as a key that ends something and is known.
pub(crate) const ANY_KEY: &str = "0123456789*#ABCD";

fn key_of(ended: Ended) -> Option<char> {
    match ended {
        Ended::Key(key) => key,
        _ => None,
    }
}

/// What keys do to the message that plays.
#[derive(Clone, Copy, Debug, Default)]
struct Controls(Option<Steering>);

#[derive(Clone, Copy, Debug)]
struct Steering {
    pause: char,
    restart: char,
    forward: char,
    back: char,
}

/// A digit came: true if it steers what plays.
pub(crate) fn steers(channel: &Channel, digit: Digit) -> bool {
    let Some(keys) = channel.with(|data| data.find_slot::<Controls>().and_then(|c| c.0)) else {
        return false;
    };
    let order = match digit.digit {
        key if key == keys.pause => "pause",
        key if key == keys.restart => "restart",
        key if key == keys.forward => "seek:+3000",
        key if key == keys.back => "seek:-6000",
        _ => return false,
    };
    steer(channel, order).is_some()
}

/// Plays a recording, which keys pause, wind and begin again; the key that ended it, if it is one of `ending`.
pub(crate) async fn play_recording(
    session: &mut Session,
    profile: &Profile,
    path: &Path,
    ending: &str,
) -> Result<Option<char>, Interrupt> {
    // A key that ends the play does not steer it.
    let key = |text: &str| text.chars().next().filter(|key| !ending.contains(*key)).unwrap_or('\0');
    let steering = Steering {
        pause: key(&profile.pause_key),
        restart: key(&profile.restart_key),
        forward: key(&profile.ff_key),
        back: key(&profile.rew_key),
    };
    session.channel().with(|data| data.slot::<Controls>().0 = Some(steering));
    let text = path.to_string_lossy();
    let ended = session.play(Play::once(&text, Keys::Stop(ending))).await;
    session.channel().with(|data| data.slot::<Controls>().0 = None);
    Ok(key_of(ended?))
}

/// Keys that end the play of a message.
pub(crate) fn ending_keys(profile: &Profile) -> String {
    [
        &profile.delete_file_key,
        &profile.save_file_key,
        &profile.previous_key,
        &profile.next_key,
        &profile.repeat_key,
        &profile.terminator_key,
        &profile.skip_info_key,
        &profile.forward_key,
    ]
    .into_iter()
    .map(String::as_str)
    .collect()
}

/// Plays a file until any key; the key.
pub(crate) async fn play_until_key(
    session: &mut Session,
    path: &str,
) -> Result<Option<char>, Interrupt> {
    Ok(key_of(session.play(Play::once(path, Keys::Stop(ANY_KEY))).await?))
}

/// Does a file exist? Nothing but a file of this machine counts.
pub(crate) async fn exists(path: &str) -> bool {
    !path.is_empty() && tokio::fs::metadata(path).await.is_ok_and(|found| found.is_file())
}
