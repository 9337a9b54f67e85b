//! The same policy as one would write it down: it decides the same, keeps a deadline for each
//! enquiry, and says what happened with the newest state of what has changed. No walks over several
//! destinations, no trace, no bindings, no priorities, no transfers, nothing that a restart needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use usher_domain::settings::Method;

use super::{GROUPS, MEMBERS, Policy};

const WINDOW: u64 = 86_400_000;
const PICK_UP: u64 = 3_600_000;

#[derive(Clone, Copy, Debug, Default)]
struct Person {
    holds: u32,
    offers: u32,
    capacity: u32,
    /// When it was last offered one, and when it last held one.
    offered: u64,
    held: u64,
}

#[derive(Clone, Debug)]
struct Enquiry {
    group: usize,
    /// Person and group, by place.
    owner: Option<usize>,
    offered_to: Vec<usize>,
    visitor_waits: bool,
    window_until: u64,
    due: u64,
}

/// What happened, and the newest state of what has changed.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "made since the machines make theirs too; nobody reads either here")]
enum Said {
    Opened { enquiry: u64, state: Box<Enquiry> },
    Offered { enquiry: u64, person: usize, until: u64, state: Person },
    Withdrawn { enquiry: u64, person: usize, state: Person },
    PickedUp { enquiry: u64, person: usize, state: Box<Enquiry>, seat: Person },
    Wrote { enquiry: u64, state: Box<Enquiry> },
    Closed { enquiry: u64, owner: usize, seat: Person },
}

pub(super) struct Straight {
    said: Vec<Said>,
    due: BTreeSet<(u64, u64)>,
    method: Method,
    people: Vec<Person>,
    enquiries: BTreeMap<u64, Enquiry>,
    lines: Vec<VecDeque<u64>>,
    clock: u64,
    last: u64,
    pub(super) taken: u64,
}

impl Straight {
    pub(super) fn new(method: Method, live: u64) -> Self {
        let room = live / (GROUPS * MEMBERS) + 5;
        let capacity = u32::try_from(room).unwrap_or(u32::MAX);
        let person = Person { capacity, ..Person::default() };
        let people = (0..GROUPS * MEMBERS).map(|_| person).collect();
        let lines = (0..GROUPS).map(|_| VecDeque::new()).collect();
        let enquiries = BTreeMap::new();
        let mut straight = Self {
            said: Vec::new(),
            due: BTreeSet::new(),
            method,
            people,
            enquiries,
            lines,
            clock: 0,
            last: 0,
            taken: 0,
        };
        for number in 0..live {
            let enquiry = straight.open(number % GROUPS);
            straight.pick_up(enquiry);
        }
        straight.taken = 0;
        straight
    }

    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.enquiries.len()
    }

    fn open(&mut self, group: u64) -> u64 {
        self.last += 1;
        let group = usize::try_from(group).unwrap_or_default();
        let enquiry = Enquiry {
            group,
            owner: None,
            offered_to: Vec::new(),
            visitor_waits: true,
            window_until: self.clock + WINDOW,
            due: 0,
        };
        self.said.clear();
        self.said.push(Said::Opened { enquiry: self.last, state: Box::new(enquiry.clone()) });
        self.enquiries.insert(self.last, enquiry);
        self.offer(self.last, group);
        self.last
    }

    fn offer(&mut self, enquiry: u64, group: usize) {
        let each = usize::try_from(MEMBERS).unwrap_or_default();
        let members = group * each..(group + 1) * each;
        let one_by_one = self.method != Method::Simultaneous;
        let free = |person: &Person| {
            let reserved = if one_by_one { person.offers } else { 0 };
            person.holds + reserved < person.capacity && person.offers < 3
        };
        let fit = members.filter(|place| free(&self.people[*place]));
        let chosen: Vec<usize> = match self.method {
            Method::Simultaneous => fit.collect(),
            Method::FixedOrder => fit.take(1).collect(),
            Method::RoundRobin => {
                fit.min_by_key(|place| self.people[*place].offered).into_iter().collect()
            }
            Method::MostIdle => fit
                .min_by_key(|place| (self.people[*place].holds > 0, self.people[*place].held))
                .into_iter()
                .collect(),
            Method::LeastLoaded => fit.min_by_key(|place| self.share(*place)).into_iter().collect(),
        };
        if chosen.is_empty() {
            self.lines[group].push_back(enquiry);
        }
        self.clock += 1;
        for place in &chosen {
            self.people[*place].offers += 1;
            self.people[*place].offered = self.clock;
            let (person, until, state) = (*place, self.clock + PICK_UP, self.people[*place]);
            self.said.push(Said::Offered { enquiry, person, until, state });
        }
        self.due.insert((self.clock + PICK_UP, enquiry));
        if let Some(found) = self.enquiries.get_mut(&enquiry) {
            found.offered_to = chosen;
            found.due = self.clock + PICK_UP;
        }
    }

    /// Parts of a million in use, then how long idle.
    fn share(&self, place: usize) -> (u64, u64) {
        let person = &self.people[place];
        (
            u64::from(person.holds + person.offers) * 1_000_000 / u64::from(person.capacity),
            person.held,
        )
    }

    fn pick_up(&mut self, enquiry: u64) -> bool {
        let Some(found) = self.enquiries.get_mut(&enquiry) else { return false };
        let offered_to = std::mem::take(&mut found.offered_to);
        let Some(first) = offered_to.first() else { return false };
        found.owner = Some(*first);
        let (person, state) = (*first, Box::new(found.clone()));
        self.due.remove(&(found.due, enquiry));
        found.due = found.window_until;
        self.due.insert((found.due, enquiry));
        self.said.clear();
        self.people[person].holds += 1;
        for place in offered_to {
            self.people[place].offers -= 1;
            let state = self.people[place];
            self.said.push(Said::Withdrawn { enquiry, person: place, state });
        }
        let seat = self.people[person];
        self.said.push(Said::PickedUp { enquiry, person, state, seat });
        self.taken += 1;
        true
    }

    fn wrote(&mut self, enquiry: u64, visitor: bool) {
        let Some(found) = self.enquiries.get_mut(&enquiry) else { return };
        if visitor {
            self.due.remove(&(found.due, enquiry));
            found.window_until = found.window_until.max(self.clock + WINDOW);
            found.due = found.window_until;
            self.due.insert((found.due, enquiry));
        }
        found.visitor_waits = visitor;
        self.said.clear();
        self.said.push(Said::Wrote { enquiry, state: Box::new(found.clone()) });
    }

    fn close(&mut self, enquiry: u64) {
        let Some(found) = self.enquiries.remove(&enquiry) else { return };
        self.due.remove(&(found.due, enquiry));
        let Some(owner) = found.owner else { return };
        self.said.clear();
        self.clock += 1;
        self.people[owner].holds -= 1;
        self.people[owner].held = self.clock;
        let seat = self.people[owner];
        self.said.push(Said::Closed { enquiry, owner, seat });
        if let Some(waiting) = self.lines[found.group].pop_front() {
            self.offer(waiting, found.group);
        }
    }
}

impl Policy for Straight {
    fn round(&mut self, number: u64) {
        let enquiry = self.open(number % GROUPS);
        if !self.pick_up(enquiry) {
            return;
        }
        self.wrote(enquiry, true);
        self.wrote(enquiry, false);
        self.close(enquiry);
        std::hint::black_box(&self.said);
    }
}
