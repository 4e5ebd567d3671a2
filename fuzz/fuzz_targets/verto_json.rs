//! A message of a Verto client: read, answered, and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rpc::{Incoming, Message, Object};

// The protocol alone: with the module would come the whole switch.
#[allow(dead_code)]
#[path = "../../media-node/modules/verto/src/rpc.rs"]
mod rpc;

fn take(message: Message) {
    match message {
        Message::Request(request) => {
            let params = request.params.unwrap_or_default();
            for name in ["sdp", "callID", "eventChannel", "passwd"] {
                let _ = rpc::text(&params, name);
            }
            let kept: Object = rpc::pairs(&params)
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            let reply = rpc::done(request.id, kept).to_string();
            assert!(matches!(rpc::read(reply.as_bytes()), Incoming::One(Message::Response)));
        }
        Message::Invalid(id) => {
            let reply = rpc::not_a_message("Invalid message", id).to_string();
            assert!(matches!(rpc::read(reply.as_bytes()), Incoming::One(_)));
        }
        Message::Response => {}
    }
}

fuzz_target!(|data: &[u8]| match rpc::read(data) {
    Incoming::One(message) => take(message),
    Incoming::Batch(messages) => {
        assert!(messages.len() <= rpc::MOST_IN_BATCH);
        messages.into_iter().for_each(take);
    }
    Incoming::Nonsense => {}
});
