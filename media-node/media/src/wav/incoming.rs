//! Audio read as it comes, from a program or a server: a WAV file whose length is not known yet, or bare samples.

use super::read::{self, Format, WavError};

/// Octets within which a header ends.
const LONGEST_HEAD: usize = 64 * 1024;

/// Takes octets in pieces of any size, gives mono samples.
#[derive(Debug)]
pub struct Incoming {
    shape: Option<Shape>,
    /// The head, until it is whole; then what is left of a frame.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    format: Format,
    channels: u16,
    rate: u32,
    /// Octets of audio still to come, where the head says so.
    left: usize,
}

impl Incoming {
    /// A WAV file.
    #[must_use]
    pub fn wav() -> Self {
        Self { shape: None, rest: Vec::new() }
    }

    /// Signed 16-bit samples of one channel, little-endian, at that rate.
    #[must_use]
    pub fn raw(rate: u32) -> Self {
        let shape = Shape { format: Format::I16, channels: 1, rate, left: usize::MAX };
        Self { shape: Some(shape), rest: Vec::new() }
    }

    /// Samples per second, once that is known.
    #[must_use]
    pub fn rate(&self) -> Option<u32> {
        self.shape.map(|shape| shape.rate)
    }

    /// Takes the next octets; adds the samples they complete, channels averaged.
    ///
    /// # Errors
    /// When this is no WAV file, or none of a form that can be read.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<i16>) -> Result<(), WavError> {
        self.rest.extend_from_slice(octets);
        if self.shape.is_none() && !self.head()? {
            return Ok(());
        }
        let Some(shape) = &mut self.shape else { return Ok(()) };
        let one = shape.format.octets();
        let frame = one * usize::from(shape.channels);
        let whole = self.rest.len().min(shape.left) / frame * frame;
        for octets in self.rest[..whole].chunks_exact(frame) {
            let sum: i32 =
                octets.chunks_exact(one).map(|o| i32::from(shape.format.sample(o))).sum();
            out.push((sum / i32::from(shape.channels)) as i16);
        }
        shape.left -= whole;
        self.rest.drain(..whole);
        if shape.left < frame {
            // What stands behind the audio is none.
            self.rest.clear();
        }
        Ok(())
    }

    /// Reads the head; false while it is not whole.
    fn head(&mut self) -> Result<bool, WavError> {
        match read::info(&self.rest) {
            Ok(info) => {
                let at = info.data.start;
                let named = self.rest.get(at - 4..at).and_then(|size| size.first_chunk::<4>());
                let left = match u32::from_le_bytes(*named.unwrap_or(&[0; 4])) {
                    // What a program writes that cannot know it.
                    0 | u32::MAX => usize::MAX,
                    named => named as usize,
                };
                self.rest.drain(..at);
                let (format, channels, rate) = (info.format, info.channels, info.rate);
                self.shape = Some(Shape { format, channels, rate, left });
                Ok(true)
            }
            Err(WavError::NotWav) if self.rest.len() < 12 => Ok(false),
            Err(WavError::NoFormat | WavError::NoData) if self.rest.len() < LONGEST_HEAD => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wav::Header;

    fn read(mut incoming: Incoming, octets: &[u8], piece: usize) -> Result<Vec<i16>, WavError> {
        let mut out = Vec::new();
        for piece in octets.chunks(piece) {
            incoming.push(piece, &mut out)?;
        }
        Ok(out)
    }

    #[test]
    fn a_file_in_pieces_is_the_file_whatever_length_it_names() {
        let samples: Vec<i16> = (0..500).collect();
        for named in [0, 1000, u64::from(u32::MAX), 0x7fff_f000] {
            let mut file = Header { rate: 22_050, channels: 1 }.bytes(named, 0).to_vec();
            let size = (named as u32).to_le_bytes();
            let at = file.len() - 4;
            file[at..].copy_from_slice(&size);
            file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
            if named == 1000 {
                file.extend(b"LIST\x04\0\0\0abcd");
            }
            for piece in [1, 7, 44, 4096] {
                assert_eq!(
                    read(Incoming::wav(), &file, piece).unwrap(),
                    samples,
                    "{named} {piece}"
                );
            }
        }
    }

    #[test]
    fn bare_samples_and_two_channels() {
        assert_eq!(read(Incoming::raw(8000), &[1, 0, 2, 0, 3], 1).unwrap(), [1, 2]);
        let mut file = Header { rate: 8000, channels: 2 }.bytes(0, 0).to_vec();
        file.extend([100, 0, 200, 0, 1]);
        let mut incoming = Incoming::wav();
        let mut out = Vec::new();
        incoming.push(&file, &mut out).unwrap();
        assert_eq!((out, incoming.rate()), (vec![150], Some(8000)));
    }

    #[test]
    fn what_is_no_such_file_is_refused_at_once() {
        assert_eq!(read(Incoming::wav(), b"<html>it is broken</html>", 4), Err(WavError::NotWav));
        let mut long = b"RIFF\0\0\0\0WAVE".to_vec();
        long.resize(LONGEST_HEAD + 100, 0);
        assert!(read(Incoming::wav(), &long, 4096).is_err());
    }
}
