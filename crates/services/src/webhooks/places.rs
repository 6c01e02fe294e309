use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hexline_model::AppId;

/// How many events of each app wait in memory.
///
/// An app has at most as many as there are free places: whoever floods leaves half of them to
/// others, and the next one that does leaves half of the rest.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<HashMap<AppId, usize>>,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    app: AppId,
    places: Arc<Places>,
}

impl Places {
    /// Takes one of the `free` places for an app; `None` if it has its part.
    pub(super) fn take(self: &Arc<Self>, app: AppId, free: usize) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&app).copied().unwrap_or(0);
        if own >= free {
            return None;
        }
        taken.insert(app, own + 1);
        let places = Arc::clone(self);
        Some(Place { app, places })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = self.places.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.app) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.app);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hexline_model::SeededEntropy;

    use super::*;

    #[test]
    fn an_app_that_floods_leaves_places_to_others() {
        let entropy = SeededEntropy::new(1);
        let (one, two) = (AppId::generate(&entropy), AppId::generate(&entropy));
        let places = Arc::new(Places::default());
        let mut waiting = Vec::new();
        let flood = |app, waiting: &mut Vec<Place>| {
            let before = waiting.len();
            while let Some(place) = places.take(app, 100 - waiting.len()) {
                waiting.push(place);
            }
            waiting.len() - before
        };
        assert_eq!(flood(one, &mut waiting), 50);
        assert_eq!(flood(two, &mut waiting), 25);
        assert_eq!(flood(one, &mut waiting), 0);
        waiting.clear();
        assert!(places.taken.lock().expect("unpoisoned").is_empty());
        assert_eq!(flood(two, &mut waiting), 50);
    }
}
