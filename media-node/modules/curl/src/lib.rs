//! The web: files of it that are played, fetched ahead or put (mod_http_cache), and requests (mod_curl, [`curl`]).
//!
//! `http://` and `https://` are sources of audio like any file; each address is fetched once and kept for its time.

#![deny(unsafe_code)]

mod cache;
mod curl;
mod request;
mod sendfile;
mod settings;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;

use base::far;
use switch_core::api::{Api, ApiCall, usage};
use switch_core::call::Channel;
use switch_core::contract::{Change, Module, NotLoaded, Provides, SinkKind, SourceKind};
use switch_core::switch::Switch;
use switch_core::{BoxFuture, api};

use cache::Cache;

const SOURCES: &[SourceKind] = &[
    SourceKind { scheme: "http", fetch: |channel, name, _| Box::pin(fetch(channel, name)) },
    SourceKind { scheme: "https", fetch: |channel, name, _| Box::pin(fetch(channel, name)) },
    SourceKind { scheme: "http_cache", fetch: |channel, name, _| Box::pin(fetch(channel, name)) },
    SourceKind { scheme: "far+http", fetch: |channel, name, _| Box::pin(fetch(channel, name)) },
    SourceKind { scheme: "far+https", fetch: |channel, name, _| Box::pin(fetch(channel, name)) },
];

const SINKS: &[SinkKind] = &[
    SinkKind { scheme: "http", open: upload::open },
    SinkKind { scheme: "https", open: upload::open },
    SinkKind { scheme: "http_cache", open: upload::open },
    SinkKind { scheme: "far+http", open: upload::open },
    SinkKind { scheme: "far+https", open: upload::open },
];

const GET: &str = "{param=val}<url>";
const PREFETCH: &str = "{param=val}<url>";
const PUT: &str = "{param=val}<url> <file>";

const APIS: &[Api] = &[
    api!("http_get", "mod_http_cache", GET, "HTTP GET", async get),
    api!("http_tryget", "mod_http_cache", GET, "HTTP GET from cache only", async try_get),
    api!(
        "http_prefetch",
        "mod_http_cache",
        PREFETCH,
        "Prefetch document in a background thread",
        prefetch
    ),
    api!("http_put", "mod_http_cache", PUT, "HTTP PUT", async put),
    api!("http_clear_cache", "mod_http_cache", "", "Clear the cache", async clear),
    api!("http_remove_cache", "mod_http_cache", "<url>", "Remove URL from cache", async remove),
];

const OK: &str = "+OK\n";
const FAILED: &str = "-ERR\n";

/// All of them.
pub const MODULES: &[&dyn Module] = &[&curl::Curl, &HttpCache];

/// mod_http_cache.
struct HttpCache;

impl Module for HttpCache {
    fn name(&self) -> &'static str {
        "mod_http_cache"
    }

    fn provides(&self) -> Provides {
        Provides {
            commands: &[APIS],
            sources: SOURCES,
            sinks: SINKS,
            events: &[upload::EVENTS],
            names: &[("file", "http"), ("file", "http_cache"), ("file", "https")],
            parameters: settings::PARAMETERS,
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            Cache::configure(switch).await?;
            // Before anything is recorded here: what lies there is an earlier process's.
            upload::recover(switch).await;
            Ok(())
        })
    }

    fn start<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        // What an earlier process kept has no ages any more.
        Box::pin(async move {
            Cache::of(switch).sweep().await;
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if change == Change::Configuration {
                let _old_stays = Cache::configure(switch).await;
            }
        })
    }
}

async fn fetch(channel: &Arc<Channel>, name: &str) -> Result<PathBuf, String> {
    let (url, profile) = parts(name.strip_prefix("http_cache://").unwrap_or(name));
    let profile = profile.map(far::plain);
    let cache = Cache::of(channel.switch());
    cache.get_as(url, profile.as_deref()).await.map_err(|error| error.to_string())
}

/// What stands behind the parameters in braces, and the profile they name.
fn parts(argument: &str) -> (&str, Option<&str>) {
    let argument = argument.trim();
    match argument.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((params, url)) => {
            let profile = params.split(',').find_map(|pair| pair.trim().strip_prefix("profile="));
            (url.trim(), profile)
        }
        None => (argument, None),
    }
}

/// What stands behind the parameters in braces.
fn address(argument: &str) -> &str {
    parts(argument).0
}

async fn get(call: ApiCall) -> String {
    let (url, profile) = parts(&call.marked);
    if url.is_empty() {
        return usage(GET);
    }
    let profile = profile.map(far::plain);
    match Cache::of(&call.switch).get_as(url, profile.as_deref()).await {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(error) => {
            tracing::error!("http_get: {error}");
            FAILED.to_owned()
        }
    }
}

async fn try_get(call: ApiCall) -> String {
    let url = address(&call.marked);
    if url.is_empty() {
        return usage(GET);
    }
    let cache = Cache::of(&call.switch);
    match cache.kept(url).await {
        Some(path) => path.to_string_lossy().into_owned(),
        None => {
            cache.prefetch(url);
            FAILED.to_owned()
        }
    }
}

fn prefetch(call: &ApiCall) -> String {
    let url = address(&call.marked);
    if url.is_empty() {
        return usage(PREFETCH);
    }
    if Cache::of(&call.switch).prefetch(url) { OK } else { FAILED }.to_owned()
}

async fn put(call: ApiCall) -> String {
    let (rest, profile) = parts(&call.marked);
    let Some((url, file)) = rest.split_once(' ') else { return usage(PUT) };
    let profile = profile.map(far::plain);
    // A far end's words choose no file beside those they were meant to choose among.
    let file = far::path(file.trim());
    match Cache::of(&call.switch).put(url, &file, profile.as_deref()).await {
        Ok(()) => OK.to_owned(),
        Err(error) => {
            tracing::error!("http_put: {error}");
            FAILED.to_owned()
        }
    }
}

async fn clear(call: ApiCall) -> String {
    Cache::of(&call.switch).clear().await;
    OK.to_owned()
}

async fn remove(call: ApiCall) -> String {
    let url = address(&call.marked);
    if url.is_empty() {
        return usage("<url>");
    }
    Cache::of(&call.switch).remove(url).await;
    OK.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_in_braces_stand_before_the_address() {
        assert_eq!(address(" {nohead=true}http://a/b.wav "), "http://a/b.wav");
        assert_eq!(address("http://a/{b}.wav"), "http://a/{b}.wav");
        assert_eq!(parts("{nohead=1,profile=s3}http://a/"), ("http://a/", Some("s3")));
    }
}
