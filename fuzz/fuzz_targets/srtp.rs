//! Protected packets as they come off the wire, in every suite: noise and packets changed on their way are dropped, and
//! what was protected is opened to what it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media::srtp::{Keying, OVERHEAD, Srtp, SrtpKeys, Suite};

fn keys(suite: Suite, ours: u8, theirs: u8) -> SrtpKeys {
    let key = |octet: u8| {
        let master = vec![octet; suite.key_len() + suite.salt_len()];
        Keying::new(suite, &master).expect("a key of the right length")
    };
    SrtpKeys { local: key(ours), remote: Some(key(theirs)) }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, packet)) = input.split_first() else { return };
    let suites = Suite::ALL;
    let suite = suites[usize::from(choice >> 1) % suites.len()];
    let rtcp = choice & 1 == 1;
    let (mut here, mut there) = (Srtp::new(keys(suite, 1, 2)), Srtp::new(keys(suite, 2, 1)));
    let open = |srtp: &mut Srtp, packet: &mut [u8]| match rtcp {
        true => srtp.open_rtcp(packet),
        false => srtp.open_rtp(packet),
    };
    // As it is. Whether it is dropped is not asked: where tags are short, fuzzing finds one that fits.
    let _ = open(&mut Srtp::new(keys(suite, 1, 2)), &mut packet.to_vec());
    if suite == Suite::Aes128CmNullAuth {
        return;
    }
    // Protected, it is opened to itself, once.
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD, 0);
    let len = match rtcp {
        true => there.protect_rtcp(&mut buffer, packet.len()),
        false => there.protect_rtp(&mut buffer, packet.len()),
    };
    let Some(len) = len else { return };
    let sealed = buffer[..len].to_vec();
    // A bit changed anywhere: it is dropped.
    let at = usize::from(*choice) * 31 % len;
    let mut changed = sealed.clone();
    changed[at] ^= 1 << (choice % 8);
    assert_eq!(open(&mut here, &mut changed), None, "{suite:?}, octet {at} of {len}");
    let mut opened = sealed.clone();
    let Some(plain) = open(&mut here, &mut opened) else { return };
    assert_eq!(&opened[..plain], packet, "{suite:?}");
    assert_eq!(open(&mut here, &mut sealed.clone()), None, "{suite:?}: played again");
});
