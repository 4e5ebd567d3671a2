//! The `socket` application: an Event Socket connection out to a program that takes the call over.

use super::adapter::EslAdapter;
use crate::app;
use crate::app::{App, Flags};
use crate::call::control::Inline;
use crate::call::{AppResult, Session, State};

/// The family.
pub const APPS: &[App] = &[app!(
    "socket",
    "mod_event_socket",
    Flags::NO_MEDIA,
    "<ip>[:<port>] [async|full]",
    "Connect to a socket",
    run
)
.marked()];

async fn run(session: &mut Session, argument: &str) -> AppResult {
    // What a far end said is part of one word: it adds no host and no option.
    let words = base::text::words(argument, usize::MAX);
    let words: Vec<_> = match base::far::is_marked(argument) {
        true => words.iter().map(|word| word.replace([' ', '|', '\t'], "_")).collect(),
        false => vec![argument.to_owned()],
    };
    let argument = &words.join(" ");
    let adapter = std::sync::Arc::new(EslAdapter(std::sync::Arc::clone(session.switch())));
    esl_server::outbound::run(adapter, &mut Inline(session), argument).await;
    // `socket_resume`: what the connection left running was broken off; the dialplan goes on behind this application.
    let channel = session.channel();
    if channel.state() == State::Reset && channel.is_true("socket_resume") {
        channel.set_state(State::Execute);
    }
    session.check()
}
