//! Header blocks: where one ends, and what its lines say.

use std::borrow::Cow;

use bytes::BytesMut;

/// Scans a growing buffer for the empty line that ends a block: two LFs with only CRs between.
///
/// Remembers how far it has looked, so bytes that arrive one by one are looked at once.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockEnd {
    scanned: usize,
}

impl BlockEnd {
    /// Length of the block including its empty line, when that has arrived.
    pub(super) fn find(&mut self, buffer: &[u8]) -> Option<usize> {
        let mut from = self.scanned.min(buffer.len());
        while let Some(at) = memchr::memchr(b'\n', &buffer[from..]).map(|at| from + at) {
            let after = buffer.get(at + 1..).unwrap_or_default();
            let returns = after.iter().take_while(|&&b| b == b'\r').count();
            match after.get(returns) {
                Some(b'\n') => {
                    self.scanned = 0;
                    return Some(at + returns + 2);
                }
                Some(_) => from = at + 1,
                None => {
                    // The next byte decides; look at this LF again.
                    self.scanned = at;
                    return None;
                }
            }
        }
        self.scanned = buffer.len();
        None
    }

    /// Starts over, for a new block.
    pub(super) fn reset(&mut self) {
        self.scanned = 0;
    }
}

/// Drops line ends in front of a block.
pub(super) fn skip_line_ends(buffer: &mut BytesMut) {
    let stray = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    if stray > 0 {
        let _ = buffer.split_to(stray);
    }
}

/// Lines of a block, without their ends; empty ones are left out.
pub(super) fn lines(mut block: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while !block.is_empty() {
            let (line, after) = line(block);
            block = after;
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    })
}

/// One line up to CR LF, LF or CR, and what comes after that.
fn line(input: &[u8]) -> (&[u8], &[u8]) {
    let length = memchr::memchr2(b'\r', b'\n', input).unwrap_or(input.len());
    let (line, rest) = input.split_at(length);
    let after = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
    (line, after)
}

/// `Name: value`: split at the first colon, spaces after it skipped. A line without one is nothing.
pub(super) fn header(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', input).filter(|&at| at > 0)?;
    let (name, value) = (input.get(..colon)?, input.get(colon + 1..)?);
    let spaces = value.iter().take_while(|&&b| b == b' ').count();
    Some((name, value.get(spaces..)?))
}

/// Outside text as a string; bytes that are not UTF-8 become U+FFFD, since clients die of them.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Reads a `Content-Length`: the digits the value begins with. Saturates.
pub(super) fn length(value: &str) -> u64 {
    u64::try_from(crate::switch::leading_number(value)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_at_two_line_feeds_with_only_returns_between() {
        for (block, len) in [("a\n\nb", 3), ("a\r\n\r\nb", 5), ("a\n\r\r\n", 5), ("a\nb\n\n", 5)] {
            let mut end = BlockEnd::default();
            let found = (1..=block.len()).find_map(|n| end.find(&block.as_bytes()[..n]));
            assert_eq!(found, Some(len), "{block:?}");
        }
        assert_eq!(BlockEnd::default().find(b"a\nb\n"), None);
    }

    #[test]
    fn headers_split_at_the_first_colon() {
        assert_eq!(header(b"A:  b: c "), Some((&b"A"[..], &b"b: c "[..])));
        assert_eq!(header(b"A:"), Some((&b"A"[..], &b""[..])));
        assert_eq!(header(b"no colon"), None);
        assert_eq!(header(b": value"), None);
    }

    #[test]
    fn lines_end_in_any_way() {
        assert_eq!(lines(b"a\r\nb\nc\rd").collect::<Vec<_>>(), [b"a", b"b", b"c", b"d"]);
    }
}
