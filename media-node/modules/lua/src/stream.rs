//! `stream`: what an API script answers.

use std::sync::Arc;

use mlua::{UserData, UserDataMethods};
use parking_lot::Mutex;

use crate::argument::{Int, Text};

/// Most an answer may grow to.
const MAX_OUTPUT: usize = 64 << 20;

/// What was written so far; shared with the task that waits for the answer.
pub(crate) type Output = Arc<Mutex<Vec<u8>>>;

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
        let mut output = self.0.lock();
        if output.len().saturating_add(bytes.len()) > MAX_OUTPUT {
            return Err(mlua::Error::RuntimeError("stream: the answer is too long".to_owned()));
        }
        output.extend_from_slice(bytes);
        Ok(())
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
