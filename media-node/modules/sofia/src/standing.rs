//! Who is known to a profile: whom floods of strangers must not crowd out.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use sip::stack::{Peers, Transport};

use super::profile::Profile;
use super::settings::Settings;
use crate::switch::Switch;

/// Peers of one profile: those on its access lists, registered phones, gateways.
pub(super) struct Standing {
    switch: Weak<Switch>,
    settings: Arc<ArcSwap<Settings>>,
    /// Set once the profile exists; its stack starts before.
    profile: OnceLock<Weak<Profile>>,
}

impl Standing {
    pub(super) fn new(switch: &Arc<Switch>, settings: &Arc<ArcSwap<Settings>>) -> Self {
        Self {
            switch: Arc::downgrade(switch),
            settings: Arc::clone(settings),
            profile: OnceLock::new(),
        }
    }

    pub(super) fn set_profile(&self, profile: &Arc<Profile>) {
        let _again = self.profile.set(Arc::downgrade(profile));
    }

    fn is_on_a_list(&self, peer: IpAddr) -> bool {
        let switch = self.switch.upgrade();
        switch.is_some_and(|switch| is_on_a_list(&switch, &self.settings.load(), peer))
    }
}

fn is_on_a_list(switch: &Switch, settings: &Settings, peer: IpAddr) -> bool {
    settings.peer_lists.iter().any(|list| switch.acl_names(list, peer))
}

impl crate::Sofia {
    /// Is it known to any profile?
    pub(super) fn is_known_anywhere(&self, peer: IpAddr) -> bool {
        self.profiles().iter().any(|profile| {
            // Over a stream an address cannot be forged, and by now an answer has been heard.
            profile.has_met(SocketAddr::new(peer, 0), Transport::Tcp)
                || is_on_a_list(&self.switch, &profile.settings.load(), peer)
        })
    }
}

impl Peers for Standing {
    fn knows(&self, peer: SocketAddr, transport: Transport) -> bool {
        let profile = self.profile.get().and_then(Weak::upgrade);
        profile.is_some_and(|profile| profile.has_met(peer, transport))
            || self.is_on_a_list(peer.ip())
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        let settings = self.settings.load();
        let mut lists = settings.trusted_proxies.iter();
        let switch = self.switch.upgrade();
        switch.is_some_and(|switch| lists.any(|list| switch.acl_names(list, peer)))
    }
}

impl Profile {
    /// Is it a registered phone or a gateway? A datagram's address may be forged: over UDP a phone is known by its port,
    /// too.
    fn has_met(&self, peer: SocketAddr, transport: Transport) -> bool {
        let registered = {
            let bindings = self.bindings.lock();
            match transport {
                Transport::Udp => bindings.came_from(peer),
                _ => bindings.came_from_host(peer.ip()),
            }
        };
        registered
            || self.gateways.read().iter().any(|gateway| {
                gateway.network.lock().is_some_and(|network| network.ip() == peer.ip())
            })
    }
}
