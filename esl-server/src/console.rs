//! What the console was taught: aliases and completions.

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

    /// All aliases.
    #[must_use]
    pub fn aliases(&self) -> Vec<Alias> {
        self.aliases.read().clone()
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

    /// Removes the completions that start with these words, or all with `*`.
    pub fn remove_completions(&self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        self.completions.write().retain(|known| {
            text != "*"
                && !(words.len() <= known.words.len()
                    && words.iter().zip(&known.words).all(|(a, b)| a == b))
        });
    }

    /// All completions.
    #[must_use]
    pub fn completions(&self) -> Vec<Completion> {
        self.completions.read().clone()
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
