//! Channel variables and profile fields: an ordered map that events share instead of copying.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};

use base::far::Spans;
use once_cell::race::OnceBox;
use smol_str::SmolStr;

use super::encode;
use super::value::{Value, split_index};

/// An ordered map from name to [`Value`], looked up in any case, each name once.
///
/// Assigning a name again moves it to the end, so the order is that of the last assignment, as in
/// the reference. Meant to be held as `Arc<Vars>`: an event takes the snapshot, the channel goes on
/// with [`Arc::make_mut`]. A copy costs one reference count per entry, and an entry renders its
/// line once however many events carry it.
#[derive(Clone, Default)]
pub struct Vars(Vec<Slot>);

#[derive(Clone)]
struct Slot {
    /// Hash of the lower-cased name: a lookup scans these and touches an entry only on a match.
    hash: u32,
    entry: Arc<VarEntry>,
}

/// One variable in one block of memory: a running call has some hundred and fifty.
struct VarEntry {
    name: VarName,
    value: Value,
    /// Which parts of the value came from a far end.
    far: Spans,
    /// What events of each format show of it, once one did. Most variables are never shown: one pointer for all.
    shown: OnceBox<Shown>,
}

/// A name: nearly always one the code knows, else one that a program, a dialplan or a far end has made up.
#[derive(Clone)]
enum VarName {
    Known(&'static str),
    /// Behind two pointers, so that names are no larger for the few that are made up.
    #[allow(clippy::box_collection, reason = "see above")]
    Made(Box<String>),
}

impl std::ops::Deref for VarName {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Made(name) => name,
        }
    }
}

impl From<Cow<'static, str>> for VarName {
    fn from(name: Cow<'static, str>) -> Self {
        match name {
            Cow::Borrowed(name) => Self::Known(name),
            Cow::Owned(name) => Self::Made(Box::new(name)),
        }
    }
}

#[derive(Default)]
struct Shown {
    plain: OnceLock<Box<[u8]>>,
    json: OnceLock<Box<[u8]>>,
}

impl Vars {
    /// No variables.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Assigns a variable; an empty value deletes it. `name[3]` assigns one element, a value
    /// starting `ARRAY::` makes an array.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        self.set_far(name, value, Spans::default());
    }

    /// [`Vars::set`], and notes which parts of the value came from a far end. An array with an element of which any part
    /// did counts as the far end's whole, and keeps counting so.
    pub fn set_far(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
        far: Spans,
    ) {
        let (name, value) = (name.into(), value.into());
        if value.is_empty() {
            self.remove(&name);
            return;
        }
        if let (base, Some(index)) = split_index(&name) {
            let base = base.to_owned();
            self.alter(base, !far.is_empty(), |old| old.set_item(index, &value.text()));
            return;
        }
        self.remove(&name);
        self.append(name, value, far);
    }

    /// Adds an element at the end of a variable; a missing one is created with that text. `far`: a part of it came from a
    /// far end.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, item: &str, far: bool) {
        let name = name.into();
        if self.find(&name).is_none() {
            return self.set_far(name, item, whole(far));
        }
        self.alter(name, far, |old| old.push(item));
    }

    /// Adds an element in front of a variable; a missing one is created with that text.
    pub fn unshift(&mut self, name: impl Into<Cow<'static, str>>, item: &str, far: bool) {
        let name = name.into();
        if self.find(&name).is_none() {
            return self.set_far(name, item, whole(far));
        }
        self.alter(name, far, |old| old.unshift(item));
    }

    /// The text form of a variable.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some(value) = self.value(name) {
            return Some(value.text());
        }
        let (base, index) = split_index(name);
        Some(Cow::Borrowed(self.value(base)?.items().get(index?)?))
    }

    /// A variable with its array structure.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.find(name).map(|at| &self.0[at].entry.value)
    }

    /// Which parts of a variable came from a far end; `None` when none did.
    pub fn far(&self, name: &str) -> Option<&Spans> {
        self.find(name).map(|at| &self.0[at].entry.far).filter(|far| !far.is_empty())
    }

    /// Deletes a variable; true when it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        match self.find(name) {
            Some(at) => {
                self.0.remove(at);
                true
            }
            None => false,
        }
    }

    /// Names and values in order of last assignment.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|slot| (&*slot.entry.name, &slot.entry.value))
    }

    /// How many variables there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each entry's line of a plain event, `name: encoded value\n`, rendered once per entry.
    pub(crate) fn plain_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|slot| slot.entry.plain())
    }

    /// Each entry's member of a JSON event behind the prefix, `name":value`, rendered once.
    pub(super) fn json_members(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|slot| slot.entry.json())
    }

    fn find(&self, name: &str) -> Option<usize> {
        let hash = hash(name);
        self.0
            .iter()
            .position(|slot| slot.hash == hash && slot.entry.name.eq_ignore_ascii_case(name))
    }

    fn append(&mut self, name: impl Into<VarName>, value: Value, far: Spans) {
        let name = name.into();
        if self.0.len() == self.0.capacity() {
            // A call has some eighty: doubling would leave half of the room empty.
            self.0.reserve_exact((self.0.len() / 4).max(MORE));
        }
        let hash = hash(&name);
        self.0.push(Slot { hash, entry: VarEntry::shared(hash, name, value, far) });
    }

    /// Changes a value where it stands; element operations do not move a variable.
    fn alter(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        far: bool,
        change: impl FnOnce(&mut Value),
    ) {
        let name = name.into();
        match self.find(&name) {
            Some(at) => {
                let old = &self.0[at].entry;
                let mut value = old.value.clone();
                change(&mut value);
                let far = if far { Spans::all() } else { old.far.clone() };
                self.0[at].entry = VarEntry::new(old.name.clone(), value, far);
            }
            None => {
                let mut value = Value::Array(Box::default());
                change(&mut value);
                if !value.is_empty() {
                    self.append(name, value, whole(far));
                }
            }
        }
    }
}

/// A far end has had part in a value, or not.
fn whole(far: bool) -> Spans {
    if far { Spans::all() } else { Spans::default() }
}

impl VarEntry {
    fn new(name: VarName, value: Value, far: Spans) -> Arc<Self> {
        Arc::new(Self { name, value, far, shown: OnceBox::new() })
    }

    /// [`VarEntry::new`], or the entry another call has, where name and value are the same.
    fn shared(hash: u32, name: VarName, value: Value, far: Spans) -> Arc<Self> {
        let short = |text: &SmolStr| text.len() <= SHARED_TEXT;
        if !matches!((&name, &value), (VarName::Known(_), Value::One(text)) if short(text)) {
            return Self::new(name, value, far);
        }
        RECENT
            .try_with(|recent| {
                let mut recent = recent.borrow_mut();
                if recent.is_empty() {
                    recent.resize(SHARED, Default::default());
                }
                let [first, second] = &mut recent[hash as usize % SHARED];
                let known = |place: &Option<Arc<Self>>| {
                    place.as_ref().is_some_and(|known| known.is(&name, &value, &far))
                };
                if !known(first) {
                    std::mem::swap(first, second);
                }
                if !known(first) {
                    // The one used last is second now; the other makes room.
                    *first = Some(Self::new(name.clone(), value.clone(), far.clone()));
                }
                first.clone()
            })
            .ok()
            .flatten()
            .unwrap_or_else(|| Self::new(name, value, far))
    }

    fn is(&self, name: &str, value: &Value, far: &Spans) -> bool {
        self.value == *value && *self.name == *name && self.far == *far
    }

    fn shown(&self) -> &Shown {
        self.shown.get_or_init(Box::default)
    }

    fn json(&self) -> &[u8] {
        self.shown().json.get_or_init(|| {
            let mut member = Vec::with_capacity(self.name.len() + 64);
            encode::json_inner(&mut member, self.name.as_bytes());
            member.extend_from_slice(b"\":");
            encode::json_value(&mut member, &self.value);
            member.into_boxed_slice()
        })
    }

    fn plain(&self) -> &[u8] {
        self.shown().plain.get_or_init(|| {
            let mut line = Vec::with_capacity(self.name.len() + 64);
            encode::plain_line(&mut line, &self.name, &self.value.text());
            line.into_boxed_slice()
        })
    }
}

/// Room made for further variables at least.
const MORE: usize = 16;
/// Names of which a thread keeps the entries made last.
const SHARED: usize = 512;
/// Longest value of an entry that is kept, in bytes: what is longer is seldom two calls' alike.
const SHARED_TEXT: usize = 48;

thread_local! {
    /// The two entries used last of each name the code knows, by the name's hash: the legs of a call say unlike things. Most variables of a call say what those of the
    /// call before said (codecs, addresses of a profile, `true`): they share one entry, and what events show of it. A
    /// thread's own, so that neither a lock nor a count is passed between processors.
    static RECENT: RefCell<Vec<[Option<Arc<VarEntry>>; 2]>> = const { RefCell::new(Vec::new()) };
}

/// FNV-1a over the lower-cased bytes.
fn hash(name: &str) -> u32 {
    name.bytes()
        .fold(0x811c_9dc5, |h, b| (h ^ u32::from(b.to_ascii_lowercase())).wrapping_mul(0x0100_0193))
}

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for Vars {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<Value>> FromIterator<(N, V)> for Vars {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut vars = Self::new();
        for (name, value) in pairs {
            vars.set(name, value);
        }
        vars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(vars: &Vars) -> Vec<&str> {
        vars.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_new_value_moves_the_variable_to_the_end_and_an_empty_one_deletes_it() {
        let mut vars: Vars = [("a", "1"), ("b", "2")].into_iter().collect();
        vars.set("A", "3");
        assert_eq!(names(&vars), ["b", "A"]);
        assert_eq!(vars.get("a").as_deref(), Some("3"));
        vars.set("B", "");
        assert_eq!(names(&vars), ["A"]);
    }

    #[test]
    fn a_snapshot_does_not_see_later_changes() {
        let mut live = Arc::new([("a", "1")].into_iter().collect::<Vars>());
        let snapshot = Arc::clone(&live);
        Arc::make_mut(&mut live).set("a", "2");
        assert_eq!(snapshot.get("a").as_deref(), Some("1"));
        assert_eq!(live.get("a").as_deref(), Some("2"));
    }

    #[test]
    fn array_operations_keep_the_place_and_elements_can_be_read() {
        let mut vars: Vars = [("x", "a"), ("y", "b")].into_iter().collect();
        vars.push("x", "c", false);
        vars.unshift("x", "z", false);
        vars.set("x[1]", "A");
        assert_eq!(names(&vars), ["x", "y"]);
        assert_eq!(vars.get("x").as_deref(), Some("ARRAY::z|:A|:c"));
        assert_eq!(vars.get("x[2]").as_deref(), Some("c"));
        assert_eq!(vars.get("x[3]"), None);
    }

    #[test]
    fn what_a_far_end_said_is_known_until_the_variable_is_assigned_anew() {
        let mut vars = Vars::new();
        vars.set_far("said", "a,b", Spans::all());
        vars.push("SAID", "c", false);
        assert_eq!(vars.far("Said"), Some(&Spans::all()));
        vars.set("said", "d");
        assert_eq!(vars.far("said"), None);
        vars.push("said", "e", true);
        assert_eq!(vars.far("said"), Some(&Spans::all()));
        vars.remove("said");
        assert_eq!(vars.far("said"), None);
    }

    #[test]
    fn an_entry_is_one_small_block() {
        let counts = 2 * size_of::<usize>();
        assert!(counts + size_of::<VarEntry>() <= 72, "{}", size_of::<VarEntry>());
        assert!(size_of::<Slot>() <= 16);
    }

    #[test]
    fn calls_share_entries_that_are_alike_and_no_others() {
        let call = |codec: &'static str, far| {
            let mut vars = Vars::new();
            vars.set_far("read_codec", codec, far);
            vars
        };
        let same = |a: &Vars, b: &Vars| Arc::ptr_eq(&a.0[0].entry, &b.0[0].entry);
        let first = call("PCMU", Spans::default());
        assert!(same(&first, &call("PCMU", Spans::default())));
        // A far end's word is not an administrator's, whatever it says; a name shows as it is written.
        assert!(!same(&first, &call("PCMU", Spans::all())));
        assert!(!same(&first, &call("PCMA", Spans::default())));
        let upper: Vars = [("READ_CODEC", "PCMA")].into_iter().collect();
        assert_eq!(names(&upper), ["READ_CODEC"]);
        assert!(call("PCMU", Spans::all()).far("read_codec").is_some());
        assert!(call("PCMU", Spans::default()).far("read_codec").is_none());
        assert_eq!(first.get("read_codec").as_deref(), Some("PCMU"));
        // The other leg's does not drive out what calls have alike.
        let both = || (call("G722", Spans::default()), call("L16", Spans::default()));
        let (before, after) = (both(), both());
        assert!(same(&before.0, &after.0) && same(&before.1, &after.1));
    }

    #[test]
    fn a_changed_entry_renders_anew() {
        let mut vars: Vars = [("x", "a b")].into_iter().collect();
        assert_eq!(vars.plain_lines().next(), Some(&b"x: a%20b\n"[..]));
        vars.push("x", "c", false);
        assert_eq!(vars.plain_lines().next(), Some(&b"x: ARRAY%3A%3Aa%20b%7C%3Ac\n"[..]));
    }
}
