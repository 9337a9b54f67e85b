//! Gauges of what comes to this node and leaves it: what one actor adds to a gauge that others of its kind add
//! to, and takes away when it ends; and what nobody says any more once its last actor has ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use metrics::Gauge;

/// A gauge's name, and the value of its label.
type Series = (&'static str, String);

/// How many say what each is. Of a service that was lost the actors may end after those have begun that have
/// it again.
static SAID_BY: RwLock<BTreeMap<Series, usize>> = RwLock::new(BTreeMap::new());

/// A gauge of one thing, which is on this node for a time: not a number (and left out by whoever shows gauges)
/// before it is set and once nobody has it.
pub(crate) struct Own {
    gauge: Gauge,
    series: Series,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("series", &self.series).finish_non_exhaustive()
    }
}

impl Own {
    pub(crate) fn of(name: &'static str, label: &'static str, is: String) -> Self {
        let gauge = metrics::gauge!(name, label => is.clone());
        let series = (name, is);
        let mut said_by = SAID_BY.write().unwrap_or_else(PoisonError::into_inner);
        let count = said_by.entry(series.clone()).or_insert(0);
        if *count == 0 {
            gauge.set(f64::NAN);
        }
        *count += 1;
        Self { gauge, series }
    }

    pub(crate) fn set(&self, now: f64) {
        self.gauge.set(now);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut said_by = SAID_BY.write().unwrap_or_else(PoisonError::into_inner);
        let left = said_by.get(&self.series).map_or(0, |count| count.saturating_sub(1));
        if left > 0 {
            said_by.insert(self.series.clone(), left);
            return;
        }
        said_by.remove(&self.series);
        self.gauge.set(f64::NAN);
    }
}

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

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn what_nobody_has_any_more_is_not_said() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let value = || {
            let text = handle.render();
            let line = text.lines().find(|line| line.starts_with("usher_here{")).map(str::to_owned);
            line.and_then(|line| line.rsplit(' ').next().map(str::to_owned)).unwrap()
        };
        metrics::with_local_recorder(&recorder, || {
            let own = || Own::of("usher_here", "channel", "this".to_owned());
            let before = own();
            assert_eq!(value(), "NaN");
            before.set(1.0);
            let after = own();
            assert_eq!(value(), "1");
            after.set(2.0);
            drop(before);
            assert_eq!(value(), "2", "another has it");
            drop(after);
            assert_eq!(value(), "NaN");
        });
    }
}
