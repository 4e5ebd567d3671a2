//! mod_curl: web requests of dialplans and clients.

use std::sync::Arc;

use esl_server::event::Event;
use parking_lot::Mutex;
use switch_core::api::{Api, ApiCall};
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Channel, Session};
use switch_core::contract::declare::{EventKind, Parameters, Value, Variable, param, reads, sets};
use switch_core::contract::{Change, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::{BoxFuture, api, app, foreign, text, xml};

use crate::request::{Request, Settings};
use crate::sendfile::{self, Report, Sending};

const ANYWHERE: Flags = Flags::NO_MEDIA.and(Flags::ROUTING);
const SYNTAX: &str = "curl url [headers|json|content-type <mime-type>|connect-timeout <seconds>|timeout <seconds>|append_headers <header_name:header_value>[|append_headers <header_name:header_value>]|insecure|secure|[proxy <http://proxy:port>]] [get|head|post|delete|put [data]]";
const SENDFILE: &str = "<url> <filenameParamName=filepath> [nopost|postparam1=foo&postparam2=bar... [event|stream|both|none  [identifier ]]]";

const APPS: &[App] = &[
    app!(
        "curl",
        "mod_curl",
        ANYWHERE,
        "curl url [headers|json|content-type <mime-type>|connect-timeout <seconds>|timeout <seconds>|append_headers <header_name:header_value>[|append_headers <header_name:header_value>]|insecure|secure|[proxy <http://proxy:port>]] [get|head|post|delete|put [data]]",
        "Perform a http request",
        curl
    ).marked(),
    app!(
        "curl_sendfile",
        "mod_curl",
        ANYWHERE,
        "<url> <filenameParamName=filepath> [nopost|postparam1=foo&postparam2=bar... [event|none  [identifier ]]]",
        "Send a file and some optional post variables via HTTP",
        send_file
    ),
];
const APIS: &[Api] = &[
    api!("curl", "mod_curl", SYNTAX, "curl API", async curl_api),
    api!("curl_sendfile", "mod_curl", SENDFILE, "curl_sendfile API", async send_file_api),
];

#[rustfmt::skip]
const PARAMETERS: &[Parameters] = &[Parameters { file: "curl.conf", scope: "", list: &[
    param("max-bytes", Value::Number(1, 1 << 30), "64000", "Longest answer taken, bytes"),
    param("validate-certs", Value::Bool, "false", "Certificates are checked unless a request says `insecure`"),
] }];
#[rustfmt::skip]
const VARIABLES: &[Variable] = &[
    reads("curl_connect_timeout", Value::Seconds, "Seconds a request of the application `curl` waits for its connection"),
    reads("curl_timeout", Value::Seconds, "Seconds a request of the application `curl` may take"),
    sets("curl_response_data", "What the application `curl` got: the body, the body behind the headers, or a JSON document"),
    sets("curl_response_code", "Its HTTP status; 0 when there was no answer"),
    sets("curl_method", "Its verb, if it was written"),
    reads("curl_sendfile_url", Value::Text, "Where `curl_sendfile` without an argument sends to"),
    reads("curl_sendfile_filename_element", Value::Text, "Name of the form's field that is the file"),
    reads("curl_sendfile_filename", Value::Path, "The file"),
    reads("curl_sendfile_extrapost", Value::Text, "Further fields, `a=b&c=d`"),
    reads("curl_sendfile_report", Value::Word(&["event", "none"]), "Whether an event tells of it"),
    reads("curl_sendfile_identifier", Value::Text, "What the event names it by; `uuid` is the call's id"),
];
const EVENTS: &[EventKind] = &[EventKind {
    name: "curl_sendfile::ack",
    doc: "A file was sent by `curl_sendfile`, or could not be read",
}];

#[derive(Default)]
struct InForce(Mutex<Settings>);

/// mod_curl.
pub(crate) struct Curl;

impl Module for Curl {
    fn name(&self) -> &'static str {
        "mod_curl"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[APIS],
            parameters: PARAMETERS,
            variables: &[VARIABLES],
            events: &[EVENTS],
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            configure(switch).await;
            Ok(())
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if change == Change::Configuration {
                configure(switch).await;
            }
        })
    }
}

async fn configure(switch: &Arc<Switch>) {
    let read = xml::read_configuration(switch, "curl.conf", None, |conf| {
        let params = dialplan_xml::config::settings(conf);
        let most = params.last("max-bytes").map(text::int);
        let most = most.and_then(|most| usize::try_from(most).ok()).filter(|most| *most > 0);
        Settings {
            most: most.unwrap_or(Settings::default().most),
            validate: params.last("validate-certs").is_some_and(text::is_true),
        }
    });
    if let Ok(settings) = read.await {
        *switch.module::<InForce>().0.lock() = settings;
    }
}

fn settings(switch: &Switch) -> Settings {
    switch.module::<InForce>().0.lock().clone()
}

fn set(channel: &Channel, name: &'static str, value: String) {
    if value.is_empty() {
        channel.unset_var(name);
    } else {
        channel.set_var(name, value);
    }
}

async fn curl(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    let Some(mut request) = Request::parse(argument, false) else {
        tracing::error!(uuid = %channel.uuid(), "Usage: {SYNTAX}");
        return Ok(());
    };
    request.limit(channel.var("curl_connect_timeout"), channel.var("curl_timeout"));
    let switch = Arc::clone(session.switch());
    let settings = settings(&switch);
    let reply = session.wait_for(request.send(&switch, &settings)).await?;
    set(&channel, "curl_response_data", reply.show(&request));
    set(&channel, "curl_response_code", reply.status().to_string());
    set(&channel, "curl_method", request.method.unwrap_or_default());
    Ok(())
}

async fn curl_api(call: ApiCall) -> String {
    let Some(request) = Request::parse(&call.marked, true) else {
        return format!("-ERR\n{SYNTAX}\n");
    };
    let settings = settings(&call.switch);
    request.send(&call.switch, &settings).await.show(&request)
}

/// The event that tells what became of a file.
fn tell(switch: &Switch, sending: &Sending, sent: Option<&sendfile::Sent>) {
    let mut event = Event::custom("curl_sendfile::ack");
    event.push_some("Command-Execution-Identifier", sending.identifier.clone());
    event.push("Filename", sending.file.clone());
    event.push("File-Access", if sent.is_some() { "Success" } else { "Failure" });
    if let Some(sent) = sent {
        event.push("REST-HTTP-Code", sent.status.to_string());
        event.set_body(sent.body.clone());
    }
    esl_server::fire!(switch.bus, event);
}

async fn send_file(session: &mut Session, argument: &str) -> AppResult {
    let channel = Arc::clone(session.channel());
    if foreign::refuse("curl_sendfile").is_some() {
        return Ok(());
    }
    let read = if argument.trim().is_empty() {
        Sending::of_variables(&channel)
    } else {
        Sending::parse(argument, channel.uuid())
    };
    let Some(sending) = read else {
        tracing::error!(uuid = %channel.uuid(), "Failure:  Usage: <data=\"{SENDFILE}\">");
        return Ok(());
    };
    let switch = Arc::clone(session.switch());
    let sent = session.wait_for(sending.send()).await?;
    match &sent {
        Err(error) => tracing::error!(uuid = %channel.uuid(), "curl_sendfile: {error}"),
        Ok(sent) => tracing::info!(
            uuid = %channel.uuid(),
            "Sending of file {} resulted with code {}", sending.file, sent.status
        ),
    }
    if sending.report.event {
        tell(&switch, &sending, sent.ok().as_ref());
    }
    Ok(())
}

async fn send_file_api(call: ApiCall) -> String {
    if let Some(refused) = foreign::refuse("curl_sendfile") {
        return refused;
    }
    let Some(sending) = Sending::parse_api(&call.marked) else {
        return format!("-USAGE\n{SENDFILE}\n");
    };
    let sent = sending.send().await;
    if sending.report.event {
        tell(&call.switch, &sending, sent.as_ref().ok());
    }
    let Report { event, stream, none } = sending.report;
    match sent {
        Err(sendfile::NotSent::File(_)) if stream || none => {
            format!("-Err Unable to open file {}\n", sending.file)
        }
        Err(sendfile::NotSent::File(_)) => String::new(),
        Ok(sent) if event || stream || none => sent.shown(stream),
        Err(error) if event || stream || none => {
            tracing::error!("curl_sendfile: {error}");
            "-0 Err\n".to_owned()
        }
        Ok(_) | Err(_) => String::new(),
    }
}
