//! Judges WAV files as `amd` and `avmd` would: one line each, `file result cause beep-at-ms`. For measuring on a corpus.

use voice::{answer, beep};

fn main() {
    for path in std::env::args().skip(1) {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                eprintln!("{path}: {error}");
                continue;
            }
        };
        let Ok((info, samples)) = media::wav::decode(&bytes) else {
            eprintln!("{path}: not a WAV file");
            continue;
        };
        let mut listener = answer::Listener::new(answer::Settings::default());
        let mut beeps = beep::Listener::default();
        let (mut judgement, mut beep_at) = (None, None);
        let piece = info.rate as usize / 50;
        for (n, samples) in samples.chunks(piece.max(1)).enumerate() {
            judgement = judgement.or_else(|| listener.hear(samples, info.rate));
            if beeps.hear(samples, info.rate).is_some() {
                beep_at.get_or_insert((n + 1) * 20);
            }
        }
        let (answer, cause) =
            judgement.map_or(("NOTSURE", "SHORT".to_owned()), |j| (j.answer.name(), j.cause));
        let beep = beep_at.map_or("-".to_owned(), |at| at.to_string());
        println!("{path} {answer} {cause} {beep}");
    }
}
