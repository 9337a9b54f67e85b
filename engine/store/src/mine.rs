//! Which services are written here where several processes share a journal, and how far each of them
//! is durable, read for the archive, and in it.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use usher_domain::ids::ServiceId;

/// Told by the journal's thread, asked and told by the projector's two; nobody holds it for longer
/// than it takes to look.
#[derive(Debug)]
pub(crate) struct Mine {
    #[expect(
        clippy::disallowed_types,
        reason = "three threads of the store, none of them an actor's"
    )]
    kept: std::sync::Mutex<Kept>,
    /// Services come by [`Mine::level_at`] alone.
    one_by_one: bool,
}

#[derive(Debug, Default)]
struct Kept {
    /// Sequences that became durable since this process began, of all services together.
    total: u64,
    services: BTreeMap<ServiceId, Place>,
}

/// Sequences of one service.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    durable: u64,
    read: u64,
    shown: u64,
}

/// What of a service is to be read: after the one, up to the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unread {
    pub(crate) service: ServiceId,
    pub(crate) after: u64,
    pub(crate) until: u64,
}

impl Mine {
    pub(crate) fn new(one_by_one: bool) -> Self {
        Self { kept: Kept::default().into(), one_by_one }
    }

    fn with<T>(&self, run: impl FnOnce(&mut Kept) -> T) -> T {
        run(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The service is written here from now on, and the archive shows all of it, which ends at `seq`.
    pub(crate) fn level_at(&self, service: ServiceId, seq: u64) {
        let place = Place { durable: seq, read: seq, shown: seq };
        self.with(|kept| kept.services.insert(service, place));
    }

    /// The service is not written here any more; what of it the archive lacks is somebody else's.
    pub(crate) fn forget(&self, service: ServiceId) {
        self.with(|kept| kept.services.remove(&service));
    }

    /// Whether the service is written here, or may begin to be.
    pub(crate) fn has(&self, service: ServiceId) -> bool {
        !self.one_by_one || self.with(|kept| kept.services.contains_key(&service))
    }

    /// Records up to `seq` are durable. Of a service that has left nobody here wants to know.
    pub(crate) fn durable(&self, service: ServiceId, seq: u64) {
        self.with(|kept| {
            if self.one_by_one && !kept.services.contains_key(&service) {
                return;
            }
            let place = kept.services.entry(service).or_default();
            kept.total += seq.saturating_sub(place.durable);
            place.durable = place.durable.max(seq);
        });
    }

    pub(crate) fn unread(&self) -> Vec<Unread> {
        self.with(|kept| {
            let places = kept.services.iter().filter(|(_, place)| place.read < place.durable);
            let unread = places.map(|(service, place)| Unread {
                service: *service,
                after: place.read,
                until: place.durable,
            });
            unread.collect()
        })
    }

    pub(crate) fn read(&self, through: &[(ServiceId, u64)]) {
        self.each(through, |place, seq| place.read = place.read.max(seq));
    }

    /// What was read so far is in the archive, or will not be by this process.
    pub(crate) fn shown(&self, through: &[(ServiceId, u64)]) {
        self.each(through, |place, seq| place.shown = place.shown.max(seq));
    }

    fn each(&self, through: &[(ServiceId, u64)], change: impl Fn(&mut Place, u64)) {
        self.with(|kept| {
            for (service, seq) in through {
                if let Some(place) = kept.services.get_mut(service) {
                    change(place, *seq);
                }
            }
        });
    }

    /// How far the journal has come, as [`crate::progress::Progress`] counts.
    pub(crate) fn committed(&self) -> u64 {
        self.with(|kept| kept.total)
    }

    /// How far the archive has.
    pub(crate) fn projected(&self) -> u64 {
        self.with(|kept| {
            let behind =
                kept.services.values().map(|place| place.durable.saturating_sub(place.shown));
            kept.total.saturating_sub(behind.sum())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServiceId = ServiceId::from_number(1);
    const B: ServiceId = ServiceId::from_number(2);

    fn behind(mine: &Mine) -> u64 {
        mine.committed() - mine.projected()
    }

    #[test]
    fn services_that_come_and_go_leave_nothing_behind() {
        let mine = Mine::new(true);
        mine.level_at(A, 10);
        mine.level_at(B, 500);
        assert_eq!((behind(&mine), mine.unread()), (0, vec![]), "both are level");
        mine.durable(A, 13);
        mine.durable(B, 501);
        assert_eq!(behind(&mine), 4);
        let unread = [(A, 10, 13), (B, 500, 501)].map(|(service, after, until)| Unread {
            service,
            after,
            until,
        });
        assert_eq!(mine.unread(), unread);
        mine.read(&[(A, 13)]);
        assert_eq!((behind(&mine), mine.unread()), (4, unread[1..].to_vec()));
        mine.shown(&[(A, 12)]);
        assert_eq!(behind(&mine), 2);

        let (before, shown) = (mine.committed(), mine.projected());
        mine.forget(A);
        mine.durable(A, 20);
        mine.shown(&[(A, 13)]);
        assert!(!mine.has(A) && mine.has(B));
        assert_eq!((behind(&mine), mine.committed()), (1, before), "what left is not waited for");
        mine.level_at(A, 40);
        assert_eq!(behind(&mine), 1);
        assert!(mine.projected() >= shown, "what was told once is not taken back");
    }

    #[test]
    fn where_all_are_written_a_service_begins_with_its_first_record() {
        let mine = Mine::new(false);
        assert!(mine.has(A));
        mine.durable(A, 2);
        assert_eq!(mine.unread(), [Unread { service: A, after: 0, until: 2 }]);
        assert_eq!(behind(&mine), 2);
    }
}
