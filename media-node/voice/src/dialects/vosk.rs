//! A Vosk server: its settings as a text, audio as binary messages, a text for each of them back.

use serde_json::{Map, Value, json};

use super::{excerpt, say_end_or_loss, text};
use crate::audio::Coding;
use crate::speech::{Speech, Timed, Words};
use crate::{Action, Actions, Dialect, Input, Wanted};

/// What events begin with.
pub const PREFIX: &str = "mod_vosk";
/// The end, written as servers compare it: sample by sample the text their own clients send.
const END: &str = r#"{"eof" : 1}"#;
/// Silence that makes the server's endpointer speak, milliseconds.
const FLUSH_MS: u32 = 1500;

/// How it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Samples per second, as the server's model expects.
    pub rate: u32,
    /// Milliseconds of a message: each is answered.
    pub frame_ms: u32,
    /// Words that may come; empty = all.
    pub phrases: Vec<String>,
}

/// One recognition.
#[derive(Debug)]
pub struct Vosk {
    setup: Setup,
    partial: String,
}

impl Vosk {
    /// A recognition that is not connected yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self { setup, partial: String::new() }
    }

    fn settings(&self) -> String {
        let mut config = json!({"sample_rate": self.setup.rate, "words": true});
        if !self.setup.phrases.is_empty() {
            // What is none of them is to be called so, and not the most similar.
            let phrases = self.setup.phrases.iter().map(String::as_str).chain(["[unk]"]);
            config["phrase_list"] = phrases.collect::<Vec<_>>().into();
        }
        json!({"config": config}).to_string()
    }

    fn message(&mut self, whole: &str, out: &mut Actions) {
        let Ok(Value::Object(object)) = serde_json::from_str::<Value>(whole) else {
            return out.push(Action::Log(format!("not a JSON object: {}", excerpt(whole))));
        };
        if let Some(partial) = text(&object, "partial") {
            if !partial.is_empty() && partial != self.partial {
                partial.clone_into(&mut self.partial);
                let words =
                    Words { text: partial.to_owned(), whole: whole.to_owned(), ..Words::default() };
                out.push(Action::Speech(Speech::Partial(words)));
            }
            return;
        }
        let Some((said, confidence)) = best(&object) else {
            return out.push(Action::Log(format!("unknown message {}", excerpt(whole))));
        };
        self.partial.clear();
        // An endpoint after silence is no result.
        if !said.is_empty() {
            let whole = whole.to_owned();
            let timed = times(&object);
            let words = Words { text: said, confidence, whole, timed, ..Words::default() };
            out.push(Action::Speech(Speech::Final(words)));
        }
    }
}

/// The words of a result, and how sure the server is: of the first alternative, or the mean of all words.
fn best(object: &Map<String, Value>) -> Option<(String, Option<f64>)> {
    if let Some(first) = object.get("alternatives").and_then(|list| list.get(0)) {
        let said = first.get("text")?.as_str()?.trim().to_owned();
        // Alternatives have scores, which are no shares.
        let sure = first.get("confidence").and_then(Value::as_f64);
        return Some((said, sure.filter(|sure| (0.0..=1.0).contains(sure))));
    }
    let said = text(object, "text")?.trim().to_owned();
    let each: Vec<f64> = object
        .get("result")
        .and_then(Value::as_array)
        .map(|words| words.iter().filter_map(|word| word.get("conf")?.as_f64()).collect())
        .unwrap_or_default();
    let mean = each.iter().sum::<f64>() / each.len() as f64;
    Some((said, (!each.is_empty()).then_some(mean)))
}

/// When the words of a result were said.
fn times(object: &Map<String, Value>) -> Vec<Timed> {
    let first = object.get("alternatives").and_then(|list| list.get(0)?.as_object());
    let words = first.unwrap_or(object).get("result").and_then(Value::as_array);
    let ms = |word: &Value, key: &str| {
        let seconds = word.get(key)?.as_f64().filter(|seconds| (0.0..1e6).contains(seconds))?;
        Some((seconds * 1000.0) as u64)
    };
    let one = |word: &Value| {
        let name = word.get("word")?.as_str()?.to_owned();
        Some(Timed { word: name, from_ms: ms(word, "start")?, to_ms: ms(word, "end")? })
    };
    words.into_iter().flatten().filter_map(one).collect()
}

impl Dialect for Vosk {
    fn prefix(&self) -> &'static str {
        PREFIX
    }

    fn wanted(&self) -> Wanted {
        Wanted { rate: self.setup.rate, frame_ms: self.setup.frame_ms, marks: 0, opus: false }
    }

    fn feed(&mut self, input: Input<'_>, out: &mut Actions) {
        match input {
            Input::Opened => {
                self.partial.clear();
                out.push(Action::Text(self.settings()));
                out.push(Action::Event("connect", None));
            }
            Input::Audio(samples) => out.push(Action::AudioBinary(Coding::Linear.write(samples))),
            Input::Text(text) => self.message(text, out),
            Input::Send(text) => out.push(Action::Text(text.to_owned())),
            Input::Tune("flush", _) => {
                let samples = self.setup.rate as usize * FLUSH_MS as usize / 1000;
                out.push(Action::AudioBinary(vec![0; samples * 2]));
            }
            Input::NoMoreAudio => out.push(Action::Text(END.to_owned())),
            Input::Stop(_) => {
                out.push(Action::Text(END.to_owned()));
                out.push(Action::Close(1000));
            }
            other => say_end_or_loss(other, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::kit::{fed, texts};

    fn said(actions: &[Action]) -> Vec<Speech> {
        let speech = |action: &Action| match action {
            Action::Speech(speech) => Some(speech.clone()),
            _ => None,
        };
        actions.iter().filter_map(speech).collect()
    }

    #[test]
    fn the_server_is_told_rate_and_phrases_and_gets_samples() {
        let phrases = vec!["yes".to_owned(), "no".to_owned()];
        let mut vosk = Vosk::new(Setup { rate: 8000, frame_ms: 100, phrases });
        let opened = fed(&mut vosk, Input::Opened);
        let config: Value = serde_json::from_str(texts(&opened)[0]).unwrap();
        let list = json!(["yes", "no", "[unk]"]);
        assert_eq!(
            config,
            json!({"config": {"sample_rate": 8000, "words": true, "phrase_list": list}})
        );
        assert_eq!(
            fed(&mut vosk, Input::Audio(&[1, -1])),
            [Action::AudioBinary(vec![1, 0, 255, 255])]
        );
        let flush = fed(&mut vosk, Input::Tune("flush", ""));
        assert_eq!(flush, [Action::AudioBinary(vec![0; 24_000])]);
        assert_eq!(texts(&fed(&mut vosk, Input::NoMoreAudio)), [r#"{"eof" : 1}"#]);
    }

    #[test]
    fn partial_and_final_words_are_told_once_and_silence_never() {
        let mut vosk = Vosk::new(Setup::default());
        let mut heard = |text: &str| said(&fed(&mut vosk, Input::Text(text)));
        assert_eq!(heard(r#"{"partial" : ""}"#), []);
        assert_eq!(heard(r#"{"partial" : "one"}"#).len(), 1);
        assert_eq!(heard(r#"{"partial" : "one"}"#), []);
        let whole = r#"{"result" : [{"conf" : 1.0, "word" : "one"}, {"conf" : 0.5, "word" : "two"}], "text" : "one two"}"#;
        let last = heard(whole);
        let [Speech::Final(words)] = &last[..] else { panic!("{last:?}") };
        assert_eq!((words.text.as_str(), words.confidence), ("one two", Some(0.75)));
        assert_eq!(words.whole, whole);
        let timed = r#"{"result":[{"word":"one","start":0.5,"end":0.75,"conf":1},{"word":"x","start":-1,"end":1e300}],"text":"one x"}"#;
        let last = heard(timed);
        let [Speech::Final(words)] = &last[..] else { panic!("{last:?}") };
        let times: Vec<_> =
            words.timed.iter().map(|w| (w.word.as_str(), w.from_ms, w.to_ms)).collect();
        assert_eq!(times, [("one", 500, 750)]);
        assert_eq!(heard(r#"{"text" : ""}"#), []);
        let alternatives =
            heard(r#"{"alternatives":[{"confidence":212.1,"text":" hi"},{"text":"x"}]}"#);
        let [Speech::Final(words)] = &alternatives[..] else { panic!("{alternatives:?}") };
        assert_eq!((words.text.as_str(), words.confidence), ("hi", None));
    }

    #[test]
    fn garbage_is_left_out() {
        let mut vosk = Vosk::new(Setup::default());
        for odd in
            ["", "[]", "{}", "null", r#"{"partial":1}"#, r#"{"alternatives":[]}"#, r#"{"text":7}"#]
        {
            assert_eq!(said(&fed(&mut vosk, Input::Text(odd))), [], "{odd}");
        }
        assert!(fed(&mut vosk, Input::Binary(&[0; 9])).is_empty());
    }
}
