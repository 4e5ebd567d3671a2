//! The pages for people: `portal/dist` of this project, or a folder like it, served at `/portal` and `/rooms/NAME`.
//!
//! Files are read once, when the module is loaded, so that a request touches no disk and no path of a client's is ever a
//! path of this machine. Pages may load nothing from elsewhere, and speak to this server and the switch's WebSocket only.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as Named, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use serde_json::json;

/// Files of a portal, and bytes of all.
const MOST_FILES: usize = 200;
const MOST_BYTES: usize = 16 << 20;
/// The page of rooms.
const ROOM: &str = "room.html";

/// Where pages come from, and what they are told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    pub(crate) folder: Option<PathBuf>,
    /// URL of the WebSocket that phones in pages register over; empty for this host, port 7443.
    pub(crate) websocket: String,
    /// Domain of the users that log in; empty for the name in the page's address.
    pub(crate) domain: String,
}

/// Why pages cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortalError {
    #[error("portal-dir: {folder}: {source}", folder = folder.display())]
    Unreadable { folder: PathBuf, source: std::io::Error },
    #[error("portal-dir: {folder}: too many files, or too large", folder = .0.display())]
    TooLarge(PathBuf),
    #[error("portal-dir: {folder}: no index.html; build the pages: npm ci && npm run build", folder = .0.display())]
    NoPages(PathBuf),
    #[error("portal-websocket: {0} is no ws: or wss: URL")]
    NoWebSocket(String),
}

/// The pages, in memory.
pub(crate) struct Portal {
    files: BTreeMap<String, Bytes>,
    configuration: String,
    policy: HeaderValue,
}

impl Portal {
    /// Reads the folder; `None` where none is named, or where it is not there: the shipped configuration names the place
    /// pages are installed at, and metrics are served without them.
    pub(crate) async fn read(source: &Source) -> Result<Option<Arc<Self>>, PortalError> {
        let Some(folder) = &source.folder else { return Ok(None) };
        let files = match files(folder).await {
            Err(PortalError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => {
                tracing::warn!(
                    "http_api.conf: portal-dir: there is no {}: pages are not served",
                    folder.display()
                );
                return Ok(None);
            }
            files => files?,
        };
        if !files.contains_key("index.html") {
            return Err(PortalError::NoPages(folder.clone()));
        }
        let socket = &source.websocket;
        let wrong = || PortalError::NoWebSocket(socket.clone());
        let usable = socket.is_empty()
            || ["ws://", "wss://"].iter().any(|scheme| socket.starts_with(scheme))
                && !socket.contains([' ', ';', ',', '"']);
        if !usable {
            return Err(wrong());
        }
        let socket_source = if socket.is_empty() { "wss:" } else { socket };
        let policy = format!(
            "default-src 'self'; connect-src 'self' {socket_source}; media-src 'self' blob:; img-src 'self' data:; \
             object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Ok(Some(Arc::new(Self {
            files,
            configuration: json!({ "websocket": socket, "domain": source.domain }).to_string(),
            policy: HeaderValue::from_str(&policy).map_err(|_| wrong())?,
        })))
    }

    fn page(&self, name: &str) -> Response {
        let name = if name.is_empty() { "index.html" } else { name };
        let (body, kind) = match name {
            "config.json" => (Bytes::from(self.configuration.clone()), "application/json"),
            _ => match self.files.get(name) {
                Some(file) => (file.clone(), kind(name)),
                None => return StatusCode::NOT_FOUND.into_response(),
            },
        };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        (headers, body).into_response()
    }
}

/// The routes of the pages.
pub(crate) fn router(portal: Arc<Portal>) -> Router {
    Router::new()
        .route("/portal", get(|| async { Redirect::permanent("/portal/") }))
        .route("/portal/", get(|State(portal): State<Arc<Portal>>| async move { portal.page("") }))
        .route(
            "/portal/{*file}",
            get(|State(portal): State<Arc<Portal>>, Named(file): Named<String>| async move {
                portal.page(&file)
            }),
        )
        .route(
            "/rooms/{name}",
            get(|State(portal): State<Arc<Portal>>, Named(_): Named<String>| async move {
                portal.page(ROOM)
            }),
        )
        .with_state(portal)
}

/// Files of the folder itself; what lies deeper is not served.
async fn files(folder: &Path) -> Result<BTreeMap<String, Bytes>, PortalError> {
    let unreadable = |source| PortalError::Unreadable { folder: folder.to_owned(), source };
    let mut entries = tokio::fs::read_dir(folder).await.map_err(unreadable)?;
    let (mut files, mut bytes) = (BTreeMap::new(), 0);
    while let Some(entry) = entries.next_entry().await.map_err(unreadable)? {
        let is_file = entry.file_type().await.map_err(unreadable)?.is_file();
        let Some(name) = entry.file_name().to_str().filter(|_| is_file).map(str::to_owned) else {
            continue;
        };
        let read = tokio::fs::read(entry.path()).await.map_err(unreadable)?;
        bytes += read.len();
        if bytes > MOST_BYTES || files.len() >= MOST_FILES {
            return Err(PortalError::TooLarge(folder.to_owned()));
        }
        files.insert(name, Bytes::from(read));
    }
    Ok(files)
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_served_from_memory_and_nothing_else_is() {
        let scratch = std::env::temp_dir().join(format!("portal-{}", base::clock::new_uuid()));
        let absent = Source { folder: Some(scratch.join("absent")), ..Source::default() };
        assert!(Portal::read(&absent).await.unwrap().is_none(), "pages that are not installed");
        tokio::fs::create_dir_all(scratch.join("deeper")).await.unwrap();
        let source = |websocket: &str| Source {
            folder: Some(scratch.clone()),
            websocket: websocket.into(),
            domain: "a.test".into(),
        };
        assert!(matches!(Portal::read(&source("")).await, Err(PortalError::NoPages(_))));
        for file in ["index.html", "app.js", "deeper/secret"] {
            tokio::fs::write(scratch.join(file), "x").await.unwrap();
        }
        assert!(matches!(
            Portal::read(&source("http://x")).await,
            Err(PortalError::NoWebSocket(_))
        ));
        let bad = Portal::read(&source("wss://x; script-src *")).await;
        assert!(matches!(bad, Err(PortalError::NoWebSocket(_))));
        let portal = Portal::read(&source("wss://a.test:7443")).await.unwrap().unwrap();
        let page = portal.page("");
        assert_eq!(page.status(), StatusCode::OK);
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("connect-src 'self' wss://a.test:7443;"), "{policy}");
        assert_eq!(
            portal.page("app.js").headers()[header::CONTENT_TYPE],
            "text/javascript; charset=utf-8"
        );
        assert_eq!(portal.page("config.json").status(), StatusCode::OK);
        for missing in ["deeper/secret", "../Cargo.toml", "nothing", ROOM] {
            assert_eq!(portal.page(missing).status(), StatusCode::NOT_FOUND, "{missing}");
        }
        tokio::fs::remove_dir_all(&scratch).await.unwrap();
    }
}
