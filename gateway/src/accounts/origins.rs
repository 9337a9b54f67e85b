//! Wrong passwords by the address they come from: who tries many accounts has to wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::RwLock;
use std::time::Duration;

use usher_domain::time::Timestamp;

use super::write;

/// Addresses remembered; beyond it the one that has least to wait is forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// The generic cell rate algorithm, per address: one instant is all it remembers.
#[derive(Debug)]
pub(super) struct Origins {
    /// One more attempt comes back in this time.
    interval: Duration,
    slack: Duration,
    /// Until when an address's allowance is used up.
    used_up: RwLock<HashMap<IpAddr, Timestamp>>,
}

impl Origins {
    /// So many wrong passwords in that time.
    pub(super) fn new(wrong: u32, within: Duration) -> Self {
        let interval = within / wrong.max(1);
        Self { interval, slack: interval * (wrong.max(1) - 1), used_up: RwLock::default() }
    }

    /// Counts an attempt before it is judged. `Err`: how long to wait.
    pub(super) fn begin(&self, address: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let address = counted_as(address);
        let mut all = write(&self.used_up);
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&address) {
            all.retain(|_, used_up| *used_up > now);
            let least = all.iter().min_by_key(|(_, used_up)| **used_up).map(|(key, _)| *key);
            if let Some(least) = least.filter(|_| all.len() >= ADDRESSES_MAX) {
                all.remove(&least);
            }
        }
        let used_up = all.entry(address).or_insert(now);
        let from = (*used_up).max(now);
        let ahead = from.since(now);
        if ahead > self.slack {
            return Err(ahead.saturating_sub(self.slack));
        }
        *used_up = from + self.interval;
        Ok(())
    }

    /// The password was right, or could not be judged.
    pub(super) fn take_back(&self, address: IpAddr) {
        let mut all = write(&self.used_up);
        if let Some(used_up) = all.get_mut(&counted_as(address)) {
            let millis = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
            *used_up = Timestamp::from_millis(used_up.millis().saturating_sub(millis));
        }
    }
}

/// Somebody with IPv6 has a whole /64 to choose from.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1_000)
    }

    #[test]
    fn so_many_wrong_ones_and_then_one_by_one() {
        let origins = Origins::new(4, Duration::from_secs(40));
        for _ in 0..4 {
            assert_eq!(origins.begin(HERE, at(0)), Ok(()));
        }
        assert_eq!(origins.begin(HERE, at(0)), Err(Duration::from_secs(10)));
        let other = IpAddr::from([203, 0, 113, 10]);
        assert_eq!(origins.begin(other, at(0)), Ok(()), "others are not concerned");
        assert_eq!(origins.begin(HERE, at(10)), Ok(()));
        assert!(origins.begin(HERE, at(10)).is_err());
        for _ in 0..4 {
            assert_eq!(origins.begin(HERE, at(60)), Ok(()));
        }
    }

    #[test]
    fn right_passwords_do_not_count() {
        let origins = Origins::new(2, Duration::from_secs(40));
        for _ in 0..100 {
            assert_eq!(origins.begin(HERE, at(0)), Ok(()));
            origins.take_back(HERE);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_the_table_is_bounded() {
        let origins = Origins::new(1, Duration::from_secs(40));
        let six = |low: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, low]);
        assert_eq!(origins.begin(six(1), at(0)), Ok(()));
        assert!(origins.begin(six(2), at(0)).is_err());
        for number in 0..20_000_u32 {
            origins.begin(IpAddr::from(number.to_be_bytes()), at(1)).ok();
        }
        assert!(origins.used_up.read().unwrap().len() <= ADDRESSES_MAX);
    }
}
