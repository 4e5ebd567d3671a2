//! mod_shout: how MP3 files are encoded. Reading and writing them is the media engine's; streams of Icecast are not there.

use std::sync::Arc;

use dialplan_xml::declare::{Parameters, Value, param};
use media::record::{Mp3Settings, check_mp3, set_mp3};
use switch_core::BoxFuture;
use switch_core::contract::{Change, Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::text;

/// Why the parameters of mpg123 change nothing.
const DECODER: &str = "MP3 files are decoded by another decoder than mpg123, at their own level";

const PARAMETERS: &[Parameters] = &[Parameters {
    file: "shout.conf",
    scope: "",
    list: &[
        param(
            "encode-brate",
            Value::Number(8, 320),
            "",
            "Kilobits per second of MP3 recordings; 16 for each channel and 8 kHz if there is none",
        ),
        param(
            "encode-resample",
            Value::Number(8000, 48_000),
            "",
            "Samples per second of MP3 recordings, if not those of the audio",
        ),
        param(
            "encode-quality",
            Value::Number(1, 9),
            "2",
            "How MP3 recordings are encoded, from 1 (best) to 9 (fastest)",
        ),
        param("decoder", Value::Text, "", "Variant of the decoder").no_effect(DECODER),
        param("volume", Value::Text, "", "Level of what is played").no_effect(DECODER),
        param("outscale", Value::Text, "", "Level of what is played").no_effect(DECODER),
    ],
}];

/// The module.
pub(crate) struct Shout;

impl Module for Shout {
    fn name(&self) -> &'static str {
        "mod_shout"
    }

    fn provides(&self) -> Provides {
        Provides {
            names: &[("file", "mp3"), ("file", "mpga")],
            parameters: PARAMETERS,
            ..Provides::NOTHING
        }
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async {
            configure(switch);
            // Said once, with what to install, and not first when a call is to be recorded.
            if let Ok(Err(why)) = tokio::task::spawn_blocking(check_mp3).await {
                tracing::warn!("mod_shout: recordings cannot be written as mp3: {why}");
            }
            Ok(())
        })
    }

    fn reloaded<'a>(&'a self, switch: &'a Arc<Switch>, change: Change) -> BoxFuture<'a, ()> {
        if change == Change::Configuration {
            configure(switch);
        }
        Box::pin(std::future::ready(()))
    }

    fn unload<'a>(&'a self, _switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        set_mp3(Mp3Settings::default());
        Box::pin(std::future::ready(()))
    }
}

fn configure(switch: &Switch) {
    let config = switch.config.load_full();
    let mut settings = Mp3Settings::default();
    for param in &dialplan_xml::config::settings(config.document("shout.conf")) {
        let number = u32::try_from(text::int(&param.value)).unwrap_or(0);
        match &*param.name {
            "encode-brate" => settings.kbps = number,
            "encode-resample" => settings.resample = number,
            "encode-quality" => settings.quality = number,
            _ => {}
        }
    }
    set_mp3(settings);
}
