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
mod entry;
pub mod event;
mod line;
mod look;
mod missed;
mod offer;
mod own;
pub mod place;
mod seat;
mod transfer;
mod walk;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ids::{BotId, ChannelId, EnquiryId, GroupId, RuleId, StaffId};
use crate::record::After;
use crate::rule::{Counters, Destination, Draws};
use crate::settings::Settings;
use crate::time::Timestamp;
use crate::trace::Step;

pub use command::{Command, Effect, Refusal, Route};
pub use look::{OfferLook, SeatLook, WaitLook};

use entry::{At, Entry};
use event::FloorEvent;
use line::{Line, Lines, Rank};
use place::{Place, SeatKept};
use seat::Seat;

/// Most enquiries whose deadlines are let expire in one turn.
pub const EXPIRE_SLICE: usize = 1_000;

/// Who gets what, for one service.
#[derive(Clone, Debug)]
pub struct Floor {
    settings: Arc<Settings>,
    /// The lines each person serves.
    serves: BTreeMap<StaffId, Vec<Line>>,
    seats: BTreeMap<StaffId, Seat>,
    /// Boxed, so that those next to one that comes or goes need not be moved.
    entries: BTreeMap<EnquiryId, Box<Entry>>,
    lines: Lines,
    counters: Counters,
    bots: BTreeMap<BotId, bot::Health>,
    /// Missed enquiries by the groups whose members may be offered them, the soonest lapse first.
    missed: BTreeMap<GroupId, BTreeSet<(Timestamp, EnquiryId)>>,
    /// Owners gone whom nobody relieved: tried again when somebody frees up.
    unrelieved: BTreeSet<EnquiryId>,
    due: BTreeSet<(Timestamp, EnquiryId)>,
    wraps: BTreeSet<(Timestamp, StaffId)>,
    /// The last ticket and arrival number given out.
    ticket: u64,
    arrival: u64,
    /// Enquiries were put back, and it does not go on yet.
    restored: bool,
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
    touched: BTreeSet<EnquiryId>,
    /// Waiting enquiries that somebody might be offered.
    ready: BTreeSet<(Rank, EnquiryId)>,
    /// People who may have become able to take something.
    freed: BTreeSet<StaffId>,
    /// Freed, and nothing waits for them.
    unneeded: BTreeSet<StaffId>,
    /// Enquiries to be noted anew at the end of the turn.
    marked: BTreeSet<EnquiryId>,
    seats_marked: BTreeSet<StaffId>,
}

impl Floor {
    pub fn new(settings: Arc<Settings>) -> Self {
        let mut floor = Self {
            serves: BTreeMap::new(),
            seats: BTreeMap::new(),
            entries: BTreeMap::new(),
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
            turn: Turn::default(),
            settings,
        };
        floor.seat_people();
        floor
    }

    /// Puts back an enquiry as it was kept; call [`Floor::resume`] when all are back.
    pub fn restore_place(&mut self, enquiry: EnquiryId, place: Place) {
        self.restored = true;
        self.arrival = self.arrival.max(place.arrival);
        if let Some(owner) = place.stage.owner() {
            self.seats.entry(owner).or_default().owned.insert(enquiry);
        }
        let entry = Entry { changed: false, ..Entry::new(place) };
        self.entries.insert(enquiry, Box::new(entry));
    }

    pub fn restore_seat(&mut self, staff: StaffId, kept: SeatKept) {
        self.seats.entry(staff).or_default().kept = kept;
    }

    pub fn restore_draws(&mut self, channel: ChannelId, rule: RuleId, node: u16, draws: Draws) {
        self.counters.insert(channel, rule, node, draws);
    }

    /// Goes on after a restart: every walk and transfer that was under way offers afresh.
    pub fn resume(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        self.turn.now = now;
        self.restored = false;
        for seat in self.seats.values_mut() {
            seat.presence_since = now;
        }
        let mut by_arrival: Vec<(u64, EnquiryId)> =
            self.entries.iter().map(|(id, entry)| (entry.place.arrival, *id)).collect();
        by_arrival.sort_unstable();
        for (_, enquiry) in by_arrival {
            self.resume_one(enquiry);
        }
        self.orphan_the_suspended();
        let everybody: Vec<StaffId> = self.seats.keys().copied().collect();
        self.turn.freed.extend(everybody);
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
                self.visitor_wrote(enquiry, opens, window_until)
            }
            Command::WeWrote { enquiry } => self.we_wrote(enquiry),
            Command::PickUp { enquiry, staff } => self.pick_up(enquiry, staff),
            Command::Decline { enquiry, staff } => self.decline(enquiry, staff),
            Command::Transfer { enquiry, by, to, blind } => self.transfer(enquiry, by, to, blind),
            Command::CancelTransfer { enquiry, by } => self.cancel_transfer(enquiry, by),
            Command::Assign { enquiry, to } => self.assign(enquiry, to),
            Command::TakeOver { enquiry, by } => self.take_over(enquiry, by),
            Command::Hold { enquiry, by, until } => self.hold(enquiry, by, until),
            Command::Close { enquiry, by, silent, reason } => {
                self.close(enquiry, by, silent, reason)
            }
            Command::Known { enquiry, language, country } => self.known(enquiry, language, country),
            Command::BotLeft { enquiry, failed } => self.bot_left(enquiry, failed),
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
        while let Some((at, staff)) = self.wraps.first().copied() {
            if now < at {
                break;
            }
            self.wraps.remove(&(at, staff));
            self.turn.freed.insert(staff);
        }
    }

    fn expire_one(&mut self, enquiry: EnquiryId) {
        let now = self.turn.now;
        let Some(entry) = self.entries.get_mut(&enquiry) else { return };
        entry.due = None;
        let cooled = entry.let_cool(now);
        self.turn.marked.insert(enquiry);
        self.turn.touched.insert(enquiry);
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
            while let Some(enquiry) = self.turn.touched.pop_first() {
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
        self.turn.unneeded.clear();
    }

    fn flush(&mut self, effects: &mut Vec<Effect>) {
        debug_assert!(self.turn.steps.is_empty(), "every step belongs to a decision");
        for enquiry in std::mem::take(&mut self.turn.marked) {
            self.tell_that_it_waits(enquiry);
            self.note_relief(enquiry);
            self.note_deadline(enquiry);
            self.keep_place(enquiry);
        }
        for staff in std::mem::take(&mut self.turn.seats_marked) {
            let Some(seat) = self.seats.get(&staff) else { continue };
            self.turn.out.push(Effect::Keep(After::Seat { staff, seat: seat.kept.clone() }));
        }
        for (channel, rule, node, draws) in self.counters.take_changed() {
            self.turn.out.push(Effect::Keep(After::Draws { channel, rule, node, draws }));
        }
        effects.append(&mut self.turn.out);
    }

    /// Once per stop, when a turn leaves it in line with nobody to offer it to.
    fn tell_that_it_waits(&mut self, enquiry: EnquiryId) {
        let Some(entry) = self.entries.get_mut(&enquiry) else { return };
        let Some((line, rank)) = entry.standing(enquiry) else { return };
        let At::Stop(stop) = &mut entry.at else { return };
        if stop.told || !entry.offers.is_empty() {
            return;
        }
        stop.told = true;
        let (at, position) = (stop.destination, self.lines.position(line, rank));
        self.turn.steps.push(Step::Waiting { at, position });
        self.decided(enquiry);
        self.happened(FloorEvent::Waiting { enquiry, at });
    }

    fn note_deadline(&mut self, enquiry: EnquiryId) {
        let now = self.turn.now;
        let Some(entry) = self.entries.get_mut(&enquiry) else { return };
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

    fn keep_place(&mut self, enquiry: EnquiryId) {
        let Some(entry) = self.entries.get_mut(&enquiry) else { return };
        if std::mem::take(&mut entry.changed) {
            let place = Some(Box::new(entry.place.clone()));
            self.turn.out.push(Effect::Keep(After::Place { enquiry, place }));
        }
    }

    fn happened(&mut self, event: FloorEvent) {
        self.turn.out.push(Effect::Happened(event));
    }

    /// Writes the steps taken so far for an enquiry into its trace.
    fn decided(&mut self, enquiry: EnquiryId) {
        let steps = &mut self.turn.steps;
        if steps.is_empty() {
            return;
        }
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
    fn entry_mut(&mut self, enquiry: EnquiryId) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&enquiry)?;
        self.turn.marked.insert(enquiry);
        entry.changed = true;
        Some(entry)
    }

    fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    fn seat_people(&mut self) {
        let settings = Arc::clone(&self.settings);
        for staff in settings.staff.keys() {
            self.seats.entry(*staff).or_default();
        }
        for (staff, seat) in &mut self.seats {
            let person = settings.staff.get(staff);
            seat.enabled = person.is_some_and(|person| person.enabled);
            seat.capacity = person.map_or(0, |person| person.capacity);
        }
        self.serves =
            settings.staff.keys().map(|staff| (*staff, vec![Line::For(*staff)])).collect();
        let queues =
            settings.queues.values().map(|queue| (Destination::Queue(queue.id), queue.group));
        let groups = settings.groups.keys().map(|group| (Destination::Group(*group), *group));
        for (destination, group) in groups.chain(queues) {
            for member in settings.groups.get(&group).map_or(&[][..], |group| &group.members) {
                if let Some(lines) = self.serves.get_mut(member) {
                    lines.push(Line::At(destination));
                }
            }
        }
    }
}
