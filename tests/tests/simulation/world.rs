//! One seeded world: visitors, staff, clocks and crashes around one floor.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use usher_domain::floor::event::{FloorEvent, PresenceWhy};
use usher_domain::floor::place::{Place, SeatKept};
use usher_domain::floor::{Command, Effect, Floor};
use usher_domain::ids::{ChannelId, EnquiryId, RuleId, StaffId, VisitorId};
use usher_domain::presence::Presence;
use usher_domain::record::After;
use usher_domain::rule::Draws;
use usher_domain::settings::Settings;
use usher_domain::time::Timestamp;
use usher_domain::visitor::{Identities, Visitor};

use crate::calendar;
use crate::checker::{Cause, Checker};
use crate::clocks::Clocks;
use crate::coverage::Coverage;
use crate::model::Model;
use crate::random::Random;
use crate::shapes;

/// What the journal holds: enough to go on after a crash.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    pub(crate) places: BTreeMap<EnquiryId, Place>,
    seats: BTreeMap<StaffId, SeatKept>,
    draws: BTreeMap<(ChannelId, RuleId, u16), Draws>,
}

impl Durable {
    fn keep(&mut self, after: After) {
        match after {
            After::Place { enquiry, place: Some(place) } => {
                self.places.insert(enquiry, (*place).clone());
            }
            After::Place { enquiry, place: None } => {
                self.places.remove(&enquiry);
            }
            After::Seat { staff, seat } => {
                self.seats.insert(staff, seat);
            }
            After::Draws { channel, rule, node, draws } => {
                self.draws.insert((channel, rule, node), *draws);
            }
            After::Enquiry { .. } | After::Attendance { .. } | After::Talk { .. } => {}
        }
    }

    /// The window is the enquiry's own to keep, together with the message.
    fn wrote(&mut self, enquiry: EnquiryId, window_until: Timestamp) {
        if let Some(place) = self.places.get_mut(&enquiry) {
            place.window_until = place.window_until.max(window_until);
        }
    }

    fn restore(&self, settings: &Arc<Settings>) -> Floor {
        let mut floor = Floor::new(Arc::clone(settings));
        for (enquiry, place) in &self.places {
            floor.restore_place(*enquiry, place.clone().into());
        }
        for (staff, seat) in self.seats.iter().filter(|(s, _)| settings.staff.contains_key(s)) {
            floor.restore_seat(*staff, seat.clone());
        }
        for ((channel, rule, node), draws) in &self.draws {
            floor.restore_draws(*channel, *rule, *node, draws.clone());
        }
        floor
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now: Timestamp,
    pub(crate) floor: Floor,
    pub(crate) settings: Arc<Settings>,
    pub(crate) durable: Durable,
    pub(crate) checker: Checker,
    pub(crate) clocks: Clocks,
    pub(crate) visitors: BTreeMap<VisitorId, Visitor>,
    /// Who is live where.
    pub(crate) live: BTreeMap<(VisitorId, ChannelId), EnquiryId>,
    /// Owners who wrote.
    pub(crate) wrote: BTreeMap<EnquiryId, StaffId>,
    /// Enquiries that are over: people still click on them.
    pub(crate) over: Vec<EnquiryId>,
    pub(crate) enquiries: u64,
    effects: Vec<Effect>,
    stream: DefaultHasher,
    spoken: bool,
    punctual: bool,
}

impl World {
    pub(crate) fn new(seed: u64, spoken: bool) -> Self {
        let mut random = Random::from_seed(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ seed);
        let now = beginning(&mut random);
        let settings = Arc::new(shapes::settings(&mut random, now));
        let mut model = Model::new(Arc::clone(&settings));
        model.now = now;
        let visitors = (1..=random.between(3, 14)).map(|number| visitor(&mut random, number));
        let visitors = visitors.map(|visitor| (visitor.id, visitor)).collect();
        let punctual = random.chance(60);
        let mut world = Self {
            random,
            now,
            floor: Floor::new(Arc::clone(&settings)),
            settings,
            durable: Durable::default(),
            checker: Checker::new(model),
            clocks: Clocks::default(),
            visitors,
            live: BTreeMap::new(),
            wrote: BTreeMap::new(),
            over: Vec::new(),
            enquiries: 0,
            effects: Vec::new(),
            stream: DefaultHasher::new(),
            spoken,
            punctual,
        };
        world.resume();
        for staff in world.staff() {
            if world.random.chance(80) {
                world.presence(staff, Presence::Active, PresenceWhy::SignedIn);
            }
        }
        world
    }

    pub(crate) fn step(&mut self) {
        self.pass_time();
        self.clocks_run();
        self.act();
    }

    /// Lets everything come to its end with nobody answering (R10).
    pub(crate) fn finish(&mut self) {
        self.say(|| "nobody answers any more".to_owned());
        // Those who are there and say nothing would pass enquiries on for ever.
        let settings = Settings { no_reply: Duration::ZERO, ..(*self.settings).clone() };
        self.settings = Arc::new(settings);
        self.give(Command::Settings(Arc::clone(&self.settings)));
        let mut turns = 0;
        while let Some(next) = self.floor.next_deadline() {
            self.now = self.now.max(next);
            self.expire();
            turns += 1;
            assert!(turns < 5_000, "R10: it goes on for ever");
        }
        for (enquiry, case) in &self.checker.model.cases {
            let stage = case.stage;
            assert!(
                !matches!(stage, usher_domain::floor::place::Stage::Open),
                "R10: {enquiry} is still open"
            );
        }
    }

    /// A digest of everything that was decided, traces included (R9).
    pub(crate) fn digest(&self) -> u64 {
        self.stream.finish()
    }

    pub(crate) fn coverage(&self) -> &Coverage {
        &self.checker.coverage
    }

    pub(crate) fn staff(&self) -> Vec<StaffId> {
        self.settings.staff.keys().copied().collect()
    }

    /// What the clocks of enquiries ask for.
    fn clocks_run(&mut self) {
        self.clocks.look_at(self.checker.model.now.max(self.now));
        let coverage = &mut self.checker.coverage;
        self.clocks.provider(&mut self.random, &self.settings, coverage);
        self.clocks.expire(&self.settings);
        while let Some((enquiry, by, silent)) = self.clocks.to_close.pop() {
            if self.checker.model.cases.contains_key(&enquiry) {
                self.checker.coverage.hit("clock: closed");
                self.give(Command::Close { enquiry, by, silent, reason: None });
            }
        }
    }

    fn pass_time(&mut self) {
        let step = match self.random.below(100) {
            0..40 => self.random.below(1_500),
            40..82 => self.random.below(9_000),
            82..96 => self.random.below(50_000),
            96..98 => self.random.below(900_000),
            98 => {
                self.checker.coverage.hit("clock: jump");
                self.random.below(20_000_000)
            }
            _ => {
                self.checker.coverage.hit("clock: backwards");
                let back = self.random.below(4_000);
                self.now = self.now - Duration::from_millis(back);
                return;
            }
        };
        let then = self.now + Duration::from_millis(step);
        if self.punctual || self.random.chance(60) {
            while let Some(next) = self.floor.next_deadline().filter(|next| *next <= then) {
                self.now = self.now.max(next);
                self.expire();
            }
        } else if self.floor.next_deadline().is_some_and(|next| next <= then) {
            self.checker.coverage.hit("timer: late");
        }
        self.now = self.now.max(then);
        if self.random.chance(3) {
            self.checker.coverage.hit("timer: extra");
            self.expire();
        }
    }

    pub(crate) fn expire(&mut self) {
        self.say(|| "timer".to_owned());
        self.checker.model.now = self.checker.model.now.max(self.now);
        let mut effects = std::mem::take(&mut self.effects);
        self.floor.expire(self.now, &mut effects);
        self.turn(effects, Cause::Timer);
    }

    /// Gives a command; whether it was taken.
    #[expect(clippy::needless_pass_by_value, reason = "whoever gives a command has done with it")]
    pub(crate) fn give(&mut self, command: Command) -> bool {
        let due = |world: &Self| {
            world
                .floor
                .next_deadline()
                .is_some_and(|at| at <= world.now.max(world.checker.model.now))
        };
        let mut turns = 0;
        // What has ended in one turn can be due for something else at once.
        while due(self) && changes_silently(&command) {
            self.expire();
            turns += 1;
            assert!(turns < 10, "R10: always something due");
        }
        self.say(|| format!("{command:?}"));
        self.checker.model.now = self.checker.model.now.max(self.now);
        let expected = if due(self) { None } else { self.checker.expected(&command) };
        if changes_silently(&command) {
            self.checker.told(&command, &self.floor);
        }
        let mut effects = std::mem::take(&mut self.effects);
        let outcome = self.floor.apply(self.now, command.clone(), &mut effects);
        if let Some(expected) = expected {
            assert_eq!(outcome, expected, "answer to {command:?}");
        }
        if let Err(refusal) = outcome {
            self.say(|| format!("  refused: {refusal:?}"));
            self.cover_refusal(&command, refusal);
        }
        self.turn(effects, Cause::Command(&command));
        outcome.is_ok()
    }

    fn cover_refusal(&mut self, command: &Command, refusal: usher_domain::floor::Refusal) {
        use usher_domain::floor::Refusal;
        let row = match (command, refusal) {
            (Command::PickUp { .. }, Refusal::AlreadyTaken) => "pick-up: already taken",
            (Command::PickUp { .. }, Refusal::NotOffered) => "pick-up: not offered",
            (Command::PickUp { .. } | Command::Assign { .. }, Refusal::AtCapacity) => {
                "pick-up: at capacity"
            }
            (Command::PickUp { .. }, Refusal::Elsewhere) => "pick-up: elsewhere",
            (Command::Transfer { .. }, Refusal::NobodyAvailable) => "transfer: nobody available",
            (Command::Transfer { .. }, Refusal::TransferPending) => "transfer: pending",
            _ => return,
        };
        self.checker.coverage.hit(row);
    }

    fn turn(&mut self, mut effects: Vec<Effect>, cause: Cause<'_>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Happened(event) => {
                    self.say(|| format!("  {event:?}"));
                    format!("{event:?}").hash(&mut self.stream);
                    self.checker.observe(&event, cause);
                    self.clocks.look_at(self.checker.model.now);
                    self.clocks.heard(&event, &self.settings, &mut self.checker.coverage);
                    self.remember(&event);
                }
                Effect::Keep(after) => self.durable.keep(after),
            }
        }
        self.effects = effects;
        if let Cause::Command(&Command::VisitorWrote { enquiry, window_until, .. }) = cause {
            self.durable.wrote(enquiry, window_until);
        }
        self.checker.turn_is_over(&self.floor, &self.durable.places, cause);
        self.counters_are_kept();
    }

    fn counters_are_kept(&self) {
        let kept = self.durable.draws.iter();
        let told = self.floor.counters().iter();
        assert!(
            told.map(|(c, r, n, draws)| ((c, r, n), draws)).eq(kept.map(|(k, draws)| (*k, draws))),
            "counters as kept"
        );
    }

    fn remember(&mut self, event: &FloorEvent) {
        if let FloorEvent::Closed { enquiry, owner, .. } = event {
            let found = self.live.iter().find(|(_, live)| *live == enquiry).map(|(key, _)| *key);
            let Some((visitor, channel)) = found else { return };
            self.live.remove(&(visitor, channel));
            self.over.push(*enquiry);
            self.bind(visitor, channel, *owner, self.wrote.get(enquiry) == owner.as_ref());
        }
    }

    /// The process dies, perhaps in the middle of a turn that nobody was told of.
    pub(crate) fn crash(&mut self) {
        self.say(|| "crash".to_owned());
        if self.random.chance(50) {
            self.checker.coverage.hit("crash: a turn lost");
            self.lose_a_turn();
        }
        self.now = self.now + Duration::from_millis(self.random.below(120_000));
        self.checker.model.now = self.now;
        self.floor = self.durable.restore(&self.settings);
        self.clocks.look_at(self.now);
        self.clocks.crashed(&self.settings);
        self.checker.crashed();
        for staff in self.staff() {
            // Who was here is expected back: told before anything goes on.
            if self.random.chance(40) {
                self.give_before_resuming(&Command::Reloading { staff, on: true });
            }
            if self.random.chance(25) {
                let (presence, why) = (Presence::Offline, PresenceWhy::NoConnection);
                self.give_before_resuming(&Command::Presence { staff, presence, why });
            }
        }
        self.resume();
    }

    fn lose_a_turn(&mut self) {
        let enquiry = self.checker.model.cases.keys().next().copied();
        let Some((enquiry, staff)) = enquiry.zip(self.settings.staff.keys().next().copied()) else {
            return;
        };
        let command = if self.random.chance(50) {
            Command::TakeOver { enquiry, by: staff }
        } else {
            Command::Presence { staff, presence: Presence::Busy, why: PresenceWhy::SetByHand }
        };
        let mut lost = Vec::new();
        self.floor.apply(self.now, command, &mut lost).ok();
    }

    fn give_before_resuming(&mut self, command: &Command) {
        self.checker.coverage.hit("crash: presence told before going on");
        self.say(|| format!("{command:?}"));
        self.checker.told(command, &self.floor);
        let mut effects = std::mem::take(&mut self.effects);
        assert_eq!(self.floor.apply(self.now, command.clone(), &mut effects), Ok(()));
        for effect in effects.drain(..) {
            match effect {
                Effect::Happened(event) => {
                    let about_a_person = matches!(event, FloorEvent::PresenceChanged { .. });
                    assert!(about_a_person, "nothing is decided before going on: {event:?}");
                    self.checker.observe(&event, Cause::Command(command));
                }
                Effect::Keep(after) => self.durable.keep(after),
            }
        }
        self.effects = effects;
    }

    fn resume(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        self.floor.resume(self.now, &mut effects);
        self.turn(effects, Cause::Resume);
    }

    /// What happens, for a person who replays one seed.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.spoken {
            eprintln!("{:>9} {}", self.now.millis() % 1_000_000_000, what());
        }
    }
}

/// Commands whose effect on the checker's model no event tells of.
const fn changes_silently(command: &Command) -> bool {
    matches!(
        command,
        Command::Route(_)
            | Command::VisitorWrote { .. }
            | Command::WeWrote { .. }
            | Command::Known { .. }
            | Command::Presence { .. }
            | Command::Reloading { .. }
            | Command::Settings(_)
    )
}

/// Near the days on which clocks are set, or any other.
fn beginning(random: &mut Random) -> Timestamp {
    let day = match random.below(5) {
        0 => calendar::days(2026, 3, 29),
        1 => calendar::days(2026, 10, 25),
        2 => calendar::days(2026, 3, 8),
        3 => calendar::days(2026, 11, 1),
        _ => calendar::days(2026, 1, 1) + i64::try_from(random.below(365)).expect("small"),
    };
    let start = u64::try_from(day).expect("after 1970") * 86_400_000;
    Timestamp::from_millis(start - 3 * 3_600_000 + random.below(12 * 3_600_000))
}

fn visitor(random: &mut Random, number: u64) -> Visitor {
    let language = random.chance(60).then(|| shapes::LANGUAGES[random.index(3)].into());
    let id = VisitorId::from_number(u128::from(number));
    Visitor { language, ..Visitor::new(id, Identities::default()) }
}
