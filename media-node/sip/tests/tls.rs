//! Whose certificates are believed, over real connections.

use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sip::message::{Headers, Method};
use sip::stack::{
    Incoming, OutOfDialog, RequestError, Stack, StackConfig, Tls, TlsError, TlsOptions, Transport,
    VerifyPolicy,
};
use sip::uri::{NameAddr, Uri};

/// An authority of our own.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key for a name, valid in the years given.
    fn vouches_for(&self, name: &str, years: (i32, i32)) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let made = params.signed_by(&key, &self.issuer).unwrap();
        format!("{}{}", made.pem(), key.serialize_pem()).into_bytes()
    }
}

const NOW: (i32, i32) = (2020, 2090);
const LONG_AGO: (i32, i32) = (2001, 2002);

fn self_signed() -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()).into_bytes()
}

fn tls(
    pem: Vec<u8>,
    authority: &Authority,
    policy: &str,
    change: impl Fn(&mut VerifyPolicy),
) -> Tls {
    let (mut verify, unknown) = VerifyPolicy::parse(policy);
    assert!(unknown.is_empty());
    change(&mut verify);
    let authorities = authority.pem.clone().into_bytes();
    Tls::new(&TlsOptions { pem, authorities, verify, ..TlsOptions::default() }).unwrap()
}

async fn stack(tls: Tls) -> (Stack, SocketAddr) {
    let mut config = StackConfig::new(vec![(Transport::Tls, "127.0.0.1:0".parse().unwrap())]);
    config.tls = Some(tls);
    let (stack, mut incoming) = Stack::start(config).await.unwrap();
    let at = stack.listening()[0].1;
    tokio::spawn(async move {
        while let Some(incoming) = incoming.recv().await {
            if let Incoming::Request(request) = incoming {
                request.respond(200, "", Headers::new(), None);
            }
        }
    });
    (stack, at)
}

/// What comes of OPTIONS from one to the other, dialled by the name `localhost`.
async fn options(from: Tls, to: Tls) -> Result<u16, RequestError> {
    let ((caller, _), (_callee, at)) = (stack(from).await, stack(to).await);
    let who = NameAddr::parse("<sip:a@localhost>").unwrap();
    let uri = format!("sip:localhost:{};transport=tls", at.port());
    let asked = OutOfDialog::new(Method::Options, Uri::parse(&uri).unwrap(), who.clone(), who);
    caller.request(asked).await.map(|reply| reply.response.status)
}

#[tokio::test]
async fn by_default_any_certificate_will_do() {
    let authority = Authority::new();
    let plain = |pem| tls(pem, &authority, "none", |_| {});
    assert_eq!(options(plain(self_signed()), plain(self_signed())).await, Ok(200));
}

#[tokio::test]
async fn servers_must_be_vouched_for_when_the_policy_says_so() {
    let authority = Authority::new();
    let caller = |policy: &str| tls(self_signed(), &authority, policy, |_| {});
    let vouched = || tls(authority.vouches_for("localhost", NOW), &authority, "none", |_| {});
    let unknown = || tls(self_signed(), &authority, "none", |_| {});
    assert_eq!(options(caller("out"), vouched()).await, Ok(200));
    assert!(options(caller("out"), unknown()).await.is_err());
    assert!(options(caller("all"), unknown()).await.is_err());
    assert_eq!(options(caller("in"), unknown()).await, Ok(200));
}

#[tokio::test]
async fn servers_must_bear_the_name_dialled_when_the_policy_says_so() {
    let authority = Authority::new();
    let caller = |policy: &str| tls(self_signed(), &authority, policy, |_| {});
    let other = || tls(authority.vouches_for("other.example", NOW), &authority, "none", |_| {});
    let right = || tls(authority.vouches_for("localhost", NOW), &authority, "none", |_| {});
    assert_eq!(options(caller("out"), other()).await, Ok(200));
    assert!(options(caller("subjects_out"), other()).await.is_err());
    assert_eq!(options(caller("subjects_out"), right()).await, Ok(200));
}

#[tokio::test]
async fn callers_must_be_vouched_for_and_bear_a_name_when_the_policy_says_so() {
    let authority = Authority::new();
    let caller = |pem| tls(pem, &authority, "none", |_| {});
    let vouched = |name: &str| caller(authority.vouches_for(name, NOW));
    let callee = |policy: &str| {
        tls(self_signed(), &authority, policy, |p| p.subjects = vec!["phone.example".into()])
    };
    assert!(options(caller(self_signed()), callee("in")).await.is_err());
    assert_eq!(options(vouched("other.example"), callee("in")).await, Ok(200));
    assert!(options(vouched("other.example"), callee("subjects_in")).await.is_err());
    assert_eq!(options(vouched("phone.example"), callee("subjects_in")).await, Ok(200));
}

#[tokio::test]
async fn dates_count_unless_told_otherwise() {
    let authority = Authority::new();
    let old = || tls(authority.vouches_for("localhost", LONG_AGO), &authority, "none", |_| {});
    let strict = || tls(self_signed(), &authority, "out", |_| {});
    let lax = || tls(self_signed(), &authority, "out", |policy| policy.dates = false);
    assert!(options(strict(), old()).await.is_err());
    assert_eq!(options(lax(), old()).await, Ok(200));
}

#[test]
fn what_cannot_work_is_said_at_once() {
    let (verify, _) = VerifyPolicy::parse("out");
    let options = TlsOptions { pem: self_signed(), verify, ..TlsOptions::default() };
    assert!(matches!(Tls::new(&options), Err(TlsError::NoAuthority)));
    let old = TlsOptions {
        pem: self_signed(),
        versions: "tlsv1,tlsv1.1".into(),
        ..TlsOptions::default()
    };
    assert!(matches!(Tls::new(&old), Err(TlsError::NoVersion(_))));
    let fine = TlsOptions { versions: "tlsv1.1,tlsv1.2".into(), ..old };
    assert!(Tls::new(&fine).is_ok());
    assert_eq!(VerifyPolicy::parse("in|nobody").1, ["nobody"]);
}
