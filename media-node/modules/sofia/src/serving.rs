//! How a profile's requests are served: those that wait for nothing one after the other, the others side by side,
//! within bounds for strangers and for known peers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use sip::message::{Headers, Name, Request};
use sip::stack::{Arrivals, Incoming};

use super::profile::Profile;
use super::{inbound, registrar, requests};

/// Requests of known peers that are served side by side; a further one gets 503.
const KNOWN: usize = 1_000;
/// The same for strangers.
const STRANGERS: usize = 256;
/// The same for one stranger.
const ONE_STRANGER: usize = 32;

/// Serves what comes in until the stack has ended.
pub(super) async fn serve(profile: Arc<Profile>, mut arrivals: Arrivals) {
    let places = Arc::new(Places::default());
    while let Some(incoming) = arrivals.recv().await {
        serve_one(&profile, &places, incoming).await;
    }
}

async fn serve_one(profile: &Arc<Profile>, places: &Arc<Places>, incoming: Incoming) {
    let Some((request, source, known)) = sender(&incoming) else {
        return answer(profile, incoming).await;
    };
    // A web server may have to be asked for the user, and a refusal takes its time.
    let waits = profile.switch.xml.serve("directory")
        || [Name::Authorization, Name::ProxyAuthorization]
            .iter()
            .any(|name| request.headers.get(*name).is_some());
    if !waits {
        return answer(profile, incoming).await;
    }
    match places.take(source, known) {
        Some(place) => {
            let profile = Arc::clone(profile);
            tokio::spawn(async move {
                answer(&profile, incoming).await;
                drop(place);
            });
        }
        None => refuse(incoming),
    }
}

/// A bug that one request brings out costs that request: it is answered 500 or 480 as it is dropped.
async fn answer(profile: &Arc<Profile>, incoming: Incoming) {
    crate::tasks::step(&profile.name, async {
        match incoming {
            Incoming::Invite(invite) => inbound::accept(profile, invite).await,
            Incoming::Request(request) => requests::serve(profile, request).await,
            Incoming::Disconnected(path) => registrar::on_disconnected(profile, &path),
        }
    })
    .await;
}

fn sender(incoming: &Incoming) -> Option<(&Request, IpAddr, bool)> {
    match incoming {
        Incoming::Invite(invite) => Some((&invite.request, invite.path.remote.ip(), invite.known)),
        Incoming::Request(request) => {
            Some((&request.request, request.path.remote.ip(), request.known))
        }
        Incoming::Disconnected(_) => None,
    }
}

fn refuse(incoming: Incoming) {
    let mut headers = Headers::new();
    headers.push(Name::RetryAfter, "5");
    match incoming {
        Incoming::Invite(invite) => invite.respond(503, "", headers, None),
        Incoming::Request(request) => request.respond(503, "", headers, None),
        Incoming::Disconnected(_) => {}
    }
}

/// Who is being served.
#[derive(Debug, Default)]
struct Places {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    known: usize,
    strangers: usize,
    by_stranger: HashMap<IpAddr, usize>,
}

/// A place, until it is dropped.
struct Place {
    places: Arc<Places>,
    stranger: Option<IpAddr>,
}

impl Places {
    fn take(self: &Arc<Self>, source: IpAddr, known: bool) -> Option<Place> {
        let mut taken = self.taken.lock();
        if known {
            if taken.known >= KNOWN {
                return None;
            }
            taken.known += 1;
        } else {
            let own = taken.by_stranger.get(&source).copied().unwrap_or(0);
            if taken.strangers >= STRANGERS || own >= ONE_STRANGER {
                return None;
            }
            taken.strangers += 1;
            taken.by_stranger.insert(source, own + 1);
        }
        drop(taken);
        Some(Place { places: Arc::clone(self), stranger: (!known).then_some(source) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        let Some(source) = self.stranger else {
            taken.known = taken.known.saturating_sub(1);
            return;
        };
        taken.strangers = taken.strangers.saturating_sub(1);
        let left = taken.by_stranger.get(&source).map_or(0, |own| own.saturating_sub(1));
        if left == 0 {
            taken.by_stranger.remove(&source);
        } else {
            taken.by_stranger.insert(source, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stranger_and_all_strangers_leave_places_for_others() {
        let places = Arc::new(Places::default());
        let source = |n: u32| IpAddr::V4(n.into());
        let mut held: Vec<_> = (0..100).map_while(|_| places.take(source(1), false)).collect();
        assert_eq!(held.len(), ONE_STRANGER);
        held.extend((2..1000).filter_map(|n| places.take(source(n), false)));
        assert_eq!(held.len(), STRANGERS);
        assert!(places.take(source(1), true).is_some(), "known by now");
        drop(held);
        assert!(places.take(source(1), false).is_some());
        let taken = places.taken.lock();
        assert_eq!((taken.known, taken.strangers, taken.by_stranger.len()), (0, 0, 0));
    }
}
