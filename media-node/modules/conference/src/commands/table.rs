//! The sub-commands of `conference`: names, how their words are taken, and what their usage says.

/// How a sub-command takes its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Words,
    /// The first names members; the next is what to do with each.
    Members,
    /// All that follows the name.
    Text,
}

/// One sub-command.
pub(super) struct Command {
    /// Its name.
    pub(super) name: &'static str,
    /// How it takes its words.
    pub(super) kind: Kind,
    /// The name its usage shows, which differs for one of them.
    shown: &'static str,
    /// The words it takes, as usage shows them.
    syntax: &'static str,
}

impl Command {
    /// What it says when it is given the wrong words.
    pub(super) fn usage(&self) -> String {
        format!("{} {}", self.shown, self.syntax)
    }
}

/// The sub-command of that name, in any case.
pub(super) fn find(name: &str) -> Option<&'static Command> {
    ALL.iter().find(|command| command.name.eq_ignore_ascii_case(name))
}

/// The list `conference help` prints.
pub(super) fn help() -> String {
    let lines = ALL.iter().map(|command| match command.syntax {
        "" => format!("\t\t{}", command.shown),
        syntax => format!("\t\t{} {syntax}", command.shown),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// The list `conference` without words prints.
pub(super) fn overview() -> String {
    let line = |command: &Command| format!("<conf name> {} {}\n", command.shown, command.syntax);
    ALL.iter().map(line).collect()
}

const fn words(name: &'static str, syntax: &'static str) -> Command {
    Command { name, kind: Kind::Words, shown: name, syntax }
}

const fn members(name: &'static str, syntax: &'static str) -> Command {
    Command { name, kind: Kind::Members, shown: name, syntax }
}

const fn text(name: &'static str, syntax: &'static str) -> Command {
    Command { name, kind: Kind::Text, shown: name, syntax }
}

const LEVEL: &str = "<member_id|all|last|non_moderator> [<newval>]";
const MUTE: &str = "<[member_id|all]|last|non_moderator> [<quiet>]";
const WHO: &str = "<[member_id|all]|last|non_moderator>";
const DIAL: &str = "<endpoint_module_name>/<destination> <callerid number> <callerid name>";

/// All, in the order of the reference's list.
pub(super) const ALL: &[Command] = &[
    words("canvas-auto-clear", "<canvas_id> <true|false>"),
    words("count", ""),
    words("list", "[delim <string>]|[count]"),
    words("xml_list", ""),
    words("json_list", "[compact]"),
    members("energy", LEVEL),
    members("auto-energy", LEVEL),
    members("max-energy", LEVEL),
    members("agc", LEVEL),
    members("vid-canvas", LEVEL),
    members("vid-watching-canvas", LEVEL),
    members("vid-layer", LEVEL),
    members("volume_in", LEVEL),
    members("volume_out", LEVEL),
    members("position", "<member_id> <x>:<y>:<z>"),
    words("auto-3d-position", "[on|off]"),
    words("play", "<file_path> [async|<member_id> [nomux]]"),
    words("moh", "<file_path>|toggle|[on|off]"),
    Command { name: "pause_play", kind: Kind::Words, shown: "pause", syntax: "[<member_id>]" },
    words("play_status", "[<member_id>]"),
    words("file_seek", "[+-]<val> [<member_id>]"),
    text("say", "<text>"),
    text("saymember", "<member_id> <text>"),
    words("cam", ""),
    words("stop", "<[current|all|async|last]> [<member_id>]"),
    members("dtmf", "<[member_id|all|last|non_moderator]> <digits>"),
    members("kick", "<[member_id|all|last|non_moderator]> [<optional sound file>]"),
    members("vid-flip", "<[member_id|all|last|non_moderator]>"),
    members("vid-border", "<[member_id|all|last|non_moderator]>"),
    members("hup", "<[member_id|all|last|non_moderator]>"),
    members("hold", "<[member_id|all]|last|non_moderator> [file]"),
    members("unhold", WHO),
    members("mute", MUTE),
    members("tmute", MUTE),
    members("unmute", MUTE),
    members("vmute", MUTE),
    members("tvmute", MUTE),
    members("vmute-snap", WHO),
    members("unvmute", MUTE),
    members("vblind", MUTE),
    members("tvblind", MUTE),
    members("unvblind", MUTE),
    members("deaf", WHO),
    members("undeaf", WHO),
    members("vid-filter", "<[member_id|all]|last|non_moderator> <string>"),
    words(
        "relate",
        "<member_id>[,<member_id>] <other_member_id>[,<other_member_id>] [nospeak|nohear|clear]",
    ),
    words("getvar", "<varname>"),
    words("setvar", "<varname> <value>"),
    words("lock", ""),
    words("unlock", ""),
    words("dial", DIAL),
    words("bgdial", DIAL),
    words("transfer", "<conference_name> <member id> [...<member id>]"),
    words("record", "<filename>"),
    words("chkrecord", "<confname>"),
    words("norecord", "<[filename|all]>"),
    words("pause", "<filename>"),
    words("resume", "<filename>"),
    words("recording", "[start|stop|check|pause|resume] [<filename>|all]"),
    words("exit_sound", "on|off|none|file <filename>"),
    words("enter_sound", "on|off|none|file <filename>"),
    words("pin", "<pin#>"),
    words("nopin", ""),
    words("get", "<parameter-name>"),
    words(
        "set",
        "<max_members|sound_prefix|caller_id_name|caller_id_number|endconference_grace_time> <value>",
    ),
    words("file-vol", "<vol#>"),
    members("floor", "<member_id|last>"),
    members("vid-floor", "<member_id|last> [force]"),
    members("vid-banner", "<member_id|last> <text>"),
    members("vid-mute-img", "<member_id|last> [<path>|clear]"),
    members("vid-logo-img", "<member_id|last> [<path>|clear]"),
    members("vid-codec-group", "<member_id|last> [<group>|clear]"),
    words("vid-res-id", "<member_id>|all <val>|clear [force]"),
    members("vid-role-id", "<member_id|last> <val>|clear"),
    members("get-uuid", "<member_id|last>"),
    text("clear-vid-floor", ""),
    words("vid-layout", "<layout name>|group <group name> [<canvas id>]"),
    words("vid-write-png", "<path>"),
    words("vid-fps", "<fps>"),
    words("vid-res", "<WxH>"),
    words("vid-fgimg", "<file> | clear [<canvas-id>]"),
    words("vid-bgimg", "<file> | clear [<canvas-id>]"),
    words("vid-bandwidth", "<BW>"),
    words("vid-personal", "[on|off]"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_pause_play_calls_itself_pause() {
        let command = find("PAUSE_play").unwrap();
        assert_eq!(command.usage(), "pause [<member_id>]");
        assert!(find("pauseplay").is_none());
    }

    #[test]
    fn help_lists_every_one() {
        assert_eq!(help().lines().count(), ALL.len());
        assert!(help().starts_with("\t\tcanvas-auto-clear <canvas_id> <true|false>\n\t\tcount\n"));
        assert!(overview().contains("<conf name> count \n"));
    }

    #[test]
    fn each_can_be_completed() {
        let lines: Vec<&str> = include_str!("../completions.txt").lines().collect();
        let line = |c: &Command| {
            format!("conference ::conference::conference_list_conferences {}", c.name)
        };
        assert_eq!(lines, ALL.iter().map(line).collect::<Vec<_>>());
    }
}
