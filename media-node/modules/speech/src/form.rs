//! The file a program wants of a text: WAV at a rate, or the bare octets of a telephone's codec.

use std::path::{Path, PathBuf};

use media::codec::Codec;
use media::resample::convert_clip;
use media::wav::{self, Header};
use switch_core::call::Channel;

/// Milliseconds a coder is given at once.
const PIECE_MS: u32 = 20;

/// What a file is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// WAV of 16 bit at that rate.
    Wav(u32),
    /// Octets of a codec, one frame after the other, without a header.
    Bare(&'static str),
}

impl Form {
    /// By its name; `rate` is that of WAV.
    pub(crate) fn of(name: &str, rate: u32) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "wav" => Self::Wav(rate),
            "ulaw" | "pcmu" => Self::Bare("PCMU"),
            "alaw" | "pcma" => Self::Bare("PCMA"),
            "g722" => Self::Bare("G722"),
            _ => return None,
        })
    }

    /// What a call plays without converting it.
    pub(crate) fn for_call(channel: &Channel) -> Option<Self> {
        let codec = channel.media()?.codec();
        let bare = Self::of(codec.name(), codec.rate()).filter(|_| codec.name() != "G722");
        // Files of G.722 are none of those that are played.
        Some(bare.unwrap_or(Self::Wav(codec.rate())))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wav(_) => "wav",
            Self::Bare("PCMU") => "ulaw",
            Self::Bare("PCMA") => "alaw",
            Self::Bare(_) => "g722",
        }
    }

    fn codec(name: &str) -> Option<Codec> {
        Codec::by_name(name, 8000)
    }

    /// Samples per second.
    pub(crate) fn rate(self) -> u32 {
        match self {
            Self::Wav(rate) => rate,
            Self::Bare(name) => Self::codec(name).map_or(8000, |codec| codec.rate()),
        }
    }

    /// The octets of the file, of samples at `from`.
    fn octets(self, samples: &[i16], from: u32) -> Vec<u8> {
        let rate = self.rate();
        let samples = convert_clip(samples, from, rate);
        let Self::Bare(name) = self else {
            let mut whole =
                Header { rate, channels: 1 }.bytes(samples.len() as u64 * 2, 0).to_vec();
            whole.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
            return whole;
        };
        let Some(codec) = Self::codec(name) else { return Vec::new() };
        let mut coder = codec.coder(None);
        let mut payload = vec![0; codec.largest_payload(PIECE_MS)];
        let length = codec.frame_samples(PIECE_MS);
        let mut whole = Vec::new();
        for piece in samples.chunks(length) {
            let mut frame = piece.to_vec();
            // The last frame is whole, too.
            frame.resize(length, 0);
            let n = match &mut coder.encoder {
                Some(encoder) => encoder.encode(&frame, &mut payload),
                None => codec.encode(&frame, &mut payload),
            };
            whole.extend_from_slice(&payload[..n]);
        }
        whole
    }

    /// The file beside the one an engine made, made of it if it is not there. An engine's own file serves where it is one
    /// already.
    pub(crate) async fn file(self, made: &Path) -> Result<PathBuf, String> {
        let ending = format!(
            "{}.{}",
            self.rate(),
            if self == Self::Bare("G722") { "g722" } else { self.name() }
        );
        let path = made.with_extension(ending);
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(path);
        }
        let (made, to) = (made.to_owned(), path.clone());
        let work = tokio::task::spawn_blocking(move || self.make(&made, &to));
        let own = work.await.map_err(|error| error.to_string())??;
        Ok(own.unwrap_or(path))
    }

    fn make(self, made: &Path, to: &Path) -> Result<Option<PathBuf>, String> {
        let unread = |error: std::io::Error| format!("{}: {error}", made.display());
        let file = std::fs::read(made).map_err(unread)?;
        let (info, samples) = wav::decode(&file).map_err(|error| error.to_string())?;
        if self == Self::Wav(info.rate) && info.channels == 1 {
            return Ok(Some(made.to_owned()));
        }
        let channels = usize::from(info.channels.max(1));
        let mono: Vec<i16> = samples.chunks_exact(channels).map(|all| all[0]).collect();
        let draft = to.with_extension(format!("{}.draft", switch_core::clock::new_uuid()));
        let octets = self.octets(&mono, info.rate);
        let written = std::fs::write(&draft, octets).and_then(|()| std::fs::rename(&draft, to));
        written.map_err(|error| format!("{}: {error}", to.display()))?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32) -> Vec<i16> {
        let step = 440.0 * std::f64::consts::TAU / f64::from(rate);
        (0..rate).map(|n| ((f64::from(n) * step).sin() * 9000.0) as i16).collect()
    }

    #[test]
    fn a_second_has_as_many_octets_in_each_form_as_its_codec_says() {
        let length = |name: &str| Form::of(name, 0).unwrap().octets(&tone(22_050), 22_050).len();
        for (name, octets) in [("ulaw", 8000), ("alaw", 8000), ("g722", 8000)] {
            assert!(length(name).abs_diff(octets) <= 160, "{name}: {}", length(name));
        }
        assert_eq!(Form::of("ogg", 8000), None);
        assert_eq!(Form::of("PCMA", 8000).map(Form::name), Some("alaw"));
    }

    #[tokio::test]
    async fn an_engine_s_own_file_serves_where_it_is_what_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("a.wav");
        std::fs::write(&made, Form::Wav(16_000).octets(&tone(16_000), 16_000)).unwrap();
        assert_eq!(Form::Wav(16_000).file(&made).await.unwrap(), made);
        for rate in [8000, 24_000, 48_000] {
            let path = Form::Wav(rate).file(&made).await.unwrap();
            let (info, samples) = wav::decode(&std::fs::read(&path).unwrap()).unwrap();
            assert_eq!((info.rate, info.channels), (rate, 1));
            assert!(samples.len().abs_diff(rate as usize) < 200, "{rate}: {}", samples.len());
            let crossings = samples.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
            assert!((870..=890).contains(&crossings), "{rate}: {crossings}");
        }
        let ulaw = Form::Bare("PCMU").file(&made).await.unwrap();
        assert_eq!(ulaw.file_name().unwrap(), "a.8000.ulaw");
        assert_eq!(std::fs::read(ulaw).unwrap().len(), 8000);
        std::fs::write(&made, b"no sound").unwrap();
        assert!(Form::Wav(32_000).file(&made).await.is_err());
    }
}
