//! Modules whose work the core, the log and the media engine do, and what the core itself declares.

use dialplan_xml::config::SWITCH_PARAMETERS;
use dialplan_xml::declare::{Parameters, Value, param};

use switch_core::contract::{Module, Plain, Provides};

/// What the core declares; it is no module, and always there.
pub const CORE: Provides = Provides {
    parameters: SWITCH_PARAMETERS,
    variables: switch_core::call::variables::ALL,
    events: &[call_model::events::EVENTS],
    ..Provides::NOTHING
};

const LOCAL_STREAM: &[Parameters] = &[Parameters {
    file: "local_stream.conf",
    scope: "",
    list: &[
        param("shuffle", Value::Bool, "false", "Files are played in any order"),
        param(
            "chime-list",
            Value::Text,
            "",
            "Sounds in place of the music from time to time, in turn",
        ),
        param("chime-freq", Value::Number(2, 86_400), "30", "Seconds between two of them"),
        param("chime-max", Value::Number(0, 86_400), "0", "Seconds of one that are heard at most"),
        param("rate", Value::Number(8000, 48_000), "", "Samples a second")
            .no_effect("files are played at the rate of the call"),
        param("channels", Value::Number(1, 2), "1", "Channels").no_effect("calls are mono"),
        param("interval", Value::Number(10, 120), "20", "Milliseconds of a frame")
            .no_effect("frames are as long as the call's"),
        param("timer-name", Value::Text, "soft", "Clock").no_effect("there is one clock"),
    ],
}];

/// Modules whose work the core and the media engine do: they have a name, and what they bring has.
pub const MODULES: &[&dyn Module] = &[
    &Plain::new(
        "mod_amr",
        Provides { names: &[("codec", "AMR / Bandwidth Efficient")], ..Provides::NOTHING },
    ),
    &Plain::new(
        "mod_amrwb",
        Provides { names: &[("codec", "AMR-WB / Bandwidth Efficient")], ..Provides::NOTHING },
    ),
    &Plain::new(
        "mod_dialplan_xml",
        Provides { names: &[("dialplan", "XML")], ..Provides::NOTHING },
    ),
    &Plain::new(
        "mod_g723_1",
        Provides { names: &[("codec", "G.723.1 6.3k")], ..Provides::NOTHING },
    ),
    &Plain::new("mod_g729", Provides { names: &[("codec", "G.729")], ..Provides::NOTHING }),
    &Plain::new(
        "mod_local_stream",
        Provides {
            names: &[("file", "local_stream")],
            parameters: LOCAL_STREAM,
            ..Provides::NOTHING
        },
    ),
    &Plain::new("mod_logfile", Provides { parameters: switch_log::LOGFILE, ..Provides::NOTHING }),
    &Plain::new(
        "mod_native_file",
        Provides {
            names: &[("file", "L16"), ("file", "PCMA"), ("file", "PCMU")],
            ..Provides::NOTHING
        },
    ),
    &Plain::new(
        "mod_opus",
        Provides {
            names: &[("codec", "OPUS (STANDARD)")],
            parameters: leg_media::opus::PARAMETERS,
            ..Provides::NOTHING
        },
    ),
    &Plain::new(
        "mod_siren",
        Provides { names: &[("codec", "Polycom(R) G722.1/G722.1C")], ..Provides::NOTHING },
    ),
    &crate::shout::Shout,
    &Plain::new("mod_sndfile", Provides { names: &[("file", "wav")], ..Provides::NOTHING }),
    &Plain::new(
        "mod_tone_stream",
        Provides {
            names: &[("file", "silence_stream"), ("file", "tone_stream")],
            ..Provides::NOTHING
        },
    ),
];
