//! The same policy without effects, trace, epochs, deadlines or recovery: the arithmetic alone.

use std::collections::{HashMap, VecDeque};

use usher_domain::settings::Method;

use super::{GROUPS, MEMBERS, Policy};

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
}

pub(super) struct Straight {
    method: Method,
    people: Vec<Person>,
    enquiries: HashMap<u64, Enquiry>,
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
        let enquiries = HashMap::new();
        let mut straight = Self { method, people, enquiries, lines, clock: 0, last: 0, taken: 0 };
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
            window_until: self.clock + 86_400_000,
        };
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
        }
        if let Some(enquiry) = self.enquiries.get_mut(&enquiry) {
            enquiry.offered_to = chosen;
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
        self.people[*first].holds += 1;
        for place in offered_to {
            self.people[place].offers -= 1;
        }
        self.taken += 1;
        true
    }

    fn close(&mut self, enquiry: u64) {
        let Some(found) = self.enquiries.remove(&enquiry) else { return };
        let Some(owner) = found.owner else { return };
        self.clock += 1;
        self.people[owner].holds -= 1;
        self.people[owner].held = self.clock;
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
        let until = self.clock + 86_400_000;
        if let Some(enquiry) = self.enquiries.get_mut(&enquiry) {
            enquiry.window_until = enquiry.window_until.max(until);
            enquiry.visitor_waits = true;
        }
        if let Some(enquiry) = self.enquiries.get_mut(&enquiry) {
            enquiry.visitor_waits = false;
        }
        self.close(enquiry);
    }
}
