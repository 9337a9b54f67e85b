//! The same policy as one would write it down: it is told by id, decides the same and says why, keeps
//! a deadline for each enquiry, and says what happened with the newest state of what has changed. No
//! walks over several destinations, no bindings, no priorities, no transfers, nothing that a restart
//! needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use usher_domain::ids::{ChannelId, EnquiryId, GroupId, StaffId};
use usher_domain::rule::{Destination, Leaf, Stop};
use usher_domain::settings::Method;
use usher_domain::trace::{Step, Verdict};

use super::{GROUPS, MEMBERS, Policy};

const WINDOW: u64 = 86_400_000;
const PICK_UP: u64 = 3_600_000;

#[derive(Clone, Copy, Debug)]
struct Person {
    id: StaffId,
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
    Opened {
        enquiry: EnquiryId,
        state: Box<Enquiry>,
    },
    /// Every decision says how it came about.
    Decided {
        enquiry: EnquiryId,
        steps: Vec<Step>,
    },
    Offered {
        enquiry: EnquiryId,
        until: u64,
        state: Person,
    },
    Withdrawn {
        enquiry: EnquiryId,
        state: Person,
    },
    PickedUp {
        enquiry: EnquiryId,
        state: Box<Enquiry>,
        seat: Person,
    },
    Wrote {
        enquiry: EnquiryId,
        state: Box<Enquiry>,
    },
    Closed {
        enquiry: EnquiryId,
        seat: Person,
    },
}

pub(super) struct Straight {
    said: Vec<Said>,
    due: BTreeSet<(u64, EnquiryId)>,
    method: Method,
    people: Vec<Person>,
    /// Places of people, and where channels lead to.
    numbers: BTreeMap<StaffId, usize>,
    channels: BTreeMap<ChannelId, (Leaf, usize)>,
    enquiries: BTreeMap<EnquiryId, Enquiry>,
    lines: Vec<VecDeque<EnquiryId>>,
    clock: u64,
    last: u64,
    pub(super) taken: u64,
}

impl Straight {
    pub(super) fn new(method: Method, live: u64) -> Self {
        let room = live / (GROUPS * MEMBERS) + 5;
        let capacity = u32::try_from(room).unwrap_or(u32::MAX);
        let person = |number: u64| {
            let id = StaffId::from_number(u128::from(number) + 1);
            Person { id, holds: 0, offers: 0, capacity, offered: 0, held: 0 }
        };
        let people: Vec<Person> = (0..GROUPS * MEMBERS).map(person).collect();
        let lines = (0..GROUPS).map(|_| VecDeque::new()).collect();
        let enquiries = BTreeMap::new();
        let mut straight = Self {
            said: Vec::new(),
            due: BTreeSet::new(),
            method,
            numbers: people.iter().map(|person| person.id).zip(0..).collect(),
            people,
            channels: (0..GROUPS)
                .zip(0..)
                .map(|(number, group)| (channel(number), way(number, group)))
                .collect(),
            enquiries,
            lines,
            clock: 0,
            last: 0,
            taken: 0,
        };
        for number in 0..live {
            let enquiry = straight.open(channel(number % GROUPS));
            straight.take(enquiry);
        }
        straight.taken = 0;
        straight
    }

    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.enquiries.len()
    }

    fn open(&mut self, channel: ChannelId) -> EnquiryId {
        self.last += 1;
        let id = EnquiryId::from_number(u128::from(self.last));
        let Some((leaf, group)) = self.channels.get(&channel) else { return id };
        let mut steps = vec![Step::Leaf { stops: leaf.stops.clone(), priority: leaf.priority }];
        steps.extend(leaf.stops.first().map(|stop| Step::Arrived { at: stop.to }));
        let group = *group;
        let enquiry = Enquiry {
            group,
            owner: None,
            offered_to: Vec::new(),
            visitor_waits: true,
            window_until: self.clock + WINDOW,
            due: 0,
        };
        self.said.clear();
        self.said.push(Said::Opened { enquiry: id, state: Box::new(enquiry.clone()) });
        self.enquiries.insert(id, enquiry);
        self.offer(id, group, steps);
        id
    }

    fn offer(&mut self, enquiry: EnquiryId, group: usize, mut steps: Vec<Step>) {
        let each = usize::try_from(MEMBERS).unwrap_or_default();
        let members = group * each..(group + 1) * each;
        let one_by_one = self.method != Method::Simultaneous;
        let why_not = |person: &Person| {
            let reserved = if one_by_one { person.offers } else { 0 };
            if person.holds + reserved >= person.capacity {
                return Some(full(person));
            }
            let offers = u8::try_from(person.offers).unwrap_or(u8::MAX);
            (offers >= 3).then_some(Verdict::EnoughOffers { offers })
        };
        for person in members.clone().map(|place| &self.people[place]) {
            if let Some(verdict) = why_not(person) {
                steps.push(Step::Considered { staff: person.id, verdict });
            }
        }
        let fit = members.filter(|place| why_not(&self.people[*place]).is_none());
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
            let staff = self.people[*place].id;
            steps.push(Step::Considered { staff, verdict: Verdict::Offered });
        }
        self.said.push(Said::Decided { enquiry, steps });
        for place in &chosen {
            self.people[*place].offers += 1;
            self.people[*place].offered = self.clock;
            let (until, state) = (self.clock + PICK_UP, self.people[*place]);
            self.said.push(Said::Offered { enquiry, until, state });
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

    /// The first who holds an offer picks it up.
    fn take(&mut self, enquiry: EnquiryId) -> bool {
        let first = self.enquiries.get(&enquiry).and_then(|found| found.offered_to.first());
        let Some(first) = first.copied() else { return false };
        self.pick_up(enquiry, self.people[first].id)
    }

    fn pick_up(&mut self, enquiry: EnquiryId, by: StaffId) -> bool {
        let Some(person) = self.numbers.get(&by).copied() else { return false };
        let Some(found) = self.enquiries.get_mut(&enquiry) else { return false };
        if !found.offered_to.contains(&person) {
            return false;
        }
        let offered_to = std::mem::take(&mut found.offered_to);
        found.owner = Some(person);
        let state = Box::new(found.clone());
        self.due.remove(&(found.due, enquiry));
        found.due = found.window_until;
        self.due.insert((found.due, enquiry));
        self.said.clear();
        self.people[person].holds += 1;
        for place in offered_to {
            self.people[place].offers -= 1;
            let state = self.people[place];
            self.said.push(Said::Withdrawn { enquiry, state });
        }
        let seat = self.people[person];
        self.said.push(Said::PickedUp { enquiry, state, seat });
        self.taken += 1;
        true
    }

    fn wrote(&mut self, enquiry: EnquiryId, visitor: bool) {
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

    fn close(&mut self, enquiry: EnquiryId) {
        let Some(found) = self.enquiries.remove(&enquiry) else { return };
        self.due.remove(&(found.due, enquiry));
        let Some(owner) = found.owner else { return };
        self.said.clear();
        self.clock += 1;
        self.people[owner].holds -= 1;
        self.people[owner].held = self.clock;
        let seat = self.people[owner];
        self.said.push(Said::Closed { enquiry, seat });
        if let Some(waiting) = self.lines[found.group].pop_front() {
            self.offer(waiting, found.group, Vec::new());
        }
    }
}

fn full(person: &Person) -> Verdict {
    let parts = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    Verdict::Full { load: parts(person.holds + person.offers), capacity: parts(person.capacity) }
}

fn channel(group: u64) -> ChannelId {
    ChannelId::from_number(u128::from(group) + 1)
}

/// Where a channel leads to.
fn way(number: u64, group: usize) -> (Leaf, usize) {
    let to = Destination::Group(GroupId::from_number(u128::from(number) + 1));
    (Leaf { stops: vec![Stop { to, pick_up: None }], priority: 5 }, group)
}

impl Policy for Straight {
    fn round(&mut self, number: u64) {
        let enquiry = self.open(channel(number % GROUPS));
        if !self.take(enquiry) {
            return;
        }
        self.wrote(enquiry, true);
        self.wrote(enquiry, false);
        self.close(enquiry);
        std::hint::black_box(&self.said);
    }
}
