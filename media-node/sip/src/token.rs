//! Random identifiers: tags, branches, Call-IDs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// RFC 3261's mark of a branch that identifies its transaction.
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

/// A source of identifiers. Seeded ones repeat, for tests.
#[derive(Debug)]
pub(crate) struct Tokens {
    seed: Option<u64>,
    pool: [u8; 256],
    used: usize,
}

impl Tokens {
    pub(crate) fn random() -> Self {
        Self { seed: None, pool: [0; 256], used: 256 }
    }

    #[cfg(test)]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { seed: Some(seed), pool: [0; 256], used: 256 }
    }

    fn byte(&mut self) -> u8 {
        if self.used >= self.pool.len() {
            fill(&mut self.pool, &mut self.seed);
            self.used = 0;
        }
        let byte = self.pool.get(self.used).copied().unwrap_or(0);
        self.used += 1;
        byte
    }

    /// Thirteen characters of 6 bits, the length the reference uses.
    pub(crate) fn tag(&mut self) -> String {
        (0..13).map(|_| letter(self.byte())).collect()
    }

    pub(crate) fn branch(&mut self) -> String {
        let mut out = String::with_capacity(MAGIC_COOKIE.len() + 13);
        out.push_str(MAGIC_COOKIE);
        out.extend((0..13).map(|_| letter(self.byte())));
        out
    }

    /// A UUID.
    pub(crate) fn call_id(&mut self) -> String {
        let mut bytes = [0u8; 16];
        bytes.fill_with(|| self.byte());
        uuid_text(bytes)
    }

    /// A first `CSeq`: nine digits, as the reference's clock-derived ones.
    pub(crate) fn cseq(&mut self) -> u32 {
        let random = u32::from_le_bytes([self.byte(), self.byte(), self.byte(), 0]);
        100_000_000 + random
    }
}

/// Letters and digits without those that read alike; 32 of them keep the mapping even.
fn letter(byte: u8) -> char {
    const LETTERS: &[u8; 32] = b"0123456789aBcDeFgHjKmNpQrStUvXyZ";
    char::from(LETTERS[usize::from(byte & 31)])
}

fn fill(pool: &mut [u8], seed: &mut Option<u64>) {
    match seed {
        None => {
            // Without kernel randomness a clock and a counter at least keep identifiers distinct.
            if getrandom::fill(pool).is_err() {
                let mut state = fallback_seed();
                pool.fill_with(|| splitmix(&mut state));
            }
        }
        Some(state) => pool.fill_with(|| splitmix(state)),
    }
}

fn fallback_seed() -> u64 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    clock ^ COUNTER.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
}

fn splitmix(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as u8
}

/// Thirty-two unpredictable bytes.
pub(crate) fn secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut tokens = Tokens::random();
    bytes.fill_with(|| tokens.byte());
    bytes
}

/// The bytes of a UUID; `None` for other text.
pub(crate) fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 36 {
        return None;
    }
    let mut digits = text.bytes().filter(|byte| *byte != b'-');
    for byte in &mut bytes {
        let mut digit = || char::from(digits.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}

pub(crate) fn uuid_text(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut out = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
    out
}

/// A client nonce.
pub(crate) fn cnonce() -> String {
    let mut tokens = Tokens::random();
    (0..22).map(|_| letter(tokens.byte())).collect()
}

/// A server nonce: a UUID, as the reference makes them.
pub fn nonce() -> String {
    Tokens::random().call_id()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_reference_shapes() {
        let mut tokens = Tokens::seeded(7);
        assert_eq!(tokens.tag().len(), 13);
        assert!(tokens.branch().starts_with(MAGIC_COOKIE));
        assert_eq!(tokens.call_id().split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(tokens.cseq() >= 100_000_000);
        assert_ne!(Tokens::random().tag(), Tokens::random().tag());
    }
}
