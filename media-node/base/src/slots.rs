//! State by type: what modules keep of a switch and of a channel without those knowing it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// State of modules for a whole switch, by type.
#[derive(Default)]
pub struct SwitchSlots(RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl SwitchSlots {
    /// The state of that type, made at the first call.
    pub fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.get_or(T::default)
    }

    /// The state of that type, made by `make` at the first call.
    pub fn get_or<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(found) = self.find() {
            return found;
        }
        let made = Arc::new(make());
        let mut slots = self.0.write();
        let slot = slots.entry(TypeId::of::<T>()).or_insert_with(|| Arc::clone(&made) as _);
        // The key is the type of the value: this always succeeds.
        Arc::clone(slot).downcast().unwrap_or(made)
    }

    /// The state of that type, if there is one.
    #[must_use]
    pub fn find<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        Arc::clone(self.0.read().get(&TypeId::of::<T>())?).downcast().ok()
    }
}

/// State of modules for one channel, by type. Few channels have any, so they are looked through.
#[derive(Default)]
pub struct ChannelSlots(Vec<(TypeId, Box<dyn Any + Send>)>);

impl ChannelSlots {
    /// The state of that type, made at the first call.
    pub fn get<T: Default + Send + 'static>(&mut self) -> &mut T {
        let key = TypeId::of::<T>();
        let at = self.0.iter().position(|(kind, _)| *kind == key).unwrap_or_else(|| {
            self.0.push((key, Box::new(T::default())));
            self.0.len() - 1
        });
        match self.0[at].1.downcast_mut() {
            Some(state) => state,
            None => unreachable!("the key is the type of the value"),
        }
    }

    /// The state of that type, if there is one.
    #[must_use]
    pub fn find<T: Send + 'static>(&mut self) -> Option<&mut T> {
        let key = TypeId::of::<T>();
        self.0.iter_mut().find(|(kind, _)| *kind == key)?.1.downcast_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_made_once_and_ends_with_its_channel() {
        #[derive(Default)]
        struct Watched(Option<Arc<()>>);
        let alive = Arc::new(());
        let mut slots = ChannelSlots::default();
        assert!(slots.find::<Watched>().is_none());
        slots.get::<Watched>().0 = Some(Arc::clone(&alive));
        slots.get::<Vec<u8>>().push(3);
        assert!(slots.get::<Watched>().0.is_some(), "the same one");
        assert_eq!(slots.find::<Vec<u8>>(), Some(&mut vec![3]));
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(slots);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
