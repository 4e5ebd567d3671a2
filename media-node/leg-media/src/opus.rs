//! `opus.conf`: how Opus is described and coded.

use std::sync::Arc;

use dialplan_xml::config::Params;
use media::codec::{OpusFmtp, OpusOwn};
use negotiation::OpusWishes;

use crate::contract::declare::{Parameters, Value, param};
use crate::switch::Switch;

const RATE: Value = Value::Number(0, 48_000);

/// What is read of the file. It is read for each description, so that a reload counts for calls from then on.
#[rustfmt::skip]
pub const PARAMETERS: &[Parameters] = &[Parameters {
    file: "opus.conf",
    scope: "",
    list: &[
        param("use-vbr", Value::Bool, "true", "The bit rate varies; without, both sides are to keep it (`cbr=1`)"),
        param("use-dtx", Value::Bool, "false", "Silence is hardly sent, and the far end is asked to do the same (`usedtx=1`)"),
        param("complexity", Value::Number(0, 10), "5", "Effort of the encoder; 0 takes the default"),
        param("packet-loss-percent", Value::Number(0, 100), "10", "Loss that forward error correction is made for"),
        param("maxaveragebitrate", Value::Number(0, 510_000), "0", "Bits a second that are sent and asked for, 6000 to 510000; 0: 30000"),
        param("maxplaybackrate", RATE, "0", "Highest rate that is sent and asked for: 8000, 12000, 16000, 24000 or 48000"),
        param("sprop-maxcapturerate", RATE, "0", "Highest rate that is sent, and said to be"),
        param("mono", Value::Bool, "false", "Two channels are not agreed on"),
        param("advertise-useinbandfec", Value::Bool, "true", "The far end is asked for forward error correction"),
        param("bitrate-negotiation", Value::Bool, "false", "The lower `maxaveragebitrate` of both sides is answered"),
        param("asymmetric-sample-rates", Value::Bool, "false", "The lower rates of both sides are answered"),
        param("keep-fec-enabled", Value::Bool, "true", "Forward error correction stays on")
            .no_effect("it is added whenever the far end asks for it"),
        param("adjust-bitrate", Value::Bool, "false", "The bit rate follows the losses reported")
            .no_effect("the bit rate stays"),
        param("use-jb-lookahead", Value::Bool, "true", "A lost packet is looked for in the next one")
            .no_effect("it always is"),
    ],
}];

/// The settings of a switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpusConf {
    /// What descriptions say.
    pub(crate) wishes: OpusWishes,
    own: OpusOwn,
}

impl OpusConf {
    /// As the file is now.
    pub(crate) fn of(switch: &Arc<Switch>) -> Self {
        let config = switch.config.load();
        let Some(conf) = config.document("opus.conf") else { return Self::default() };
        Self::read(&Params::read(conf.child("settings"), "param"))
    }

    fn read(params: &Params) -> Self {
        let usual = OpusWishes::default();
        let on = |name: &str, usual: bool| params.bool(name).unwrap_or(usual);
        let number = |name: &str| params.int(name).and_then(|n| u32::try_from(n).ok());
        let rate = |name: &str| {
            number(name).filter(|n| [8000, 12_000, 16_000, 24_000, 48_000].contains(n))
        };
        let bit_rate = number("maxaveragebitrate").filter(|n| (6000..=510_000).contains(n));
        let percent = |name: &str| number(name).and_then(|n| u8::try_from(n).ok());
        Self {
            wishes: OpusWishes {
                fec: on("advertise-useinbandfec", usual.fec),
                dtx: on("use-dtx", usual.dtx),
                cbr: !on("use-vbr", !usual.cbr),
                bit_rate,
                playback_rate: rate("maxplaybackrate"),
                capture_rate: rate("sprop-maxcapturerate"),
                mono: on("mono", usual.mono),
                lower_bit_rate: on("bitrate-negotiation", usual.lower_bit_rate),
                lower_rates: on("asymmetric-sample-rates", usual.lower_rates),
            },
            own: OpusOwn {
                bit_rate,
                complexity: percent("complexity").filter(|n| (1..=10).contains(n)),
                loss: percent("packet-loss-percent").filter(|n| *n <= 100),
            },
        }
    }

    /// How a peer is sent to that wrote `theirs`: within its limits and ours.
    pub(crate) fn sent_to(&self, theirs: Option<&str>) -> String {
        let asked = theirs.map(OpusFmtp::of_peer).unwrap_or_default();
        let rates = [asked.playback_rate, self.wishes.playback_rate, self.wishes.capture_rate];
        let sent = OpusFmtp {
            dtx: asked.dtx || self.wishes.dtx,
            cbr: asked.cbr || self.wishes.cbr,
            playback_rate: rates.into_iter().flatten().min(),
            own: self.own,
            ..asked
        };
        sent.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> OpusConf {
        let text = format!(
            "<configuration name=\"opus.conf\"><settings>{text}</settings></configuration>"
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.unwrap();
        OpusConf::read(&Params::read(tree.root().child("settings"), "param"))
    }

    #[test]
    fn without_settings_the_peer_is_sent_what_it_asks_for() {
        assert_eq!(conf(""), OpusConf::default());
        let sent = OpusConf::default().sent_to(Some("useinbandfec=1;maxaveragebitrate=20000"));
        assert_eq!(sent, "useinbandfec=1; usedtx=0; cbr=0; maxaveragebitrate=20000");
        assert_eq!(OpusConf::default().sent_to(None), "useinbandfec=0; usedtx=0; cbr=0");
    }

    #[test]
    fn what_is_configured_holds_within_the_peers_limits() {
        let set = |name: &str, value: &str| format!("<param name=\"{name}\" value=\"{value}\"/>");
        let read = conf(
            &[
                set("use-vbr", "0"),
                set("use-dtx", "true"),
                set("complexity", "9"),
                set("packet-loss-percent", "25"),
                set("maxaveragebitrate", "64000"),
                set("maxplaybackrate", "16000"),
                set("sprop-maxcapturerate", "44100"),
            ]
            .concat(),
        );
        assert!(read.wishes.cbr && read.wishes.dtx);
        assert_eq!((read.wishes.bit_rate, read.wishes.capture_rate), (Some(64_000), None));
        assert_eq!(
            read.sent_to(Some("maxplaybackrate=8000; x-complexity=1")),
            "useinbandfec=0; usedtx=1; cbr=1; maxplaybackrate=8000; x-bitrate=64000; x-complexity=9; x-loss=25"
        );
    }
}
