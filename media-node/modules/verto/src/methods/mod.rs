//! What a client may ask, and the order in which it is let in.

mod calls;
mod info;
mod modify;
mod other;

use std::sync::Arc;

use serde_json::Value;
use switch_core::call::Channel;
use switch_core::switch::Switch;

use crate::client::Client;
use crate::hub::{Begun, Hub};
use crate::permissions::Allowed;
use crate::rpc::{self, Message, Object, Request};
use crate::settings::UserAuth;
use crate::{detach, login};

pub(crate) use info::chat;

/// Longest name of a session.
const LONGEST_SESSION: usize = 128;

/// What a method answers: its result, an error of its own, or that the client may not.
pub(crate) enum Outcome {
    Done(Object),
    Failed(Object),
    Denied,
}

/// What a method gets.
pub(crate) struct Ask<'a> {
    pub(crate) switch: &'a Arc<Switch>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) client: &'a Arc<Client>,
    pub(crate) params: Option<Object>,
}

/// Answers a message; `None` where nothing is to be said.
pub(crate) async fn answer(
    switch: &Arc<Switch>,
    client: &Arc<Client>,
    message: Message,
) -> Option<Value> {
    match message {
        Message::Response => None,
        Message::Invalid(id) => Some(rpc::not_a_message("Invalid message", id)),
        Message::Request(request) => Some(answer_request(switch, client, request).await),
    }
}

async fn answer_request(switch: &Arc<Switch>, client: &Arc<Client>, request: Request) -> Value {
    let Request { id, method, params } = request;
    if let Err((code, message)) = let_in(switch, client, method.as_deref(), params.as_ref()).await {
        return rpc::failed(id, code, message);
    }
    let allowed = method.as_deref().filter(|method| {
        client.with(|state| state.login.root || state.login.methods.has_family(method, false))
    });
    let echo = params.as_ref().and_then(|params| rpc::get(params, "echoParams")).cloned();
    let echo = echo.map(|echo| match rpc::means_yes(&echo) {
        true => Value::Object(params.clone().unwrap_or_default()),
        false => echo,
    });
    let ask = Ask { switch, hub: Hub::of(switch), client, params };
    let outcome = match allowed {
        Some(method) => Box::pin(run(method, ask)).await,
        None => None,
    };
    match outcome {
        None => {
            let message = "Invalid Method, Missing Method or Permission Denied";
            rpc::failed(id, rpc::NO_METHOD, message)
        }
        Some(Outcome::Done(mut result)) => {
            if let Some(echo) = echo {
                result.insert("requestParams".into(), echo);
            }
            rpc::done(id, result)
        }
        Some(Outcome::Failed(error)) => rpc::failed_with(id, error),
        Some(Outcome::Denied) => rpc::failed(id, rpc::REFUSED, "Permission Denied"),
    }
}

/// Lets a client in whose request needs it, and gives it its session: no session can be taken over before that.
async fn let_in(
    switch: &Arc<Switch>,
    client: &Arc<Client>,
    method: Option<&str>,
    params: Option<&Object>,
) -> Result<(), (i64, &'static str)> {
    let open = client.profile.settings.user_auth == UserAuth::Off;
    let authed = client.with(|state| state.authed);
    if !open && (!authed || method == Some("login")) {
        login::check(switch, client, params).await?;
    } else if !authed {
        client.with(|state| {
            state.authed = true;
            state.login.methods = Allowed::Any;
        });
    }
    if client.with(|state| state.begun) {
        return Ok(());
    }
    let session = session(params);
    match Hub::of(switch).begin_session(client, &session) {
        Begun::New => return Ok(()),
        Begun::TakenOver => {
            detach::detach_calls(switch, &session);
            return Ok(());
        }
        Begun::Refused => {}
    }
    tracing::warn!("User {} blocked from taking over session {session}", client.uid());
    client.let_go();
    Err((rpc::AUTH_FAILED, "Session in use"))
}

/// The session a client asks for, or a new one.
fn session(params: Option<&Object>) -> String {
    let asked = params.and_then(|params| rpc::text(params, "sessid"));
    let usable = |session: &&str| {
        (1..=LONGEST_SESSION).contains(&session.len())
            && session.chars().all(|c| c.is_ascii_graphic() && !"/,$[]{}|".contains(c))
    };
    asked.filter(usable).map_or_else(switch_core::clock::new_uuid, str::to_owned)
}

async fn run(method: &str, ask: Ask<'_>) -> Option<Outcome> {
    Some(match method {
        "login" => other::login(&ask),
        "echo" => other::echo(ask),
        "jsapi" => other::jsapi(ask).await,
        "fsapi" => other::fsapi(ask).await,
        "verto.ping" => other::ping(&ask),
        "verto.subscribe" => other::subscribe(&ask),
        "verto.unsubscribe" => other::unsubscribe(&ask),
        "verto.broadcast" => other::broadcast(ask),
        "verto.invite" => calls::invite(ask).await,
        "verto.answer" => calls::answer(ask).await,
        "verto.attach" => calls::attach(ask).await,
        "verto.bye" => calls::bye(&ask),
        "verto.modify" => modify::modify(ask).await,
        "verto.info" => info::info(ask).await,
        _ => return None,
    })
}

/// An error of a call's method: what is there already, the message, the code.
pub(crate) fn refuse(mut error: Object, message: &str) -> Outcome {
    error.insert("message".into(), message.into());
    error.insert("code".into(), rpc::SESSION_ERROR.into());
    Outcome::Failed(error)
}

impl Ask<'_> {
    /// The parameters of a request, those of the call it is about, and the call's UUID.
    ///
    /// # Errors
    /// What the client is told where they are missing.
    fn dialog(&self) -> Result<(&Object, &Object, &str), Outcome> {
        let missing = |what| refuse(Object::new(), what);
        let params = self.params.as_ref().ok_or_else(|| missing("Params data missing"))?;
        let dialog = rpc::object_in(params, "dialogParams");
        let dialog = dialog.ok_or_else(|| missing("Dialog data missing"))?;
        let uuid = rpc::text(dialog, "callID").ok_or_else(|| missing("CallID missing"))?;
        Ok((params, dialog, uuid))
    }

    /// A call of this client's. One of another's is as good as none.
    fn call(&self, uuid: &str) -> Option<Arc<Channel>> {
        crate::hub::call_of(self.switch, &self.client.session(), uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_by_what_is_harmless_in_a_dial_string() {
        let asked = |name: &str| {
            let params = serde_json::json!({ "sessid": name });
            session(params.as_object())
        };
        assert_eq!(asked("abc-1"), "abc-1");
        for name in ["", "a,loopback/x", "${x}", "a b", "a[b=c]", &"x".repeat(200)] {
            assert_ne!(asked(name), name);
        }
    }
}
