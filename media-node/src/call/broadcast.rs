//! Playing something, or running an application, on a call from outside (`uuid_broadcast`).

use std::sync::Arc;

use esl_server::CallMessage;

use super::channel::Channel;

/// Queues `path` on the legs named: `aleg`, `bleg`, `both`, `holdb`.
///
/// `path` is a file, `app::args`, or `app!cause::args` (runs, then hangs up with the cause).
pub fn broadcast(channel: &Arc<Channel>, path: &str, legs: &str) {
    let legs = legs.to_ascii_lowercase();
    let both = legs.contains("both");
    let partner = channel.partner();
    let (app, argument, cause) = parse(path);
    if let Some(partner) = &partner
        && (both || legs.contains("bleg"))
    {
        send(partner, app, argument, cause, None);
    }
    if both || !legs.contains("bleg") {
        let hold = partner.is_some() && (legs.contains("holdb") || (!both && legs.is_empty()));
        send(channel, app, argument, cause, hold.then_some("true"));
    }
}

/// Queues an application on one leg; with `hold`, its partner hears music meanwhile.
pub fn run(leg: &Arc<Channel>, app: &str, argument: &str, hold: bool) {
    send(leg, app, argument, None, hold.then_some("true"));
}

fn parse(path: &str) -> (&str, &str, Option<&str>) {
    match path.split_once("::") {
        Some((app, argument)) if !app.contains(['/', ' ', '$']) => match app.split_once('!') {
            Some((app, cause)) => (app, argument, Some(cause)),
            None => (app, argument, None),
        },
        _ => ("playback", path, None),
    }
}

fn send(leg: &Arc<Channel>, app: &str, argument: &str, cause: Option<&str>, hold: Option<&str>) {
    let mut message = CallMessage::default();
    message.headers.push("Event-Name", "COMMAND");
    message.headers.push("call-command", "execute");
    message.headers.push("execute-app-name", app.to_owned());
    message.headers.push("execute-app-arg", argument.to_owned());
    message.headers.push("event-lock", "true");
    if let Some(hold) = hold {
        message.headers.push("hold-bleg", hold.to_owned());
    }
    message.headers.push("lead-frames", "5");
    let _full = leg.post(message);
    if let Some(cause) = cause {
        let mut message = CallMessage::execute("hangup", cause);
        message.headers.push("Event-Name", "COMMAND");
        message.headers.push("event-lock", "true");
        let _full = leg.post(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_name_an_application_and_a_cause() {
        assert_eq!(parse("/tmp/a.wav"), ("playback", "/tmp/a.wav", None));
        assert_eq!(parse("tone_stream://%(1,0,2)"), ("playback", "tone_stream://%(1,0,2)", None));
        assert_eq!(parse("say::en number"), ("say", "en number", None));
        assert_eq!(parse("playback!user_busy::x.wav"), ("playback", "x.wav", Some("user_busy")));
    }
}
