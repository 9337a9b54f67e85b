//! States, owners, transfers, bots and presence, as the events tell of them.

use usher_domain::floor::Command;
use usher_domain::floor::event::{PresenceWhy, TransferEnd, TransferTo};
use usher_domain::floor::place::{Purpose, Stage};
use usher_domain::ids::{BotId, EnquiryId, StaffId};
use usher_domain::presence::Presence;
use usher_domain::rule::Destination;

use crate::checker::{Cause, Checker};
use crate::model::{At, BotHealth, Errand};

impl Checker {
    pub(crate) fn waiting(&mut self, enquiry: EnquiryId, at: Destination) {
        let case = self.model.case_mut(enquiry);
        assert!(case.offers.is_empty(), "waiting, yet on offer");
        let At::Stop(stand) = &mut case.at else { unreachable!("waiting nowhere") };
        assert_eq!(stand.to, at);
        assert!(!stand.told, "told twice that it waits");
        stand.told = true;
        self.coverage.hit(match at {
            Destination::Queue(_) => "queue: waited",
            Destination::Group(_) | Destination::Bot(_) => "group: waited while all were full",
        });
    }

    pub(crate) fn bot_took(&mut self, enquiry: EnquiryId, bot: BotId) {
        let health = self.model.bots.get(&bot).copied().unwrap_or_default();
        let off = health.passed_over_until.is_some_and(|until| self.model.now < until);
        assert!(!off, "a failing bot is passed over");
        let case = self.model.case_mut(enquiry);
        assert_eq!(case.owner(), None, "a bot does not take from a person");
        let stop = case.leaf.stops.get(case.done).expect("a walk stays within its leaf");
        assert_eq!(stop.to, Destination::Bot(bot));
        case.stage = Stage::WithBot { bot };
        case.at = At::Bot(bot);
        self.coverage.hit("bot: took");
    }

    pub(crate) fn bot_left(&mut self, enquiry: EnquiryId, bot: BotId, failed: bool) {
        let now = self.model.now;
        let case = self.model.case_mut(enquiry);
        assert_eq!(case.stage, Stage::WithBot { bot });
        case.stage = Stage::Open;
        let health = self.model.bots.entry(bot).or_default();
        if failed {
            self.coverage.hit("bot: failed");
            health.failures += 1;
            if health.failures >= 5 {
                let until = now + std::time::Duration::from_mins(1);
                *health = BotHealth { failures: 0, passed_over_until: Some(until) };
            }
        } else {
            *health = BotHealth::default();
        }
    }

    pub(crate) fn transfer_offered(
        &mut self,
        enquiry: EnquiryId,
        by: StaffId,
        to: TransferTo,
        blind: bool,
    ) {
        let case = self.model.case_mut(enquiry);
        assert!(!matches!(case.errand, Errand::Transfer { .. }), "one transfer at a time");
        assert!(case.offers.is_empty(), "a transfer ends what was on offer");
        let owner = case.owner();
        case.stop_errand();
        case.errand = Errand::Transfer { by, to, blind };
        case.hold_until = None;
        case.relief_failed = false;
        case.rivals.clear();
        case.asked_by_name.clear();
        case.offered = 0;
        assert!(blind || owner.is_some(), "a loopback needs somebody to come back to");
        if blind {
            case.stage = Stage::Open;
            if let Some(owner) = owner {
                case.epoch += 1;
                self.no_longer_holds(owner);
            }
        }
        self.stand_for_transfer(enquiry, to);
        self.coverage.hit(match (blind, to) {
            (false, TransferTo::Staff { .. }) => "transfer: loopback to a person",
            (false, TransferTo::Group { .. }) => "transfer: loopback to a group",
            (true, TransferTo::Staff { .. }) => "transfer: blind to a person",
            (true, TransferTo::Group { .. }) => "transfer: blind to a group",
        });
    }

    pub(crate) fn transfer_ended(
        &mut self,
        enquiry: EnquiryId,
        end: TransferEnd,
        cause: Cause<'_>,
    ) {
        let now = self.model.now;
        let case = self.model.case_mut(enquiry);
        let Errand::Transfer { blind, .. } = case.errand else {
            unreachable!("a transfer ends once")
        };
        assert!(case.offers.is_empty(), "a transfer that ended is still on offer");
        let row = match end {
            // Who took it, or what else became of it, is told next.
            TransferEnd::Taken => "transfer: taken",
            TransferEnd::Overtaken => "transfer: overtaken",
            TransferEnd::Cancelled => {
                assert!(matches!(cause, Cause::Command(Command::CancelTransfer { .. })));
                case.stop_errand();
                "transfer: cancelled"
            }
            TransferEnd::Declined | TransferEnd::Lapsed => {
                case.stop_errand();
                if blind {
                    case.to_be_missed = true;
                    case.stage = Stage::Missed { since: now, again_at: None };
                } else {
                    assert!(case.owner().is_some(), "a loopback keeps the owner");
                }
                if end == TransferEnd::Lapsed { "transfer: lapsed" } else { "transfer: declined" }
            }
        };
        self.coverage.hit(row);
    }

    pub(crate) fn owner_gone(
        &mut self,
        enquiry: EnquiryId,
        owner: StaffId,
        suspended: bool,
        cause: Cause<'_>,
    ) {
        let now = self.model.now;
        let case = self.model.case(enquiry);
        assert_eq!(case.owner(), Some(owner), "somebody else is the owner");
        if suspended {
            assert!(!self.model.enabled(owner), "only the suspended are taken off");
            let case = self.model.case_mut(enquiry);
            assert!(case.offers.is_empty(), "still on offer");
            case.stage = Stage::Open;
            case.epoch += 1;
            case.hold_until = None;
            case.start_walk(Purpose::Orphaned, Some(owner));
            self.no_longer_holds(owner);
            self.coverage.hit("owner: suspended");
            return;
        }
        let due = self.model.relief_at(case);
        let handed_over =
            matches!(cause, Cause::Command(Command::HandOver { staff }) if *staff == owner);
        if handed_over {
            assert_eq!(case.errand, Errand::None, "something else is under way");
            self.coverage.hit("owner: hands over");
            self.model.case_mut(enquiry).start_walk(Purpose::OwnerGone, Some(owner));
            return;
        }
        assert!(due.is_some_and(|at| at <= now), "the owner was not gone long enough");
        let gone = self.model.people[&owner].is_gone();
        self.coverage.hit(if gone { "owner: gone" } else { "owner: no reply" });
        self.model.case_mut(enquiry).start_walk(Purpose::OwnerGone, Some(owner));
    }

    pub(crate) fn nobody_took_over(&mut self, enquiry: EnquiryId) {
        let case = self.model.case_mut(enquiry);
        assert!(
            matches!(case.errand, Errand::Walk { purpose: Purpose::OwnerGone, .. }),
            "nobody took over, but it was not on offer"
        );
        assert!(case.owner().is_some(), "ownership moves only on pick-up");
        assert_eq!(case.done, case.leaf.stops.len(), "given up before the end of the leaf");
        case.stop_errand();
        case.relief_failed = true;
        self.coverage.hit("owner: nobody took over");
    }

    pub(crate) fn closed(&mut self, enquiry: EnquiryId, owner: Option<StaffId>) {
        let case = self.model.cases.remove(&enquiry).expect("closed once");
        assert_eq!(case.owner(), owner);
        assert!(case.offers.is_empty(), "a close withdraws everything pending");
        let Some(owner) = owner else { return };
        self.no_longer_holds(owner);
        let wrap_up = self.model.settings.wrap_up;
        if !wrap_up.is_zero() {
            let until = self.model.now + wrap_up;
            if let Some(person) = self.model.people.get_mut(&owner) {
                person.wrap_until = Some(until);
            }
        }
    }

    pub(crate) fn presence_changed(
        &mut self,
        staff: StaffId,
        presence: Presence,
        why: PresenceWhy,
    ) {
        let now = self.model.now;
        let person = self.person_mut(staff);
        assert_ne!(person.presence, presence, "nothing changed");
        let was_gone = person.is_gone();
        person.presence = presence;
        if !(was_gone && person.is_gone()) {
            person.since = now;
        }
        if why == PresenceWhy::NoAnswer {
            assert!(std::mem::take(&mut person.to_be_idle), "set Idle without reason");
            assert_eq!(presence, Presence::Idle);
        } else {
            person.unanswered = 0;
        }
        if !person.is_gone() {
            for case in self.model.cases.values_mut().filter(|case| case.owner() == Some(staff)) {
                case.relief_failed = false;
            }
        }
        self.coverage.hit(match (presence, why) {
            (_, PresenceWhy::NoAnswer) => "presence: no answer",
            (Presence::Idle, _) => "presence: idle",
            (Presence::Busy, _) => "presence: busy",
            (Presence::Offline, _) => "presence: offline",
            (Presence::Active, _) => return,
        });
    }
}
