//! Which lines an output takes: levels, masks and per-file mappings of `console.conf` and `logfile.conf`.

use esl_server::log::Level;

/// A set of levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelMask(u8);

impl LevelMask {
    /// Every level.
    pub const ALL: Self = Self(u8::MAX);
    /// No level.
    pub const NONE: Self = Self(0);

    /// Reads `debug,info,...`; `all` is every level. Also returns the words that name no level.
    pub fn parse(list: &str) -> (Self, Vec<String>) {
        let mut mask = Self::NONE;
        let mut unknown = Vec::new();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match parse_level(word) {
                Some(level) => mask = mask.with(level),
                None if word.eq_ignore_ascii_case("all") => mask = Self::ALL,
                None => unknown.push(word.to_owned()),
            }
        }
        (mask, unknown)
    }

    /// This set and one level more.
    #[must_use]
    pub fn with(self, level: Level) -> Self {
        Self(self.0 | 1 << level as u8)
    }

    /// Whether the set holds a level.
    pub fn contains(self, level: Level) -> bool {
        self.0 & (1 << level as u8) != 0
    }

    /// The most talkative level in the set.
    pub fn highest(self) -> Option<u8> {
        self.0.checked_ilog2().and_then(|bit| u8::try_from(bit).ok())
    }
}

/// A level by name (`error` is not one, as in the reference) or number.
pub fn parse_level(word: &str) -> Option<Level> {
    match word.parse::<u8>() {
        Ok(number) => Level::from_number(number),
        Err(_) => Level::parse(word),
    }
}

/// The level an application names: `ERROR` is taken too, and what names none is DEBUG.
#[must_use]
pub fn level_or_debug(word: &str) -> Level {
    let known = parse_level(word);
    known.unwrap_or(if word.eq_ignore_ascii_case("ERROR") { Level::Err } else { Level::Debug })
}

/// Logs a line for a call, or for none (an empty `uuid`), at a level that is known only now. `place` is shown instead of
/// the line of the source.
pub fn log_line(level: Level, place: Option<&str>, uuid: &str, line: &str) {
    match level {
        Level::Debug => tracing::debug!(%uuid, fs_place = place, "{line}"),
        Level::Info => tracing::info!(%uuid, fs_place = place, "{line}"),
        Level::Notice => tracing::info!(%uuid, fs_place = place, fs_level = "NOTICE", "{line}"),
        Level::Warning => tracing::warn!(%uuid, fs_place = place, "{line}"),
        Level::Err => tracing::error!(%uuid, fs_place = place, "{line}"),
        Level::Crit => tracing::error!(%uuid, fs_place = place, fs_level = "CRIT", "{line}"),
        Level::Alert => tracing::error!(%uuid, fs_place = place, fs_level = "ALERT", "{line}"),
        Level::Console => tracing::error!(%uuid, fs_place = place, fs_level = "CONSOLE", "{line}"),
    }
}

/// The `<mappings>` of one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mappings {
    all: LevelMask,
    named: Vec<(String, LevelMask)>,
}

impl Default for Mappings {
    /// Without mappings an output takes everything.
    fn default() -> Self {
        Self { all: LevelMask::ALL, named: Vec::new() }
    }
}

impl Mappings {
    /// Reads `<map name= value=/>` pairs; the words that name no level are returned as sentences.
    pub fn parse<'a>(maps: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Vec<String>) {
        let mut read = Self { all: LevelMask::NONE, named: Vec::new() };
        let mut complaints = Vec::new();
        let mut any = false;
        for (name, value) in maps {
            any = true;
            let (mask, unknown) = LevelMask::parse(value);
            complaints.extend(
                unknown
                    .into_iter()
                    .map(|word| format!("map \"{name}\": \"{word}\" is not a log level")),
            );
            if name.eq_ignore_ascii_case("all") {
                read.all = mask;
            } else {
                read.named.push((name.to_owned(), mask));
            }
        }
        if any { (read, complaints) } else { (Self::default(), complaints) }
    }

    /// Whether a line of this origin is taken. `all` is tried first, then the file, then the function:
    /// a narrower map can only add lines, as in the reference.
    pub fn take(&self, level: Level, file: &str, func: &str) -> bool {
        self.all.contains(level)
            || self.named.iter().any(|(name, mask)| {
                (name.eq_ignore_ascii_case(file) || name.eq_ignore_ascii_case(func))
                    && mask.contains(level)
            })
    }

    /// The most talkative level any map takes.
    pub fn highest(&self) -> Option<u8> {
        let named = self.named.iter().filter_map(|(_, mask)| mask.highest());
        named.chain(self.all.highest()).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_name_and_number() {
        assert_eq!(parse_level("err"), Some(Level::Err));
        assert_eq!(parse_level("WARNING"), Some(Level::Warning));
        assert_eq!(parse_level("7"), Some(Level::Debug));
        assert_eq!(parse_level("0"), Some(Level::Console));
        for word in ["error", "8", "-1", "", "warn"] {
            assert_eq!(parse_level(word), None, "{word}");
        }
    }

    #[test]
    fn masks_read_lists_and_name_what_they_do_not_know() {
        let (mask, unknown) = LevelMask::parse("err, crit,loud");
        assert!(mask.contains(Level::Err) && mask.contains(Level::Crit));
        assert!(!mask.contains(Level::Alert) && !mask.contains(Level::Debug));
        assert_eq!(unknown, ["loud"]);
        assert_eq!(LevelMask::parse("all").0, LevelMask::ALL);
        assert_eq!(LevelMask::parse("err,crit").0.highest(), Some(3));
        assert_eq!(LevelMask::NONE.highest(), None);
    }

    #[test]
    fn a_named_map_adds_to_all() {
        let (maps, complaints) = Mappings::parse([
            ("all", "warning,err,crit,alert"),
            ("profile.rs", "debug"),
            ("route", "all"),
        ]);
        assert_eq!(complaints, Vec::<String>::new());
        assert!(maps.take(Level::Err, "x.rs", "y"));
        assert!(!maps.take(Level::Debug, "x.rs", "y"));
        assert!(maps.take(Level::Debug, "profile.rs", "y"));
        assert!(!maps.take(Level::Info, "profile.rs", "y"));
        assert!(maps.take(Level::Info, "x.rs", "route"));
        assert_eq!(maps.highest(), Some(7));
    }

    #[test]
    fn no_maps_take_everything_and_a_wrong_word_is_named() {
        assert!(Mappings::parse([]).0.take(Level::Debug, "x.rs", "y"));
        let (_, complaints) = Mappings::parse([("all", "error")]);
        assert_eq!(complaints, ["map \"all\": \"error\" is not a log level"]);
    }
}
