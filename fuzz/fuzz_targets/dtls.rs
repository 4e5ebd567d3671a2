//! Records and flights of a handshake, before and after ours has begun, in both roles.
#![no_main]

use std::sync::OnceLock;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use media::srtp::Suite;
use webrtc::dtls::{DtlsEngine, Fingerprint, Identity, Role, RtcDtls};

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| Identity::generate().expect("random numbers").0)
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }
    let now = Instant::now();
    let announced = [identity().fingerprint().clone()];
    for role in [Role::Client, Role::Server] {
        let Ok(mut engine) = RtcDtls::new(identity(), role, &announced, &[Suite::Aes128CmSha80], now) else {
            return;
        };
        let _ = engine.handle_timeout(now);
        // A zero octet ends a datagram's length: several datagrams from one input.
        for datagram in data.chunks(usize::from(data.first().copied().unwrap_or(1)).max(14)) {
            let _ = engine.handle_datagram(now, datagram);
        }
        while engine.poll_transmit().is_some() {}
        assert!(engine.keys().is_none());
    }
});
