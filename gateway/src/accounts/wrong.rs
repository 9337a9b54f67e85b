//! Wrong passwords in a row, and when they lock a sign-in. Addresses nobody has are counted too: a
//! lock says nothing about who has an account.

use std::collections::BTreeMap;
use std::sync::RwLock;
use std::time::Duration;

use usher_domain::time::Timestamp;

use super::write;

/// Addresses remembered; beyond it the one wrong longest ago is forgotten.
const ADDRESSES_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct WrongPasswords {
    limit: u32,
    locked_for: Duration,
    by_address: RwLock<BTreeMap<String, Wrong>>,
}

#[derive(Clone, Copy, Debug)]
struct Wrong {
    /// Attempts without a right one, those under way included.
    attempts: u32,
    last: Timestamp,
}

/// The address is locked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Locked {
    pub(super) again_in: Duration,
}

impl WrongPasswords {
    pub(super) fn new(limit: u32, locked_for: Duration) -> Self {
        Self { limit, locked_for, by_address: RwLock::default() }
    }

    /// Counts an attempt before it is judged, so that many at once are not more than one by one.
    pub(super) fn begin(&self, address: &str, now: Timestamp) -> Result<(), Locked> {
        let mut all = write(&self.by_address);
        if all.len() >= ADDRESSES_MAX && !all.contains_key(address) {
            let oldest = all.iter().min_by_key(|(_, wrong)| wrong.last).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| all.remove(&oldest));
        }
        let wrong = all.entry(address.to_owned()).or_insert(Wrong { attempts: 0, last: now });
        if wrong.attempts >= self.limit {
            let again_in = (wrong.last + self.locked_for).since(now);
            if !again_in.is_zero() {
                return Err(Locked { again_in });
            }
            wrong.attempts = 0;
        }
        *wrong = Wrong { attempts: wrong.attempts + 1, last: now };
        Ok(())
    }

    /// An attempt that could not be judged.
    pub(super) fn take_back(&self, address: &str) {
        if let Some(wrong) = write(&self.by_address).get_mut(address) {
            wrong.attempts = wrong.attempts.saturating_sub(1);
        }
    }

    /// The right password was given.
    pub(super) fn forget(&self, address: &str) {
        write(&self.by_address).remove(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_last_wrong_password_locks_for_its_time() {
        let wrong = WrongPasswords::new(3, Duration::from_mins(1));
        for second in 0..3 {
            assert_eq!(wrong.begin("a", at(second)), Ok(()));
        }
        assert_eq!(wrong.begin("a", at(10)), Err(Locked { again_in: Duration::from_secs(52) }));
        assert_eq!(wrong.begin("b", at(10)), Ok(()), "others are not locked");
        assert_eq!(wrong.begin("a", at(62)), Ok(()));
        assert_eq!(wrong.begin("a", at(62)), Ok(()), "and the count begins anew");
    }

    #[test]
    fn a_right_password_is_the_end_of_the_row() {
        let wrong = WrongPasswords::new(2, Duration::from_mins(1));
        for second in 0..10 {
            assert_eq!(wrong.begin("a", at(second)), Ok(()));
            wrong.forget("a");
        }
    }
}
