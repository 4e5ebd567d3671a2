//! What the console was taught: aliases and completions.

use std::collections::BTreeSet;

use parking_lot::RwLock;

/// A short name for a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Survives a restart in the reference.
    pub sticky: bool,
    /// The short name.
    pub alias: String,
    /// What it stands for.
    pub command: String,
}

/// Words that may be typed one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Survives a restart in the reference.
    pub sticky: bool,
    /// The words, at most [`MAX_WORDS`].
    pub words: Vec<String>,
}

/// `show complete` has this many columns.
pub const MAX_WORDS: usize = 10;
/// Aliases and completions kept; further ones are refused.
const MAX_ENTRIES: usize = 10_000;

/// Both lists.
#[derive(Default)]
pub struct Console {
    aliases: RwLock<Vec<Alias>>,
    completions: RwLock<Vec<Completion>>,
}

impl Console {
    /// Adds an alias, in place of one of that name.
    pub fn add_alias(&self, alias: Alias) {
        let mut aliases = self.aliases.write();
        aliases.retain(|known| known.alias != alias.alias);
        if aliases.len() < MAX_ENTRIES {
            aliases.push(alias);
        }
    }

    /// Removes an alias, or all with `*`.
    pub fn remove_alias(&self, name: &str) {
        self.aliases.write().retain(|known| name != "*" && known.alias != name);
    }

    /// All aliases, by name.
    #[must_use]
    pub fn aliases(&self) -> Vec<Alias> {
        let mut all = self.aliases.read().clone();
        all.sort_by(|a, b| a.alias.cmp(&b.alias));
        all
    }

    /// What a line stands for when its first word is an alias.
    #[must_use]
    pub fn expand(&self, line: &str) -> Option<String> {
        let (word, rest) =
            line.split_once(' ').map_or((line, None), |(word, rest)| (word, Some(rest)));
        let aliases = self.aliases.read();
        let command = &aliases.iter().find(|known| known.alias == word)?.command;
        Some(rest.map_or_else(|| command.clone(), |rest| format!("{command} {rest}")))
    }

    /// Adds a completion.
    pub fn add_completion(&self, mut completion: Completion) {
        completion.words.truncate(MAX_WORDS);
        let mut completions = self.completions.write();
        if completions.len() < MAX_ENTRIES && !completions.contains(&completion) {
            completions.push(completion);
        }
    }

    /// Adds what may be typed after a module's commands: words separated by blanks, a line each.
    pub fn add_lines(&self, lines: &str) {
        for line in lines.lines() {
            let words = line.split_whitespace().map(str::to_owned).collect();
            self.add_completion(Completion { sticky: false, words });
        }
    }

    /// Removes the completions that start with these words, or all with `*`.
    pub fn remove_completions(&self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        self.completions.write().retain(|known| {
            text != "*"
                && !(words.len() <= known.words.len()
                    && words.iter().zip(&known.words).all(|(a, b)| a == b))
        });
    }

    /// All completions, by their words.
    #[must_use]
    pub fn completions(&self) -> Vec<Completion> {
        let mut all = self.completions.read().clone();
        all.sort_by(|a, b| a.words.cmp(&b.words));
        all
    }

    /// What may stand at place `at` (from 0) of a line that begins with these words: words, `::NAME` and `::[a:b`,
    /// each once, in order. A place in a line that is a list, or empty, takes any word. When the words `begin` only,
    /// the start of each is enough, as in the reference.
    #[must_use]
    pub fn places(&self, words: &[&str], begin: bool, at: usize) -> BTreeSet<String> {
        let fits = |known: &str, typed: &str| {
            let same = match known.get(..typed.len()) {
                Some(start) if begin => start.eq_ignore_ascii_case(typed),
                _ => known == typed,
            };
            known.is_empty() || known.starts_with("::") || same
        };
        let completions = self.completions.read();
        let lines = completions.iter().map(|completion| &completion.words).filter(|line| {
            words
                .iter()
                .enumerate()
                .all(|(at, typed)| fits(line.get(at).map_or("", String::as_str), typed))
        });
        lines.filter_map(|line| line.get(at)).filter(|word| !word.is_empty()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_keeps_what_follows_it() {
        let console = Console::default();
        console.add_alias(Alias {
            sticky: false,
            alias: "ch".into(),
            command: "show channels".into(),
        });
        assert_eq!(console.expand("ch as json").as_deref(), Some("show channels as json"));
        assert_eq!(console.expand("ch").as_deref(), Some("show channels"));
        assert_eq!(console.expand("chan"), None);
        console.remove_alias("*");
        assert_eq!(console.expand("ch"), None);
    }

    #[test]
    fn a_place_takes_its_word_or_anything_where_a_list_stands() {
        let console = Console::default();
        console.add_lines("sofia status ::list ::[reg:user\nsofia profile x\nsofia ::[help:status");
        let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(
            console.places(&["sofia"], false, 1),
            set(&["::[help:status", "profile", "status"])
        );
        assert_eq!(console.places(&["sofia", "st"], true, 1), set(&["::[help:status", "status"]));
        assert_eq!(console.places(&["sofia", "st"], false, 2), set(&[]));
        assert_eq!(console.places(&["sofia", "status", "any"], false, 3), set(&["::[reg:user"]));
        assert_eq!(console.places(&["sof"], false, 1), set(&[]));
    }

    #[test]
    fn completions_go_by_their_first_words() {
        let console = Console::default();
        for words in [["a", "b"], ["a", "c"], ["x", "y"]] {
            console.add_completion(Completion {
                sticky: false,
                words: words.map(str::to_owned).to_vec(),
            });
        }
        console.remove_completions("a b");
        assert_eq!(console.completions().len(), 2);
        console.remove_completions("a");
        assert_eq!(console.completions().len(), 1);
    }
}
