//! Two visitors turn out to be one person: what is kept of both, and which live enquiry goes on.

use super::person::{Binding, OnChannel, Visitor};
use crate::ids::{EnquiryId, StaffId};
use crate::time::Timestamp;

/// A live enquiry, as far as a merge has to know it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VisitorEnquiry {
    pub enquiry: EnquiryId,
    pub opened_at: Timestamp,
    pub owner: Option<StaffId>,
}

/// Which of two live enquiries on one channel goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Survivor {
    pub goes_on: EnquiryId,
    /// Closes as `merged`, silently.
    pub closes: EnquiryId,
    /// Another person owned the one that closes, and is told.
    pub told: Option<StaffId>,
}

/// The owned one goes on, else the older; both owned: the older.
pub fn survivor(a: VisitorEnquiry, b: VisitorEnquiry) -> Survivor {
    let rank = |of: &VisitorEnquiry| (of.owner.is_none(), of.opened_at, of.enquiry);
    let (first, second) = if rank(&a) <= rank(&b) { (a, b) } else { (b, a) };
    Survivor {
        goes_on: first.enquiry,
        closes: second.enquiry,
        told: second.owner.filter(|_| second.owner != first.owner),
    }
}

/// Takes over what is remembered of `gone`; the ids are the caller's to settle.
pub(super) fn absorb(kept: &mut Visitor, gone: Visitor) {
    kept.blocked |= gone.blocked;
    kept.opted_out |= gone.opted_out;
    kept.name = kept.name.take().or(gone.name);
    kept.username = kept.username.take().or(gone.username);
    kept.language = kept.language.take().or(gone.language);
    kept.number_changed_at = kept.number_changed_at.max(gone.number_changed_at);
    for (&channel, theirs) in gone.channels.iter() {
        unite(kept.channels.entry(channel), theirs);
    }
    for binding in gone.bindings {
        keep_newest(&mut kept.bindings, binding);
    }
}

fn unite(ours: &mut OnChannel, theirs: &OnChannel) {
    if theirs.last_closed_at > ours.last_closed_at {
        ours.last_closed_at = theirs.last_closed_at;
        ours.last_owner = theirs.last_owner;
    }
    ours.window_until = ours.window_until.max(theirs.window_until);
    ours.welcomed_at = ours.welcomed_at.max(theirs.welcomed_at);
}

/// One binding of a kind per channel: of two the one set later.
fn keep_newest(bindings: &mut Vec<Binding>, other: Binding) {
    let rival = bindings.iter_mut().find(|b| b.kind == other.kind && b.channel == other.channel);
    match rival {
        Some(ours) if ours.set_at < other.set_at => *ours = other,
        Some(_) => {}
        None => bindings.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(enquiry: u128, opened_at: u64, owner: Option<u128>) -> VisitorEnquiry {
        VisitorEnquiry {
            enquiry: EnquiryId::from_number(enquiry),
            opened_at: Timestamp::from_millis(opened_at),
            owner: owner.map(StaffId::from_number),
        }
    }

    #[test]
    fn of_two_live_enquiries_one_goes_on() {
        for (a, b, goes_on, told, what) in [
            (live(1, 10, None), live(2, 20, None), 1, None, "nobody's: the older"),
            (live(2, 10, None), live(1, 10, None), 1, None, "same age: the lower id"),
            (live(1, 10, None), live(2, 20, Some(7)), 2, None, "the owned one"),
            (live(1, 10, Some(7)), live(2, 20, Some(8)), 1, Some(8), "both owned: the older"),
            (live(1, 10, Some(7)), live(2, 20, Some(7)), 1, None, "one owner: no other to tell"),
        ] {
            for (x, y) in [(a, b), (b, a)] {
                let end = survivor(x, y);
                assert_eq!(end.goes_on, EnquiryId::from_number(goes_on), "{what}");
                assert_eq!(end.told, told.map(StaffId::from_number), "{what}");
                assert_ne!(end.closes, end.goes_on, "{what}");
            }
        }
    }
}
