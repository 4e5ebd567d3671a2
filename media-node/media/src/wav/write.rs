//! Writing WAV. The header goes first with the sizes known so far and is written again as the file
//! grows, so that a file left by a crash plays to its end.

/// Octets of the header without tags.
pub const HEADER_LEN: usize = 44;

/// The header of a PCM 16 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Samples per second and channel.
    pub rate: u32,
    /// Channels.
    pub channels: u16,
}

impl Header {
    /// The header for `data_len` octets of audio followed by `tail_len` octets of other chunks.
    pub fn bytes(&self, data_len: u64, tail_len: u64) -> [u8; HEADER_LEN] {
        let mut h = [0; HEADER_LEN];
        let block = self.channels * 2;
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            h[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        // Beyond 4 GB the size cannot be said: the largest value means "to the end".
        let size = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        put(b"RIFF");
        put(&size(data_len + tail_len + HEADER_LEN as u64 - 8));
        put(b"WAVEfmt ");
        put(&16u32.to_le_bytes());
        put(&1u16.to_le_bytes());
        put(&self.channels.to_le_bytes());
        put(&self.rate.to_le_bytes());
        put(&(self.rate * u32::from(block)).to_le_bytes());
        put(&block.to_le_bytes());
        put(&16u16.to_le_bytes());
        put(b"data");
        put(&size(data_len));
        h
    }

    /// A chunk of tags (`LIST INFO`) to stand after the audio; empty without any.
    pub fn tags(tags: &[([u8; 4], &str)]) -> Vec<u8> {
        let mut list = b"INFO".to_vec();
        for (id, text) in tags.iter().filter(|(_, t)| !t.is_empty()) {
            let text: Vec<u8> = text.bytes().chain([0]).collect();
            list.extend_from_slice(id);
            list.extend_from_slice(&(text.len() as u32).to_le_bytes());
            list.extend_from_slice(&text);
            if !text.len().is_multiple_of(2) {
                list.push(0);
            }
        }
        if list.len() == 4 {
            return Vec::new();
        }
        let mut chunk = b"LIST".to_vec();
        chunk.extend_from_slice(&(list.len() as u32).to_le_bytes());
        chunk.extend_from_slice(&list);
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wav::{Format, decode};

    #[test]
    fn a_written_file_reads_back_with_or_without_tags() {
        let header = Header { rate: 16_000, channels: 2 };
        let audio = [1, 0, 3, 0, 5, 0, 7, 0];
        for tags in [vec![], Header::tags(&[(*b"INAM", "a title"), (*b"IART", "")])] {
            let mut file = header.bytes(audio.len() as u64, tags.len() as u64).to_vec();
            file.extend_from_slice(&audio);
            file.extend_from_slice(&tags);
            let (info, samples) = decode(&file).unwrap();
            assert_eq!((info.rate, info.channels, info.format), (16_000, 2, Format::I16));
            assert_eq!(samples, [2, 6]);
            let riff = u32::from_le_bytes([file[4], file[5], file[6], file[7]]);
            assert_eq!(riff as usize + 8, file.len());
        }
    }
}
