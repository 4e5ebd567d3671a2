//! `session:insertFile`: a file put into another one.

use std::fs;
use std::io;
use std::path::Path;

use media::source::{self, SourceOptions};
use media::wav;

/// Largest file that is rewritten, in octets.
const LARGEST: u64 = 512 * 1024 * 1024;

/// Puts `insert` into the WAV file `file`, `at` samples from its beginning; `options` say where `insert` is looked for. The
/// file is replaced at once, whole: a failure leaves it as it was.
///
/// # Errors
/// When one of them cannot be read, when `file` is no WAV file of one channel, or when it cannot be written.
pub fn insert(file: &Path, insert: &str, at: usize, options: SourceOptions) -> io::Result<()> {
    let unfit = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    if fs::metadata(file)?.len() > LARGEST {
        return Err(unfit("the file is too large"));
    }
    let bytes = fs::read(file)?;
    let (info, mut samples) = wav::decode(&bytes).map_err(|error| unfit(&error.to_string()))?;
    if info.channels != 1 {
        return Err(unfit("the file has more than one channel"));
    }
    let options = SourceOptions { rate: info.rate, ..options };
    let mut plan = source::open(insert, &options).map_err(|error| unfit(&error.to_string()))?;
    let length = plan.len_samples().filter(|length| *length <= LARGEST / 2);
    let length = length.ok_or_else(|| unfit("what is to be inserted has no end"))?;
    let mut inserted = vec![0; usize::try_from(length).unwrap_or(0)];
    let filled = plan.fill(&mut inserted);
    inserted.truncate(filled);
    let at = at.min(samples.len());
    drop(samples.splice(at..at, inserted));
    let header = wav::Header { rate: info.rate, channels: 1 };
    let mut out = header.bytes(samples.len() as u64 * 2, 0).to_vec();
    out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    let draft = file.with_extension("part");
    fs::write(&draft, out)?;
    fs::rename(&draft, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, samples: &[i16], channels: u16) {
        let header = wav::Header { rate: 8000, channels };
        let mut bytes = header.bytes(samples.len() as u64 * 2, 0).to_vec();
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_file_is_put_into_another() {
        let folder = std::env::temp_dir().join(format!("lua-splice-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, insert_) = (folder.join("a.wav"), folder.join("b.wav"));
        let read = || wav::decode(&fs::read(&file).unwrap()).unwrap().1;
        let options = || SourceOptions::new(16_000, &folder);
        write(&file, &[1, 2, 3], 1);
        write(&insert_, &[8, 9], 1);
        insert(&file, "b.wav", 1, options()).unwrap();
        assert_eq!(read(), [1, 8, 9, 2, 3]);
        insert(&file, "b.wav", 100, options()).unwrap();
        assert_eq!(read(), [1, 8, 9, 2, 3, 8, 9], "beyond the end is the end");
        assert!(insert(&file, "gone.wav", 0, options()).is_err());
        assert!(insert(&file, "silence_stream://-1", 0, options()).is_err());
        assert_eq!(read().len(), 7, "a failure leaves the file as it was");
        write(&file, &[1, 2], 2);
        assert!(insert(&file, "b.wav", 0, options()).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
