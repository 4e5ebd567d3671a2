//! Lines of scripts in the log.

use crate::Names;

/// The level of that name or number; DEBUG if there is none such.
fn level(name: &str) -> &'static str {
    const LEVELS: [&str; 8] =
        ["CONSOLE", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG"];
    if let Some(level) = name.parse::<usize>().ok().and_then(|number| LEVELS.get(number)) {
        return level;
    }
    let begins = |level: &&&str| {
        name.get(..level.len()).is_some_and(|start| start.eq_ignore_ascii_case(level))
    };
    LEVELS.iter().find(begins).copied().unwrap_or("DEBUG")
}

/// Where the reference says that lines of scripts come from.
const CONSOLE: &str = "switch_cpp.cpp:console_log:1466";
const SESSION: &str = "switch_cpp.cpp:consoleLog:1355";

/// Logs a script's line; with a call's UUID it is about that call.
pub fn say(name: &str, text: &str, uuid: Option<&str>) {
    let level = level(name);
    match uuid {
        Some(uuid) => tracing::info!(uuid = %uuid, fs_level = level, fs_place = SESSION, "{text}"),
        None => tracing::info!(no_call = true, fs_level = level, fs_place = CONSOLE, "{text}"),
    }
}

/// The same with a place the script names.
pub fn say_at(name: &str, place: (&str, &str, i64), text: &str, uuid: Option<&str>) {
    let (file, function, line) = place;
    let (level, place) = (level(name), format!("{file}:{function}:{line}"));
    let (no_call, uuid) = (uuid.is_none(), uuid.unwrap_or_default());
    tracing::info!(uuid = %uuid, no_call, fs_level = level, fs_place = &*place, "{text}");
}

/// Logs the bare text.
pub fn say_clean(text: &str) {
    tracing::debug!(clean = true, "{text}");
}

/// A script's error: file, line and traceback, as the interpreter tells it.
pub fn failed(names: &Names, text: &str, uuid: Option<&str>) {
    let uuid = uuid.unwrap_or_default();
    tracing::error!(uuid = %uuid, fs_place = names.errors, "{text}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn levels_have_names_and_numbers() {
        for (name, level) in
            [("notice", "NOTICE"), ("3", "ERR"), ("error", "ERR"), ("x", "DEBUG"), ("9", "DEBUG")]
        {
            assert_eq!(super::level(name), level, "{name}");
        }
    }
}
