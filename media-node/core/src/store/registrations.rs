//! Who is registered: the registrars tell, `show registrations` asks.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::RwLock;

/// One registration as `show registrations` lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// User part of the address of record.
    pub user: String,
    /// Domain of the address of record.
    pub realm: String,
    /// Call-ID of the registration.
    pub token: String,
    /// Where calls go.
    pub url: String,
    /// When it ends, seconds since the epoch.
    pub expires: i64,
    /// Where the REGISTER came from.
    pub network_ip: String,
    /// Port it came from.
    pub network_port: u16,
    /// `udp`, `tcp`, `tls`, …
    pub network_proto: String,
    /// Free text.
    pub metadata: String,
}

/// Something that keeps registrations: a SIP profile.
pub trait Registrar: Send + Sync {
    /// All that are valid now.
    fn registrations(&self) -> Vec<Registration>;

    /// Is it the address of a registered phone, a gateway, or on an access list?
    fn knows_peer(&self, ip: IpAddr) -> bool;
}

/// All registrars.
#[derive(Default)]
pub struct Registrations {
    registrars: RwLock<Vec<Arc<dyn Registrar>>>,
}

impl Registrations {
    /// Adds a registrar.
    pub fn add(&self, registrar: Arc<dyn Registrar>) {
        self.registrars.write().push(registrar);
    }

    /// Is an address known to any registrar?
    #[must_use]
    pub fn knows_peer(&self, ip: IpAddr) -> bool {
        self.registrars.read().iter().any(|registrar| registrar.knows_peer(ip))
    }

    /// Everything registered anywhere.
    #[must_use]
    pub fn all(&self) -> Vec<Registration> {
        let registrars = self.registrars.read().clone();
        registrars.iter().flat_map(|registrar| registrar.registrations()).collect()
    }
}
