//! The list of prompts, a text file that is part of the binary.

/// One prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prompt<'a> {
    /// Folder.
    pub(super) category: &'a str,
    /// File, without `.wav`.
    pub(super) name: &'a str,
    /// What is said.
    pub(super) text: &'a str,
}

/// A language that prompts are made in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Language {
    /// `de`, as `--lang` and phrase macros name it.
    pub(super) name: &'static str,
    /// Language, country and voice, as dialplans and languages for FreeSWITCH spell the folder.
    pub(super) folder: &'static str,
    /// The synthesiser's voice.
    pub(super) voice: &'static str,
    list: &'static str,
}

/// English is whole; of others what is said in numbers, dates, amounts, mailboxes and the directory.
pub(super) const LANGUAGES: &[Language] = &[
    language("en", super::VOICE_DIR, "en-us", include_str!("phrases.txt")),
    language("de", "de/DE/default", "de", include_str!("phrases_de.txt")),
    language("es", "es/ES/cristina", "es", include_str!("phrases_es.txt")),
    language("fr", "fr/ca/june", "fr", include_str!("phrases_fr.txt")),
    language("nl", "nl/NL/default", "nl", include_str!("phrases_nl.txt")),
    language("ru", "ru/RU/elena", "ru", include_str!("phrases_ru.txt")),
];

const fn language(
    name: &'static str,
    folder: &'static str,
    voice: &'static str,
    list: &'static str,
) -> Language {
    Language { name, folder, voice, list }
}

impl Language {
    /// The language of that name.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        LANGUAGES.iter().find(|one| one.name.eq_ignore_ascii_case(name))
    }

    /// The prompts every installation that speaks it should have.
    pub(super) fn standard(&self) -> Vec<Prompt<'static>> {
        parse(self.list).unwrap_or_default()
    }
}

/// Reads `[category]` and `name: text` lines; the number of a line that is neither is the error.
fn parse(text: &str) -> Result<Vec<Prompt<'_>>, usize> {
    let mut prompts = Vec::new();
    let mut category = None;
    for (number, line) in (1_usize..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            category = Some(name);
            continue;
        }
        let (category, (name, text)) = category.zip(line.split_once(": ")).ok_or(number)?;
        prompts.push(Prompt { category, name, text: text.trim() });
    }
    Ok(prompts)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn reads_categories_names_and_texts() {
        let text = "# note\n\n[digits]\n1: one\n[ivr]\nivr-x: Say: hello\n";
        let expected = [
            Prompt { category: "digits", name: "1", text: "one" },
            Prompt { category: "ivr", name: "ivr-x", text: "Say: hello" },
        ];
        assert_eq!(parse(text), Ok(expected.to_vec()));
        assert_eq!(parse("[a]\nx: y\noops\n"), Err(3));
        assert_eq!(parse("x: y\n"), Err(1));
    }

    #[test]
    fn the_standard_list_is_whole() {
        let prompts = parse(include_str!("phrases.txt")).expect("every line is a prompt");
        assert!(prompts.len() > 1200, "{}", prompts.len());
        let mut seen = HashSet::new();
        for prompt in &prompts {
            let path = (prompt.category, prompt.name);
            assert!(seen.insert(path), "{path:?} is there twice");
            let fit = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            assert!(prompt.name.chars().all(fit), "{path:?} is no file name");
            assert!(!prompt.text.is_empty(), "{path:?} says nothing");
        }
        for number in 0..=20 {
            assert!(seen.contains(&("digits", number.to_string().as_str())), "{number}");
        }
        for path in [
            ("digits", "hundred"),
            ("ascii", "97"),
            ("phonetic-ascii", "122"),
            ("time", "mon-11"),
            ("time", "day-6"),
            ("conference", "conf-muted"),
            ("voicemail", "vm-enter_id"),
            ("ivr", "ivr-welcome_to_freeswitch"),
            ("misc", "call_secured"),
            ("currency", "and"),
            ("directory", "dir-enter_person"),
            ("base256", "aardvark"),
        ] {
            assert!(seen.contains(&path), "{path:?}");
        }
    }

    #[test]
    fn other_languages_say_what_is_said_in_english_too() {
        let english = parse(include_str!("phrases.txt")).expect("English");
        let english: HashSet<_> =
            english.iter().map(|prompt| (prompt.category, prompt.name)).collect();
        for language in LANGUAGES {
            let prompts = parse(language.list)
                .unwrap_or_else(|line| panic!("{}: line {line}", language.name));
            let names: HashSet<_> =
                prompts.iter().map(|prompt| (prompt.category, prompt.name)).collect();
            assert_eq!(names.len(), prompts.len(), "{}: a prompt is there twice", language.name);
            for (category, name) in &names {
                let fit = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
                assert!(name.chars().all(fit), "{}: {name} is no file name", language.name);
                // What only one language has are its numbers, units and forms.
                let own = ["digits", "time", "currency"].contains(category);
                assert!(
                    own || english.contains(&(*category, *name)),
                    "{}: {category}/{name}",
                    language.name
                );
            }
            for number in 0..=20 {
                assert!(
                    names.contains(&("digits", number.to_string().as_str())),
                    "{}: {number}",
                    language.name
                );
            }
            for (category, count) in [("time", 7 + 12), ("ascii", 26), ("voicemail", 50)] {
                let here = names.iter().filter(|(one, _)| *one == category).count();
                assert!(here >= count, "{}: {category} has {here}", language.name);
            }
        }
    }

    #[test]
    fn every_prompt_the_shipped_dialplan_plays_can_be_made() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/dialplan");
        let english = Language::find("en").expect("English").standard();
        let known: HashSet<String> =
            english.iter().map(|p| format!("{}/{}.wav", p.category, p.name)).collect();
        let mut played = 0;
        for name in ["default.xml", "features.xml", "public.xml"] {
            let text = std::fs::read_to_string(dir.join(name)).expect(name);
            for word in text.split(['"', ' ']).filter(|word| word.ends_with(".wav")) {
                if !word.contains('$') {
                    played += 1;
                    assert!(known.contains(word), "{word} in {name}");
                }
            }
        }
        assert!(played >= 5, "{played}");
    }
}
