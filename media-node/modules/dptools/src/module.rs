//! What the modules of dialplan tools provide.

use crate::contract::{ChatKind, Module, Plain, PromptKind, Provides};
use crate::endpoint;
use crate::schedule;
use crate::{
    answer, attended, audio, bridge, chat, declared, digit_action, digit_filter, digits, eavesdrop,
    esf, flow, hold, idle, info, intercept, ivr, jitter, machine, media_state, meta, mutex,
    observer, page, phone_features, phrase, playback, record, respond, say, tone, uuid_record,
    valet, variables,
};

pub const MODULES: &[&dyn Module] = &[
    &Plain::new(
        "mod_dptools",
        Provides {
            applications: &[
                answer::APPS,
                attended::APPS,
                audio::APPS,
                bridge::APPS,
                phone_features::APPS,
                digit_action::APPS,
                digit_filter::APPS,
                digits::APPS,
                eavesdrop::APPS,
                flow::APPS,
                hold::APPS,
                idle::APPS,
                info::APPS,
                intercept::APPS,
                ivr::APPS,
                jitter::APPS,
                machine::APPS,
                media_state::APPS,
                meta::APPS,
                mutex::APPS,
                page::APPS,
                phrase::APPS,
                playback::APPS,
                record::APPS,
                respond::APPS,
                say::APPS,
                schedule::APPS,
                tone::APPS,
                variables::APPS,
            ],
            commands: &[
                chat::APIS,
                page::APIS,
                phone_features::APIS,
                say::APIS,
                tone::APIS,
                uuid_record::APIS,
            ],
            endpoints: endpoint::DPTOOLS,
            chats: &[ChatKind { name: "event", send: chat::by_event }],
            prompts: &[
                PromptKind {
                    prefix: "phrase",
                    play: |session, text, keys| Box::pin(phrase::play_phrase(session, text, keys)),
                },
                PromptKind {
                    prefix: "say",
                    play: |session, text, keys| Box::pin(phrase::play_speech(session, text, keys)),
                },
            ],
            names: &[("dialplan", "inline"), ("file", "file_string")],
            observers: &[&observer::Observer],
            resolver: Some(&endpoint::Resolver),
            parameters: ivr::PARAMETERS,
            variables: &[declared::VARIABLES],
            events: &[declared::EVENTS],
            ..Provides::NOTHING
        },
    ),
    &Plain::new("mod_esf", Provides { applications: &[esf::APPS], ..Provides::NOTHING }),
    &Plain::new("mod_say_de", Provides { names: &[("say", "de")], ..Provides::NOTHING }),
    &Plain::new("mod_say_en", Provides::NOTHING),
    &Plain::new("mod_say_es", Provides { names: &[("say", "es")], ..Provides::NOTHING }),
    &Plain::new("mod_say_fr", Provides { names: &[("say", "fr")], ..Provides::NOTHING }),
    &Plain::new("mod_say_nl", Provides { names: &[("say", "nl")], ..Provides::NOTHING }),
    &Plain::new(
        "mod_say_ru",
        Provides { names: &[("say", "ru")], variables: &[declared::RUSSIAN], ..Provides::NOTHING },
    ),
    &Plain::new(
        "mod_valet_parking",
        Provides { applications: &[valet::APPS], commands: &[valet::APIS], ..Provides::NOTHING },
    )
    .staying(),
];
