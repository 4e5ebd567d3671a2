//! What a recogniser of speech understood, in the same words whichever engine it was.

use base::xml::in_xml;

/// News of a recogniser.
#[derive(Clone, Debug, PartialEq)]
pub enum Speech {
    /// Words so far; they may still change.
    Partial(Words),
    /// Words that stay; none when there was speech that was not understood, or silence.
    Final(Words),
    /// The engine cannot go on, or says so.
    Error(String),
}

/// Words a recogniser understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// Bounded by the length of a message.
    pub text: String,
    /// 0 to 1, where the engine says.
    pub confidence: Option<f64>,
    /// Which channel of a stereo stream, where the engine says; 0 is what the far end says.
    pub channel: Option<u32>,
    /// Language, where the engine says.
    pub language: Option<String>,
    /// The engine's own message.
    pub whole: String,
    /// When each word was said, where the engine says.
    pub timed: Vec<Timed>,
}

/// A word and its time, milliseconds since the engine heard the first sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// The word.
    pub word: String,
    /// Its beginning.
    pub from_ms: u64,
    /// Its end.
    pub to_ms: u64,
}

impl Words {
    /// The same with `*` in the place of digits that were spoken; the engine's own message is left out.
    #[must_use]
    pub fn redacted(&self) -> Self {
        Self {
            text: base::redact::spoken(&self.text).into_owned(),
            whole: String::new(),
            timed: Vec::new(),
            ..self.clone()
        }
    }

    /// When digits were spoken: from and to, milliseconds since the engine heard the first sample.
    #[must_use]
    pub fn digits_at(&self) -> Vec<(u64, u64)> {
        let words: Vec<&str> = self.timed.iter().map(|timed| timed.word.as_str()).collect();
        let runs = base::redact::digits_among(&words).into_iter();
        let times = runs.filter_map(|run| {
            let said = self.timed.get(run)?;
            Some((said.first()?.from_ms, said.last()?.to_ms))
        });
        times.collect()
    }
}

/// How a result is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The words alone.
    #[default]
    Text,
    /// The engine's message where there is one, else an object of grammar, text and confidence.
    Json,
    /// XML as MRCP servers send it.
    Nlsml,
}

impl Format {
    /// By its name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            "nlsml" | "xml" => Some(Self::Nlsml),
            _ => None,
        }
    }

    /// The body of an event with these words.
    #[must_use]
    pub fn write(self, words: &Words, grammar: &str) -> String {
        match self {
            Self::Text => words.text.clone(),
            Self::Json if !words.whole.is_empty() => words.whole.clone(),
            Self::Json => serde_json::json!({
                "grammar": grammar,
                "text": words.text,
                "confidence": words.confidence.unwrap_or(1.0),
            })
            .to_string(),
            Self::Nlsml => nlsml(words, grammar),
        }
    }

    /// The body when there was no speech.
    #[must_use]
    pub fn no_input(self, grammar: &str) -> String {
        match self {
            Self::Text => String::new(),
            Self::Json => serde_json::json!({
                "grammar": grammar, "text": "", "confidence": 0, "error": "no_input",
            })
            .to_string(),
            Self::Nlsml => "<?xml version=\"1.0\"?>\n<result>\n  <interpretation>\n    \
                            <input><noinput/></input>\n  </interpretation>\n</result>\n"
                .to_owned(),
        }
    }
}

fn nlsml(words: &Words, grammar: &str) -> String {
    // A control character stands between words as a blank.
    let text = words.text.replace(|c: char| c.is_control() && !matches!(c, '\n' | '\t'), " ");
    let (grammar, text) = (in_xml(grammar), in_xml(&text));
    if words.text.is_empty() {
        return format!(
            "<?xml version=\"1.0\"?>\n<result grammar=\"{grammar}\">\n  <interpretation>\n    \
             <input><nomatch/></input>\n  </interpretation>\n</result>\n"
        );
    }
    let confidence = words.confidence.unwrap_or(1.0);
    format!(
        "<?xml version=\"1.0\"?>\n<result grammar=\"{grammar}\">\n  \
         <interpretation grammar=\"{grammar}\" confidence=\"{confidence:.2}\">\n    \
         <instance>{text}</instance>\n    <input mode=\"speech\">{text}</input>\n  \
         </interpretation>\n</result>\n"
    )
}

/// Whose transcription event a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// `uuid_google_transcribe`, and nvidia's, which writes the same.
    Google,
    /// An array of one.
    Aws,
    /// Results of Deepgram's streams.
    Deepgram,
    /// Azure's `RecognitionStatus`.
    Azure,
    /// The open protocol of jambonz.
    Jambonz,
}

impl Vendor {
    /// A transcription as that vendor's module writes it. `channel` 0 is what the far end says.
    #[must_use]
    pub fn write(self, words: &Words, last: bool, language: &str, channel: u32) -> String {
        use serde_json::json;
        let confidence = words.confidence.unwrap_or(if last { 1.0 } else { 0.0 });
        let language = words.language.as_deref().unwrap_or(language);
        let text = words.text.as_str();
        match self {
            Self::Google => json!({
                "stability": if last { 0.0 } else { 0.9 },
                "is_final": last,
                "alternatives": [{"confidence": confidence, "transcript": text, "words": []}],
                "channel_tag": channel + 1,
                "language_code": language.to_lowercase(),
                "result_end_time": 0,
            }),
            Self::Aws => json!([{
                "is_final": last,
                "alternatives": [{"transcript": text}],
                "channel_id": format!("ch_{channel}"),
            }]),
            Self::Deepgram => json!({
                "type": "Results",
                "channel_index": [channel, 2],
                "is_final": last,
                "speech_final": last,
                "channel": {"alternatives": [
                    {"transcript": text, "confidence": confidence, "words": []},
                ]},
            }),
            Self::Azure if last => json!({
                "RecognitionStatus": if text.is_empty() { "NoMatch" } else { "Success" },
                "Channel": channel,
                "DisplayText": text,
                "NBest": [{"Confidence": confidence, "Display": text, "Lexical": text}],
                "PrimaryLanguage": {"Language": language},
            }),
            Self::Azure => json!({
                "Channel": channel,
                "Text": text,
                "PrimaryLanguage": {"Language": language},
            }),
            Self::Jambonz => json!({
                "type": "transcription",
                "is_final": last,
                "alternatives": [{"transcript": text, "confidence": confidence}],
                "language": language,
                "channel": channel + 1,
            }),
        }
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        Words { text: text.to_owned(), confidence: Some(0.5), ..Words::default() }
    }

    #[test]
    fn a_result_has_its_words_in_each_format_and_no_markup_of_the_engine_s() {
        let odd = words("a <b> & \"c\"\u{7}");
        assert_eq!(Format::Text.write(&odd, "g"), odd.text);
        let json: serde_json::Value = serde_json::from_str(&Format::Json.write(&odd, "g")).unwrap();
        assert_eq!((&json["text"], &json["grammar"]), (&odd.text.as_str().into(), &"g".into()));
        let xml = Format::Nlsml.write(&odd, "g\"><x");
        assert!(xml.contains("<input mode=\"speech\">a &lt;b&gt; &amp; &quot;c&quot; </input>"));
        assert!(xml.contains("grammar=\"g&quot;&gt;&lt;x\"") && xml.contains("\"0.50\""));
        assert!(Format::Nlsml.no_input("g").contains("<noinput/>"));
        assert!(Format::Nlsml.write(&words(""), "g").contains("<nomatch/>"));
        let own = Words { whole: "{\"text\":\"x\"}".to_owned(), ..words("x") };
        assert_eq!(Format::Json.write(&own, "g"), own.whole);
    }

    #[test]
    fn digits_that_were_spoken_are_masked_and_have_their_times() {
        let timed = |word: &str, from_ms, to_ms| Timed { word: word.to_owned(), from_ms, to_ms };
        let said = Words {
            timed: vec![timed("card", 0, 400), timed("four", 500, 800), timed("two", 900, 1200)],
            whole: "{\"text\":\"card four two\"}".to_owned(),
            ..words("card four two")
        };
        assert_eq!(said.digits_at(), [(500, 1200)]);
        let shown = said.redacted();
        assert_eq!((shown.text.as_str(), shown.whole.as_str()), ("card * *", ""));
        assert_eq!((shown.confidence, shown.digits_at()), (Some(0.5), vec![]));
    }

    #[test]
    fn each_vendor_s_clients_find_the_transcript_where_they_look() {
        let read = |vendor: Vendor, last| -> serde_json::Value {
            serde_json::from_str(&vendor.write(&words("hi"), last, "en-US", 1)).unwrap()
        };
        let google = read(Vendor::Google, true);
        assert_eq!(
            (&google["is_final"], &google["language_code"]),
            (&true.into(), &"en-us".into())
        );
        assert_eq!(google["alternatives"][0]["transcript"], "hi");
        assert_eq!(read(Vendor::Aws, false)[0]["is_final"], false);
        let deepgram = read(Vendor::Deepgram, true);
        assert_eq!(deepgram["channel"]["alternatives"][0]["transcript"], "hi");
        assert_eq!(
            (&deepgram["type"], &deepgram["speech_final"]),
            (&"Results".into(), &true.into())
        );
        assert_eq!(read(Vendor::Azure, true)["DisplayText"], "hi");
        assert_eq!(read(Vendor::Azure, false)["Text"], "hi");
        assert_eq!(read(Vendor::Jambonz, true)["channel"], 2);
    }
}
