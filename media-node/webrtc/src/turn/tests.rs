//! A client and a server that a test plays, in simulated time.

use super::message::TransactionId;
use super::*;

const RELAYED: &str = "198.51.100.9:49152";
const PEER: &str = "192.0.2.7:5000";

fn account() -> Account {
    Account { user: "user".to_owned(), password: "secret".to_owned() }
}

fn challenge(nonce: &[u8]) -> Challenge {
    Challenge::new("user", "secret", b"realm", nonce)
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The next datagram of the client, with its kind and transaction.
fn asked(client: &mut Client) -> Option<(u16, TransactionId, Vec<u8>)> {
    let datagram = client.poll_transmit()?;
    let message = Message::parse(&datagram).expect("a message");
    Some((message.kind, message.id, datagram.clone()))
}

fn refusal(method: u16, id: &TransactionId, error: u16, nonce: &[u8]) -> Vec<u8> {
    Writer::new(method | 0x0110, id)
        .put(attribute::ERROR_CODE, &[0, 0, (error / 100) as u8, (error % 100) as u8])
        .put(attribute::REALM, b"realm")
        .put(attribute::NONCE, nonce)
        .finish("", None)
}

fn success(method: u16, id: &TransactionId) -> Writer {
    Writer::new(method | 0x0100, id)
}

/// A client with an allocation.
fn allocated(now: Instant) -> Client {
    let mut client = Client::new(account(), false, false, now);
    let (kind, id, _) = asked(&mut client).unwrap();
    assert_eq!(kind, method::ALLOCATE);
    client.handle_datagram(&refusal(kind, &id, 401, b"one"), now);
    let (kind, id, datagram) = asked(&mut client).unwrap();
    assert!(challenge(b"one").vouches_for(&datagram));
    let answer = success(kind, &id)
        .put_address(attribute::XOR_RELAYED_ADDRESS, at(RELAYED))
        .put(attribute::LIFETIME, &600u32.to_be_bytes());
    client.handle_datagram(&answer.finish("user", Some(&challenge(b"one"))), now);
    assert_eq!(client.poll_event(), Some(TurnEvent::Allocated(at(RELAYED))));
    client
}

fn grant(client: &mut Client, now: Instant) -> u16 {
    let (kind, id, _) = asked(client).unwrap();
    let answer = success(kind, &id).finish("user", Some(&challenge(b"one")));
    client.handle_datagram(&answer, now);
    kind
}

#[test]
fn datagrams_go_by_indications_and_then_by_a_channel() {
    let now = Instant::now();
    let mut client = allocated(now);
    client.send(at(PEER), b"check", now);
    assert_eq!(grant(&mut client, now), method::CREATE_PERMISSION);
    let (kind, _, datagram) = asked(&mut client).unwrap();
    let message = Message::parse(&datagram).unwrap();
    assert_eq!(kind, method::SEND);
    assert_eq!(message.get(attribute::DATA), Some(&b"check"[..]));
    assert_eq!(message.address(attribute::XOR_PEER_ADDRESS), Some(at(PEER)));

    let data = Writer::new(method::DATA, &[1; 12])
        .put_address(attribute::XOR_PEER_ADDRESS, at(PEER))
        .put(attribute::DATA, b"answer")
        .finish("", None);
    client.handle_datagram(&data, now);
    assert_eq!(client.poll_event(), Some(TurnEvent::Data(at(PEER), b"answer".to_vec())));

    client.bind(at(PEER), now);
    assert_eq!(grant(&mut client, now), method::CHANNEL_BIND);
    client.send(at(PEER), b"media", now);
    assert_eq!(client.poll_transmit().unwrap(), [&[0x40, 0, 0, 5][..], b"media"].concat());
    client.handle_datagram(&[&[0x40, 0, 0, 3][..], b"abcde"].concat(), now);
    assert_eq!(client.poll_event(), Some(TurnEvent::Data(at(PEER), b"abc".to_vec())));
}

#[test]
fn forged_and_foreign_answers_change_nothing() {
    let now = Instant::now();
    let mut client = Client::new(account(), false, false, now);
    let (kind, id, _) = asked(&mut client).unwrap();
    let with_address = |id: &TransactionId| {
        success(kind, id).put_address(attribute::XOR_RELAYED_ADDRESS, at("203.0.113.66:9"))
    };
    client.handle_datagram(&with_address(&[9; 12]).finish("", None), now);
    assert_eq!((client.poll_event(), client.relayed()), (None, None), "another transaction");
    client.handle_datagram(&refusal(kind, &id, 401, b"one"), now);
    let (_, id, _) = asked(&mut client).unwrap();
    client.handle_datagram(&with_address(&id).finish("", None), now);
    let wrong = Challenge::new("user", "guess", b"realm", b"one");
    client.handle_datagram(&with_address(&id).finish("user", Some(&wrong)), now);
    assert_eq!((client.poll_event(), client.relayed()), (None, None), "without the key");
    let right = with_address(&id).finish("user", Some(&challenge(b"one")));
    for n in 0..right.len() {
        client.handle_datagram(&right[..n], now);
    }
    assert_eq!(client.relayed(), None);
    client.handle_datagram(&right, now);
    assert_eq!(client.relayed(), Some(at("203.0.113.66:9")));
}

#[test]
fn data_of_hosts_that_may_not_send_is_passed_over_and_floods_are_bounded() {
    let now = Instant::now();
    let mut client = allocated(now);
    let data = |peer: &str| {
        Writer::new(method::DATA, &[1; 12])
            .put_address(attribute::XOR_PEER_ADDRESS, at(peer))
            .put(attribute::DATA, b"x")
            .finish("", None)
    };
    client.handle_datagram(&data("203.0.113.1:1"), now);
    client.handle_datagram(&[0x40, 0, 0, 1, 7], now);
    assert_eq!(client.poll_event(), None);
    client.send(at(PEER), b"x", now);
    for _ in 0..10_000 {
        client.handle_datagram(&data(PEER), now);
    }
    assert_eq!(std::iter::from_fn(|| client.poll_event()).count(), MOST_WAITING);
    for n in 0..10_000u32 {
        let host = IpAddr::from([10, (n >> 16) as u8, (n >> 8) as u8, n as u8]);
        client.send(SocketAddr::new(host, 5), b"x", now);
    }
    assert_eq!(client.permissions.len(), MOST_PERMISSIONS);
    assert!(client.transactions.len() <= MOST_PERMISSIONS);
    assert!(std::iter::from_fn(|| client.poll_transmit()).count() <= MOST_WAITING);
}

#[test]
fn a_wrong_password_is_told_and_stale_nonces_are_answered_so_many_times() {
    let now = Instant::now();
    let mut client = Client::new(account(), false, false, now);
    let (kind, id, _) = asked(&mut client).unwrap();
    client.handle_datagram(&refusal(kind, &id, 401, b"one"), now);
    let (_, id, _) = asked(&mut client).unwrap();
    client.handle_datagram(&refusal(kind, &id, 401, b"two"), now);
    assert_eq!(client.poll_event(), Some(TurnEvent::Failed(TurnError::Account)));

    let mut client = allocated(now);
    client.send(at(PEER), b"x", now);
    let (kind, id, _) = asked(&mut client).unwrap();
    client.handle_datagram(&refusal(kind, &id, 438, b"two"), now);
    client.poll_transmit();
    let (again, _, datagram) = asked(&mut client).unwrap();
    assert_eq!(again, kind);
    assert!(challenge(b"two").vouches_for(&datagram));
    let mut rounds = 1;
    let mut id = Message::parse(&datagram).unwrap().id;
    while client.poll_timeout().is_some() && rounds < 20 {
        client.handle_datagram(&refusal(kind, &id, 438, b"again"), now);
        let Some((_, next, _)) = asked(&mut client) else { break };
        (id, rounds) = (next, rounds + 1);
    }
    assert_eq!(rounds, MOST_CHALLENGES);
}

#[test]
fn what_is_lost_is_asked_again_and_silence_ends_it() {
    let mut now = Instant::now();
    let mut client = Client::new(account(), false, false, now);
    let mut sent = 0;
    let mut event = None;
    for _ in 0..1000 {
        while client.poll_transmit().is_some() {
            sent += 1;
        }
        event = event.or(client.poll_event());
        let Some(due) = client.poll_timeout() else { break };
        now = due;
        client.handle_timeout(now);
    }
    assert_eq!((sent, event), (TRIES, Some(TurnEvent::Failed(TurnError::Silent))));
}

#[test]
fn what_lasts_is_renewed_and_given_back() {
    let mut now = Instant::now();
    let mut client = allocated(now);
    client.send(at(PEER), b"x", now);
    grant(&mut client, now);
    client.poll_transmit();
    client.bind(at(PEER), now);
    grant(&mut client, now);
    let mut kinds = Vec::new();
    while kinds.len() < 5 {
        now = client.poll_timeout().expect("something lasts");
        client.handle_timeout(now);
        while let Some((kind, id, _)) = asked(&mut client) {
            kinds.push(kind);
            let answer = success(kind, &id).put(attribute::LIFETIME, &600u32.to_be_bytes());
            client.handle_datagram(&answer.finish("user", Some(&challenge(b"one"))), now);
        }
    }
    for kind in [method::REFRESH, method::CREATE_PERMISSION, method::CHANNEL_BIND] {
        assert!(kinds.contains(&kind), "{kinds:x?}");
    }
    client.release(now);
    let (kind, id, datagram) = asked(&mut client).unwrap();
    let lifetime = Message::parse(&datagram).unwrap().number(attribute::LIFETIME);
    assert_eq!((kind, lifetime), (method::REFRESH, Some(0)));
    client.handle_datagram(&success(kind, &id).finish("user", Some(&challenge(b"one"))), now);
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn a_stream_is_cut_into_messages() {
    assert_eq!(frame(&[0, 1, 0]), Ok(None));
    assert_eq!(frame(&[0x01, 0x03, 0, 8]), Ok(Some(28)));
    assert_eq!(frame(&[0x40, 0, 0, 5]), Ok(Some(12)));
    assert!(frame(b"SSH-2.0").is_err());
}
