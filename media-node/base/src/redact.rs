//! Digits that are to be kept out of what is written down: which places a setting names, and how they are masked.

use std::borrow::Cow;
use std::ops::Range;

use crate::secrets;

/// Words that stand for everything.
const ALL: &[&str] = &["true", "yes", "on", "enabled", "active", "allow", "t", "1", "all"];
/// Digits in a row that a log line does not show.
const LONG: usize = 4;
/// Words for digits, and those between them, in the languages speech engines are run in most.
const DIGITS: &[&str] = &[
    // English
    "zero",
    "oh",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "double",
    "triple",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
    "thirty",
    "forty",
    "fifty",
    "sixty",
    "seventy",
    "eighty",
    "ninety",
    "hundred",
    "thousand",
    // German
    "null",
    "eins",
    "zwei",
    "zwo",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    // French
    "zéro",
    "un",
    "deux",
    "trois",
    "quatre",
    "cinq",
    "sept",
    "huit",
    "neuf",
    "dix",
    // Spanish
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    // Italian
    "due",
    "tre",
    "quattro",
    "cinque",
    "sei",
    "sette",
    "otto",
    "nove",
    // Portuguese
    "um",
    "dois",
    "três",
    "quatro",
    "sete",
    "oito",
    // Dutch
    "nul",
    "een",
    "twee",
    "drie",
    "vijf",
    "zes",
    "zeven",
    "negen",
];

/// Whether a setting asks for that: true (for everything), or a list, separated by commas, that names it.
#[must_use]
pub fn asks_for(what: &str, word: &str) -> bool {
    let is = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    let mut list = what.split(',').map(str::trim);
    list.any(|one| is(one, word) || ALL.iter().any(|all| is(one, all)))
}

/// A text for the log: without secrets, and without long numbers where `what`, a setting, names `log`.
#[must_use]
pub fn logged<'t>(text: &'t str, what: Option<&str>) -> Cow<'t, str> {
    let shown = secrets::masked(text);
    if !what.is_some_and(|what| asks_for(what, "log")) {
        return shown;
    }
    let mut out = String::with_capacity(shown.len());
    let mut rest = &*shown;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let length = from.bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(before);
        let (digits, after) = from.split_at(length);
        out.push_str(if length < LONG { digits } else { secrets::MASK });
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Which of some words are digits that were spoken: numerals, and words for digits of which two or more stand together.
#[must_use]
pub fn digits_among(words: &[&str]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let length =
            words[at..].iter().take_while(|word| is_numeral(word) || is_word(word)).count();
        let run = at..at + length;
        if length > 1 || length == 1 && is_numeral(words[at]) {
            found.push(run);
        }
        at += length.max(1);
    }
    found
}

fn is_numeral(word: &str) -> bool {
    word.chars().any(char::is_numeric)
}

fn is_word(word: &str) -> bool {
    let plain = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    DIGITS.contains(&plain.as_str())
}

/// What was spoken, with `*` in the place of its digits.
#[must_use]
pub fn spoken(text: &str) -> Cow<'_, str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let found = digits_among(&words);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let masked = |index: usize| found.iter().any(|run| run.contains(&index));
    let shown = words.iter().enumerate().map(|(index, word)| {
        if !masked(index) {
            return Cow::Borrowed(*word);
        }
        if is_numeral(word) {
            return Cow::Owned(
                word.chars().map(|c| if c.is_numeric() { '*' } else { c }).collect(),
            );
        }
        Cow::Borrowed("*")
    });
    Cow::Owned(shown.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_masked_and_a_single_word_for_one_is_none() {
        for (said, shown) in [
            ("my card is four two, four two please", "my card is * * * * please"),
            ("one moment, I have one question", "one moment, I have one question"),
            ("call 0171-23 or 7", "call ****-** or *"),
            ("double seven null acht", "* * * *"),
            ("", ""),
        ] {
            assert_eq!(spoken(said), shown);
        }
    }

    #[test]
    fn a_setting_names_places_or_all() {
        assert!(asks_for("true", "log") && asks_for(" audio , LOG", "log") && asks_for("all", "x"));
        assert!(!asks_for("audio", "log") && !asks_for("", "log") && !asks_for("false", "log"));
    }

    #[test]
    fn long_numbers_are_in_no_log_where_that_is_asked_for() {
        let line = "card=4242424242424242 pin=123 n=1234 token=x";
        assert_eq!(logged(line, None), "card=4242424242424242 pin=123 n=1234 token=***");
        assert_eq!(logged(line, Some("log")), "card=*** pin=123 n=*** token=***");
        assert_eq!(logged("é12345é", Some("true")), "é***é");
    }
}
