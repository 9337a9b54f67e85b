//! What must hold in every run: R1–R10 of the routing rules and what the product promises of the
//! floor, judged from outside.
//!
//! Where the rules leave a choice, this is how it is read: an offer that was *withdrawn* (its holder
//! full, no longer Active, no longer a member) was no chance, so it may be made again; one declined
//! or lapsed was. A group makes nobody a second offer at one stop; a queue may, after 60 s of peace
//! following a decline. An offer by name counts as asked for the groups of the same walk. After a
//! restart lines begin anew in order of arrival and everybody may be asked again.

use std::collections::BTreeMap;

use usher_domain::floor::event::{Closer, FloorEvent, PresenceWhy};
use usher_domain::floor::place::{Purpose, Stage};
use usher_domain::floor::{Command, Floor, Refusal, Route};
use usher_domain::ids::EnquiryId;
use usher_domain::rule::Leaf;

use crate::coverage::Coverage;
use crate::model::{At, Case, Errand, Model};
use crate::named;

/// What a turn was for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause<'a> {
    Command(&'a Command),
    Timer,
    Resume,
}

#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) model: Model,
    pub(crate) coverage: Coverage,
}

impl Checker {
    pub(crate) fn new(model: Model) -> Self {
        Self { model, coverage: Coverage::default() }
    }

    /// What a command changes that no event tells of. Nothing is due when it is given.
    pub(crate) fn told(&mut self, command: &Command, floor: &Floor) {
        match command {
            Command::Route(route) => self.route(route, floor),
            Command::VisitorWrote { enquiry, opens, window_until } => {
                let now = self.model.now;
                let Some(case) = self.model.cases.get_mut(enquiry) else { return };
                case.window_until = case.window_until.max(*window_until);
                case.visitor_waits = case.visitor_waits.or(Some(now));
                case.missed_asked.clear();
                if let (Stage::Missed { since, .. }, true, Errand::None) =
                    (case.stage, *opens, case.errand)
                {
                    let again_at = Some(since + std::time::Duration::from_mins(10));
                    case.stage = Stage::Missed { since, again_at };
                }
            }
            Command::WeWrote { enquiry } => {
                let Some(case) = self.model.cases.get_mut(enquiry) else { return };
                if case.visitor_waits.take().is_some() {
                    case.relief_failed = false;
                    if matches!(case.errand, Errand::Walk { purpose: Purpose::OwnerGone, .. }) {
                        case.stop_errand();
                    }
                }
            }
            Command::Known { enquiry, language, country } => {
                let Some(case) = self.model.cases.get_mut(enquiry) else { return };
                case.language = language.clone().or(case.language.take());
                case.country = country.clone().or(case.country.take());
                self.coverage.hit("language or country became known");
            }
            Command::Reloading { staff, on } => {
                if let Some(person) = self.model.people.get_mut(staff) {
                    person.reloading = *on;
                }
                self.coverage.hit("presence: reload");
            }
            Command::Presence { staff, why: PresenceWhy::SetByHand, .. } => {
                if let Some(person) = self.model.people.get_mut(staff) {
                    person.unanswered = 0;
                }
            }
            Command::Settings(settings) => {
                self.model.settings_replaced(settings);
                for staff in settings.staff.keys() {
                    self.model.people.entry(*staff).or_default();
                }
            }
            Command::Presence { .. }
            | Command::PickUp { .. }
            | Command::Decline { .. }
            | Command::Transfer { .. }
            | Command::CancelTransfer { .. }
            | Command::Assign { .. }
            | Command::TakeOver { .. }
            | Command::Hold { .. }
            | Command::Close { .. }
            | Command::HandOver { .. }
            | Command::BotLeft { .. } => {}
        }
    }

    fn route(&mut self, route: &Route, floor: &Floor) {
        let now = self.model.now;
        let (named, not_held) = named::expected(&self.model, route, floor);
        self.model.arrivals += 1;
        let of_channel =
            || self.model.settings.channels.get(&route.channel)?.language.as_deref().map(Box::from);
        let mut case = Case {
            channel: route.channel,
            language: route.visitor.language.clone().or_else(of_channel),
            country: route.country.clone(),
            arrival: self.model.arrivals,
            opened_at: now,
            stage: Stage::Open,
            epoch: 0,
            window_until: route.window_until,
            hold_until: None,
            visitor_waits: Some(now),
            owned_since: now,
            errand: Errand::None,
            at: At::Nowhere,
            offers: Vec::new(),
            cooling: Vec::new(),
            rivals: Vec::new(),
            asked_by_name: Vec::new(),
            missed_asked: Vec::new(),
            relief_failed: false,
            named: Vec::new(),
            with_named: false,
            not_held,
            ruled: false,
            under: None,
            or_missed: None,
            leaf: Leaf { stops: Vec::new(), priority: Leaf::PRIORITY_DEFAULT },
            done: 0,
            path: Vec::new(),
            followed: Vec::new(),
            walked: Vec::new(),
            to_be_missed: false,
            offered: 0,
            kept_ticket: None,
        };
        case.start_walk(Purpose::Opening, None);
        case.named = named;
        self.model.cases.insert(route.enquiry, case);
    }

    /// What a crash makes the floor forget.
    pub(crate) fn crashed(&mut self) {
        self.coverage.hit("crash");
        let now = self.model.now;
        for case in self.model.cases.values_mut() {
            match case.errand {
                Errand::Walk { .. } => self.coverage.hit("crash: walk offered afresh"),
                Errand::Transfer { .. } => self.coverage.hit("crash: transfer offered afresh"),
                Errand::None => {}
            }
            case.crash();
            case.owned_since = now;
        }
        for person in self.model.people.values_mut() {
            person.reloading = false;
            person.wrap_until = None;
            person.since = now;
            person.offers = 0;
            person.reserved = 0;
        }
        self.model.bots.clear();
        // Lines begin anew in order of arrival; a transfer is not told of again.
        let mut by_arrival: BTreeMap<u64, EnquiryId> = BTreeMap::new();
        for (enquiry, case) in &self.model.cases {
            by_arrival.insert(case.arrival, *enquiry);
        }
        for enquiry in by_arrival.into_values() {
            let ticket = self.model.ticket();
            self.model.case_mut(enquiry).kept_ticket = Some(ticket);
            if let Errand::Transfer { to, .. } = self.model.case(enquiry).errand {
                self.stand_for_transfer(enquiry, to);
            }
        }
    }

    /// Everything that happened in one turn, in order.
    pub(crate) fn observe(&mut self, event: &FloorEvent, cause: Cause<'_>) {
        match event {
            FloorEvent::Decided { enquiry, steps } => self.decided(*enquiry, steps),
            FloorEvent::Offered { enquiry, to, sort, until } => {
                self.offered(*enquiry, to, *sort, *until);
            }
            FloorEvent::OfferEnded { enquiry, staff, end } => {
                self.offer_ended(*enquiry, *staff, *end, cause);
            }
            FloorEvent::Waiting { enquiry, at } => self.waiting(*enquiry, *at),
            FloorEvent::PickedUp { enquiry, by, how, from, epoch } => {
                self.picked_up(*enquiry, (*by, *how), (*from, *epoch), cause);
            }
            FloorEvent::BotTook { enquiry, bot } => self.bot_took(*enquiry, *bot),
            FloorEvent::BotLeft { enquiry, bot, failed } => {
                self.bot_left(*enquiry, *bot, *failed);
            }
            FloorEvent::Missed { enquiry, away } => self.missed(*enquiry, *away),
            FloorEvent::WalkEnded { enquiry } => self.walk_ended(*enquiry),
            FloorEvent::TransferOffered { enquiry, by, to, blind } => {
                self.transfer_offered(*enquiry, *by, *to, *blind);
            }
            FloorEvent::TransferEnded { enquiry, end } => {
                self.transfer_ended(*enquiry, *end, cause);
            }
            FloorEvent::OwnerGone { enquiry, owner, suspended } => {
                self.owner_gone(*enquiry, *owner, *suspended, cause);
            }
            FloorEvent::NobodyTookOver { enquiry } => self.nobody_took_over(*enquiry),
            FloorEvent::Held { enquiry, until, .. } => {
                self.coverage.hit(if until.is_some() { "hold" } else { "hold: over" });
                self.model.case_mut(*enquiry).hold_until = *until;
            }
            FloorEvent::Closed { enquiry, owner, .. } => self.closed(*enquiry, *owner),
            FloorEvent::PresenceChanged { staff, presence, why } => {
                self.presence_changed(*staff, *presence, *why);
            }
        }
    }

    /// What the floor should answer; `None` = for others to say.
    pub(crate) fn expected(&self, command: &Command) -> Option<Result<(), Refusal>> {
        let model = &self.model;
        let case = |enquiry: &EnquiryId| model.cases.get(enquiry);
        Some(match command {
            Command::PickUp { enquiry, staff } => match case(enquiry) {
                None => Err(Refusal::NotFound),
                Some(case) => self.expected_pick_up(case, *staff),
            },
            Command::Decline { enquiry, staff } => match case(enquiry) {
                None => Err(Refusal::NotFound),
                Some(case) if case.offer_to(*staff).is_some() => Ok(()),
                Some(case) if case.rivals.contains(staff) => Err(Refusal::AlreadyTaken),
                Some(_) => Err(Refusal::NotOffered),
            },
            Command::Assign { enquiry, to } => match case(enquiry) {
                None => Err(Refusal::NotFound),
                Some(case) => self.expected_assign(case, *to, true),
            },
            Command::TakeOver { enquiry, by } => match case(enquiry) {
                None => Err(Refusal::NotFound),
                Some(case) => self.expected_assign(case, *by, false),
            },
            Command::CancelTransfer { enquiry, by } => match case(enquiry) {
                None => Err(Refusal::NotFound),
                Some(case) => match case.errand {
                    Errand::Transfer { by: sender, blind: false, .. } => {
                        let may = sender == *by || case.owner() == Some(*by);
                        if may { Ok(()) } else { Err(Refusal::NotOwner) }
                    }
                    Errand::Transfer { .. } | Errand::Walk { .. } | Errand::None => {
                        Err(Refusal::NotFound)
                    }
                },
            },
            Command::Close { enquiry, by: Closer::Bot { bot }, .. } => match case(enquiry) {
                None => Err(Refusal::NotFound),
                Some(case) if case.stage == (Stage::WithBot { bot: *bot }) => Ok(()),
                Some(_) => Err(Refusal::NotOwner),
            },
            Command::Close { enquiry, .. } | Command::VisitorWrote { enquiry, .. } => {
                case(enquiry).map(|_| ()).ok_or(Refusal::NotFound)
            }
            Command::Transfer { .. }
            | Command::Hold { .. }
            | Command::BotLeft { .. }
            | Command::WeWrote { .. }
            | Command::Known { .. } => return None,
            Command::Route(_)
            | Command::Presence { .. }
            | Command::Reloading { .. }
            | Command::HandOver { .. }
            | Command::Settings(_) => Ok(()),
        })
    }
}
