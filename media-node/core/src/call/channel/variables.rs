//! A channel's variables, and what else `${…}` finds in it.

use std::borrow::Cow;
use std::sync::Arc;

use base::far::{self, Spans};
use esl_server::event::{Value, Vars};

use super::{CallerProfile, Channel, Data};

impl Channel {
    /// The variable as everything in the reference sees it: scope variables, channel variables, profile fields, and the
    /// globals behind them all. Arrays read as `ARRAY::…`; `name[3]` addresses an element.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<String> {
        self.variable(name)
            .or_else(|| self.field(name).filter(|value| !value.is_empty()))
            .or_else(|| self.switch.global(name))
    }

    /// The same as [`Channel::var`].
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<String> {
        self.var(name)
    }

    /// A variable of this channel alone: for what the call keeps of itself, never for what an administrator may set.
    #[must_use]
    pub fn own_var(&self, name: &str) -> Option<String> {
        self.data.lock().vars.get(name).map(Cow::into_owned)
    }

    /// Is the variable truthy (`yes on true t enabled active allow`, or a non-zero number)?
    #[must_use]
    pub fn is_true(&self, name: &str) -> bool {
        self.var(name).is_some_and(|value| crate::text::is_true(&value))
    }

    /// Sets a variable; an empty value deletes it. A value that holds a reference is refused, as in the reference:
    /// whoever reads the variable in a dialplan would expand what a far end wrote into it.
    pub fn set_var(&self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, (value, far)) = (name.into(), taken_apart(value.into()));
        if self.takes(&name, &value) {
            self.store(name, value, far);
        }
    }

    /// [`Channel::set_var`] for a value that came from a far end as a whole, not marked.
    pub fn set_heard_var(&self, name: impl Into<Cow<'static, str>>, text: &str) {
        let (name, (text, far)) = (name.into(), far::heard(text));
        // `ARRAY::` of a far end's makes no array.
        let value = Value::One((&*text).into());
        if self.takes(&name, &value) {
            self.store(name, value, far);
        }
    }

    /// [`Channel::set_var`] for values an administrator or a program wrote: references are kept for later.
    ///
    /// What is marked in a value as a far end's ([`far`]) is stored as it is meant, here and in all that sets variables,
    /// and marked again for `${name}`.
    pub fn set_var_as_is(&self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (value, far) = taken_apart(value.into());
        self.store(name.into(), value, far);
    }

    fn store(&self, name: Cow<'static, str>, value: Value, far: Spans) {
        self.touched();
        let name = if far::is_marked(&name) { far::plain(&name).into_owned().into() } else { name };
        Arc::make_mut(&mut self.data.lock().vars).set_far(name, value, far);
    }

    /// May the value, as it is meant, be stored? Says in the log if not.
    fn takes(&self, name: &str, value: &Value) -> bool {
        let refused = value.items().iter().any(|item| crate::text::has_reference(item));
        if refused {
            tracing::error!(
                uuid = %self.uuid, fs_level = "CRIT",
                "Invalid data (${{{name}}} contains a variable)"
            );
        }
        !refused
    }

    /// Deletes a variable.
    pub fn unset_var(&self, name: &str) {
        let name = &*far::plain(name);
        let mut data = self.data.lock();
        if data.vars.get(name).is_some() {
            Arc::make_mut(&mut data.vars).remove(name);
        }
    }

    /// Sets several variables under one lock.
    pub fn set_vars(&self, pairs: impl IntoIterator<Item = (&'static str, String)>) {
        self.touched();
        let mut data = self.data.lock();
        for (name, value) in pairs {
            let (value, spans) = taken_apart(Value::from(value));
            if self.takes(name, &value) {
                Arc::make_mut(&mut data.vars).set_far(name, value, spans);
            }
        }
    }

    /// A snapshot of all variables.
    #[must_use]
    pub fn vars(&self) -> Arc<Vars> {
        Arc::clone(&self.data.lock().vars)
    }

    /// Appends to an array variable; an empty value deletes it, as in the reference.
    pub fn push_var(&self, name: &str, value: &str) {
        self.touched();
        let (name, far, value) = (&*far::plain(name), far::is_marked(value), far::plain(value));
        let mut data = self.data.lock();
        let vars = Arc::make_mut(&mut data.vars);
        if value.is_empty() {
            vars.remove(name);
        } else {
            vars.push(name.to_owned(), &value, far);
        }
    }

    /// Prepends to an array variable; an empty value deletes it.
    pub fn unshift_var(&self, name: &str, value: &str) {
        let (name, far, value) = (&*far::plain(name), far::is_marked(value), far::plain(value));
        let mut data = self.data.lock();
        let vars = Arc::make_mut(&mut data.vars);
        if value.is_empty() {
            vars.remove(name);
        } else {
            vars.unshift(name.to_owned(), &value, far);
        }
    }

    /// Deletes all variables whose names start so.
    pub fn clear_vars(&self, prefix: &str) {
        let mut data = self.data.lock();
        let names: Vec<String> = data
            .vars
            .iter()
            .map(|(name, _)| name)
            .filter(|name| {
                name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
            })
            .map(str::to_owned)
            .collect();
        if !names.is_empty() {
            let vars = Arc::make_mut(&mut data.vars);
            for name in &names {
                vars.remove(name);
            }
        }
    }

    /// Scope variables, then channel variables: what `${name}` finds before profile fields and globals.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let data = self.data.lock();
        data.scoped(name).map(far::into_plain).or_else(|| data.vars.get(name).map(Cow::into_owned))
    }

    /// [`Channel::variable`] for texts with a grammar: what a far end said is marked ([`far`]).
    #[must_use]
    pub fn variable_marked(&self, name: &str) -> Option<String> {
        let data = self.data.lock();
        data.scoped(name).or_else(|| data.var_marked(name))
    }

    /// [`Channel::var`] for texts with a grammar.
    #[must_use]
    pub fn var_marked(&self, name: &str) -> Option<String> {
        self.variable_marked(name)
            .or_else(|| self.field_marked(name).filter(|value| !value.is_empty()))
            .or_else(|| self.switch.global_marked(name))
    }

    /// [`Channel::element`] for texts with a grammar.
    #[must_use]
    pub fn element_marked(&self, name: &str, index: usize) -> Option<String> {
        let item = self.element(name, index)?;
        let far = self.data.lock().vars.far(name).is_some();
        Some(if far { far::mark(&item) } else { item })
    }

    /// [`Channel::field`] for texts with a grammar.
    #[must_use]
    pub fn field_marked(&self, name: &str) -> Option<String> {
        let data = self.data.lock();
        let (profile, name) = data.profile_of(name);
        profile?.field_marked(name)
    }

    /// Values of variables whose names start so, arrays by element, marked.
    #[must_use]
    pub fn vars_marked_starting(&self, prefix: &str) -> Vec<String> {
        let data = self.data.lock();
        let named = data.vars.iter().filter(|(name, _)| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        });
        named
            .flat_map(|(name, value)| {
                let spans = data.vars.far(name);
                let items = value.items().iter();
                items.map(move |item| spans.map_or_else(|| item.to_string(), |s| s.mark(item, 0)))
            })
            .collect()
    }

    /// Slot of an array variable.
    #[must_use]
    pub fn element(&self, name: &str, index: usize) -> Option<String> {
        let data = self.data.lock();
        match data.vars.value(name)? {
            Value::Array(items) => items.get(index).map(|item| item.to_string()),
            Value::One(_) => None,
        }
    }

    /// A field of the caller profile; `aleg_` and `bleg_` choose the originator's or the other leg's.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let data = self.data.lock();
        let (profile, name) = data.profile_of(name);
        profile?.field(name)
    }

    /// Variables named by `presence_data_cols` (separated by colons), with their values.
    #[must_use]
    pub fn presence_columns(&self) -> Vec<(String, String)> {
        let vars = self.vars();
        let Some(columns) = vars.get("presence_data_cols") else { return Vec::new() };
        let named = columns.split(':').filter(|column| !column.is_empty());
        named.filter_map(|name| Some((name.to_owned(), vars.get(name)?.into_owned()))).collect()
    }
}

/// Separates what a value means from the marks of what a far end said in it.
fn taken_apart(value: Value) -> (Value, Spans) {
    match &value {
        Value::One(text) if far::is_marked(text) => {
            let (plain, spans) = far::split(text);
            // `ARRAY::` of a far end's makes no array.
            (Value::One(plain.into_owned().into()), spans)
        }
        Value::Array(items) if items.iter().any(|item| far::is_marked(item)) => {
            (value.as_meant(), Spans::all())
        }
        _ => (value, Spans::default()),
    }
}

impl Data {
    /// Whose field a name means: `aleg_` and `bleg_` choose the originator's or the other leg's profile.
    fn profile_of<'n>(&self, name: &'n str) -> (Option<&CallerProfile>, &'n str) {
        match name.split_at_checked(5) {
            Some((side, field)) if side.eq_ignore_ascii_case("aleg_") => {
                (self.originator_profile.as_ref(), field)
            }
            Some((side, field)) if side.eq_ignore_ascii_case("bleg_") => {
                (self.other.as_ref().map(|(_, profile)| profile), field)
            }
            _ => (self.profile.as_ref(), name),
        }
    }

    /// A scope variable, marked.
    fn scoped(&self, name: &str) -> Option<String> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name).map(Cow::into_owned))
    }

    fn var_marked(&self, name: &str) -> Option<String> {
        let base = name.split_once('[').map_or(name, |(base, _)| base);
        let Some(spans) = self.vars.far(name).or_else(|| self.vars.far(base)) else {
            return self.vars.get(name).map(Cow::into_owned);
        };
        match self.vars.value(name) {
            Some(Value::Array(items)) if items.len() > 1 => {
                let items: Vec<_> = items.iter().map(|item| spans.mark(item, 0)).collect();
                Some(format!("ARRAY::{}", items.join("|:")))
            }
            _ => self.vars.get(name).map(|text| spans.mark(&text, 0)),
        }
    }
}
