//! `FileIO`: files that scripts read and write.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{Read as _, Write as _};
use std::rc::Rc;

use rquickjs::{Ctx, Exception};

use crate::context::{Context, Held};
use crate::values::{Answer, Given, object, unknown};

/// Most that is read at once, in octets.
const LARGEST: i64 = 64 << 20;
/// It is read in parts of so many octets.
const PART: usize = 64 << 10;

/// The object.
pub(crate) struct File {
    file: RefCell<Option<fs::File>>,
    /// What was read last.
    data: RefCell<Vec<u8>>,
    held: Held,
    /// The most that was read at once, which `held` counts.
    counted: Cell<usize>,
    reads: bool,
    writes: bool,
}

impl File {
    /// Opens a file: a path, and letters of `rwcatb` (read, write, create, append, truncate). Nothing where that fails.
    pub(crate) fn open<'js>(
        ctx: &Ctx<'js>,
        context: &Rc<Context>,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        let flags = given.text(1);
        let has = |flag: char| flags.contains(flag);
        let opened = fs::OpenOptions::new()
            .read(has('r'))
            .write(has('w'))
            .create(has('c'))
            .append(has('a'))
            .truncate(has('t') && has('w'))
            .open(given.text(0));
        let Ok(file) = opened else { return Ok(Answer::Null) };
        let this = Self {
            file: RefCell::new(Some(file)),
            data: RefCell::default(),
            held: context.hold(ctx)?,
            counted: Cell::new(0),
            reads: has('r'),
            writes: has('w') || has('a'),
        };
        object(ctx, move |ctx, operation, given| this.run(ctx, operation, given))
            .map(Answer::Function)
    }

    fn run<'js>(
        &self,
        ctx: &Ctx<'js>,
        operation: &str,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        let mut file = self.file.borrow_mut();
        Ok(match (operation, &mut *file) {
            ("open", file) => Answer::Bool(file.is_some()),
            ("close", file) => {
                file.take();
                Answer::Nothing
            }
            ("data", _) => match &*self.data.borrow() {
                data if data.is_empty() => Answer::Bool(false),
                data => Answer::Text(String::from_utf8_lossy(data).into_owned()),
            },
            ("read", Some(file)) if self.reads => {
                let most = given.int(0).clamp(0, LARGEST);
                self.read(ctx, file, usize::try_from(most).unwrap_or(0))?
            }
            ("write", Some(file)) if self.writes => {
                Answer::Bool(file.write_all(given.text(0).as_bytes()).is_ok())
            }
            ("read" | "write", _) => Answer::Bool(false),
            _ => return Err(unknown(ctx, operation)),
        })
    }

    fn read<'js>(
        &self,
        ctx: &Ctx<'js>,
        file: &mut fs::File,
        most: usize,
    ) -> rquickjs::Result<Answer<'js>> {
        let mut data = self.data.borrow_mut();
        data.clear();
        let mut part = vec![0; most.min(PART)];
        while data.len() < most {
            let wanted = part.len().min(most - data.len());
            let read = match file.read(part.get_mut(..wanted).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => part.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Exception::throw_message(ctx, &error.to_string())),
            };
            // What is there counts, not what was asked for; and what was read before makes place for it.
            let length = data.len() + read.len();
            let more = length.saturating_sub(self.counted.get());
            self.held.grow(ctx, more)?;
            self.counted.set(self.counted.get() + more);
            data.extend_from_slice(read);
        }
        Ok(Answer::Bool(!data.is_empty()))
    }
}
