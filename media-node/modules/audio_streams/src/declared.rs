//! What is declared: completions, channel variables, events.

use dialplan_xml::declare::{EventKind, Value, Variable, event, reads, sets};

pub(crate) const FORK_COMPLETIONS: &str = "\
uuid_audio_fork ::console::list_uuid start
uuid_audio_fork ::console::list_uuid stop
uuid_audio_fork ::console::list_uuid send_text
uuid_audio_fork ::console::list_uuid pause
uuid_audio_fork ::console::list_uuid resume
uuid_audio_fork ::console::list_uuid mute
uuid_audio_fork ::console::list_uuid unmute
uuid_audio_fork ::console::list_uuid graceful-shutdown
uuid_audio_fork ::console::list_uuid stop_play
";

pub(crate) const STREAM_COMPLETIONS: &str = "\
uuid_audio_stream ::console::list_uuid start
uuid_audio_stream ::console::list_uuid stop
uuid_audio_stream ::console::list_uuid send_text
uuid_audio_stream ::console::list_uuid pause
uuid_audio_stream ::console::list_uuid resume
uuid_audio_stream ::console::list_uuid mute
uuid_audio_stream ::console::list_uuid unmute
uuid_audio_streams ::console::list_uuid
uuid_audio_streams ::console::list_uuid list
uuid_audio_streams ::console::list_uuid stop
uuid_audio_streams ::console::list_uuid send_text
uuid_audio_streams ::console::list_uuid pause
uuid_audio_streams ::console::list_uuid resume
uuid_audio_streams ::console::list_uuid mute
uuid_audio_streams ::console::list_uuid unmute
";

pub(crate) const MODEL_COMPLETIONS: &str = "\
uuid_openai_audio_stream ::console::list_uuid start
uuid_openai_audio_stream ::console::list_uuid stop
uuid_openai_audio_stream ::console::list_uuid send_json
uuid_openai_audio_stream ::console::list_uuid pause
uuid_openai_audio_stream ::console::list_uuid resume
uuid_openai_audio_stream ::console::list_uuid mute
uuid_openai_audio_stream ::console::list_uuid unmute
";

#[rustfmt::skip]
pub(crate) const FORK_VARIABLES: &[Variable] = &[
    reads("MOD_AUDIO_BASIC_AUTH_USERNAME", Value::Text, "User the program is shown"),
    reads("MOD_AUDIO_BASIC_AUTH_PASSWORD", Value::Secret, "Password with it"),
    reads("MOD_AUDIO_FORK_ALLOW_SELFSIGNED", Value::Bool, "The program's certificate need not lead to a known authority"),
    reads("MOD_AUDIO_FORK_SKIP_SERVER_CERT_HOSTNAME_CHECK", Value::Bool, "It need not be for the host"),
    reads("MOD_AUDIO_FORK_ALLOW_EXPIRED", Value::Bool, "It may have expired"),
];

const MILLIS: Value = Value::Number(0, 60_000);

#[rustfmt::skip]
pub(crate) const STREAM_VARIABLES: &[Variable] = &[
    reads("STREAM_MESSAGE_DEFLATE", Value::Bool, "Compressed messages are not offered"),
    reads("STREAM_HEART_BEAT", Value::Number(0, 3600), "Seconds between pings, instead of the parameter `ping-interval`; 0 = none"),
    reads("STREAM_SUPPRESS_LOG", Value::Bool, "Messages of the program are not logged").no_effect("they never are"),
    reads("STREAM_BUFFER_SIZE", MILLIS, "Milliseconds of a message with audio, a multiple of 20"),
    reads("STREAM_EXTRA_HEADERS", Value::Secret, "Headers of the handshake, a JSON object of texts"),
    reads("STREAM_TLS_CA_FILE", Value::Text, "File of authorities, `SYSTEM`, or `NONE` for no checks"),
    reads("STREAM_TLS_CERT_FILE", Value::Path, "Our certificate, PEM"),
    reads("STREAM_TLS_KEY_FILE", Value::Path, "Its key"),
    reads("STREAM_TLS_DISABLE_HOSTNAME_VALIDATION", Value::Bool, "The program's certificate need not be for the host"),
    reads("STREAM_PLAYBACK", Value::Bool, "The switch plays what the program sends"),
    reads("STREAM_SAMPLE_RATE", Value::Number(1000, 192_000), "Rate of its binary messages, instead of the stream's"),
    reads("stream_vad", Value::Text, "Events say who speaks: true, or `neural` for a network in place of loudness"),
    reads("stream_barge_in", Value::Bool, "What a program says ends when the far end speaks"),
    reads("stream_vad_threshold", Value::Number(1, 32_767), "Mean absolute sample from which sound may be speech"),
    reads("stream_vad_min_ms", MILLIS, "Milliseconds of sound that are speech"),
    reads("stream_vad_end_ms", MILLIS, "Milliseconds of silence that end it"),
    reads("stream_turn_silence_ms", MILLIS, "Silence after speech that ends the far end's turn; 0 = none does"),
    reads("stream_prebuffer_ms", Value::Number(20, 160), "Milliseconds of a program's audio that must be there, or pass, before it is heard, at least; 20 without it"),
    reads("traceparent", Value::Text, "Trace (W3C) of this leg, instead of one named after the call: programs are told of it, spans belong to it"),
    reads("stream_duck", Value::Number(0, 100), "Level of everything else while a program speaks, in percent"),
    sets("stream_result", "How the application `stream` ended: `closed`, `stopped`, `failed`, `broken`"),
];

#[rustfmt::skip]
pub(crate) const MODEL_VARIABLES: &[Variable] = &[
    reads("STREAM_OPENAI_API_KEY", Value::Secret, "Bearer token the model is shown"),
    reads("STREAM_DISABLE_AUDIOFILES", Value::Bool, "No files of the model's speech are written"),
    reads("STREAM_NO_RECONNECT", Value::Bool, "A stream that breaks is not connected again"),
];

#[rustfmt::skip]
pub(crate) const FORK_EVENTS: &[EventKind] = &[
    event("mod_audio_fork::connect", "The program is connected"),
    event("mod_audio_fork::connect_failed", "It cannot be connected to"),
    event("mod_audio_fork::disconnect", "The connection ended, or (with a body) the program said so"),
    event("mod_audio_fork::buffer_overrun", "The program does not take the call's audio in time"),
    event("mod_audio_fork::playout_overflow", "Its audio found no room"),
    event("mod_audio_fork::play_audio", "It sent a clip, which is in a file now"),
    event("mod_audio_fork::kill_audio", "It wants silence"),
    event("mod_audio_fork::transcription", "It sent a transcription"),
    event("mod_audio_fork::transfer", "It asks for a transfer"),
    event("mod_audio_fork::error", "It reports an error"),
    event("mod_audio_fork::json", "It sent something else"),
    event("mod_audio_fork::cleared", "Audio of it was thrown away: how much was heard"),
    event("mod_audio_fork::vad", "Speech began or ended"),
    event("mod_audio_fork::barge_in", "The far end spoke into what was played"),
    event("mod_audio_fork::turn_end", "The far end's turn is over"),
];

#[rustfmt::skip]
pub(crate) const STREAM_EVENTS: &[EventKind] = &[
    event("mod_audio_stream::connect", "The program is connected"),
    event("mod_audio_stream::disconnect", "It closed the connection"),
    event("mod_audio_stream::error", "The stream failed"),
    event("mod_audio_stream::play", "The program sent a clip: its file, or with playback its length"),
    event("mod_audio_stream::json", "It sent anything else"),
    event("mod_audio_stream::cleared", "Audio of it was thrown away: how much was heard"),
    event("mod_audio_stream::vad", "Speech began or ended"),
    event("mod_audio_stream::barge_in", "The far end spoke into what was played"),
    event("mod_audio_stream::turn_end", "The far end's turn is over"),
    event("mod_media_streams::connect", "A stream of the application `stream` is open; further names as above"),
    event("mod_chan_websocket::connect", "The same with Asterisk's messages"),
    event("mod_audiosocket::connect", "The same with AudioSocket"),
];

#[rustfmt::skip]
pub(crate) const MODEL_EVENTS: &[EventKind] = &[
    event("mod_openai_audio_stream::connect", "The model is connected"),
    event("mod_openai_audio_stream::disconnect", "It closed the connection"),
    event("mod_openai_audio_stream::reconnecting", "The connection broke and is tried again"),
    event("mod_openai_audio_stream::error", "The stream failed"),
    event("mod_openai_audio_stream::play", "The model speaks"),
    event("mod_openai_audio_stream::json", "It sent anything else"),
    event("mod_openai_audio_stream::openai_speech_start", "It hears the far end speak"),
    event("mod_openai_audio_stream::openai_speech_stop", "It hears the far end stop"),
    event("mod_openai_audio_stream::cleared", "Audio of it was thrown away: how much was heard"),
];

pub(crate) const TRANSCRIBE_COMPLETIONS: &str = "\
uuid_transcribe ::console::list_uuid start
uuid_transcribe ::console::list_uuid stop
";

#[rustfmt::skip]
pub(crate) const RECOGNITION_VARIABLES: &[Variable] = &[
    reads("fire_asr_events", Value::Bool, "DETECTED_SPEECH goes to all, not only to a connection that diverts the call's events"),
    reads("asr_intercept_dtmf", Value::Bool, "Digits of a result are keys"),
    reads("play_and_detect_speech_close_asr", Value::Bool, "`play_and_detect_speech` ends the recognition it began"),
    reads("transcribe_engine", Value::Text, "Engine of `uuid_transcribe` and its kin, instead of the parameter `engine`"),
    reads("JAMBONZ_STT_URL", Value::Text, "Server of `uuid_jambonz_transcribe` and `uuid_transcribe`, instead of an engine"),
    reads("JAMBONZ_STT_API_KEY", Value::Secret, "Bearer token it is shown"),
    reads("JAMBONZ_STT_OPTIONS", Value::Text, "`options` it gets, a JSON object"),
    reads("JAMBONZ_STT_SAMPLING", Value::Number(8000, 48_000), "Samples per second it gets"),
    sets("detect_speech_result", "What `play_and_detect_speech` heard; `DIGIT: ` and a key where that ended it"),
    sets("transcript", "What was said, a line each: seconds since the call began, the side, the words"),
];

#[rustfmt::skip]
pub(crate) const RECOGNITION_EVENTS: &[EventKind] = &[
    event("switch::transcript", "Words of a call that stay, of whichever recognition (not in FreeSWITCH)"),
    event("transcribe::transcription", "Words of `uuid_transcribe`; the same with google_, nvidia_, aws_, azure_, deepgram_ and jambonz_ before it, in the dialect of those modules"),
    event("transcribe::connect", "The engine is connected"),
    event("transcribe::connect_failed", "It cannot be connected to"),
    event("transcribe::error", "It cannot go on"),
];
