//! The floor: it alone decides state, owner, epoch, walk, offers, lines and slots.
//!
//! One machine per service. Every command is judged in one turn; what happened and the newest state
//! of whatever outlives a restart come back as one group of effects.
//!
//! | state | enters by | leaves by |
//! |---|---|---|
//! | Open | `Route`; a blind transfer; a bot left; the owner was suspended | picked up; walk ends → Missed |
//! | Ongoing, `WithBot` | pick-up, assign, take-over; a bot took it | close; blind transfer → Open |
//! | Missed | a walk ended with nobody; a blind transfer lapsed | taken up → Followed-up; close |
//! | Followed-up | pick-up, assign, take-over of a missed one | close; transfer |
//!
//! After every turn no person who could be offered a waiting enquiry is left without it (R6): a turn
//! ends only when [`settle`](Floor) finds nothing more to offer.

mod absence;
mod ask;
mod bot;
mod command;
mod dispatch;
mod entries;
mod entry;
pub mod event;
mod line;
mod look;
mod missed;
mod offer;
mod own;
pub mod place;
mod seat;
mod team;
mod transfer;
mod walk;
mod written;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use crate::ids::{BotId, ChannelId, EnquiryId, GroupId, RuleId, StaffId};
use crate::record::After;
use crate::rule::{Counters, Draws};
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::trace::Step;
use crate::wall::Ahead;

pub use command::{Command, Effect, Refusal, Route};
pub use look::{OfferLook, SeatLook, WaitLook};

use entries::{Entries, Key};
use entry::{At, Entry};
use event::FloorEvent;
use line::{Line, Lines, Rank};
use place::{PlaceThen, SeatKept};
use seat::{Chair, Seat, Seats};
use team::Teams;

/// Most enquiries whose deadlines are let expire in one turn.
pub const EXPIRE_SLICE: usize = 1_000;

/// Who gets what, for one service.
#[derive(Clone, Debug)]
pub struct Floor {
    settings: Arc<Settings>,
    teams: Teams,
    /// Groups that any branch of a rule names: which one is in force can change with the hour.
    named: BTreeMap<RuleId, Vec<GroupId>>,
    /// Lists of groups that walks have come to: few, and many enquiries have the same.
    walked: BTreeSet<Arc<[GroupId]>>,
    seats: Seats,
    entries: Entries,
    lines: Lines,
    counters: Counters,
    bots: BTreeMap<BotId, bot::Health>,
    /// Missed enquiries by the groups whose members may be offered them, the soonest lapse first.
    missed: BTreeMap<GroupId, BTreeSet<(Timestamp, Key)>>,
    /// Owners gone whom nobody relieved: tried again when somebody frees up.
    unrelieved: BTreeSet<Key>,
    due: BTreeSet<(Timestamp, Key)>,
    wraps: BTreeSet<(Timestamp, Chair)>,
    /// The last ticket and arrival number given out.
    ticket: u64,
    arrival: u64,
    /// Enquiries were put back, and it does not go on yet.
    restored: bool,
    /// Time rules, bindings and windows follow the wall clock.
    ahead: Ahead,
    turn: Turn,
}

/// What is only needed while one turn runs.
#[derive(Clone, Debug, Default)]
struct Turn {
    now: Timestamp,
    out: Vec<Effect>,
    /// Steps of the decision being taken.
    steps: Vec<Step>,
    /// Enquiries whose walk has to be looked at.
    touched: VecDeque<Key>,
    /// Waiting enquiries that somebody might be offered; some may have gone on since.
    ready: BinaryHeap<Reverse<Rank>>,
    /// People who may have become able to take something.
    freed: Vec<Chair>,
    /// Room for a list of people, so that it is not made anew for each offer.
    able: Vec<Chair>,
    /// What would be offered first to each of those; something else may have come between.
    wanted: BinaryHeap<Reverse<(Rank, Chair)>>,
    /// Freed, and nothing waits for them.
    unneeded: VecDeque<Chair>,
    /// Enquiries to be noted anew at the end of the turn.
    marked: Vec<Key>,
    seats_marked: Vec<Chair>,
}

impl Floor {
    pub fn new(settings: Arc<Settings>) -> Self {
        let mut floor = Self {
            teams: Teams::default(),
            named: BTreeMap::new(),
            walked: BTreeSet::new(),
            seats: Seats::default(),
            entries: Entries::default(),
            lines: Lines::default(),
            counters: Counters::default(),
            bots: BTreeMap::new(),
            missed: BTreeMap::new(),
            unrelieved: BTreeSet::new(),
            due: BTreeSet::new(),
            wraps: BTreeSet::new(),
            ticket: 0,
            arrival: 0,
            restored: false,
            ahead: Ahead::default(),
            turn: Turn::default(),
            settings,
        };
        floor.seat_people();
        floor
    }

    /// Puts back an enquiry as it was kept; call [`Floor::resume`] when all are back.
    pub fn restore_place(&mut self, enquiry: EnquiryId, mut place: PlaceThen) {
        self.restored = true;
        let groups = Arc::clone(&place.groups);
        place.groups = self.one_of_a_kind(&groups);
        self.arrival = self.arrival.max(place.arrival);
        let owner = place.stage.owner().map(|owner| self.seats.seat(owner).chair);
        let entry = Entry { changed: false, owner, ..Entry::new(enquiry, place) };
        let key = self.entries.insert(entry);
        if let Some(owner) = owner {
            self.seats.at_mut(owner).owned.insert(key);
        }
    }

    pub fn restore_seat(&mut self, staff: StaffId, kept: SeatKept) {
        self.seats.seat(staff).kept = kept;
    }

    pub fn restore_draws(&mut self, channel: ChannelId, rule: RuleId, node: u16, draws: Draws) {
        self.counters.insert(channel, rule, node, draws);
    }

    /// Goes on after a restart: every walk and transfer that was under way offers afresh.
    pub fn resume(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.turn.now = now;
        self.restored = false;
        let everybody = self.seats.everybody();
        for chair in &everybody {
            self.seats.at_mut(*chair).presence_since = now;
        }
        let mut by_arrival: Vec<(u64, Key)> =
            self.entries.iter().map(|(key, entry)| (entry.place.arrival, key)).collect();
        by_arrival.sort_unstable();
        for (_, enquiry) in by_arrival {
            self.resume_one(enquiry);
        }
        self.orphan_the_suspended();
        for chair in everybody {
            self.free(chair);
        }
        self.settle();
        self.flush(effects);
    }

    /// First lets due deadlines expire, then judges; a refusal changes nothing beyond that.
    ///
    /// Between a restore and [`Floor::resume`] only presence may be told; nothing comes of it yet.
    pub fn apply(
        &mut self,
        now: Timestamp,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.look_at_the_clock(now);
        self.expire_due();
        self.settle();
        let outcome = self.judge(command);
        self.settle();
        self.flush(effects);
        outcome
    }

    /// Deadlines that have come, at most [`EXPIRE_SLICE`] enquiries at a time.
    pub fn expire(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.look_at_the_clock(now);
        self.expire_due();
        self.settle();
        self.flush(effects);
    }

    /// While running, time never goes back: what has ended stays ended.
    fn look_at_the_clock(&mut self, now: Timestamp) {
        self.turn.now = self.turn.now.max(now);
    }

    /// When to call [`Floor::expire`] again.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let enquiry = self.due.first().map(|&(at, _)| at);
        let wrap = self.wraps.first().map(|&(at, _)| at);
        enquiry.into_iter().chain(wrap).min()
    }

    fn judge(&mut self, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Route(route) => {
                self.route(&route);
                Ok(())
            }
            Command::VisitorWrote { enquiry, opens, window_until } => {
                self.visitor_wrote(self.key(enquiry)?, opens, window_until)
            }
            Command::WeWrote { enquiry } => self.we_wrote(self.key(enquiry)?),
            Command::PickUp { enquiry, staff } => self.pick_up(self.key(enquiry)?, staff),
            Command::Decline { enquiry, staff } => self.decline(self.key(enquiry)?, staff),
            Command::Transfer { enquiry, by, to, blind } => {
                self.transfer(self.key(enquiry)?, by, to, blind)
            }
            Command::CancelTransfer { enquiry, by } => self.cancel_transfer(self.key(enquiry)?, by),
            Command::Assign { enquiry, to } => self.assign(self.key(enquiry)?, to),
            Command::TakeOver { enquiry, by } => self.take_over(self.key(enquiry)?, by),
            Command::Hold { enquiry, by, until } => self.hold(self.key(enquiry)?, by, until),
            Command::Close { enquiry, by, silent, reason } => {
                self.close(self.key(enquiry)?, by, silent, reason)
            }
            Command::Known { enquiry, language, country } => {
                self.known(self.key(enquiry)?, language, country)
            }
            Command::BotLeft { enquiry, failed } => self.bot_left(self.key(enquiry)?, failed),
            Command::HandOver { staff } => {
                self.hand_over(staff);
                Ok(())
            }
            Command::Presence { staff, presence, why } => {
                self.set_presence(staff, presence, why);
                Ok(())
            }
            Command::Reloading { staff, on } => {
                self.set_reloading(staff, on);
                Ok(())
            }
            Command::Settings(settings) => {
                self.replace_settings(settings);
                Ok(())
            }
        }
    }

    fn expire_due(&mut self) {
        if self.restored {
            return;
        }
        let now = self.turn.now;
        for _ in 0..EXPIRE_SLICE {
            match self.due.first().copied() {
                Some((at, enquiry)) if at <= now => {
                    self.due.remove(&(at, enquiry));
                    self.expire_one(enquiry);
                }
                Some(_) | None => break,
            }
        }
        while let Some((at, chair)) = self.wraps.first().copied() {
            if now < at {
                break;
            }
            self.wraps.remove(&(at, chair));
            self.free(chair);
        }
    }

    fn expire_one(&mut self, enquiry: Key) {
        let now = self.turn.now;
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        entry.due = None;
        let cooled = entry.let_cool(now);
        self.mark(enquiry);
        self.touch(enquiry);
        self.let_offers_lapse(enquiry);
        self.end_hold_if_due(enquiry);
        self.walk_again_if_due(enquiry);
        self.relieve_if_due(enquiry);
        if cooled {
            self.put_on_shelf(enquiry);
        }
    }

    /// Offers until nobody who could take a waiting enquiry is without it.
    fn settle(&mut self) {
        if self.restored {
            return;
        }
        loop {
            while let Some(enquiry) = self.turn.touched.pop_front() {
                if let Some(entry) = self.entries.get_mut(enquiry) {
                    entry.noted.touched = false;
                }
                self.step(enquiry);
            }
            let Some(enquiry) = self.best_ready() else {
                if !self.offer_what_was_left() {
                    break;
                }
                continue;
            };
            self.dispatch(enquiry);
        }
    }

    fn flush(&mut self, effects: &mut Vec<Effect>) {
        debug_assert!(self.turn.steps.is_empty(), "every step belongs to a decision");
        let mut marked = std::mem::take(&mut self.turn.marked);
        for enquiry in marked.drain(..) {
            self.tell_that_it_waits(enquiry);
            self.note_relief(enquiry);
            self.note_deadline(enquiry);
            self.keep_place(enquiry);
        }
        self.turn.marked = marked;
        for chair in self.turn.seats_marked.drain(..) {
            let seat = self.seats.at_mut(chair);
            seat.noted.marked = false;
            let (staff, kept) = (seat.staff, seat.kept.clone());
            self.turn.out.push(Effect::Keep(After::Seat { staff, seat: kept }));
        }
        for (channel, rule, node, draws) in self.counters.take_changed() {
            let draws = Box::new(draws);
            self.turn.out.push(Effect::Keep(After::Draws { channel, rule, node, draws }));
        }
        if effects.is_empty() {
            std::mem::swap(effects, &mut self.turn.out);
        } else {
            effects.append(&mut self.turn.out);
        }
    }

    /// Once per stop, when a turn leaves it in line with nobody to offer it to.
    fn tell_that_it_waits(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        let Some((line, rank)) = entry.standing(enquiry) else { return };
        let At::Stop(stop) = &mut entry.at else { return };
        if stop.told || !entry.offers.is_empty() {
            return;
        }
        stop.told = true;
        let (at, position) = (stop.destination, self.lines.position(line, rank));
        self.turn.steps.push(Step::Waiting { at, position });
        self.decided(enquiry);
        self.happened(FloorEvent::Waiting { enquiry: self.id(enquiry), at });
    }

    fn note_deadline(&mut self, enquiry: Key) {
        let now = self.turn.now;
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        entry.noted.marked = false;
        entry.let_cool(now);
        let next = entry.next_deadline();
        if next == entry.due {
            return;
        }
        if let Some(old) = entry.due {
            self.due.remove(&(old, enquiry));
        }
        if let Some(new) = next {
            self.due.insert((new, enquiry));
        }
        entry.due = next;
    }

    fn keep_place(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        if std::mem::take(&mut entry.changed) {
            let (enquiry, place) = (entry.id, Some(entry.place.clone()));
            self.turn.out.push(Effect::Keep(After::Place { enquiry, place }));
        }
    }

    fn happened(&mut self, event: FloorEvent) {
        self.turn.out.push(Effect::Happened(event));
    }

    /// Writes the steps taken so far for an enquiry into its trace.
    fn decided(&mut self, enquiry: Key) {
        if self.turn.steps.is_empty() {
            return;
        }
        let enquiry = self.id(enquiry);
        let steps = &mut self.turn.steps;
        // What follows at once is part of the same decision.
        match self.turn.out.last_mut() {
            Some(Effect::Happened(FloorEvent::Decided { enquiry: before, steps: more }))
                if *before == enquiry =>
            {
                more.append(steps);
            }
            Some(_) | None => {
                let steps = std::mem::take(steps);
                self.happened(FloorEvent::Decided { enquiry, steps });
            }
        }
    }

    /// The entry, to be changed: its deadline and place are noted at the end of the turn.
    fn entry_mut(&mut self, enquiry: Key) -> Option<&mut Entry> {
        self.mark(enquiry);
        let entry = self.entries.get_mut(enquiry)?;
        entry.changed = true;
        Some(entry)
    }

    fn key(&self, enquiry: EnquiryId) -> Result<Key, Refusal> {
        self.entries.key(enquiry).ok_or(Refusal::NotFound)
    }

    /// What the outside calls it.
    fn id(&self, enquiry: Key) -> EnquiryId {
        self.entries.get(enquiry).expect("it is on the floor while it is spoken of").id
    }

    /// To be noted anew at the end of the turn.
    fn mark(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        if !std::mem::replace(&mut entry.noted.marked, true) {
            self.turn.marked.push(enquiry);
        }
    }

    /// Its walk has to be looked at.
    fn touch(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        if !std::mem::replace(&mut entry.noted.touched, true) {
            self.turn.touched.push_back(enquiry);
        }
    }

    /// May have become able to take something.
    fn free(&mut self, chair: Chair) {
        let noted = &mut self.seats.at_mut(chair).noted;
        if !std::mem::replace(&mut noted.freed, true) {
            self.turn.freed.push(chair);
        }
    }

    /// What is kept of this person has changed.
    fn mark_seat(&mut self, chair: Chair) {
        let noted = &mut self.seats.at_mut(chair).noted;
        if !std::mem::replace(&mut noted.marked, true) {
            self.turn.seats_marked.push(chair);
        }
    }

    fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }
}
