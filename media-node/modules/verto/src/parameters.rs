//! What is declared: parameters of `verto.conf`, channel variables, events.

use dialplan_xml::declare::{
    EventKind, Parameter, Parameters, Value, Variable, event, keeps, param, reads, sets,
};

/// All parameters.
pub(super) const PARAMETERS: &[Parameters] =
    &[Parameters { file: "verto.conf", scope: "", list: LIST }];

const COUNT: Value = Value::Number(1, u32::MAX as i64);

#[rustfmt::skip]
const LIST: &[Parameter] = &[
    // Settings.
    param("debug", Value::Number(0, 10), "0", "From 1 on messages of clients go to the log, passwords left out"),
    param("detach-timeout-sec", Value::Number(1, 86_400), "120", "How long a call waits for its browser to come back"),
    param("enable-presence", Value::Bool, "true", "What calls do is told on the event channel `presence`"),
    param("enable-fs-events", Value::Bool, "false", "Events are told on the event channel `FSevent`"),
    param("kslog", Value::Bool, "false", "Log of the WebSocket library").no_effect("the library it is about is not used"),
    // Listeners and certificates of a profile.
    param("bind-local", Value::Text, "", "Address and port of a listener; with `secure=\"true\"` of one with TLS; several may be given"),
    param("secure-combined", Value::Path, "", "Certificate and key in one file"),
    param("secure-cert", Value::Path, "", "Certificate"),
    param("secure-key", Value::Path, "", "Its key"),
    param("secure-chain", Value::Path, "", "Certificates that stand between it and an authority"),
    param("apply-connection-acl", Value::AccessList, "", "Who may connect; all lists must allow it"),
    // Logins.
    param("userauth", Value::Text, "", "Users of the directory log in: `true`, or `@domain` for those of one domain"),
    param("root-password", Value::Secret, "", "Password of the user `root`, who may use every method"),
    param("chop-domain", Value::Bool, "true", "What follows `@` in a login is the domain"),
    param("force-register-domain", Value::Text, "", "Domain of all logins"),
    param("blind-reg", Value::Bool, "false", "Users that are not in the directory may log in all the same"),
    param("send-auth-password", Value::Bool, "false", "The password goes to bindings of the directory as `user_supplied_pass`"),
    // Calls.
    param("context", Value::Text, "default", "Context of calls of users that have none of their own"),
    param("dialplan", Value::Text, "XML", "Dialplan of such calls"),
    param("inbound-codec-string", Value::Codecs, "`outbound-codec-string`", "Codecs of calls in"),
    param("outbound-codec-string", Value::Codecs, "opus,vp8", "Codecs of calls out"),
    param("rtp-ip", Value::Address, "first listener's", "Address of media; several are used in turn"),
    param("ext-rtp-ip", Value::Public, "", "Address shown to browsers outside"),
    param("local-network", Value::AccessList, "localnet.auto", "Browsers that get the own address, not the external one"),
    param("apply-candidate-acl", Value::AccessList, "wan.auto", "Addresses of candidates that may be used"),
    param(
        "turn-server",
        Value::Text,
        "",
        "TURN server that relays calls of browsers where no direct path works: `turn:host[:port][?transport=udp]`, or `tcp`, or `turns:host[:port]` over TLS",
    ),
    param("turn-username", Value::Text, "", "User of `turn-server`"),
    param("turn-password", Value::Secret, "", "Password of that user"),
    param("turn-ca-file", Value::Path, "the machine's", "Authorities (PEM) that vouch for the certificate of a `turns:` server"),
    param("timer-name", Value::Text, "soft", "Name of the clock, shown in variables"),
    param("auto-jitterbuffer-msec", Value::Text, "1p:20p", "Size of the jitter buffer").no_effect("the buffer adapts by itself; `jitterbuffer_msec` sets one"),
    param("enable-text", Value::Bool, "false", "Real-time text in messages").no_effect("real-time text is passed between legs that negotiated it"),
    param("mcast-ip", Value::Text, "", "Group to which broadcasts of clients go").no_effect("broadcasts reach the clients of this switch"),
    param("mcast-port", Value::Port, "", "Its port").no_effect("broadcasts reach the clients of this switch"),
    // Web pages of a profile (`vhosts`).
    param("alias", Value::Text, "", "Other name of a vhost").no_effect(VHOSTS),
    param("root", Value::Path, "", "Folder of its pages").no_effect(VHOSTS),
    param("script-root", Value::Path, "", "Folder of its scripts").no_effect(VHOSTS),
    param("index", Value::Text, "", "Its first page").no_effect(VHOSTS),
    param("auth-realm", Value::Text, "", "Realm of its pages").no_effect(VHOSTS),
    param("auth-user", Value::Text, "", "User of its pages").no_effect(VHOSTS),
    param("auth-pass", Value::Secret, "", "Password of its pages").no_effect(VHOSTS),
    // Bounds, of this switch only.
    param("max-connections", COUNT, "10000", "Clients of a profile at once"),
    param("max-strangers-per-address", COUNT, "64", "Clients of one address that have not logged in"),
    param("login-timeout-sec", COUNT, "30", "How long a client may take to log in"),
    param("max-messages-per-second", COUNT, "100", "Messages a client may send for long; one that sends more is dropped"),
];

const VHOSTS: &str = "pages are served by mod_http_api, or by a web server in front";

/// Channel variables.
#[rustfmt::skip]
pub(super) const VARIABLES: &[Variable] = &[
    reads("verto_skip_set_user", Value::Bool, "The user's variables of the directory are not set on calls of a Verto client"),
    reads("verto_svar_*", Value::Text, "Told to the client as a variable of the call"),
    reads("verto_h_*", Value::Text, "Told to the client among the parameters of the call"),
    sets("verto_user", "User of the Verto client"),
    sets("verto_host", "Its domain"),
    sets("verto_client_address", "Address and port of the client"),
    sets("verto_profile_name", "Profile the client is connected to"),
    sets("verto_remote_caller_id_name", "Name the client showed for the called party"),
    sets("verto_remote_caller_id_number", "Number the client showed for the called party"),
    sets("verto_orig_dest", "User that was called, before the clients were known"),
    sets("verto_hangup_disposition", "Who ended the call: `send_bye`, `recv_bye`"),
    sets("verto_dvar_*", "Variables the client sent with the call"),
    sets("verto_echoCancellation", "The browser takes out echoes"),
    sets("verto_noiseSuppression", "The browser takes out noise"),
    sets("verto_autoGainControl", "The browser sets the level"),
    sets("jsock_uuid_str", "Session of the client"),
    sets("event_channel_cookie", "Session of the client"),
    sets("chat_proto", "How texts reach the far end"),
    sets("secondary_recovery_module", "`mod_verto`"),
    sets("video_screen_share", "The video shows a screen"),
    sets("video_second_source", "The call is a second source of video"),
    sets("video_use_dedicated_encoder", "The client asks for an encoder of its own"),
    sets("video_mirror_input", "The client asks for a mirrored picture"),
    sets("video_initial_watching_canvas", "Canvas the client asks to watch"),
    sets("video_second_screen", "The call is a second screen"),
    sets("channel_name", "Name of the channel"),
    sets("number_alias", "The user's number, else their name"),
    keeps("last_sent_display_name", Value::Text, "Name the client was last shown"),
    keeps("last_sent_display_number", Value::Text, "Number the client was last shown"),
];

/// Subclasses of CUSTOM events.
pub(super) const EVENTS: &[EventKind] = &[
    event("verto::client_connect", "A Verto client connected"),
    event("verto::client_disconnect", "A Verto client is gone"),
    event("verto::login", "A Verto client logged in, or tried to"),
];
