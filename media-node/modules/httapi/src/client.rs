//! A call's conversation with its server: what it remembers between requests, and one request.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dialplan_xml::expand::expand_event_async;
use dialplan_xml::{Host, Later};
use esl_server::event::Event;
use http_client::{Ask, FORM, Login, shown};
use hyper::Method;
use parking_lot::Mutex;
use switch_core::call::Channel;
use switch_core::clock;
use tokio::time::timeout;
use url::Url;

use crate::form::Form;
use crate::multipart::{self, Attachment};
use crate::settings::{self, Cookies, Profile};

/// How long the end of a call waits for its last request.
const GOODBYE: Duration = Duration::from_secs(10);
/// Cookies kept of one server.
const COOKIES: usize = 50;

/// A recording of the whole call (`<recordCall>`).
#[derive(Clone, Debug)]
pub(crate) struct CallRecording {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) action: Option<String>,
}

/// What a call remembers.
pub(crate) struct Client {
    pub(crate) profile: Arc<Profile>,
    /// Sent with every request.
    pub(crate) params: Form,
    /// Sent with the next one.
    pub(crate) once: Form,
    /// Recordings that go with the next one.
    pub(crate) files: Vec<Attachment>,
    pub(crate) recording: Option<CallRecording>,
    /// A far end's text chose the server: nothing inside the node's network is asked.
    pub(crate) public_only: bool,
}

/// The client of a channel.
#[derive(Default)]
pub(crate) struct Slot(pub(crate) Option<Arc<Mutex<Client>>>);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: Option<String>,
    pub(crate) body: Bytes,
}

struct Request {
    url: String,
    fields: Form,
    files: Vec<Attachment>,
    method: Option<String>,
    agent: String,
    profile: Arc<Profile>,
    public_only: bool,
}

impl Client {
    /// The next request: the lasting fields, and those that are sent once, which are forgotten.
    fn request(&mut self, session_id: &str) -> Request {
        let once = std::mem::take(&mut self.once);
        let files = std::mem::take(&mut self.files);
        let url = |form: &mut Form, own: &str| match form.get("url") {
            Some(url) => url.to_owned(),
            None => {
                form.set("url", own);
                own.to_owned()
            }
        };
        let session_id = self.params.get("HTTAPI_SESSION_ID").unwrap_or(session_id).to_owned();
        let (url, fields) = if once.is_empty() && files.is_empty() {
            let url = url(&mut self.params, &self.profile.url);
            self.params.set_first("session_id", session_id);
            (url, self.params.clone())
        } else {
            let mut fields = self.params.clone();
            fields.merge(&once);
            let url = url(&mut fields, &self.profile.url);
            fields.set_first("session_id", session_id);
            (url, fields)
        };
        let method = fields.get("method").map(str::to_owned);
        let agent = fields.get("user_agent").filter(|agent| !agent.is_empty());
        Request {
            url,
            method: method.or_else(|| self.profile.method.clone()),
            agent: agent.unwrap_or(&self.profile.agent).to_owned(),
            fields,
            files,
            profile: Arc::clone(&self.profile),
            public_only: self.public_only,
        }
    }
}

/// Sends the next request and gives the answer; `None`, with the reason logged, when there is none.
pub(crate) async fn exchange(channel: &Arc<Channel>, client: &Mutex<Client>) -> Option<Answer> {
    let id = channel.var("HTTAPI_SESSION_ID").unwrap_or_else(|| channel.uuid().to_string());
    let request = client.lock().request(&id);
    let answer = send(&request, &id).await;
    for file in request.files {
        let _gone = tokio::fs::remove_file(file.path).await;
    }
    answer
        .inspect_err(|reason| {
            tracing::error!(uuid = %channel.uuid(), "httapi: {}: {reason}", shown(&request.url));
        })
        .ok()
}

async fn send(request: &Request, session_id: &str) -> Result<Answer, String> {
    let profile = &request.profile;
    let mut host = Fields { form: &request.fields };
    let address = expand_event_async(&request.url, &mut host).await;
    let mut url = Url::parse(&address).map_err(|error| error.to_string())?;
    let login = Login::take_from(&mut url, profile.schemes);
    let mut headers = vec![("User-Agent", request.agent.clone())];
    headers.push(("Cookie", cookies(profile, &url, session_id)));
    let post = request.method.as_deref().is_some_and(|verb| verb.eq_ignore_ascii_case("post"));
    let body = match multipart::body(&request.fields, &request.files).await? {
        Some((kind, body)) => Some((Cow::Owned(kind), body)),
        None => {
            let form = request.fields.encoded(&profile.only);
            if !post {
                add_query(&mut url, &form);
            }
            post.then(|| (Cow::Borrowed(FORM), Bytes::from(form)))
        }
    };
    let usual = if body.is_some() { "POST" } else { "GET" };
    let verb = request.method.as_deref().filter(|verb| !verb.is_empty()).unwrap_or(usual);
    let method = Method::from_bytes(verb.as_bytes()).map_err(|error| error.to_string())?;
    let body = body.map(|(kind, body)| {
        // In the order in which libcurl writes them.
        headers.push(("Content-Length", body.len().to_string()));
        headers.push(("Content-Type", kind.into_owned()));
        (FORM, body)
    });
    let client = profile.client(login, request.public_only);
    let ask = Ask { method, url: url.clone(), user_agent: settings::AGENT, headers, body };
    let exchanged = timeout(profile.deadline, client.exchange_whole(ask)).await;
    let (status, headers, body) = match exchanged {
        Ok(Ok(whole)) => whole,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {} s", profile.deadline.as_secs())),
    };
    if let Some(jar) = &profile.cookies {
        let set = headers.get_all("set-cookie").into_iter().filter_map(|v| v.to_str().ok());
        set.for_each(|cookie| keep_cookie(jar, &url, cookie));
    }
    let kind = headers.get("content-type").and_then(|value| value.to_str().ok());
    Ok(Answer { status: status.as_u16(), kind: kind.map(str::to_owned), body })
}

/// Appends the form to what query there is.
fn add_query(url: &mut Url, form: &str) {
    let whole = match url.query() {
        Some(query) => format!("{query}&{form}"),
        None => form.to_owned(),
    };
    url.set_query(Some(&whole));
}

/// The value of `Cookie`: empty, as the reference sends it, unless the profile keeps cookies.
fn cookies(profile: &Profile, url: &Url, session_id: &str) -> String {
    let Some(jar) = &profile.cookies else { return String::new() };
    let mut line = format!("HTTAPI_SESSION_ID={session_id}");
    for (name, value) in jar.lock().get(url.host_str().unwrap_or_default()).into_iter().flatten() {
        line.push_str(&format!("; {name}={value}"));
    }
    line
}

fn keep_cookie(jar: &Cookies, url: &Url, line: &str) {
    let pair = line.split(';').next().unwrap_or_default();
    let Some((name, value)) = pair.split_once('=').map(|(n, v)| (n.trim(), v.trim())) else {
        return;
    };
    let mut jar = jar.lock();
    if jar.len() >= COOKIES && !jar.contains_key(url.host_str().unwrap_or_default()) {
        return;
    }
    let own = jar.entry(url.host_str().unwrap_or_default().to_owned()).or_default();
    own.retain(|(kept, _)| kept != name);
    if own.len() < COOKIES && !name.is_empty() {
        own.push((name.to_owned(), value.to_owned()));
    }
}

/// Fields of the form in an address, and nothing else: commands are not run for it.
struct Fields<'a> {
    form: &'a Form,
}

impl Host for Fields<'_> {
    fn variable(&mut self, name: &str) -> Option<String> {
        self.form.get(name).map(str::to_owned)
    }

    fn set_variable(&mut self, _: &str, _: Option<&str>) {}

    fn field(&mut self, _: &str) -> Option<String> {
        None
    }

    fn global(&self, _: &str) -> Option<String> {
        None
    }

    fn api<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, Option<String>> {
        Later::Now(Some("<API execute Permission Denied>".into()))
    }

    fn run_inline<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, ()> {
        Later::Now(())
    }

    fn now(&self) -> jiff::Timestamp {
        clock::timestamp()
    }
}

/// All of the channel's variables, where events have them all (`verbose_events`): that is what the permission for
/// extended data gives in the reference.
pub(crate) fn add_extended_data(channel: &Channel, client: &Mutex<Client>) {
    if !client.lock().profile.permissions.extended_data {
        return;
    }
    let mut event = Event::new(esl_server::event::EventName::Clone);
    channel.describe_plain(&mut event);
    let mut client = client.lock();
    event.for_each_header(|name, value| {
        if name.starts_with("variable_") {
            client.once.set(name, value.text().into_owned());
        }
    });
}

/// The last request, when the call is reported.
pub(crate) async fn say_goodbye(channel: &Arc<Channel>) {
    let slot = channel.with(|data| data.find_slot::<Slot>().and_then(|slot| slot.0.take()));
    let Some(client) = slot else { return };
    add_extended_data(channel, &client);
    let recording = client.lock().recording.clone();
    let elsewhere = {
        let mut client = client.lock();
        client.once.set("exiting", "true");
        if let Some(recording) = &recording {
            client.files.push(Attachment {
                name: recording.name.clone(),
                file: format!("{}.wav", channel.uuid()),
                path: recording.file.clone(),
            });
        }
        let action = recording.and_then(|recording| recording.action);
        let url = client.params.get("url").map(str::to_owned);
        let elsewhere = action.filter(|action| url.is_some_and(|url| url != *action));
        if let Some(action) = &elsewhere {
            client.once.set("url", action.as_str());
        }
        elsewhere.is_some()
    };
    if elsewhere {
        let _told = timeout(GOODBYE, exchange(channel, &client)).await;
        add_extended_data(channel, &client);
        client.lock().once.set("exiting", "true");
    }
    if timeout(GOODBYE, exchange(channel, &client)).await.is_err() {
        tracing::error!(uuid = %channel.uuid(), "httapi: the last request was not answered in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_joins_the_query_of_an_address_and_credentials_leave_it() {
        let mut url = Url::parse("http://us%3Aer:pass@host:8080/a?b=c").unwrap();
        let login = settings::login("x:y", http_client::Schemes::default());
        assert_eq!((login.user.as_str(), login.password.as_str()), ("x", "y"));
        add_query(&mut url, "session_id=1&url=http%3A//a/");
        assert_eq!(url.query(), Some("b=c&session_id=1&url=http%3A//a/"));
        assert_eq!(shown(url.as_str()), "http://host/a");
    }

    #[test]
    fn cookies_are_kept_for_their_server_only() {
        let jar = Cookies::default();
        let (one, other) = (Url::parse("http://one/").unwrap(), Url::parse("http://two/").unwrap());
        keep_cookie(&jar, &one, "a=b; Path=/; HttpOnly");
        keep_cookie(&jar, &one, "a=c");
        keep_cookie(&jar, &one, "nonsense");
        assert_eq!(jar.lock().get("one"), Some(&vec![("a".to_owned(), "c".to_owned())]));
        assert!(jar.lock().get(other.host_str().unwrap()).is_none());
        for n in 0..COOKIES * 2 {
            keep_cookie(&jar, &other, &format!("c{n}=1"));
        }
        assert_eq!(jar.lock()["two"].len(), COOKIES);
    }

    #[tokio::test]
    async fn an_address_is_filled_in_from_the_form_and_runs_no_command() {
        let mut form = Form::default();
        form.set("user", "1000");
        let mut host = Fields { form: &form };
        let text = expand_event_async("http://a/${user}/${nothing}?${status()}", &mut host).await;
        assert_eq!(text, "http://a/1000/?<API execute Permission Denied>");
    }
}
