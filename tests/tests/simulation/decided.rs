//! Traces: every step has to be true, and the steps have to add up to what the rule says.

use std::time::Duration;

use usher_domain::floor::place::{Purpose, Stage};
use usher_domain::ids::{EnquiryId, StaffId};
use usher_domain::presence::Presence;
use usher_domain::rule::{Destination, Rule};
use usher_domain::settings::Settings;
use usher_domain::trace::{BindingKind, PassedOver, Step, Verdict};

use crate::checker::Checker;
use crate::model::{At, Errand, Held, Stand};
use crate::split::{self, Follow};

impl Checker {
    pub(crate) fn decided(&mut self, enquiry: EnquiryId, steps: &[Step]) {
        let walks = steps.iter().any(|step| match step {
            Step::Blocked
            | Step::Binding { .. }
            | Step::Emergency { .. }
            | Step::Time { .. }
            | Step::Percentage { .. }
            | Step::Leaf { .. }
            | Step::Arrived { .. }
            | Step::Missed => true,
            Step::Overflowed { .. }
            | Step::PassedOver { .. }
            | Step::Considered { .. }
            | Step::Waiting { .. } => false,
        });
        if walks && self.model.case(enquiry).errand == Errand::None {
            self.walks_by_itself(enquiry);
        }
        let mut steps = steps.iter().peekable();
        while let Some(step) = steps.peek() {
            match *step {
                Step::Emergency { .. }
                | Step::Time { .. }
                | Step::Percentage { .. }
                | Step::Leaf { .. } => {
                    self.leave_named(enquiry);
                    self.rule_asked(enquiry, &mut steps);
                    continue;
                }
                Step::Overflowed { from, to } => {
                    steps.next();
                    let (rule, edited) = self.model.rule_walked(enquiry);
                    if edited {
                        self.coverage.hit("rule: edited, and overflowed as it was");
                    }
                    let follow = &mut self.follow(enquiry, &rule);
                    follow.edited = edited;
                    follow.overflow(&rule.branch, from, to, &mut steps);
                    continue;
                }
                Step::Binding { binding, staff, verdict } => {
                    self.bound(enquiry, (*binding, *staff), *verdict);
                }
                Step::Arrived { at } => self.arrived(enquiry, *at),
                Step::PassedOver { at, why } => self.passed_over(enquiry, *at, *why),
                Step::Missed => self.leave_named(enquiry),
                Step::Considered { staff, verdict } => self.considered(enquiry, *staff, *verdict),
                Step::Waiting { at, position } => self.waits(enquiry, *at, *position),
                Step::Blocked => {}
            }
            steps.next();
        }
        let case = self.model.case_mut(enquiry);
        if case.at != At::Nowhere {
            case.kept_ticket = None;
        }
        let not_held = &self.model.case(enquiry).not_held;
        assert!(not_held.is_empty(), "bindings that do not hold are shown: {not_held:?}");
    }

    /// A walk that nobody asked for in this turn: missed and written to again, or tried again.
    fn walks_by_itself(&mut self, enquiry: EnquiryId) {
        let now = self.model.now;
        let case = self.model.case_mut(enquiry);
        match case.stage {
            Stage::Missed { since, again_at } => {
                assert!(
                    again_at.is_some_and(|at| at <= now),
                    "missed ones are walked again after ten minutes, once written to"
                );
                assert!(now.since(since) >= Duration::from_mins(10), "walked again too soon");
                case.stage = Stage::Missed { since, again_at: None };
                case.start_walk(Purpose::Again, None);
                self.coverage.hit("missed: walked again");
            }
            Stage::Ongoing { owner } | Stage::FollowedUp { owner } => {
                assert!(case.relief_failed, "an owner who is there is not relieved");
                case.relief_failed = false;
                case.start_walk(Purpose::OwnerGone, Some(owner));
            }
            Stage::Open | Stage::WithBot { .. } => {
                assert!(self.model.cases.is_empty(), "an open enquiry always is on its way");
            }
        }
    }

    fn follow<'a>(&'a mut self, enquiry: EnquiryId, rule: &Rule) -> Follow<'a> {
        let case = self.model.case(enquiry);
        let channel = case.channel;
        Follow {
            model: &mut self.model,
            coverage: &mut self.coverage,
            enquiry,
            channel,
            rule: rule.id,
            edited: false,
            kept: Vec::new(),
            passed: Vec::new(),
        }
    }

    fn rule_asked<'s>(&mut self, enquiry: EnquiryId, steps: &mut impl Iterator<Item = &'s Step>) {
        let (rule, edited) = self.model.rule_walked(enquiry);
        if edited {
            self.coverage.hit("rule: edited, and asked as it was");
        }
        let case = self.model.case_mut(enquiry);
        assert!(!case.ruled, "the rule is asked once in a walk");
        assert!(case.named.is_empty(), "named persons come before the rule: {:?}", case.named);
        assert!(matches!(case.errand, Errand::Walk { .. }), "a transfer does not ask the rule");
        case.ruled = true;
        case.walked.clear();
        let kept = std::mem::take(&mut case.path);
        let now = self.model.now;
        let emergency = rule.emergency.as_ref().filter(|e| e.on_until.is_some_and(|at| now < at));
        if let Some(emergency) = emergency {
            let step = steps.next();
            assert!(matches!(step, Some(Step::Emergency { .. })), "{step:?} in an emergency");
            let step = steps.next();
            assert!(
                matches!(step, Some(Step::Leaf { stops, .. }) if *stops == emergency.leaf.stops),
                "{step:?} in an emergency"
            );
            self.coverage.hit("rule: emergency");
            self.model.take_leaf(enquiry, &emergency.leaf);
            return;
        }
        let mut follow = self.follow(enquiry, &rule);
        follow.edited = edited;
        follow.kept = kept;
        follow.down(&rule.branch, 0, "", steps);
        let passed = follow.passed;
        self.model.case_mut(enquiry).path = passed;
    }

    /// The person it stood with had their turn.
    fn leave_named(&mut self, enquiry: EnquiryId) {
        let model = &mut self.model;
        let case = model.cases.get_mut(&enquiry).expect("live");
        if !std::mem::take(&mut case.with_named) || case.named.is_empty() {
            return;
        }
        let gone = case.named.remove(0);
        let offline = model
            .people
            .get(&gone.staff)
            .is_some_and(|person| person.presence == Presence::Offline);
        if gone.or_missed
            && offline
            && model.settings.staff.get(&gone.staff).is_some_and(|s| s.enabled)
        {
            case.named.clear();
            case.or_missed = Some(gone.staff);
        }
        case.at = At::Nowhere;
    }

    fn bound(&mut self, enquiry: EnquiryId, who: (BindingKind, StaffId), verdict: Verdict) {
        let case = self.model.case_mut(enquiry);
        if let Some(at) = case.not_held.iter().position(|&held| held == who) {
            case.not_held.remove(at);
            self.coverage.hit(match verdict {
                Verdict::Expired => "binding: expired",
                _ => "binding: sticky, passed over",
            });
            return;
        }
        self.leave_named(enquiry);
        let case = self.model.case(enquiry);
        let named = *case.named.first().expect("nobody is tried by name without a binding");
        assert_eq!((named.binding, named.staff), who, "bindings are tried in their order");
        let connected = self
            .model
            .people
            .get(&named.staff)
            .is_some_and(|person| person.presence != Presence::Offline);
        let (now, priority) = (self.model.now, case.priority(5));
        let ticket = self.model.ticket_of(enquiry);
        let case = self.model.case_mut(enquiry);
        case.with_named = true;
        case.at = At::Direct { staff: named.staff, ticket, priority, until: now + named.wait };
        let able = self.model.eligible(enquiry, named.staff);
        let asked = self.model.case(enquiry).asked_by_name.contains(&named.staff);
        let may_wait = self.model.enabled(named.staff)
            && !named.wait.is_zero()
            && (connected || !named.connected_only)
            && !asked;
        match verdict {
            Verdict::Offered => assert!(able, "offered by name to somebody not eligible"),
            Verdict::WaitedFor => assert!(!able && may_wait, "waited for without need"),
            _ => {
                assert!(!able && !may_wait, "{named:?} passed over: {verdict:?}");
                self.leave_named(enquiry);
            }
        }
        self.coverage.hit(match (who.0, verdict) {
            (BindingKind::Engagement, _) => "binding: engagement",
            (BindingKind::LastOwner | BindingKind::Transfer, _) => "binding: last owner",
            (BindingKind::Sticky, Verdict::Offered) => "binding: sticky, offered",
            (BindingKind::Sticky, Verdict::WaitedFor) => "binding: sticky, waited for",
            (BindingKind::Sticky, _) => "binding: sticky, passed over",
        });
    }

    fn arrived(&mut self, enquiry: EnquiryId, at: Destination) {
        let case = self.model.case(enquiry);
        let stop = *case.leaf.stops.get(case.done).expect("a walk stays within its leaf");
        assert_eq!(stop.to, at, "destinations are tried in their order");
        let Some(group) = self.model.group_of(at) else { return };
        let pick_up = stop.pick_up.unwrap_or(group.pick_up);
        let stays = match at {
            Destination::Bot(_) => return,
            Destination::Queue(queue) => self.model.settings.queues[&queue].wait_max,
            Destination::Group(_) => pick_up,
        };
        let priority = case.priority(case.leaf.priority);
        self.stand(enquiry, at, priority, (stays, pick_up));
    }

    pub(crate) fn stand(
        &mut self,
        enquiry: EnquiryId,
        to: Destination,
        priority: u8,
        (stays, pick_up): (Duration, Duration),
    ) {
        let (until, ticket) = (self.model.now + stays, self.model.ticket_of(enquiry));
        let case = self.model.case_mut(enquiry);
        let asked = case.asked_by_name.clone();
        case.at = At::Stop(Stand { to, ticket, priority, until, pick_up, asked, told: false });
    }

    /// It is told where it waits, and how many go before it.
    fn waits(&self, enquiry: EnquiryId, at: Destination, position: u32) {
        let here = matches!(&self.model.case(enquiry).at, At::Stop(stand) if stand.to == at);
        assert!(here, "{enquiry} does not stand at {at:?}");
        let own = self.model.position(enquiry);
        assert_eq!(usize::try_from(position), Ok(own), "the place in line of {enquiry}");
    }

    fn passed_over(&mut self, enquiry: EnquiryId, at: Destination, why: PassedOver) {
        let model = &self.model;
        let case = model.case(enquiry);
        let stop = case.leaf.stops.get(case.done).expect("a walk stays within its leaf");
        assert_eq!(stop.to, at, "destinations are tried in their order");
        assert!(case.offers.is_empty(), "passed over with an offer out");
        let group = model.group_of(at);
        let someone = group.is_some_and(|group| {
            group.members.iter().any(|staff| {
                let asked = match &case.at {
                    At::Stop(stand) => stand.asked.contains(staff),
                    At::Nowhere | At::Direct { .. } | At::Bot(_) => true,
                };
                model.active(*staff) && !case.skips(*staff) && !asked
            })
        });
        let over = match &case.at {
            At::Stop(stand) => stand.until <= model.now,
            At::Nowhere | At::Direct { .. } | At::Bot(_) => false,
        };
        let (true_enough, row) = match why {
            PassedOver::NobodyActive => (!someone, "group: nobody active"),
            PassedOver::EverybodyAsked => (!someone, "group: everybody asked"),
            PassedOver::NobodyAccepts => {
                let accepts = group.is_some_and(|group| case.accepted_by(group));
                (!accepts, "group: nobody accepts")
            }
            PassedOver::TimeOver => (over, "group: time over"),
            PassedOver::WaitedTooLong => (over, "queue: waited too long"),
            PassedOver::QueueFull => (self.queue_is_full(enquiry, at), "queue: full"),
            PassedOver::BotFailed => {
                let Destination::Bot(bot) = at else { unreachable!("only bots fail") };
                let health = model.bots.get(&bot).copied().unwrap_or_default();
                let off = health.passed_over_until.is_some_and(|until| model.now < until);
                (off || matches!(case.at, At::Bot(_)), "bot: passed over")
            }
            PassedOver::BotHandedOver => (matches!(case.at, At::Bot(_)), "bot: handed over"),
            PassedOver::Gone => (group.is_none(), "group: nobody accepts"),
        };
        assert!(true_enough, "{at:?} passed over, but not: {why:?}");
        self.coverage.hit(row);
        let case = self.model.case_mut(enquiry);
        case.done += 1;
        case.at = At::Nowhere;
    }

    pub(crate) fn queue_is_full(&self, newcomer: EnquiryId, at: Destination) -> bool {
        let Destination::Queue(queue) = at else { return false };
        let Some(queue) = self.model.settings.queues.get(&queue) else { return false };
        let there = self.model.cases.iter().filter(|(enquiry, case)| {
            **enquiry != newcomer && matches!(&case.at, At::Stop(stand) if stand.to == at)
        });
        there.count() >= usize::from(queue.length_max)
    }

    fn considered(&mut self, enquiry: EnquiryId, staff: StaffId, verdict: Verdict) {
        match verdict {
            Verdict::NotEnabled => assert!(!self.model.enabled(staff), "{staff} is enabled"),
            Verdict::NotActive { presence } => {
                let person = &self.model.people[&staff];
                assert_eq!(person.presence, presence);
                assert!(person.reloading || !self.model.active(staff));
            }
            Verdict::Skipped => assert!(self.model.case(enquiry).skips(staff)),
            Verdict::EnoughOffers { .. } => {
                let person = &self.model.people[&staff];
                assert!(person.offers >= u16::from(self.model.settings.offers_at_once));
                self.coverage.hit("offers at once: reached");
            }
            Verdict::Full { .. } => {
                let person = &self.model.people[&staff];
                assert!(person.used() >= self.model.capacity(staff), "{staff} is not full");
            }
            Verdict::WrappingUp => self.coverage.hit("wrap-up"),
            Verdict::Offered
            | Verdict::Assigned
            | Verdict::OtherLanguageOrCountry
            | Verdict::DeclinedJustNow
            | Verdict::AlreadyAsked
            | Verdict::NotAMember
            | Verdict::Expired
            | Verdict::WaitedFor => {}
        }
    }

    /// Nobody took it (`product.md` §3).
    pub(crate) fn missed(&mut self, enquiry: EnquiryId, away: bool) {
        let now = self.model.now;
        let case = self.model.case(enquiry);
        assert!(!case.offers.iter().any(Held::reserves) && case.offers.is_empty());
        let row = match case.errand {
            _ if case.to_be_missed => {
                assert!(!away, "never Away after a transfer");
                "missed: blind transfer"
            }
            Errand::Walk { purpose, .. } => {
                let wanted = matches!(purpose, Purpose::Opening | Purpose::Again);
                assert_eq!(away, wanted, "Away only where somebody might still have answered");
                self.walked_to_the_end(enquiry);
                match purpose {
                    Purpose::Opening => "missed: first walk",
                    Purpose::Again => {
                        let stays = matches!(case.stage, Stage::Missed { .. });
                        assert!(!stays, "what stays missed is not missed again");
                        "missed: again, after a bot had it"
                    }
                    Purpose::Orphaned => "missed: orphaned",
                    Purpose::OwnerGone => unreachable!("an owned enquiry is never missed"),
                }
            }
            Errand::None | Errand::Transfer { .. } => unreachable!("missed out of nothing"),
        };
        self.coverage.hit(row);
        let case = self.model.case_mut(enquiry);
        case.stop_errand();
        case.to_be_missed = false;
        case.stage = Stage::Missed { since: now, again_at: None };
    }

    /// A later walk of a missed enquiry ended with nobody: it stays as it is.
    pub(crate) fn walk_ended(&mut self, enquiry: EnquiryId) {
        let case = self.model.case(enquiry);
        let again = matches!(case.errand, Errand::Walk { purpose: Purpose::Again, .. });
        assert!(again && matches!(case.stage, Stage::Missed { .. }), "it does not stay as it is");
        assert!(case.offers.is_empty());
        self.walked_to_the_end(enquiry);
        self.coverage.hit("missed: again");
        let now = self.model.now;
        let case = self.model.case_mut(enquiry);
        case.stop_errand();
        case.stage = Stage::Missed { since: now, again_at: None };
    }

    fn walked_to_the_end(&self, enquiry: EnquiryId) {
        let case = self.model.case(enquiry);
        assert!(case.ruled || case.or_missed.is_some(), "missed without asking the rule");
        assert_eq!(case.done, case.leaf.stops.len(), "missed before the end of the leaf");
        let (rule, _) = self.model.rule_walked(enquiry);
        let more = split::could_overflow(&rule.branch, &case.path, &case.followed);
        assert!(!more, "missed though a bucket could give it on");
    }
}

pub(crate) fn rule_of(settings: &Settings, channel: usher_domain::ids::ChannelId) -> &Rule {
    let channel = settings.channels.get(&channel).expect("channels stay");
    settings.rules.get(&channel.rule).expect("rules stay")
}
