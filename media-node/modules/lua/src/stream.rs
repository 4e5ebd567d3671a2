//! `stream`: what an API script answers.

use mlua::{UserData, UserDataMethods};
use scripting::scripts::{self, Output};

use crate::argument::{Int, Text};

/// The object.
pub(crate) struct Stream(Output);

impl Stream {
    /// One that writes there.
    pub(crate) fn over(output: Output) -> Self {
        Self(output)
    }

    /// One of the script's own.
    pub(crate) fn new() -> Self {
        Self(Output::default())
    }

    fn write(&self, bytes: &[u8]) -> mlua::Result<()> {
        scripts::write(&self.0, bytes).map_err(|error| mlua::Error::RuntimeError(error.to_string()))
    }
}

impl UserData for Stream {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("write", |_, this, text: Option<mlua::String>| {
            text.map_or(Ok(()), |text| this.write(&text.as_bytes()))
        });
        methods.add_method("raw_write", |_, this, (text, length): (mlua::String, Int)| {
            let bytes = text.as_bytes();
            let length = usize::try_from(length.or(i64::MAX)).unwrap_or(0).min(bytes.len());
            this.write(&bytes[..length])
        });
        methods.add_method("get_data", |lua, this, ()| lua.create_string(&*this.0.lock()));
        // The reference reads what a web server's client sends; there is none such.
        methods.add_method("read", |_, _, _: Text| Ok((mlua::Value::Nil, 0.0)));
    }
}
