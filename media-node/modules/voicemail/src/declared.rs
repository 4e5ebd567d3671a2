//! What is declared: channel variables and events of voicemail, and what does nothing.

use dialplan_xml::declare::{EventKind, Value, Variable, event, keeps, reads, sets};

/// All of them.
#[rustfmt::skip]
pub(crate) const VARIABLES: &[Variable] = &[
    reads("voicemail_profile_name", Value::Text, "Profile, where the argument names none"),
    reads("voicemail_domain_name", Value::Text, "Domain, where the argument names none"),
    reads("voicemail_id", Value::Text, "Mailbox, where the argument names none"),
    reads("voicemail_authorized", Value::Bool, "The caller is asked for no password"),
    reads("voicemail_greeting_number", Value::Number(1, 9), "Greeting that is played instead of the chosen one"),
    reads("voicemail_greeting_path", Value::Path, "File that is played as the greeting"),
    reads("voicemail_alternate_greet_id", Value::Text, "Number the greeting speaks of instead of the mailbox"),
    reads("voicemail_callback_dialplan", Value::Text, "Instead of `callback-dialplan`"),
    reads("voicemail_callback_context", Value::Text, "Instead of `callback-context`"),
    keeps("skip_greeting", Value::Bool, "No greeting; used up by the call of `voicemail`"),
    keeps("skip_instructions", Value::Bool, "The tone without instructions; used up by the call of `voicemail`"),
    keeps("skip_record_urgent_check", Value::Bool, "The caller is not asked whether the message is urgent; used up by the call of `voicemail`"),
    keeps("voicemail_skip_goodbye", Value::Bool, "No goodbye; used up by the call of `voicemail`"),
    reads("skip_record_check", Value::Bool, "The caller is not asked what to do with the recording"),
    reads("vm_message_ext", Value::Text, "Form of the message, as the ending of a file"),
    reads("vm_operator_extension", Value::Text, "Instead of `operator-extension`"),
    reads("vm_cc", Value::Text, "Boxes that get a copy, with commas between; instead of the owner's `vm-cc`"),
    reads("vm_auth_only", Value::Bool, "The password is asked for and nothing else happens"),
    reads("vm_announce_cid", Value::Bool, "The caller's number is said before a message"),
    reads("vm_auto_play", Value::Bool, "New messages play by themselves; true where it is not set"),
    sets("voicemail_account", "Mailbox of the message left"),
    sets("voicemail_domain", "Its domain"),
    sets("voicemail_file_path", "Its file"),
    sets("voicemail_read_flags", "`A_URGENT` or `B_NORMAL`"),
    sets("voicemail_message_len", "Its length, HH:MM:SS"),
    sets("voicemail_current_folder", "Folder that is heard"),
    sets("voicemail_total_new_messages", "For mail: new messages"),
    sets("voicemail_total_saved_messages", "For mail: saved messages"),
    sets("voicemail_urgent_new_messages", "For mail: new urgent messages"),
    sets("voicemail_urgent_saved_messages", "For mail: saved urgent messages"),
    sets("voicemail_caller_id_name", "For mail: name of the caller"),
    sets("voicemail_caller_id_number", "For mail: number of the caller"),
    sets("voicemail_formatted_caller_id_number", "For mail: the same, as people write it"),
    sets("voicemail_time", "For mail: when the message was left"),
    sets("voicemail_priority", "For mail: 1 for an urgent message, else 3"),
    sets("voicemail_email", "For mail: where it goes"),
    sets("voicemail_uuid", "For mail: UUID of the message"),
    sets("user_pin_authenticated", "`auth_only`: the caller is known"),
    sets("user_pin_authenticated_user", "`auth_only`: as whom"),
    sets("RECORD_*", "What a message's file says of itself: title, artist, comment, copyright, software, date"),
];

/// Events.
#[rustfmt::skip]
pub(crate) const EVENTS: &[EventKind] = &[
    event("vm::maintenance", "Something happened to a mailbox (`VM-Action`)"),
    event("MESSAGE_WAITING", "The messages of a mailbox were counted"),
];
