//! A look at a TIFF file before it is faxed.
//!
//! libspandsp reads the file with libtiff, within the switch. Files come from elsewhere (uploads, mail), so their structure
//! is looked at here first: that all that is pointed at is in the file, that there is an end to the pages, and that no page
//! is larger than any fax. What compressions hold is left to libtiff, which decodes row by row.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Pages of one file.
const MOST_PAGES: usize = 5000;
/// Entries of one page's directory.
const MOST_ENTRIES: u16 = 512;
/// Strips of one page.
const MOST_STRIPS: u64 = 65_536;
/// Pixels of a row, and rows of a page: several times the largest there are in faxes.
const WIDEST: u64 = 10_000;
/// See [`WIDEST`].
pub const LONGEST_PAGE: u64 = 65_536;

/// `Compression` of runs of octets, which every reader of TIFF 6.0 knows.
const PACK_BITS: u64 = 32_773;

/// Why a file is not faxed.
#[derive(Debug, thiserror::Error)]
pub enum TiffError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("is no TIFF file")]
    NotTiff,
    /// Its structure is broken.
    #[error("page {page}: {what}")]
    Broken {
        /// The page, from 1.
        page: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It has no end.
    #[error("has more than {MOST_PAGES} pages, or pages that lead back to themselves")]
    Endless,
}

/// What is known of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Pixels across.
    pub width: u64,
    /// Rows.
    pub length: u64,
    /// `Compression`: 1 none, 2 to 4 those of faxes, 32773 `PackBits`.
    pub compression: u64,
}

/// Looks at a file. It blocks.
///
/// # Errors
/// Why it is not to be faxed.
pub fn inspect(file: &Path) -> Result<Vec<Page>, TiffError> {
    // Before it is opened: opening a FIFO waits for one who writes.
    if !std::fs::metadata(file)?.is_file() {
        return Err(TiffError::NotTiff);
    }
    let mut file = File::open(file)?;
    // Again: the name may stand for something else by now.
    if !file.metadata()?.is_file() {
        return Err(TiffError::NotTiff);
    }
    look(&mut file)
}

/// The same for anything that can be read.
///
/// # Errors
/// See [`inspect`].
pub fn look(file: &mut (impl Read + Seek)) -> Result<Vec<Page>, TiffError> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut head = [0; 8];
    if size < 8 {
        return Err(TiffError::NotTiff);
    }
    read_at(file, 0, &mut head)?;
    let little = match head {
        [b'I', b'I', 42, 0, ..] => true,
        [b'M', b'M', 0, 42, ..] => false,
        _ => return Err(TiffError::NotTiff),
    };
    let mut reader = Reader { file, size, little };
    let [.., a, b, c, d] = head;
    let mut next = reader.long([a, b, c, d]);
    let (mut pages, mut seen) = (Vec::new(), BTreeSet::new());
    while next != 0 {
        if pages.len() >= MOST_PAGES || !seen.insert(next) {
            return Err(TiffError::Endless);
        }
        let page = pages.len() + 1;
        let (found, after) = reader.directory(next).map_err(|error| match error {
            Fault::Io(error) => TiffError::Io(error),
            Fault::What(what) => TiffError::Broken { page, what },
        })?;
        pages.push(found);
        next = after;
    }
    if pages.is_empty() {
        return Err(TiffError::NotTiff);
    }
    Ok(pages)
}

enum Fault {
    Io(io::Error),
    What(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn read_at(file: &mut (impl Read + Seek), at: u64, out: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(out)
}

/// A field of a directory: its type, how many values, and the value or where they are.
#[derive(Clone, Copy)]
struct Field {
    kind: u16,
    count: u64,
    value: [u8; 4],
}

impl Field {
    /// Octets of one value.
    fn size(self) -> u64 {
        match self.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => 0,
        }
    }
}

struct Reader<'f, F> {
    file: &'f mut F,
    size: u64,
    little: bool,
}

impl<F: Read + Seek> Reader<'_, F> {
    fn short(&self, [a, b]: [u8; 2]) -> u16 {
        if self.little { u16::from_le_bytes([a, b]) } else { u16::from_be_bytes([a, b]) }
    }

    fn long(&self, octets: [u8; 4]) -> u64 {
        u64::from(if self.little { u32::from_le_bytes(octets) } else { u32::from_be_bytes(octets) })
    }

    fn inside(&self, at: u64, octets: u64) -> bool {
        at.checked_add(octets).is_some_and(|end| end <= self.size)
    }

    /// One directory, and where the next one is.
    fn directory(&mut self, at: u64) -> Result<(Page, u64), Fault> {
        if !self.inside(at, 2) {
            return Err(Fault::What("its directory is not in the file"));
        }
        let mut count = [0; 2];
        read_at(self.file, at, &mut count)?;
        let count = self.short(count);
        let octets = u64::from(count) * 12;
        if count > MOST_ENTRIES || !self.inside(at + 2, octets + 4) {
            return Err(Fault::What("its directory is not in the file"));
        }
        let mut body = vec![0; octets as usize + 4];
        read_at(self.file, at + 2, &mut body)?;
        let (entries, after) = body.split_at(octets as usize);
        let after: [u8; 4] = after.try_into().unwrap_or_default();
        let mut page = Page { compression: 1, ..Page::default() };
        let (mut offsets, mut counts, mut rows) = (None, None, None);
        let mut tags = BTreeSet::new();
        for entry in entries.chunks_exact(12) {
            let [t0, t1, k0, k1, c0, c1, c2, c3, v0, v1, v2, v3] = *entry else { continue };
            let count = self.long([c0, c1, c2, c3]);
            let field = Field { kind: self.short([k0, k1]), count, value: [v0, v1, v2, v3] };
            let wide = field.size() * field.count > 4;
            if wide && !self.inside(self.long(field.value), field.size() * field.count) {
                return Err(Fault::What("a field of its directory is not in the file"));
            }
            let tag = self.short([t0, t1]);
            // libtiff takes the first of them; what is judged here must be what it reads.
            if !tags.insert(tag) {
                return Err(Fault::What("a field of its directory is there twice"));
            }
            match tag {
                256 => page.width = self.number(field),
                257 => page.length = self.number(field),
                258 if field.count != 1 || self.number(field) != 1 => {
                    return Err(Fault::What("it is not black and white"));
                }
                259 => page.compression = self.number(field),
                277 if self.number(field) != 1 => {
                    return Err(Fault::What("it is not black and white"));
                }
                273 => offsets = Some(field),
                278 => rows = Some(self.number(field)),
                279 => counts = Some(field),
                322..=325 => return Err(Fault::What("it is in tiles")),
                330 => return Err(Fault::What("it has pages within pages")),
                _ => {}
            }
        }
        if !(1..=WIDEST).contains(&page.width) || !(1..=LONGEST_PAGE).contains(&page.length) {
            return Err(Fault::What("it has no size, or one that no fax has"));
        }
        if !matches!(page.compression, 1..=4 | PACK_BITS) {
            return Err(Fault::What("its compression is none of faxes"));
        }
        let (Some(offsets), Some(counts)) = (offsets, counts) else {
            return Err(Fault::What("its image is missing"));
        };
        let rows = rows.unwrap_or(page.length).clamp(1, page.length);
        let strips = page.length.div_ceil(rows);
        if offsets.count != strips || counts.count != strips || strips > MOST_STRIPS {
            return Err(Fault::What("it has not as many strips as rows need"));
        }
        let (offsets, counts) = (self.numbers(offsets)?, self.numbers(counts)?);
        if offsets.iter().zip(&counts).any(|(at, octets)| !self.inside(*at, *octets)) {
            return Err(Fault::What("its image is not in the file"));
        }
        Ok((page, self.long(after)))
    }

    /// The single value of a field.
    fn number(&self, field: Field) -> u64 {
        let [a, b, ..] = field.value;
        match field.kind {
            3 => u64::from(self.short([a, b])),
            4 => self.long(field.value),
            _ => 0,
        }
    }

    /// All values of a field.
    fn numbers(&mut self, field: Field) -> Result<Vec<u64>, Fault> {
        if !matches!(field.kind, 3 | 4) || field.count > MOST_STRIPS {
            return Err(Fault::What("its strips are not where they should be"));
        }
        let octets = field.size() * field.count;
        let mut raw = vec![0; octets as usize];
        if octets <= 4 {
            raw.copy_from_slice(field.value.get(..octets as usize).unwrap_or_default());
        } else {
            read_at(self.file, self.long(field.value), &mut raw)?;
        }
        Ok(match field.kind {
            3 => raw
                .chunks_exact(2)
                .map(|two| u64::from(self.short(two.try_into().unwrap_or_default())))
                .collect(),
            _ => raw
                .chunks_exact(4)
                .map(|four| self.long(four.try_into().unwrap_or_default()))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A TIFF of so many pages of 1,728 by 4 pixels, black and white, without compression.
    pub(crate) fn tiff(pages: usize, little: bool) -> Vec<u8> {
        let short = |n: u16| if little { n.to_le_bytes() } else { n.to_be_bytes() };
        let long = |n: u32| if little { n.to_le_bytes() } else { n.to_be_bytes() };
        let mut out = if little { b"II".to_vec() } else { b"MM".to_vec() };
        out.extend(short(42));
        out.extend(long(8));
        for page in 0..pages {
            let fields: [(u16, u32); 9] = [
                (256, 1728),
                (257, 4),
                (258, 1),
                (259, 1),
                (262, 0),
                (273, 0),
                (277, 1),
                (278, 4),
                (279, 864),
            ];
            let data = out.len() as u32 + 2 + fields.len() as u32 * 12 + 4;
            out.extend(short(fields.len() as u16));
            for (tag, value) in fields {
                out.extend(short(tag));
                out.extend(short(4));
                out.extend(long(1));
                out.extend(long(if tag == 273 { data } else { value }));
            }
            out.extend(long(if page + 1 < pages { data + 864 } else { 0 }));
            out.extend([0x5a; 864]);
        }
        out
    }

    #[test]
    fn pages_are_found_in_either_order_of_octets() {
        for little in [true, false] {
            let pages = look(&mut Cursor::new(tiff(3, little))).unwrap();
            assert_eq!(pages, [Page { width: 1728, length: 4, compression: 1 }; 3]);
        }
    }

    #[test]
    fn what_lies_outside_the_file_or_has_no_end_is_refused() {
        let good = tiff(2, true);
        for end in 0..good.len() {
            assert!(look(&mut Cursor::new(&good[..end])).is_err(), "{end}");
        }
        let mut circle = tiff(1, true);
        let next = 8 + 2 + 9 * 12;
        circle[next..next + 4].copy_from_slice(&8_u32.to_le_bytes());
        assert!(matches!(look(&mut Cursor::new(circle)), Err(TiffError::Endless)));
        let field = |index: usize| 8 + 2 + index * 12 + 8;
        for (index, value) in [
            (0, 0),
            (0, 4_000_000),
            (1, u32::MAX),
            (2, 8),
            (3, 5),
            (3, 7),
            (5, u32::MAX),
            (6, 3),
            (7, 1),
            (8, 9999),
        ] {
            let mut bad = tiff(1, true);
            bad[field(index)..field(index) + 4].copy_from_slice(&u32::to_le_bytes(value));
            let error = look(&mut Cursor::new(bad)).unwrap_err();
            assert!(matches!(error, TiffError::Broken { page: 1, .. }), "{index}: {error}");
        }
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        // The photometric interpretation becomes a second length, which libtiff would not look at.
        let mut twice = tiff(1, true);
        let at = 8 + 2 + 4 * 12;
        twice[at..at + 2].copy_from_slice(&257_u16.to_le_bytes());
        twice[at + 8..at + 12].copy_from_slice(&4_u32.to_le_bytes());
        let error = look(&mut Cursor::new(twice)).unwrap_err();
        assert!(error.to_string().contains("there twice"), "{error}");
    }

    #[test]
    fn a_fifo_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fax.tif");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let (done, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(inspect(&fifo)));
        let told = told.recv_timeout(std::time::Duration::from_secs(20)).expect("it waits");
        assert!(matches!(told, Err(TiffError::NotTiff)));
    }

    #[test]
    fn octets_turned_over_never_panic() {
        let good = tiff(2, false);
        for at in 0..140 {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _refused_or_not = look(&mut Cursor::new(bad));
            }
        }
        assert!(matches!(look(&mut Cursor::new(b"%PDF-1.4 ...")), Err(TiffError::NotTiff)));
        assert!(matches!(inspect(Path::new("/")), Err(TiffError::NotTiff)));
    }
}
