//! What is to be run: a file with arguments, or code.

use base::far;

use crate::{Names, foreign, text};

/// Arguments a script may have.
const MAX_ARGUMENTS: usize = 128;

/// A program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A file, and `argv`.
    File { name: String, arguments: Vec<String> },
    /// `~`, or what else begins code in the language, and code.
    Code(String),
}

/// Why something is not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is nothing.
    #[error("No code to execute!")]
    Empty,
    /// A far end had part in code.
    #[error("a script is not run: a far end had part in its text")]
    Far,
    /// A client on another machine may only run what lies in the scripts' folder.
    #[error("code and files outside the scripts' folder are not run for clients on other machines")]
    Foreign,
    /// Too many run.
    #[error("{running} scripts run: no more are started (max-scripts in {conf})")]
    TooMany { running: usize, conf: &'static str },
    /// The system gives no thread.
    #[error("a script is not run: no thread")]
    NoThread,
}

impl Program {
    /// Reads the argument of an application or command, in which what far ends said is marked.
    ///
    /// # Errors
    /// When there is nothing, or a far end had part in code.
    pub fn read(names: &Names, marked: &str) -> Result<Self, Refused> {
        let line = marked.trim_start_matches([' ', '\n', '\r']);
        if line.is_empty() {
            return Err(Refused::Empty);
        }
        let length = names.shebang.len();
        let begins =
            line.get(..length).is_some_and(|start| start.eq_ignore_ascii_case(names.shebang));
        let shebang = length > 0 && begins;
        let code = line.strip_prefix('~').or_else(|| shebang.then(|| &line[length..]));
        if let Some(code) = code {
            return match far::is_marked(code) {
                true => Err(Refused::Far),
                false => Ok(Self::Code(code.to_owned())),
            };
        }
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        // A far end may choose among the administrator's files (`menu_$1.lua`), not leave their folder.
        let name = far::into_plain(far::in_path(name).into_owned());
        let arguments = text::words_marked(rest, MAX_ARGUMENTS);
        let arguments = arguments.iter().map(|word| far::plain(word).into_owned()).collect();
        Ok(Self::File { name, arguments })
    }

    /// Refuses what a client on another machine may not run.
    ///
    /// # Errors
    /// For code, and files outside the scripts' folder.
    pub fn admit(self) -> Result<Self, Refused> {
        let inside = match &self {
            Self::Code(_) => false,
            Self::File { name, .. } => {
                !name.starts_with('/') && !name.split('/').any(|part| part == "..")
            }
        };
        if inside || foreign::barred().is_none() { Ok(self) } else { Err(Refused::Foreign) }
    }

    /// As lists of scripts show it.
    pub fn title(&self) -> String {
        match self {
            Self::File { name, .. } => name.clone(),
            Self::Code(code) => {
                let line: String = code
                    .trim()
                    .chars()
                    .take(60)
                    .map(|c| if c.is_control() { ' ' } else { c })
                    .collect();
                format!("~{line}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names = Names {
        conf: "x.conf",
        thread: "x",
        shebang: "#!/lua",
        kill: "",
        title: "",
        errors: "",
        stack: 0,
    };

    fn read(marked: &str) -> Result<Program, Refused> {
        Program::read(&NAMES, marked)
    }

    fn file(name: &str, arguments: &[&str]) -> Result<Program, Refused> {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        Ok(Program::File { name: name.to_owned(), arguments })
    }

    #[test]
    fn files_have_arguments_and_quotes_keep_blanks() {
        assert_eq!(read("a.lua one 'two words' 3"), file("a.lua", &["one", "two words", "3"]));
        assert_eq!(read(" \n a.lua"), file("a.lua", &[]));
        assert_eq!(read(""), Err(Refused::Empty));
    }

    #[test]
    fn code_is_told_by_its_beginning() {
        assert_eq!(read("~x = 1"), Ok(Program::Code("x = 1".to_owned())));
        assert_eq!(read("#!/lua\nx = 1"), Ok(Program::Code("\nx = 1".to_owned())));
    }

    #[test]
    fn words_of_a_far_end_are_arguments_and_never_code() {
        let said = far::mark("') os.execute('x");
        assert_eq!(read(&format!("~f('{said}')")), Err(Refused::Far));
        let number = far::mark("../../etc/x_1");
        let Ok(Program::File { name, .. }) = read(&format!("menu_{number}.lua")) else { panic!() };
        assert!(!name.split('/').any(|part| part == "..") && name.ends_with("x_1.lua"), "{name}");
        assert_eq!(read(&format!("a.lua {said}")), file("a.lua", &["') os.execute('x"]));
    }
}
