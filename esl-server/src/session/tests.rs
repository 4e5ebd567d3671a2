//! Properties of every conversation, whatever the client says.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::frame::{Decoder, PacketDecoder};
use crate::{
    ApiReply, ApiRequest, BoxFuture, CoreInfo, EslUser, EventBus, EventSink, LogHub, QueueFull,
};

struct Fake {
    bus: Arc<EventBus>,
    logs: Arc<LogHub>,
}

impl Fake {
    fn new() -> Arc<Self> {
        let info = CoreInfo {
            core_uuid: "core".into(),
            hostname: "box".into(),
            switchname: "pbx".into(),
            ipv4: String::new(),
            ipv6: String::new(),
        };
        Arc::new(Self { bus: EventBus::new(info), logs: LogHub::new() })
    }
}

impl Switch for Fake {
    fn bus(&self) -> &Arc<EventBus> {
        &self.bus
    }

    fn logs(&self) -> &Arc<LogHub> {
        &self.logs
    }

    fn api(&self, _: ApiRequest) -> BoxFuture<'_, ApiReply> {
        Box::pin(async { ApiReply::NotFound })
    }

    fn call(&self, uuid: &str) -> Option<Arc<dyn CallControl>> {
        (uuid == "u1").then(|| Arc::new(FakeCall) as Arc<dyn CallControl>)
    }

    fn acl_allows(&self, _: &str, _: IpAddr) -> bool {
        true
    }

    fn esl_user<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Option<EslUser>> {
        Box::pin(std::future::ready(None))
    }

    fn queue_event_to_call(&self, _: &str, event: Event) -> Result<(), Event> {
        Err(event)
    }
}

struct FakeCall;

impl CallControl for FakeCall {
    fn uuid(&self) -> &str {
        "u1"
    }

    fn channel_name(&self) -> String {
        "fake/u1".into()
    }

    fn channel_data(&self) -> Event {
        Event::new(EventName::ChannelData)
    }

    fn getvar(&self, name: &str) -> Option<String> {
        (name == "set").then(|| "value".into())
    }

    fn setvar(&self, _: &str, _: Option<&str>) {}

    fn post(&self, _: CallMessage) -> Result<(), QueueFull> {
        Ok(())
    }

    fn hung_up(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn divert_events(&self, _: Option<EventSink>) {}

    fn interrupt(&self) {}

    fn set_controlled(&self, _: bool) {}
}

/// A verb, then words likely to mean something to it, then anything.
fn command() -> impl Strategy<Value = String> {
    let verb = prop::sample::select(vec![
        "auth",
        "userauth",
        "exit",
        "...",
        "filter",
        "resume",
        "connect",
        "getvar",
        "myevents",
        "divert_events",
        "sendmsg",
        "sendevent",
        "api",
        "bgapi",
        "log",
        "linger",
        "nolinger",
        "nolog",
        "event",
        "nixevent",
        "noevents",
        "nonsense",
        "",
    ]);
    let word = prop_oneof![
        prop::sample::select(vec![
            "",
            "plain",
            "json",
            "xml",
            "ALL",
            "CUSTOM",
            "a::b",
            "DTMF",
            "add",
            "delete",
            "all",
            "on",
            "off",
            "u1",
            "set",
            "7",
            "-1",
            "99999999999",
            "X-Name",
            "/re/",
            "/(/",
            "-/",
            "reload mod_event_socket",
        ])
        .prop_map(str::to_owned),
        "[^\r\n]{0,12}",
    ];
    let header = (
        "(Job-UUID|Content-Type|session-id|Event-Name|Event-Subclass|async|[A-Za-z]{1,5}\\[[0-9]{1,5}\\])",
        "[^\r\n]{0,10}",
    );
    (verb, prop::collection::vec(word, 0..4), prop::collection::vec(header, 0..3)).prop_map(
        |(verb, words, headers)| {
            let mut text =
                std::iter::once(verb.to_owned()).chain(words).collect::<Vec<_>>().join(" ");
            for (name, value) in headers {
                text.push_str(&format!("\n{name}: {value}"));
            }
            text + "\n\n"
        },
    )
}

/// The one message a reply must be.
fn read_whole(reply: Vec<u8>) -> crate::frame::Message {
    let mut decoder = Decoder::new();
    decoder.push(&reply);
    let message = decoder.next().expect("readable").expect("whole");
    assert_eq!(decoder.next(), Ok(None), "nothing after it");
    assert!(!reply.starts_with(b"\n"), "nothing before it");
    message
}

fn check(session: &mut Session, text: &str) {
    let mut decoder = PacketDecoder::new();
    decoder.authenticated();
    decoder.push(text.as_bytes());
    while let Ok(Some(packet)) = decoder.next() {
        let connect = session.is_authenticated()
            && session.call().is_some()
            && packet.command.to_ascii_lowercase().starts_with("connect");
        let outcome = match session.handle(packet) {
            Outcome::LogIn(Login::Password(given)) => session.log_in_with(&given),
            Outcome::LogIn(Login::User(login)) => session.log_in_user(&login, None),
            outcome => outcome,
        };
        match outcome {
            Outcome::Reply(reply) if connect => {
                assert_eq!(read_whole(reply).reply_text(), "%2BOK%0A");
            }
            Outcome::Reply(reply) | Outcome::Background(reply, _) => {
                let message = read_whole(reply);
                assert_eq!(message.content_type(), "command/reply");
                let text = message.reply_text();
                assert!(
                    text.starts_with("+OK") || text.starts_with("-ERR ") || text == "value",
                    "{text}"
                );
            }
            Outcome::Bye(reply) => {
                read_whole(reply);
            }
            Outcome::Api(_) | Outcome::Execute { .. } | Outcome::Silent | Outcome::LogIn(_) => {}
        }
    }
}

proptest! {
    #[test]
    fn a_stranger_gets_one_well_formed_reply_per_command(commands in prop::collection::vec(command(), 1..8)) {
        let mut session = Session::inbound(Fake::new(), "secret".into());
        for text in commands {
            check(&mut session, &text);
            prop_assert!(!session.is_authenticated() || text.contains("secret"));
            prop_assert!(session.subscription().is_none(), "nothing is subscribed before the login");
        }
    }

    #[test]
    fn a_client_gets_one_well_formed_reply_per_command(commands in prop::collection::vec(command(), 1..12)) {
        let mut session = Session::inbound(Fake::new(), "secret".into());
        check(&mut session, "auth secret\n\n");
        prop_assert!(session.is_authenticated());
        for text in commands {
            check(&mut session, &text);
        }
    }

    #[test]
    fn a_called_program_gets_one_well_formed_reply_per_command(
        commands in prop::collection::vec(command(), 1..12),
        asynchronous in any::<bool>(),
        full in any::<bool>(),
    ) {
        let mode = OutboundMode { asynchronous, full };
        let mut session = Session::outbound(Fake::new(), Arc::new(FakeCall), mode);
        check(&mut session, "connect\n\n");
        for text in commands {
            check(&mut session, &text);
        }
    }
}
