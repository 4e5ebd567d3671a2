//! What the Event Socket sees of the switch.

use std::net::IpAddr;
use std::sync::Arc;

use base::guess_guard::{Attempt, Entry};
use esl_server::event::Event;
use esl_server::{ApiReply, ApiRequest, BoxFuture, CallControl, EslUser, EventBus, LogHub};

use crate::call::control::Control;
use crate::guesses::Door;
use crate::switch::Switch;

/// The switch as the Event Socket sees it.
pub struct EslAdapter(pub Arc<Switch>);

impl esl_server::Switch for EslAdapter {
    fn bus(&self) -> &Arc<EventBus> {
        &self.0.bus
    }

    fn logs(&self) -> &Arc<LogHub> {
        &self.0.logs
    }

    fn api(&self, request: ApiRequest) -> BoxFuture<'_, ApiReply> {
        Box::pin(async move {
            // On behalf of no call, even where the connection is bound to one (reference behaviour).
            let ApiRequest { command, args, console } = request;
            match self.0.run_api_at(&command, &args, None, console).await {
                Some(output) => ApiReply::Output(output),
                None => ApiReply::NotFound,
            }
        })
    }

    fn call(&self, uuid: &str) -> Option<Arc<dyn CallControl>> {
        let channel = self.0.channel(uuid).filter(|channel| channel.is_up())?;
        Some(Arc::new(Control(channel)))
    }

    fn acl_allows(&self, list: &str, ip: IpAddr) -> bool {
        self.0.acl_allows(list, ip)
    }

    fn esl_user<'a>(&'a self, user: &'a str, domain: &'a str) -> BoxFuture<'a, Option<EslUser>> {
        Box::pin(async move {
            let found = crate::xml::find_user(&self.0, user, domain, |params| {
                params.push("action", "event_socket_auth");
            });
            let user = found.await?;
            let param = |name: &str| user.params.get(name).map(str::to_owned);
            Some(EslUser {
                password: param("esl-password"),
                allowed_events: param("esl-allowed-events"),
                allowed_api: param("esl-allowed-api"),
                allowed_log: param("esl-allowed-log"),
            })
        })
    }

    fn guessing(&self, attempt: &Attempt<'_>, held_back: &Entry) {
        self.0.tell_of_guessing(Door::EventSocket, attempt, held_back);
    }

    fn expand_alias(&self, line: &str) -> Option<String> {
        self.0.stores.console.expand(line)
    }

    fn queue_event_to_call(&self, uuid: &str, event: Event) -> Result<(), Event> {
        match self.0.channel(uuid).filter(|channel| channel.is_up()) {
            Some(channel) => {
                channel.queue_event(event);
                Ok(())
            }
            None => Err(event),
        }
    }
}
