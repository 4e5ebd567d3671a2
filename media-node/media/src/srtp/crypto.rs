//! Session keys and what is done with them: AES in counter mode with HMAC-SHA1, and AES-GCM.

use std::fmt;

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockCipher, BlockEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher};
use aes::{Aes128, Aes192, Aes256};
use ctr::CtrCore;
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha1::Sha1;

use super::{INDEX_WORD, Suite};

/// Octets of the session authentication key.
const AUTH_KEY: usize = 20;
/// Octets of a packet the short-tag suites of GCM can check.
const SCRATCH: usize = 4096;
/// Set in the SRTCP index word of an encrypted packet.
const ENCRYPTED: u32 = 1 << 31;

/// Labels of the key derivation (RFC 3711 §4.3.1, §4.3.2).
#[derive(Clone, Copy)]
enum Label {
    RtpKey = 0,
    RtpAuth = 1,
    RtpSalt = 2,
    RtcpKey = 3,
    RtcpAuth = 4,
    RtcpSalt = 5,
}

/// The session keys of one direction.
pub(super) struct Keys {
    suite: Suite,
    rtp: Session,
    rtcp: Session,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.suite.name())
    }
}

/// Keys of RTP or of RTCP.
struct Session {
    cipher: Cipher,
    salt: [u8; 14],
    mac: Option<Hmac<Sha1>>,
    /// Where the short-tag suites work: a tag of eight octets is checked by making the whole one.
    scratch: Box<[u8]>,
}

enum Cipher {
    Cm128(Box<Aes128>),
    Cm192(Box<Aes192>),
    Cm256(Box<Aes256>),
    /// `None` only if the library refused a key of the right length.
    Gcm(Option<Box<LessSafeKey>>),
}

fn keystream<C>(cipher: &C, iv: &[u8; 16], data: &mut [u8])
where
    C: BlockCipher + BlockEncrypt + BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    let core = CtrCore::inner_iv_init(cipher, GenericArray::from_slice(iv));
    ctr::Ctr128BE::<&C>::from_core(core).apply_keystream(data);
}

/// Runs the counter mode under a key of 16, 24 or 32 octets.
fn keystream_under(key: &[u8], iv: &[u8; 16], data: &mut [u8]) {
    match key.len() {
        16 => keystream(&Aes128::new(GenericArray::from_slice(key)), iv, data),
        24 => keystream(&Aes192::new(GenericArray::from_slice(key)), iv, data),
        _ => keystream(&Aes256::new(GenericArray::from_slice(key)), iv, data),
    }
}

/// Derives a session key (RFC 3711 §4.3.3; the longer ciphers by RFC 6188 §2, the salts of AEAD by RFC 7714 §11).
fn derive(key: &[u8], salt: &[u8], label: Label, out: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..salt.len()].copy_from_slice(salt);
    iv[7] ^= label as u8;
    out.fill(0);
    keystream_under(key, &iv, out);
}

impl Session {
    fn new(suite: Suite, key: &[u8], salt: &[u8], labels: [Label; 3]) -> Self {
        let [key_label, auth_label, salt_label] = labels;
        let mut cipher_key = [0; 32];
        let cipher_key = &mut cipher_key[..suite.key_len()];
        derive(key, salt, key_label, cipher_key);
        let mut session_salt = [0; 14];
        derive(key, salt, salt_label, &mut session_salt[..suite.salt_len()]);
        let mut auth = [0; AUTH_KEY];
        derive(key, salt, auth_label, &mut auth);
        let mac = (!suite.is_aead() && suite.authenticates())
            .then(|| <Hmac<Sha1> as Mac>::new_from_slice(&auth).ok())
            .flatten();
        Self::with(suite, cipher_key, session_salt, mac)
    }

    fn with(suite: Suite, key: &[u8], salt: [u8; 14], mac: Option<Hmac<Sha1>>) -> Self {
        let cipher = match (suite.is_aead(), key.len()) {
            (true, len) => {
                let algorithm = if len == 16 { &AES_128_GCM } else { &AES_256_GCM };
                let key = UnboundKey::new(algorithm, key).ok();
                Cipher::Gcm(key.map(|key| Box::new(LessSafeKey::new(key))))
            }
            (false, 16) => Cipher::Cm128(Box::new(Aes128::new(GenericArray::from_slice(key)))),
            (false, 24) => Cipher::Cm192(Box::new(Aes192::new(GenericArray::from_slice(key)))),
            (false, _) => Cipher::Cm256(Box::new(Aes256::new(GenericArray::from_slice(key)))),
        };
        let short = suite.is_aead() && suite.rtp_tag() < 16;
        Self { cipher, salt, mac, scratch: vec![0; if short { SCRATCH * 2 } else { 0 }].into() }
    }

    /// Encrypts or decrypts in counter mode (RFC 3711 §4.1.1).
    fn counter_mode(&self, ssrc: u32, index: u64, data: &mut [u8]) {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        xor(&mut iv[4..8], &ssrc.to_be_bytes());
        xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
        match &self.cipher {
            Cipher::Cm128(cipher) => keystream(&**cipher, &iv, data),
            Cipher::Cm192(cipher) => keystream(&**cipher, &iv, data),
            Cipher::Cm256(cipher) => keystream(&**cipher, &iv, data),
            Cipher::Gcm(_) => {}
        }
    }

    /// The nonce of GCM (RFC 7714 §8.1, §9.1).
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut iv = [0; 12];
        iv.copy_from_slice(&self.salt[..12]);
        xor(&mut iv[2..6], &ssrc.to_be_bytes());
        xor(&mut iv[6..12], &index.to_be_bytes()[2..]);
        Nonce::assume_unique_for_key(iv)
    }

    fn tag(&self, parts: [&[u8]; 2]) -> Option<Hmac<Sha1>> {
        let mut mac = self.mac.clone()?;
        for part in parts {
            mac.update(part);
        }
        Some(mac)
    }

    fn seal(&self, nonce: Nonce, aad: &[u8], data: &mut [u8]) -> Option<[u8; 16]> {
        let Cipher::Gcm(Some(key)) = &self.cipher else { return None };
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), data).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Opens `data`, whose last `tag` octets are the tag; returns the length of what was in it. Nothing is changed
    /// when the tag is wrong.
    fn open(
        &mut self,
        ssrc: u32,
        index: u64,
        aad: &[u8],
        data: &mut [u8],
        tag: usize,
    ) -> Option<usize> {
        let len = data.len().checked_sub(tag)?;
        if tag == 16 {
            let nonce = self.nonce(ssrc, index);
            let Cipher::Gcm(Some(key)) = &self.cipher else { return None };
            // The library decrypts before it has verified; a packet that fails is dropped by the caller.
            return key.open_in_place(nonce, Aad::from(aad), data).ok().map(|plain| plain.len());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let opened = self.open_short(&mut scratch, ssrc, index, aad, data, len);
        self.scratch = scratch;
        opened
    }

    /// The same for a shortened tag, which the library does not check: decrypting is encrypting in this mode, so the
    /// plain text is made first, then encrypted again for its tag.
    fn open_short(
        &self,
        scratch: &mut [u8],
        ssrc: u32,
        index: u64,
        aad: &[u8],
        data: &mut [u8],
        len: usize,
    ) -> Option<usize> {
        let (text, tag) = data.split_at_mut(len);
        let (plain, again) = scratch.split_at_mut(SCRATCH);
        let (plain, again) = (plain.get_mut(..len)?, again.get_mut(..len)?);
        plain.copy_from_slice(text);
        self.seal(self.nonce(ssrc, index), aad, plain)?;
        again.copy_from_slice(plain);
        let whole = self.seal(self.nonce(ssrc, index), aad, again)?;
        if !same(whole.get(..tag.len())?, tag) {
            return None;
        }
        text.copy_from_slice(plain);
        Some(len)
    }
}

impl Keys {
    pub(super) fn derive(suite: Suite, key: &[u8], salt: &[u8]) -> Self {
        let rtp = Session::new(suite, key, salt, [Label::RtpKey, Label::RtpAuth, Label::RtpSalt]);
        let rtcp =
            Session::new(suite, key, salt, [Label::RtcpKey, Label::RtcpAuth, Label::RtcpSalt]);
        Self { suite, rtp, rtcp }
    }

    pub(super) fn suite(&self) -> Suite {
        self.suite
    }

    /// Protects `buffer[..len]`, plain before `start`; returns the length with its tag.
    pub(super) fn seal_rtp(
        &self,
        buffer: &mut [u8],
        start: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let tag_len = self.suite.rtp_tag();
        let buffer = buffer.get_mut(..len + tag_len)?;
        let (packet, room) = buffer.split_at_mut(len);
        let (head, text) = packet.split_at_mut_checked(start)?;
        if self.suite.is_aead() {
            let tag = self.rtp.seal(self.rtp.nonce(ssrc, index), head, text)?;
            room.copy_from_slice(tag.get(..tag_len)?);
        } else {
            self.rtp.counter_mode(ssrc, index, text);
            if let Some(mac) = self.rtp.tag([packet, &roc(index)]) {
                room.copy_from_slice(mac.finalize().into_bytes().get(..tag_len)?);
            }
        }
        Some(len + tag_len)
    }

    /// Opens a packet; returns its length without the tag.
    pub(super) fn open_rtp(
        &mut self,
        packet: &mut [u8],
        start: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        let tag_len = self.suite.rtp_tag();
        let len = packet.len().checked_sub(tag_len).filter(|len| *len >= start)?;
        if self.suite.is_aead() {
            let (head, text) = packet.split_at_mut(start);
            return self.rtp.open(ssrc, index, head, text, tag_len).map(|n| start + n);
        }
        let (packet, tag) = packet.split_at_mut(len);
        if let Some(mac) = self.rtp.tag([packet, &roc(index)]) {
            mac.verify_truncated_left(tag).ok()?;
        }
        self.rtp.counter_mode(ssrc, index, &mut packet[start..]);
        Some(len)
    }

    pub(super) fn seal_rtcp(
        &self,
        buffer: &mut [u8],
        start: usize,
        len: usize,
        ssrc: u32,
        index: u32,
    ) -> Option<usize> {
        let tag_len = self.suite.rtcp_tag();
        let word = (ENCRYPTED | index).to_be_bytes();
        let end = len + INDEX_WORD + tag_len;
        let buffer = buffer.get_mut(..end)?;
        let (packet, room) = buffer.split_at_mut(len);
        let (head, text) = packet.split_at_mut_checked(start)?;
        if self.suite.is_aead() {
            let aad = associated(head, word)?;
            let tag = self.rtcp.seal(self.rtcp.nonce(ssrc, u64::from(index)), &aad, text)?;
            let (tag_room, word_room) = room.split_at_mut(tag_len);
            tag_room.copy_from_slice(tag.get(..tag_len)?);
            word_room.copy_from_slice(&word);
        } else {
            self.rtcp.counter_mode(ssrc, u64::from(index), text);
            room[..INDEX_WORD].copy_from_slice(&word);
            if let Some(mac) = self.rtcp.tag([packet, &word]) {
                room[INDEX_WORD..].copy_from_slice(mac.finalize().into_bytes().get(..tag_len)?);
            }
        }
        Some(end)
    }

    /// The index a packet says it has.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        self.index_word(packet).map(|(word, _)| u32::from_be_bytes(word) & !ENCRYPTED)
    }

    /// The index word, and where it stands.
    fn index_word(&self, packet: &[u8]) -> Option<([u8; INDEX_WORD], usize)> {
        let at = packet.len().checked_sub(INDEX_WORD + self.suite.rtcp_trailer())?;
        Some((*packet.get(at..)?.first_chunk()?, at))
    }

    pub(super) fn open_rtcp(
        &mut self,
        packet: &mut [u8],
        start: usize,
        ssrc: u32,
    ) -> Option<usize> {
        let (word, at) = self.index_word(packet)?;
        let index = u64::from(u32::from_be_bytes(word) & !ENCRYPTED);
        let encrypted = u32::from_be_bytes(word) & ENCRYPTED != 0;
        if self.suite.is_aead() {
            // Packets that are authenticated only are allowed by RFC 7714 §9.3 and not seen in the field.
            let (head, text) = packet.get_mut(..at)?.split_at_mut_checked(start)?;
            let aad = associated(head, word).filter(|_| encrypted)?;
            let tag = self.suite.rtcp_tag();
            return self.rtcp.open(ssrc, index, &aad, text, tag).map(|n| start + n);
        }
        let (packet, trailer) = packet.split_at_mut_checked(at)?;
        if let Some(mac) = self.rtcp.tag([packet, &word]) {
            mac.verify_truncated_left(trailer.get(INDEX_WORD..)?).ok()?;
        }
        if encrypted {
            self.rtcp.counter_mode(ssrc, index, packet.get_mut(start..)?);
        }
        Some(at)
    }
}

/// What GCM authenticates besides the text of an RTCP packet (RFC 7714 §17).
fn associated(head: &[u8], word: [u8; INDEX_WORD]) -> Option<[u8; 12]> {
    let mut aad = [0; 12];
    aad.get_mut(..head.len())?.copy_from_slice(head);
    aad[8..].copy_from_slice(&word);
    (head.len() == 8).then_some(aad)
}

/// The rollover counter of an index.
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn xor(to: &mut [u8], with: &[u8]) {
    for (to, with) in to.iter_mut().zip(with) {
        *to ^= with;
    }
}

/// Compares without telling by its time where two tags differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        (0..text.len() / 2)
            .map(|n| u8::from_str_radix(&text[n * 2..n * 2 + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn keys_are_derived_as_in_rfc_3711_b3() {
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let mut out = [0; 16];
        derive(&key, &salt, Label::RtpKey, &mut out);
        assert_eq!(out[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let mut out = [0; 14];
        derive(&key, &salt, Label::RtpSalt, &mut out);
        assert_eq!(out[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        let mut out = [0; 20];
        derive(&key, &salt, Label::RtpAuth, &mut out);
        assert_eq!(out[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn counter_mode_is_that_of_rfc_3711_b2() {
        let key = hex("2B7E151628AED2A6ABF7158809CF4F3C");
        let mut salt = [0; 14];
        salt.copy_from_slice(&hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
        let session = Session::with(Suite::Aes128CmSha80, &key, salt, None);
        let mut data = [0; 32];
        session.counter_mode(0, 0, &mut data);
        assert_eq!(
            data[..],
            hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB")
        );
    }

    #[test]
    fn gcm_is_that_of_rfc_7714_16_1() {
        let mut salt = [0; 14];
        salt[..12].copy_from_slice(&hex("517569642070726f2071756f"));
        let key = hex("000102030405060708090a0b0c0d0e0f");
        let rtp = Session::with(Suite::AeadAes128Gcm, &key, salt, None);
        let rtcp = Session::with(Suite::AeadAes128Gcm, &key, salt, None);
        let mut keys = Keys { suite: Suite::AeadAes128Gcm, rtp, rtcp };
        let mut packet = hex("8040f17b8041f8d35501a0b2");
        packet.extend_from_slice(b"Gallia est omnis divisa in partes tres");
        let plain = packet.clone();
        let len = packet.len();
        packet.resize(len + 16, 0);
        assert_eq!(keys.seal_rtp(&mut packet, 12, len, 0x5501_a0b2, 0xf17b), Some(len + 16));
        let expected = "8040f17b8041f8d35501a0b2 f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a\
            51c7d19b36de3adf8833 899d7f27beb16a9152cf765ee4390cce";
        assert_eq!(packet, hex(expected));
        assert_eq!(keys.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b), Some(len));
        assert_eq!(packet[..len], plain);
    }
}
