//! What a call hears and what is recorded of it.

use mlua::{Lua, UserDataMethods, Value};
use scripting::{playing, splice};

use super::Call;
use crate::app::play;
use crate::argument::{Int, Text, number};

pub(super) fn add<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method("streamFile", |lua, this, (file, begin): (Text, Int)| {
        if this.sane().is_none() {
            return Ok(-1.0);
        }
        let file = this.context.taint.borrow().file(file.or_empty());
        let file = playing::at_sample(&file, begin.or(0));
        let played = this.run_heard(lua, "a file", move |session| {
            Box::pin(async move { playing::play(session, &file).await })
        })?;
        Ok(number(i64::from(played == Some(true))))
    });
    methods.add_method(
        "recordFile",
        |lua, this, (file, limit, threshold, hits): (Text, Int, Int, Int)| {
            if this.sane().is_none() {
                return Ok(-1.0);
            }
            let Some(file) = file.filled() else { return Ok(0.0) };
            let argument = playing::recording(file, limit.or(0), threshold.or(0), hits.or(0));
            let recorded = this.application(lua, "a recording", "record", argument)?;
            Ok(number(i64::from(recorded)))
        },
    );
    methods.add_method("speak", |lua, this, text: Text| {
        let Some(channel) = this.sane() else { return Ok(-1.0) };
        let (engine, voice) = this.tts.borrow().clone();
        if engine.is_empty() {
            tracing::error!(uuid = %channel.uuid(), "No TTS engine specified");
            return Ok(1.0);
        }
        let argument = format!("{engine}|{voice}|{}", text.or_empty());
        let spoken = this.application(lua, "speech", "speak", argument)?;
        Ok(number(i64::from(spoken)))
    });
    for name in ["set_tts_params", "set_tts_parms"] {
        methods.add_method(name, |_, this, (engine, voice): (Text, Text)| {
            if this.sane().is_some() {
                *this.tts.borrow_mut() =
                    (engine.or_empty().to_owned(), voice.or_empty().to_owned());
            }
            Ok(())
        });
    }
    methods.add_method("insertFile", |_, this, (file, insert, at): (Text, Text, Int)| {
        let Some(channel) = this.sane() else { return Ok(-1.0) };
        let (Some(file), Some(insert)) = (file.filled(), insert.filled()) else {
            return Ok(0.0);
        };
        let options = play::source_options(&channel, 8000);
        let (file, insert) = (options.sound_prefix.join(file), insert.to_owned());
        let at = usize::try_from(at.or(0)).unwrap_or(0);
        let task = async move {
            tokio::task::spawn_blocking(move || splice::insert(&file, &insert, at, options)).await
        };
        match this.context.wait("a file", task)? {
            Ok(Ok(())) => Ok(1.0),
            Ok(Err(error)) => {
                tracing::error!(uuid = %channel.uuid(), "insertFile: {error}");
                Ok(0.0)
            }
            Err(_) => Ok(0.0),
        }
    });
    // Real-time text: legs pass it on to each other, none of them takes it from a script.
    methods.add_method("print", |_, this, _text: Text| {
        if let Some(channel) = this.sane() {
            tracing::warn!(uuid = %channel.uuid(), "print: the call takes no text");
        }
        Ok(())
    });
    add_phrases(methods);
    add_speech(methods);
}

fn add_phrases<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method(
        "say",
        |lua, this, (text, language, kind, method, gender): (Text, Text, Text, Text, Text)| {
            let Some(channel) = this.sane() else { return Ok(()) };
            let (Some(text), Some(language), Some(kind), Some(method)) =
                (&text.0, language.filled(), kind.filled(), method.filled())
            else {
                tracing::error!(uuid = %channel.uuid(), "Error! invalid args.");
                return Ok(());
            };
            let gender = gender.filled().map(|gender| format!("{gender} ")).unwrap_or_default();
            let argument = format!("{language} {kind} {method} {gender}{text}");
            this.application(lua, "a phrase", "say", argument).map(drop)
        },
    );
    methods.add_method("sayPhrase", |lua, this, (name, data, language): (Text, Text, Text)| {
        let Some(channel) = this.sane() else { return Ok(()) };
        let Some(name) = name.filled() else {
            tracing::error!(uuid = %channel.uuid(), "Error! invalid args.");
            return Ok(());
        };
        let phrase = playing::phrase(name, data.or_empty(), language.or_empty());
        this.run_heard(lua, "a phrase", move |session| {
            Box::pin(async move {
                playing::play(session, &phrase).await;
            })
        })?;
        Ok(())
    });
}

/// Recognition of speech: what the applications of the same names do, where a module provides them.
fn add_speech<M: UserDataMethods<Call>>(methods: &mut M) {
    methods.add_method("detectSpeech", |lua, this, words: mlua::Variadic<Text>| {
        if this.sane().is_some() {
            let words: Vec<_> = words.iter().filter_map(|word| word.0.clone()).collect();
            this.application(lua, "speech", "detect_speech", words.join(" "))?;
        }
        Ok(())
    });
    methods.add_method(
        "playAndDetectSpeech",
        |lua, this, (file, engine, grammar): (Text, Text, Text)| {
            let Some(channel) = this.sane() else { return Ok(Value::Nil) };
            channel.unset_var("detect_speech_result");
            let argument =
                format!("{} detect:{} {}", file.or_empty(), engine.or_empty(), grammar.or_empty());
            this.application(lua, "speech", "play_and_detect_speech", argument)?;
            match channel.var("detect_speech_result") {
                Some(result) => Ok(Value::String(lua.create_string(result)?)),
                None => Ok(Value::Nil),
            }
        },
    );
}

impl Call {
    /// Runs an application without telling of it, as methods do in the reference. False when there is none of that name.
    fn application(
        &self,
        lua: &Lua,
        what: &'static str,
        name: &'static str,
        argument: String,
    ) -> mlua::Result<bool> {
        let Some(app) = self.context.switch.app(name) else {
            tracing::error!("{name}: no module provides it");
            return Ok(false);
        };
        let ran = self.run_heard(lua, what, move |session| {
            Box::pin(async move { playing::application(session, app, &argument).await })
        })?;
        Ok(ran == Some(true))
    }
}
