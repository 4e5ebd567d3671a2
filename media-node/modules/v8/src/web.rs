//! Web requests of scripts: `fetchUrl` and its kin, `CURL`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_client::tls::{self, TlsSettings};
use http_client::{Ask, Client, FORM, Login, Schemes, reach, shown};
use hyper::Method;
use rquickjs::{Ctx, Object};
use url::Url;

use crate::context::Context;
use crate::values::{Answer, Given};

/// What servers see us as.
const AGENT: &str = "freeswitch-v8/1.0";
/// How long a request may take where nothing says so.
const DEADLINE: Duration = Duration::from_secs(60);
/// Longest answer taken where nothing says so, in octets.
const MOST: usize = 16 << 20;

/// What is asked for, and why there may be no answer.
struct Request {
    url: String,
    method: Method,
    data: String,
    content_type: Option<String>,
    /// `user:password`.
    credentials: Option<String>,
    deadline: Duration,
    most: usize,
    /// A far end's words name the server: only addresses beyond the machine's own networks.
    far: bool,
}

/// Asks a server: method, address, data, content type, `user:password`, seconds, most octets. Nothing where there is no answer:
/// the log says why; else its `status` and `body`.
pub(crate) fn request<'js>(
    ctx: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let Some((status, body)) = asked(ctx, context, given)? else { return Ok(Answer::Null) };
    let answer = Object::new(ctx.clone())?;
    answer.set("status", status)?;
    answer.set("body", String::from_utf8_lossy(&body).into_owned())?;
    Ok(Answer::Object(answer))
}

/// The same, into a file, octet by octet; its name comes last. Whether it was written: the log says why not.
pub(crate) fn file<'js>(
    ctx: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Answer<'js>> {
    let Some((_, body)) = asked(ctx, context, given)? else { return Ok(Answer::Bool(false)) };
    let path = given.text(7);
    let options =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = options.and_then(|mut file| file.write_all(&body));
    if let Err(error) = &written {
        tracing::error!("{path}: {error}");
    }
    Ok(Answer::Bool(written.is_ok()))
}

fn asked<'js>(
    ctx: &Ctx<'js>,
    context: &Rc<Context>,
    given: &Given<'js>,
) -> rquickjs::Result<Option<(u16, Bytes)>> {
    let url = given.text(1);
    let marked = context.taint.borrow().mark_all(&url);
    let count = |at: usize| usize::try_from(given.int(at)).ok().filter(|count| *count > 0);
    let verb = given.text(0).to_ascii_uppercase();
    let request = Request {
        far: reach::is_far(&marked),
        url,
        method: Method::from_bytes(verb.as_bytes()).unwrap_or(Method::GET),
        data: given.text(2),
        content_type: given.filled(3),
        credentials: given.filled(4),
        deadline: count(5).map_or(DEADLINE, |seconds| Duration::from_secs(seconds as u64)),
        most: count(6).unwrap_or(MOST).min(MOST),
    };
    let bundle = context.switch.dirs.certs_dir.join("cacert.pem");
    let bundle = bundle.exists().then(|| bundle.to_string_lossy().into_owned());
    // Made where it is waited for: a timer belongs to the runtime.
    let whole = async { tokio::time::timeout(request.deadline, exchange(&request, bundle)).await };
    match context.wait(ctx, "a web server", whole)? {
        Ok(Ok(answer)) => Ok(Some(answer)),
        Ok(Err(reason)) => {
            tracing::error!("{}: {reason}", shown(&request.url));
            Ok(None)
        }
        Err(_) => {
            let seconds = request.deadline.as_secs();
            tracing::error!("{}: no answer within {seconds} s", shown(&request.url));
            Ok(None)
        }
    }
}

async fn exchange(request: &Request, bundle: Option<String>) -> Result<(u16, Bytes), String> {
    let mut url = Url::parse(&request.url).map_err(|error| error.to_string())?;
    let schemes = Schemes { basic: true, digest: true };
    let login = Login::take_from(&mut url, schemes).or_else(|| {
        let (user, password) = request.credentials.as_deref()?.split_once(':')?;
        Some(Login { user: user.to_owned(), password: password.to_owned(), schemes })
    });
    // As in the reference certificates are not checked, unless there is a list of authorities.
    let checks = bundle.is_some();
    let tls = tls::client(TlsSettings {
        check_authority: checks,
        check_name: checks,
        authorities: bundle.as_deref(),
        ..TlsSettings::default()
    });
    let tls = tls.map_err(|error| error.to_string())?;
    let mut client = Client::new(Arc::new(tls), None, login, request.most);
    if request.far {
        client.reaches = Some(reach::is_public);
    }
    let sends = request.method != Method::GET && request.method != Method::HEAD;
    let kind = request.content_type.clone();
    let headers = kind.filter(|_| sends).map(|kind| ("Content-Type", kind)).into_iter().collect();
    let body = sends.then(|| (FORM, Bytes::from(request.data.clone())));
    let ask = Ask { method: request.method.clone(), url, user_agent: AGENT, headers, body };
    let (status, body) = client.send(ask).await.map_err(|error| error.to_string())?;
    Ok((status.as_u16(), body))
}
