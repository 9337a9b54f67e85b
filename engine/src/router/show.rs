//! Who is shown what of the live enquiries: people take turns, and of what nobody serves in their
//! groups each sees the newest.
//!
//! A group's missed enquiries can be tens of thousands, and everybody may come back at once. What is
//! gathered for one person is therefore bounded, few are served at a time so that visitors are heard
//! in between, and a head that is the same to all members of a group is written once for them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use actix::prelude::*;
use usher_domain::access::{RoomFacts, Sight, Standing, Viewer, sight};
use usher_domain::floor::place::Place;
use usher_domain::ids::{EnquiryId, GroupId, StaffId};
use usher_protocol::command::Unserved;

use super::Router;
use crate::channel::ToEnquiry;
use crate::enquiry::Told;
use crate::ledger::Release;
use crate::peers::Peers;
use crate::staff::{Gathered, Page, Staff, Wanted};

/// People for whom is gathered at one time; the others wait for their turn.
const AT_ONCE: usize = 4;
/// Most waiting, and most missed, enquiries that a snapshot shows; the others are asked for in pages.
pub(crate) const UNSERVED_SHOWN: usize = 100;
/// Most heads kept written.
const WRITTEN_MAX: usize = 10_000;

/// A person is to be shown something.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Show {
    pub(crate) staff: StaffId,
    pub(crate) addr: Addr<Staff>,
    pub(crate) wanted: Wanted,
}

/// One person has been shown what they wanted.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Shown;

/// Who waits to be shown something, and for how many is gathered now.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: VecDeque<Show>,
    under_way: usize,
}

/// Heads of what nobody serves, as every member of its groups sees them: written by the enquiry when
/// the first of them is shown it, and forgotten within a second, or when the enquiry moves.
#[derive(Debug, Default)]
pub(crate) struct Board(RefCell<Written>);

type Written = BTreeMap<(EnquiryId, Unserved), Arc<str>>;

impl Board {
    pub(crate) fn put(&self, enquiry: EnquiryId, state: Unserved, head: &Arc<str>) {
        let mut written = self.0.borrow_mut();
        if written.len() < WRITTEN_MAX {
            written.insert((enquiry, state), Arc::clone(head));
        }
    }

    fn get(&self, enquiry: EnquiryId, state: Unserved) -> Option<Arc<str>> {
        self.0.borrow().get(&(enquiry, state)).cloned()
    }

    /// The enquiry stands elsewhere now.
    pub(super) fn forget(&self, enquiry: EnquiryId) {
        let mut written = self.0.borrow_mut();
        if !written.is_empty() {
            written.remove(&(enquiry, Unserved::Waiting));
            written.remove(&(enquiry, Unserved::Missed));
        }
    }

    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Router {
    fn show_next(&mut self) {
        while self.turns.under_way < AT_ONCE
            && let Some(show) = self.turns.waiting.pop_front()
        {
            self.turns.under_way += 1;
            self.gather(show);
        }
    }

    fn gather(&self, Show { staff, addr, wanted }: Show) {
        let groups = self.groups_of(staff);
        let (own, pages) = match &wanted {
            Wanted::Greeting { connection, joined } => {
                // What is told from here on comes after what is gathered now.
                let mark = Release::Mark { staff: addr.clone(), connection: *connection };
                self.peers.ledger.release(mark);
                let pages = [Unserved::Waiting, Unserved::Missed]
                    .map(|state| (state, self.index.newest(groups, state, None, UNSERVED_SHOWN)));
                (self.own(staff, joined), Vec::from(pages))
            }
            Wanted::Page(Page { state, before, limit, .. }) => {
                let limit = usize::from(limit.entries());
                let found = self.index.newest(groups, *state, *before, limit);
                (BTreeSet::new(), vec![(*state, found)])
            }
        };
        let gathered = Arc::new(Gathered::new(wanted, addr, self.peers.router.clone()));
        for enquiry in &own {
            self.ask(*enquiry, Told::ShowTo { staff, gathered: Arc::clone(&gathered) });
        }
        for (state, found) in pages {
            for enquiry in found.into_iter().filter(|enquiry| !own.contains(enquiry)) {
                self.show_unserved((staff, groups), (enquiry, state), &gathered);
            }
        }
    }

    /// What this person owns, was offered, or takes part in.
    fn own(&self, staff: StaffId, joined: &BTreeSet<EnquiryId>) -> BTreeSet<EnquiryId> {
        let offered = self.floor.seat(staff).map(|seat| seat.offers).unwrap_or_default();
        self.floor.owned_by(staff).chain(offered).chain(joined.iter().copied()).collect()
    }

    fn show_unserved(
        &self,
        (staff, groups): (StaffId, &[GroupId]),
        (enquiry, state): (EnquiryId, Unserved),
        gathered: &Arc<Gathered>,
    ) {
        let sees = |place: &Place| sees_head(&self.peers, (staff, groups), place);
        if !self.floor.place(enquiry).is_some_and(sees) {
            return;
        }
        match self.peers.board.get(enquiry, state) {
            Some(head) => gathered.add(enquiry, head),
            None => self.ask(enquiry, Told::ShowUnserved { gathered: Arc::clone(gathered) }),
        }
    }

    fn ask(&self, enquiry: EnquiryId, what: Told) {
        let channel = self.floor.place(enquiry).and_then(|place| self.peers.channel(place.channel));
        if let Some(channel) = channel {
            channel.do_send(ToEnquiry { enquiry, what });
        }
    }
}

/// Asks the one function that decides on access, for somebody who is nothing to the enquiry but a
/// member of its groups, or set over them.
fn sees_head(peers: &Peers, (staff, groups): (StaffId, &[GroupId]), place: &Place) -> bool {
    let Some(person) = peers.settings.staff.get(&staff) else { return false };
    let viewer = Viewer {
        staff: Some(staff),
        role: person.role,
        supervises: &person.supervises,
        member_of: groups,
        channels: None,
    };
    let room = RoomFacts {
        channel: place.channel,
        standing: Standing::from(place.stage),
        owner: None,
        joined: &[],
        offered_to: &[],
        offered_before: &[],
        groups: &place.groups,
        transferred_by: None,
        former: &[],
        serving_visitor: &[],
    };
    matches!(sight(&viewer, &room), Sight::Head | Sight::Whole)
}

impl Handler<Show> for Router {
    type Result = ();

    fn handle(&mut self, show: Show, _: &mut Context<Self>) {
        self.turns.waiting.push_back(show);
        self.show_next();
    }
}

impl Handler<Shown> for Router {
    type Result = ();

    fn handle(&mut self, _: Shown, _: &mut Context<Self>) {
        self.turns.under_way = self.turns.under_way.saturating_sub(1);
        self.show_next();
    }
}
