//! Of which services records are taken at all.

use std::collections::HashSet;

use usher_domain::ids::ServiceId;

/// Either all but those that left, or none but those that were taken.
#[derive(Debug)]
pub(crate) struct Here {
    one_by_one: bool,
    except: HashSet<ServiceId>,
}

impl Here {
    pub(crate) fn new(one_by_one: bool) -> Self {
        Self { one_by_one, except: HashSet::new() }
    }

    pub(super) fn has(&self, service: ServiceId) -> bool {
        self.one_by_one == self.except.contains(&service)
    }

    pub(super) fn take(&mut self, service: ServiceId) {
        if self.one_by_one {
            self.except.insert(service);
        } else {
            self.except.remove(&service);
        }
    }

    pub(super) fn leave(&mut self, service: ServiceId) {
        if self.one_by_one {
            self.except.remove(&service);
        } else {
            self.except.insert(service);
        }
    }
}
