//! `sendmsg unicast`: a call's audio as raw datagrams to and from a program on the network.

use esl_server::CallMessage;

use crate::call::Session;

/// Starts the exchange a `unicast` message asks for.
pub fn start(session: &mut Session, message: &CallMessage) {
    tracing::warn!(
        uuid = %session.channel().uuid(),
        "unicast to {}:{} is not available in this version",
        message.get("remote-ip").unwrap_or_default(),
        message.get("remote-port").unwrap_or_default()
    );
}
