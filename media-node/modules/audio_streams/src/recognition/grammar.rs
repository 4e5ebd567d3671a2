//! Grammars: parameters in braces before them, and the phrases in them, for engines that take a list of those.

use std::path::{Path, PathBuf};

/// Largest file that is read.
const MOST_BYTES: u64 = 256 * 1024;
/// Phrases taken of one grammar, and the length of one.
const MOST_PHRASES: usize = 2000;
const LONGEST: usize = 200;

/// A grammar as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grammar {
    /// `{name=value,…}` before it.
    pub(crate) parameters: Vec<(String, String)>,
    /// What is left.
    pub(crate) text: String,
    /// Phrases in it; none where it only has a name.
    pub(crate) phrases: Vec<String>,
}

/// Why it cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrammarError {
    #[error("no grammar")]
    Empty,
    #[error("the brace of its parameters is not closed")]
    Brace,
    #[error("{0}: no such grammar")]
    Missing(String),
}

impl Grammar {
    /// Reads one. A name with an extension of grammars, or an address of a file, is a file in the folder of grammars.
    pub(crate) fn read(given: &str, folder: &Path) -> Result<Self, GrammarError> {
        let given = given.trim_start_matches(' ');
        let (parameters, text) = match given.strip_prefix('{') {
            Some(inside) => inside.split_once('}').ok_or(GrammarError::Brace)?,
            None => ("", given),
        };
        if given.is_empty() || (parameters.is_empty() && text.is_empty()) {
            return Err(GrammarError::Empty);
        }
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        let parameters = parameters.split(',').filter_map(pair).collect();
        let phrases = match file(text, folder) {
            Some(path) => phrases(&load(&path, text)?),
            None => phrases(text),
        };
        Ok(Self { parameters, text: text.to_owned(), phrases })
    }
}

/// The file a grammar names, if it names one.
fn file(text: &str, folder: &Path) -> Option<PathBuf> {
    if text.len() > 1024 || text.contains(['\n', '<', '[']) {
        return None;
    }
    let path = Path::new(text.strip_prefix("file://").unwrap_or(text));
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
    let is_file = ["gram", "grxml", "jsgf", "xml", "json"].contains(&kind);
    (is_file && !text.contains("://"))
        .then(|| folder.join(path))
        .or_else(|| text.starts_with("file://").then(|| folder.join(path)))
}

fn load(path: &Path, name: &str) -> Result<String, GrammarError> {
    let missing = || GrammarError::Missing(name.to_owned());
    let length = std::fs::metadata(path).map_err(|_| missing())?.len();
    if length > MOST_BYTES {
        return Err(missing());
    }
    std::fs::read_to_string(path).map_err(|_| missing())
}

/// Phrases of a JSON array, of the items of SRGS, or of the alternatives of JSGF.
fn phrases(text: &str) -> Vec<String> {
    let text = text.trim();
    let found: Vec<String> = if text.starts_with('[') {
        serde_json::from_str(text).unwrap_or_default()
    } else if text.starts_with('<') {
        text.split("<item").skip(1).filter_map(item).collect()
    } else if text.contains("#JSGF") {
        let rules = text.split('=').skip(1).filter_map(|rest| rest.split(';').next());
        let open = |c: char| "()[]".contains(c);
        rules.flat_map(|rule| rule.split('|')).map(|one| one.replace(open, " ")).collect()
    } else {
        Vec::new()
    };
    let tidy = |one: String| one.split_whitespace().collect::<Vec<_>>().join(" ");
    let fits =
        |one: &String| !one.is_empty() && one.len() <= LONGEST && !one.contains(['<', '>', '$']);
    found.into_iter().map(tidy).filter(fits).take(MOST_PHRASES).collect()
}

/// The words of an item, without what stands in elements inside.
fn item(rest: &str) -> Option<String> {
    let (_, inside) = rest.split_once('>')?;
    let words = inside.split('<').next()?;
    Some(words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &str) -> Result<Grammar, GrammarError> {
        Grammar::read(given, Path::new("/nowhere"))
    }

    #[test]
    fn parameters_stand_in_braces_and_the_rest_is_the_grammar() {
        let read_all =
            read(" {start-input-timers=false,No-Input-Timeout=500}builtin:speech/boolean");
        let grammar = read_all.unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            grammar.parameters,
            [pair("start-input-timers", "false"), pair("no-input-timeout", "500")]
        );
        assert_eq!((grammar.text.as_str(), grammar.phrases.len()), ("builtin:speech/boolean", 0));
        assert_eq!(read("{lang=en}").unwrap().text, "");
        for (odd, error) in
            [("", GrammarError::Empty), ("{}", GrammarError::Empty), ("{a=b", GrammarError::Brace)]
        {
            assert_eq!(read(odd), Err(error), "{odd}");
        }
    }

    #[test]
    fn phrases_are_found_in_each_notation() {
        let phrases = |given: &str| read(given).unwrap().phrases;
        assert_eq!(phrases(r#"["yes", "no thanks"]"#), ["yes", "no thanks"]);
        assert_eq!(
            phrases(
                "<grammar><rule><one-of><item>yes</item><item weight=\"2\"> no <tag>x</tag></item></one-of></rule></grammar>"
            ),
            ["yes", "no"]
        );
        assert_eq!(
            phrases("#JSGF V1.0; grammar g; public <a> = (yes | no  thanks);"),
            ["yes", "no thanks"]
        );
        assert!(phrases("default").is_empty() && phrases("[broken").is_empty());
        assert!(phrases(&format!("<{}", "<item>".repeat(100_000))).is_empty());
    }

    #[test]
    fn a_file_that_is_not_there_is_no_grammar() {
        let missing = read("yesno.gram").unwrap_err();
        assert_eq!(missing, GrammarError::Missing("yesno.gram".into()));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("yesno.json"), r#"["yes","no"]"#).unwrap();
        let read = |name: &str| Grammar::read(name, folder.path());
        assert_eq!(read("yesno.json").unwrap().phrases, ["yes", "no"]);
        assert!(read("file://other").is_err());
    }
}
