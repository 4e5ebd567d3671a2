//! What happens to calls as it happens, in the messages of `call_messages`: server-sent events and WebSocket.
//!
//! A client that does not read loses its stream, not the switch its time: [`WAITING`] events wait, then the stream ends.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use call_messages::Message;
use esl_server::Subscription;
use futures_util::{Stream, stream};
use serde::Deserialize;

use super::Gateway;
use super::problem::Problem;
use super::tenant::Tenant;

/// Events that wait for a client.
const WAITING: usize = 2000;
/// Between two signs of life of a quiet stream.
const ALIVE: Duration = Duration::from_secs(15);

/// Which messages.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    /// Kinds with commas between; all, if empty.
    #[serde(default)]
    types: String,
    /// One leg only.
    #[serde(default)]
    call_id: Option<String>,
}

/// A client's place on the bus.
struct Reader {
    subscription: Subscription,
    kinds: HashSet<String>,
    call_id: Option<String>,
    ready: VecDeque<Message>,
    gateway: Gateway,
    tenant: Tenant,
}

impl Reader {
    fn new(gateway: &Gateway, tenant: Tenant, wanted: &Wanted) -> Self {
        let subscription = gateway.switch.bus.subscribe(WAITING);
        call_messages::EVENTS.into_iter().for_each(|name| subscription.listen(name));
        call_messages::SUBCLASSES.into_iter().for_each(|name| subscription.listen_custom(name));
        let kinds = wanted.types.split(',').map(str::trim).filter(|kind| !kind.is_empty());
        Self {
            subscription,
            kinds: kinds.map(str::to_ascii_uppercase).collect(),
            call_id: wanted.call_id.clone(),
            ready: VecDeque::new(),
            gateway: Gateway::clone(gateway),
            tenant,
        }
    }

    /// The next message; `None` once the client was too slow.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            let event = self.subscription.recv().await?;
            if !self.tenant.owns_event(&self.gateway.switch, &event) {
                continue;
            }
            let fits = |message: &Message| {
                (self.kinds.is_empty() || self.kinds.contains(message.kind))
                    && self.call_id.as_deref().is_none_or(|id| message.document["call_id"] == id)
            };
            self.ready.extend(call_messages::of(&event).into_iter().filter(fits));
        }
    }
}

/// `GET /api/events`.
pub(super) async fn server_sent(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    wanted: Asked,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let wanted = said(wanted)?;
    let reader = Reader::new(&gateway, tenant, &wanted);
    let events = stream::unfold(reader, |mut reader| async move {
        let message = reader.next().await?;
        let sent =
            Sent::default().event(message.kind).id(message.id).data(message.document.to_string());
        Some((Ok(sent), reader))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// `GET /api/events/ws`.
pub(super) async fn websocket(
    State(gateway): State<Gateway>,
    tenant: Tenant,
    wanted: Asked,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let wanted = said(wanted)?;
    let upgrade = upgrade.map_err(|error| {
        let why = error.body_text();
        Problem::new(error.into_response().status(), why)
    })?;
    let reader = Reader::new(&gateway, tenant, &wanted);
    // Nothing that a client says is of interest.
    Ok(upgrade.max_message_size(1024).on_upgrade(move |socket| serve(socket, reader)))
}

type Asked = Result<Query<Wanted>, QueryRejection>;

fn said(asked: Asked) -> Result<Wanted, Problem> {
    asked
        .map(|Query(wanted)| wanted)
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.body_text()))
}

async fn serve(mut socket: WebSocket, mut reader: Reader) {
    let mut alive = tokio::time::interval(ALIVE);
    loop {
        let sent = tokio::select! {
            message = reader.next() => match message {
                Some(message) => socket.send(Frame::text(message.document.to_string())).await,
                None => break,
            },
            heard = socket.recv() => match heard {
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => Ok(()),
            },
            _ = alive.tick() => socket.send(Frame::Ping(axum::body::Bytes::new())).await,
        };
        if sent.is_err() {
            return;
        }
    }
    let _gone = socket.send(Frame::Close(None)).await;
}
