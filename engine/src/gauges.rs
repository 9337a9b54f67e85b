//! What one actor adds to a gauge that others of its kind add to, and takes away when it ends.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;

use metrics::Gauge;

/// One part of a gauge: services come and go, and none of them sets it for all.
pub(crate) struct Part {
    gauge: Gauge,
    is: Cell<f64>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("is", &self.is).finish_non_exhaustive()
    }
}

impl Part {
    pub(crate) const fn of(gauge: Gauge) -> Self {
        Self { gauge, is: Cell::new(0.0) }
    }

    pub(crate) fn set(&self, now: f64) {
        self.gauge.increment(now - self.is.replace(now));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set(0.0);
    }
}

/// Parts that are found by a name and one label.
#[derive(Debug, Default)]
pub(crate) struct Parts(RefCell<BTreeMap<(&'static str, String), Part>>);

impl Parts {
    pub(crate) fn set(&self, name: &'static str, label: &'static str, is: &str, now: f64) {
        let mut parts = self.0.borrow_mut();
        let part = parts
            .entry((name, is.to_owned()))
            .or_insert_with(|| Part::of(metrics::gauge!(name, label => is.to_owned())));
        part.set(now);
    }
}
