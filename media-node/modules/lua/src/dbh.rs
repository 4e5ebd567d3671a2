//! `freeswitch.Dbh`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use ::database::odbc;
use mlua::{Function, Lua, MultiValue, Table, UserData, UserDataMethods, Value};
use scripting::context::DATABASE;
use scripting::database::{self, Answer, Connection, Handles, Row};

use crate::argument::{Text, number};
use crate::context::Context;
use crate::engine::text_of;
use crate::language::{Scripts, log_failed};

/// The object.
pub(crate) struct Dbh {
    context: Rc<Context>,
    name: String,
    handles: Arc<Handles>,
    connection: RefCell<Option<Connection>>,
    error: RefCell<Option<String>>,
    affected: Cell<u64>,
}

impl Dbh {
    /// `freeswitch.Dbh(name [, user [, password]])`. Without a connection it says so (`connected`).
    pub(crate) fn open(
        context: &Rc<Context>,
        name: &str,
        user: Option<&str>,
        password: Option<&str>,
    ) -> mlua::Result<Self> {
        let parts = [Some(name), user, password];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(":");
        let handles = Arc::clone(&context.switch.module::<Scripts>().handles);
        let connection = match handles.take(&name) {
            Some(mut connection) => {
                let kept = context.wait(DATABASE, connection.works_for(&context.script))?;
                kept.is_ok().then_some(connection)
            }
            None => None,
        };
        let connection = match connection {
            Some(connection) => Some(connection),
            None => Self::connect(context, &name)?,
        };
        Ok(Self {
            context: Rc::clone(context),
            name,
            handles,
            connection: RefCell::new(connection),
            error: RefCell::default(),
            affected: Cell::new(0),
        })
    }

    fn connect(context: &Context, name: &str) -> mlua::Result<Option<Connection>> {
        let target = match odbc::find(name, &context.switch.dirs.db_dir, odbc::system_ini) {
            Ok(target) => target,
            Err(unknown) => {
                tracing::error!("Connection failed.  DBH NOT Connected. {unknown}");
                return Ok(None);
            }
        };
        Ok(context
            .wait(DATABASE, database::connect(&target, &context.script))?
            .inspect_err(|trouble| {
                tracing::error!("Connection failed.  DBH NOT Connected. {}", trouble.told());
            })
            .ok())
    }

    /// Runs statements. `None` when they failed: the error is kept and logged.
    fn run(&self, sql: &str, wants_rows: bool) -> mlua::Result<Option<Answer>> {
        self.error.borrow_mut().take();
        if sql.is_empty() {
            tracing::error!("Missing SQL query.");
            return Ok(None);
        }
        let Some(mut connection) = self.connection.borrow_mut().take() else {
            tracing::error!("DBH NOT Connected.");
            return Ok(None);
        };
        // A script that is ended meanwhile leaves the connection in an unknown state: it is not used again.
        let answer =
            self.context.wait(DATABASE, database::query(&mut connection, sql, wants_rows))?;
        match answer {
            Ok(answer) => {
                *self.connection.borrow_mut() = Some(connection);
                self.affected.set(answer.affected);
                Ok(Some(answer))
            }
            Err(trouble) => {
                let told = trouble.told();
                tracing::error!("SQL ERR [{told}]");
                *self.error.borrow_mut() = Some(told);
                if trouble.keeps_connection() {
                    *self.connection.borrow_mut() = Some(connection);
                } else {
                    let fresh = Self::connect(&self.context, &self.name)?;
                    *self.connection.borrow_mut() = fresh;
                }
                Ok(None)
            }
        }
    }

    fn query(&self, lua: &Lua, sql: &str, each: Option<Function>) -> mlua::Result<bool> {
        let Some(answer) = self.run(sql, each.is_some())? else { return Ok(false) };
        let Some(each) = each else { return Ok(true) };
        for row in answer.rows {
            match each.call::<Value>(table_of(lua, &row, true)?) {
                Ok(said) if lua.coerce_number(said.clone())?.is_none_or(|said| said == 0.0) => {}
                Ok(_) => break,
                Err(_) if self.context.script.is_killed() => {
                    return Err(self.context.end(self.context.ended()));
                }
                Err(error) => {
                    log_failed(&text_of(&error), self.context.script.uuid());
                    break;
                }
            }
        }
        Ok(true)
    }

    fn query_rows(&self, lua: &Lua, sql: &str) -> mlua::Result<(bool, Table, Option<String>)> {
        let rows = lua.create_table()?;
        let Some(answer) = self.run(sql, true)? else {
            let told = self.error.borrow().clone();
            let missing = if sql.is_empty() { "Missing SQL query." } else { "DBH NOT Connected." };
            return Ok((false, rows, told.or_else(|| Some(missing.to_owned()))));
        };
        for row in &answer.rows {
            rows.raw_push(table_of(lua, row, false)?)?;
        }
        Ok((true, rows, None))
    }

    fn release(&self) -> bool {
        match self.connection.borrow_mut().take() {
            Some(connection) => {
                self.handles.give(&self.name, connection);
                true
            }
            None => {
                tracing::error!("DBH NOT Connected.");
                false
            }
        }
    }

    /// Does the database answer the test? If not, it is made to: by the second statement and the third.
    fn test_reactive(&self, test: &Text, drop: &Text, make: &Text) -> mlua::Result<bool> {
        let (Some(test), Some(make)) = (test.filled(), make.filled()) else {
            tracing::error!("Missing parameters.");
            return Ok(false);
        };
        if self.run(test, false)?.is_some() {
            return Ok(true);
        }
        if let Some(drop) = drop.filled() {
            self.run(drop, false)?;
        }
        Ok(self.run(make, false)?.is_some())
    }
}

/// A row as a table; a NULL is an empty text for functions that get rows one by one, and absent in lists.
fn table_of(lua: &Lua, row: &Row, null_is_empty: bool) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (name, value) in row {
        match value {
            Some(value) => table.raw_set(&**name, lua.create_string(value)?)?,
            None if null_is_empty => table.raw_set(&**name, "")?,
            None => {}
        }
    }
    Ok(table)
}

impl Drop for Dbh {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.borrow_mut().take() {
            self.handles.give(&self.name, connection);
        }
    }
}

impl UserData for Dbh {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("connected", |_, this, ()| Ok(this.connection.borrow().is_some()));
        methods.add_method("query", |lua, this, (sql, each): (Text, Option<Function>)| {
            this.query(lua, sql.or_empty(), each)
        });
        methods.add_method("query_rows", |lua, this, sql: Text| {
            let (done, rows, error) = this.query_rows(lua, sql.or_empty())?;
            let error = error.map(|text| lua.create_string(text)).transpose()?;
            let error = error.map_or(Value::Nil, Value::String);
            Ok(MultiValue::from_vec(vec![Value::Boolean(done), Value::Table(rows), error]))
        });
        methods.add_method("affected_rows", |_, this, ()| {
            Ok(number(i64::try_from(this.affected.get()).unwrap_or(i64::MAX)))
        });
        methods.add_method("last_error", |_, this, ()| Ok(this.error.borrow().clone()));
        methods.add_method("clear_error", |_, this, ()| {
            this.error.borrow_mut().take();
            Ok(())
        });
        methods.add_method("release", |_, this, ()| Ok(this.release()));
        methods.add_method("test_reactive", |_, this, (test, drop, make): (Text, Text, Text)| {
            this.test_reactive(&test, &drop, &make)
        });
        methods.add_method("load_extension", |_, _, name: Text| {
            tracing::error!(
                "load_extension {}: extensions of SQLite are not available",
                name.or_empty()
            );
            Ok(number(0))
        });
    }
}
