//! What far ends said, and scripts hand on.
//!
//! A script gets a header or a name as it is. Where it hands the same words on as part of an argument with a grammar (an
//! application's, a command's, a dial string), they are marked again ([`base::far`]) and stay one value there, as they
//! do in a dialplan.

use std::collections::VecDeque;

use base::far;

use crate::app::Argument;

/// So many values are remembered; the oldest are forgotten.
const MAX_VALUES: usize = 64;
/// Longer values are not searched for.
const MAX_LENGTH: usize = 4096;
/// Shorter ones would be found in what an administrator wrote.
const MIN_LENGTH: usize = 3;

/// Values of far ends that a script has read.
#[derive(Default)]
pub struct Taint(VecDeque<(String, String)>);

impl Taint {
    /// The text as scripts see it; remembered if a far end said it.
    pub fn read(&mut self, text: String) -> String {
        if !far::is_marked(&text) {
            return text;
        }
        let plain = far::plain(&text).into_owned();
        let useful = (MIN_LENGTH..=MAX_LENGTH).contains(&plain.len());
        if useful && !self.0.iter().any(|(known, _)| *known == plain) {
            if self.0.len() == MAX_VALUES {
                self.0.pop_front();
            }
            self.0.push_back((plain.clone(), text));
        }
        plain
    }

    /// A text of a script with the far ends' words in it marked. One that is nothing but such words is the argument as
    /// it is meant, as in a dialplan.
    pub fn mark(&self, text: &str) -> String {
        if self.0.iter().any(|(plain, _)| plain == text) && !text.contains("${") {
            return text.to_owned();
        }
        self.mark_all(text)
    }

    /// The argument of an application or command: [`Taint::mark`], but where it is run as it stands (a line for the shell,
    /// code) a far end's words are marked in any case.
    pub fn mark_for(&self, argument: Argument, text: &str) -> String {
        match self.0.iter().find(|(plain, _)| plain == text && !text.contains("${")) {
            Some((_, said)) => argument.whole(said.clone()),
            None if argument.is_run() => self.mark_all(text),
            None => self.mark(text),
        }
    }

    /// The name of a file that a script plays, with what a far end said in it fit for a path.
    pub fn file(&self, name: &str) -> String {
        far::path(&self.mark_for(Argument::TEXT.files(), name)).into_owned()
    }

    /// [`Taint::mark`], also where the text is nothing but a far end's words.
    pub fn mark_all(&self, text: &str) -> String {
        let mut marked = text.to_owned();
        for (plain, said) in &self.0 {
            if marked.contains(plain.as_str()) {
                marked = marked.replace(plain.as_str(), said);
            }
        }
        marked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_far_end_stay_one_value_where_they_are_handed_on() {
        let mut taint = Taint::default();
        assert_eq!(taint.read(far::mark("a,b=${system(x)}")), "a,b=${system(x)}");
        let marked = taint.mark("set=a,b=${system(x)}");
        assert!(marked.starts_with("set=") && !marked[4..].contains(['$', ',', '=']));
        assert_eq!(far::plain(&marked), "set=a,b=${system(x)}");
        assert!(!taint.mark("a,b=${system(x)}").contains("${"));
    }

    #[test]
    fn a_whole_argument_is_as_meant_and_own_words_are_left_alone() {
        let mut taint = Taint::default();
        taint.read(far::mark("user/1000@a.test"));
        assert_eq!(taint.mark("user/1000@a.test"), "user/1000@a.test");
        let dial_string = Argument::TEXT.marked();
        assert_eq!(taint.mark_for(dial_string, "user/1000@a.test"), "user/1000@a.test");
        for runs in [Argument::TEXT.shell(), Argument::TEXT.code()] {
            assert!(far::is_marked(&taint.mark_for(runs, "user/1000@a.test")), "{runs:?}");
        }
        let address = "http://10.0.0.1/x.wav";
        taint.read(far::mark(address));
        for names in [Argument::TEXT.path(), Argument::TEXT.files()] {
            assert_eq!(taint.mark_for(names, address), format!("far+{address}"));
        }
        assert_eq!(taint.file(address), format!("far+{address}"));
        assert_eq!(taint.file("http://10.0.0.1/y.wav"), "http://10.0.0.1/y.wav");
        assert_eq!(taint.mark("user/1001@a.test"), "user/1001@a.test");
        assert_eq!(taint.read("plain text".to_owned()), "plain text");
    }
}
