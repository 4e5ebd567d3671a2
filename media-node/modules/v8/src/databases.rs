//! Databases behind `DBH`, `ODBC` and `CoreDB`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ::database::odbc;
use rquickjs::{Array, Ctx, Object};
use scripting::context::DATABASE;
use scripting::database::{self, Answer as Found, Connection, Handles};

use crate::context::{Context, Held};
use crate::language::Scripts;
use crate::values::{Answer, Given, object, unknown};

/// The object.
pub(crate) struct Database {
    context: Rc<Context>,
    name: String,
    handles: Arc<Handles>,
    connection: RefCell<Option<Connection>>,
    error: RefCell<String>,
    affected: Cell<u64>,
    _held: Held,
}

impl Database {
    /// Connects; nothing where that fails: the log says why.
    pub(crate) fn open<'js>(
        ctx: &Ctx<'js>,
        context: &Rc<Context>,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        let parts = [given.filled(0), given.filled(1), given.filled(2)];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(":");
        let handles = Arc::clone(&context.switch.module::<Scripts>().handles);
        let connection = match handles.take(&name) {
            Some(mut connection) => {
                let kept = context.wait(ctx, DATABASE, connection.works_for(&context.script))?;
                kept.is_ok().then_some(connection)
            }
            None => None,
        };
        let connection = match connection {
            Some(connection) => Some(connection),
            None => Self::connect(ctx, context, &name)?,
        };
        let Some(connection) = connection else { return Ok(Answer::Null) };
        let this = Self {
            context: Rc::clone(context),
            name,
            handles,
            connection: RefCell::new(Some(connection)),
            error: RefCell::default(),
            affected: Cell::new(0),
            _held: context.hold(ctx)?,
        };
        object(ctx, move |ctx, operation, given| this.run(ctx, operation, given))
            .map(Answer::Function)
    }

    fn connect(
        ctx: &Ctx<'_>,
        context: &Context,
        name: &str,
    ) -> rquickjs::Result<Option<Connection>> {
        let target = match odbc::find(name, &context.switch.dirs.db_dir, odbc::system_ini) {
            Ok(target) => target,
            Err(unknown) => {
                tracing::error!("Connection failed.  DBH NOT Connected. {unknown}");
                return Ok(None);
            }
        };
        let connected = context.wait(ctx, DATABASE, database::connect(&target, &context.script))?;
        Ok(connected
            .inspect_err(|trouble| {
                tracing::error!("Connection failed.  DBH NOT Connected. {}", trouble.told());
            })
            .ok())
    }

    fn run<'js>(
        &self,
        ctx: &Ctx<'js>,
        operation: &str,
        given: &Given<'js>,
    ) -> rquickjs::Result<Answer<'js>> {
        Ok(match operation {
            "name" => Answer::Text(self.name.clone()),
            "connected" => Answer::Bool(self.connection.borrow().is_some()),
            "affected" => Answer::Int(i64::try_from(self.affected.get()).unwrap_or(i64::MAX)),
            "error" => Answer::Text(self.error.borrow().clone()),
            "release" => Answer::Bool(self.release()),
            "query" => match self.query(ctx, &given.text(0), given.is_true(1))? {
                Some(found) => Answer::Object(rows(ctx, &found)?.into_object()),
                None => Answer::Null,
            },
            _ => return Err(unknown(ctx, operation)),
        })
    }

    /// Runs statements. `None` when they failed: the error is kept and logged.
    fn query(&self, ctx: &Ctx<'_>, sql: &str, rows: bool) -> rquickjs::Result<Option<Found>> {
        self.error.borrow_mut().clear();
        let Some(mut connection) = self.connection.borrow_mut().take() else {
            tracing::error!("DBH NOT Connected.");
            return Ok(None);
        };
        // A script that is ended meanwhile leaves the connection in an unknown state: it is not used again.
        let query = database::query(&mut connection, sql, rows);
        match self.context.wait(ctx, DATABASE, query)? {
            Ok(found) => {
                *self.connection.borrow_mut() = Some(connection);
                self.affected.set(found.affected);
                Ok(Some(found))
            }
            Err(trouble) => {
                let told = trouble.told();
                tracing::error!("Error {told}");
                *self.error.borrow_mut() = told;
                let kept = match trouble.keeps_connection() {
                    true => Some(connection),
                    false => Self::connect(ctx, &self.context, &self.name)?,
                };
                *self.connection.borrow_mut() = kept;
                Ok(None)
            }
        }
    }

    fn release(&self) -> bool {
        let connection = self.connection.borrow_mut().take();
        let was = connection.is_some();
        if let Some(connection) = connection {
            self.handles.give(&self.name, connection);
        }
        was
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.release();
    }
}

/// Rows as a list of objects; NULL is null.
fn rows<'js>(ctx: &Ctx<'js>, found: &Found) -> rquickjs::Result<Array<'js>> {
    let list = Array::new(ctx.clone())?;
    for (at, row) in found.rows.iter().enumerate() {
        let object = Object::new(ctx.clone())?;
        for (name, value) in row {
            let text = value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
            object.set(&**name, Answer::from(text))?;
        }
        list.set(at, object)?;
    }
    Ok(list)
}
