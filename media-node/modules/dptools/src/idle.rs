//! Applications of FreeSWITCH that have nothing to do here: they are accepted, so that dialplans go on, and say so.

use super::{App, Flags};
use crate::app;
use crate::call::{AppResult, Session};

const ROUTING: Flags = Flags::NO_MEDIA.and(Flags::ROUTING);
const NO_VIDEO: &str = "video is passed between legs, not decoded, drawn on or waited for";
const NO_CANCELLER: &str = "there is no echo canceller, gain control or noise suppression";

/// The family.
pub const APPS: &[App] = &[
    app!("blind_transfer_ack", "mod_dptools", Flags::NONE, "[true|false]", "", nothing)
        .no_effect("a transfer is acknowledged when it is done"),
    app!("capture_text", "mod_dptools", Flags::NO_MEDIA, "", "capture text", nothing)
        .no_effect("real-time text is passed between legs, not read"),
    app!(
        "clear_speech_cache",
        "mod_dptools",
        Flags::NONE,
        "",
        "Clear Speech Handle Cache",
        nothing
    )
    .no_effect("no speech engine is kept open between two uses"),
    app!("cng_plc", "mod_dptools", ROUTING, "", "Do PLC on CNG frames", nothing)
        .no_effect("lost packets are concealed wherever audio is decoded"),
    app!(
        "debug_media",
        "mod_dptools",
        Flags::NO_MEDIA,
        "<read|write|both|vread|vwrite|vboth|all> <on|off>",
        "Debug Media",
        nothing
    )
    .no_effect("packets are seen by tools that capture them"),
    app!(
        "enable_keepalive",
        "mod_dptools",
        Flags::NO_MEDIA,
        "[0|<seconds>]",
        "Enable Keepalive",
        nothing
    )
    .no_effect("session timers and the timeout of media notice a far end that is gone"),
    app!("novideo", "mod_dptools", ROUTING, "", "Refuse Inbound Video", nothing)
        .no_effect("video is refused where no leg takes it"),
    app!("preprocess", "mod_dptools", Flags::NONE, "", "pre-process", nothing)
        .no_effect(NO_CANCELLER),
    app!(
        "recovery_refresh",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Send call recovery_refresh",
        nothing
    )
    .no_effect("no call outlives the process"),
    app!(
        "stop_video_write_overlay",
        "mod_dptools",
        Flags::NONE,
        "<path>",
        "Stop video write overlay",
        nothing
    )
    .no_effect(NO_VIDEO),
    app!(
        "video_decode",
        "mod_dptools",
        Flags::NONE,
        "[[on|wait]|off]",
        "Set video decode.",
        nothing
    )
    .no_effect(NO_VIDEO),
    app!(
        "video_write_overlay",
        "mod_dptools",
        Flags::NONE,
        "<path> [<pos>] [<alpha>]",
        "Video write overlay",
        nothing
    )
    .no_effect(NO_VIDEO),
    app!(
        "wait_for_video_ready",
        "mod_dptools",
        Flags::NO_MEDIA,
        "",
        "Wait for video to be established",
        nothing
    )
    .no_effect(NO_VIDEO),
];

async fn nothing(session: &mut Session, _argument: &str) -> AppResult {
    session.check()
}
