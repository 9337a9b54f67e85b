//! Walks: taking an enquiry through named persons and the destinations of its rule, in order.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::entries::Key;
use super::entry::{AtDirect, AtStop, Entry};
use super::event::{FloorEvent, OfferEnd};
use super::place::{Direct, Errand, Place, Purpose, Stage, WalkKept};
use super::{At, Floor, Route};
use crate::ids::StaffId;
use crate::rule::{self, Bound, Destination, Leaf, Stop};
use crate::settings::{Channel, StickyMiss, StickyMode};
use crate::trace::{BindingKind, PassedOver, Step, Verdict};

/// How long a direct offer rings.
pub(super) const DIRECT_RING: Duration = Duration::from_mins(1);

impl Floor {
    pub(super) fn route(&mut self, route: &Route) {
        if self.entries.key(route.enquiry).is_some() {
            return;
        }
        self.arrival += 1;
        let settings = Arc::clone(&self.settings);
        let channel = settings.channels.get(&route.channel);
        let of_channel = channel.and_then(|channel| channel.language.as_deref());
        let place = Place {
            channel: route.channel,
            visitor: route.visitor.id,
            language: route.visitor.language(of_channel).map(Box::from),
            country: route.country.clone(),
            arrival: self.arrival,
            opened_at: self.turn.now,
            stage: Stage::Open,
            epoch: 0,
            hold_until: None,
            visitor_waits: Some(self.turn.now),
            window_until: route.window_until,
            errand: Errand::None,
            drawn: None,
            groups: Arc::default(),
        };
        let enquiry = self.entries.insert(Entry::new(route.enquiry, place.into()));
        if route.lapsed {
            return self.miss_at_once(enquiry);
        }
        let directs = channel.map(|channel| self.directs(route, channel)).unwrap_or_default();
        self.start_walk(enquiry, Purpose::Opening, directs, None);
    }

    /// Nobody may write to this visitor now: those who would have been asked see it as missed.
    fn miss_at_once(&mut self, enquiry: Key) {
        let now = self.turn.now;
        let groups = self.entries.get(enquiry).map(|entry| self.groups_in_force(entry));
        let groups = self.one_of_a_kind(&groups.unwrap_or_default());
        let Some(entry) = self.entry_mut(enquiry) else { return };
        entry.place.groups = groups;
        entry.place.stage = Stage::Missed { since: now, again_at: None };
        self.turn.steps.push(Step::Missed);
        self.decided(enquiry);
        self.happened(FloorEvent::Missed { enquiry: self.id(enquiry), away: false });
        self.put_on_shelf(enquiry);
    }

    /// Who is tried before the rule: the last owner, who wrote first, who served before.
    fn directs(&mut self, route: &Route, channel: &Channel) -> Vec<Direct> {
        // Most visitors are bound to nobody.
        if route.visitor.bindings.is_empty() && !route.delayed {
            return Vec::new();
        }
        let settings = Arc::clone(&self.settings);
        let plain = |staff, binding| Direct {
            staff,
            binding,
            wait: Duration::ZERO,
            connected_only: false,
            or_missed: false,
        };
        let memory = route.visitor.channels.get(&route.channel);
        let mut directs: Vec<Direct> = Vec::new();
        if let (true, Some(owner)) = (route.delayed, memory.and_then(|memory| memory.last_owner)) {
            directs.push(plain(owner, BindingKind::LastOwner));
        }
        let now = self.wall();
        if let Some(bound) = rule::engagement_binding(&route.visitor, route.channel, &settings, now)
        {
            self.add_bound(&mut directs, bound, plain(bound.staff, BindingKind::Engagement));
        }
        let leaf = || {
            let found = settings.rules.get(&channel.rule);
            found.map_or_else(no_leaf, |rule| {
                rule::leaf_in_force(rule, route.channel, now, None, &self.counters).0
            })
        };
        if let Some(bound) =
            rule::sticky_binding(&route.visitor, route.channel, &settings, now, leaf)
        {
            let direct = plain(bound.staff, BindingKind::Sticky);
            let direct = match channel.sticky.mode {
                StickyMode::Loose { hold } => Direct { wait: hold, ..direct },
                StickyMode::Strict { wait, offline } => Direct {
                    wait,
                    connected_only: true,
                    or_missed: offline == StickyMiss::Missed,
                    ..direct
                },
            };
            self.add_bound(&mut directs, bound, direct);
        }
        directs
    }

    /// A binding that does not hold is only shown.
    fn add_bound(&mut self, directs: &mut Vec<Direct>, bound: Bound, direct: Direct) {
        match bound.passed_over {
            None => directs.push(direct),
            Some(verdict) => {
                let (binding, staff) = (direct.binding, direct.staff);
                self.turn.steps.push(Step::Binding { binding, staff, verdict });
            }
        }
    }

    pub(super) fn start_walk(
        &mut self,
        enquiry: Key,
        purpose: Purpose,
        directs: Vec<Direct>,
        skip: Option<StaffId>,
    ) {
        let leaf = no_leaf();
        let Some(entry) = self.entry_mut(enquiry) else { return };
        entry.past.forget_walk();
        entry.place.errand = Errand::Walk(Box::new(WalkKept {
            purpose,
            rule: None,
            under: None,
            leaf,
            done: 0,
            directs,
            skip,
        }));
        self.take_off_shelf(enquiry);
        self.arrive(enquiry);
    }

    /// Goes where the walk's record says it stands; on to the next where nobody can take it.
    pub(super) fn arrive(&mut self, enquiry: Key) {
        loop {
            let Some(Errand::Walk(walk)) =
                self.entries.get(enquiry).map(|entry| &entry.place.errand)
            else {
                return;
            };
            let arrived = if let Some(direct) = walk.directs.first().copied() {
                self.arrive_direct(enquiry, direct)
            } else if walk.rule.is_none() {
                self.reach_rule(enquiry);
                false
            } else if let Some(stop) = walk.leaf.stops.get(usize::from(walk.done)).copied() {
                self.arrive_stop(enquiry, stop)
            } else if self.overflow(enquiry) {
                false
            } else {
                self.end_walk(enquiry);
                true
            };
            if arrived {
                self.decided(enquiry);
                return;
            }
        }
    }

    /// True when the enquiry stays with this person, on offer or waited for.
    fn arrive_direct(&mut self, enquiry: Key, direct: Direct) -> bool {
        let ticket = self.next_ticket();
        let now = self.turn.now;
        let Some(entry) = self.entries.get_mut(enquiry) else { return true };
        let priority = priority_of(&entry.place, Leaf::PRIORITY_DEFAULT);
        let at = AtDirect { direct, ticket, priority, until: now + direct.wait };
        entry.at = At::Direct(Box::new(at));
        let verdict = self.verdict_on(enquiry, direct.staff);
        let waits = verdict.is_some_and(|verdict| verdict != Verdict::AlreadyAsked)
            && !direct.wait.is_zero()
            && self.may_wait_for(direct);
        let shown = match verdict {
            None => Verdict::Offered,
            Some(_) if waits => Verdict::WaitedFor,
            Some(verdict) => verdict,
        };
        self.turn.steps.push(Step::Binding {
            binding: direct.binding,
            staff: direct.staff,
            verdict: shown,
        });
        if verdict.is_none() || waits {
            self.enter_line(enquiry);
            return true;
        }
        self.forget_position(enquiry);
        self.direct_is_over(enquiry, direct);
        false
    }

    /// Whether waiting for this person makes sense at this moment.
    pub(super) fn may_wait_for(&self, direct: Direct) -> bool {
        let enabled = self.settings.staff.get(&direct.staff).is_some_and(|staff| staff.enabled);
        let connected = self
            .seats
            .get(direct.staff)
            .is_some_and(|seat| seat.kept.presence != crate::presence::Presence::Offline);
        enabled && (connected || !direct.connected_only)
    }

    /// Crosses the person off the walk's list.
    fn direct_is_over(&mut self, enquiry: Key, direct: Direct) {
        let enabled = self.settings.staff.get(&direct.staff).is_some_and(|staff| staff.enabled);
        let offline = enabled && !self.may_wait_for(direct);
        let Some(entry) = self.entry_mut(enquiry) else { return };
        let Errand::Walk(walk) = &mut entry.place.errand else { return };
        if !walk.directs.is_empty() {
            walk.directs.remove(0);
        }
        if direct.or_missed && offline {
            // Strict stickiness, set to be missed rather than given to the rule: an empty leaf.
            walk.directs.clear();
            walk.rule = Some(crate::ids::RuleId::from_number(0));
        }
    }

    /// True when the enquiry stays at this destination.
    fn arrive_stop(&mut self, enquiry: Key, stop: Stop) -> bool {
        self.turn.steps.push(Step::Arrived { at: stop.to });
        let passed = match stop.to {
            Destination::Bot(bot) => match self.hand_to_bot(enquiry, bot) {
                None => return true,
                Some(why) => Some(why),
            },
            Destination::Group(_) | Destination::Queue(_) => self.arrive_team(enquiry, stop),
        };
        let Some(why) = passed else { return true };
        self.turn.steps.push(Step::PassedOver { at: stop.to, why });
        self.stop_is_over(enquiry);
        false
    }

    pub(super) fn arrive_team(&mut self, enquiry: Key, stop: Stop) -> Option<PassedOver> {
        let Some(spot) = self.teams.spot(stop.to) else { return Some(PassedOver::Gone) };
        let Some(group) = &self.teams.at(spot).group else { return Some(PassedOver::Gone) };
        let now = self.turn.now;
        let pick_up = stop.pick_up.unwrap_or(group.pick_up);
        let until = match stop.to {
            Destination::Queue(queue) => {
                let queue = self.settings.queues.get(&queue)?;
                if self.lines.length(super::Line::At(spot)) >= usize::from(queue.length_max) {
                    return Some(PassedOver::QueueFull);
                }
                now + queue.wait_max
            }
            Destination::Group(_) | Destination::Bot(_) => now + pick_up,
        };
        let ticket = self.next_ticket();
        let entry = self.entries.get_mut(enquiry)?;
        let base = match &entry.place.errand {
            Errand::Walk(walk) => walk.leaf.priority,
            Errand::Transfer { .. } | Errand::None => Leaf::PRIORITY_DEFAULT,
        };
        let priority = priority_of(&entry.place, base);
        let destination = stop.to;
        entry.at = At::Stop(Box::new(AtStop {
            destination,
            spot,
            ticket,
            priority,
            pick_up,
            until,
            asked: entry.past.read().asked_by_name.clone(),
            made: 0,
            told: false,
        }));
        if let Some(why) = self.why_leave(enquiry) {
            self.explain_members(enquiry);
            self.forget_position(enquiry);
            return Some(why);
        }
        self.explain_members(enquiry);
        self.enter_line(enquiry);
        None
    }

    pub(super) fn stop_is_over(&mut self, enquiry: Key) {
        let Some(entry) = self.entry_mut(enquiry) else { return };
        if let Errand::Walk(walk) = &mut entry.place.errand {
            walk.done = walk.done.saturating_add(1);
        }
    }

    /// Looks at where an enquiry stands: ready for an offer, to stay, or to go on.
    pub(super) fn step(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        match &entry.at {
            At::Nowhere | At::Bot => {}
            At::Direct(at) => {
                let AtDirect { direct, until, .. } = **at;
                if !entry.offers.is_empty() {
                    return;
                }
                if self.verdict_on(enquiry, direct.staff).is_none() {
                    self.make_ready(enquiry);
                } else if until <= self.turn.now || !self.may_wait_for(direct) {
                    self.move_on(enquiry, None);
                }
            }
            At::Stop(_) => match self.why_leave(enquiry) {
                Some(why) => self.move_on(enquiry, Some(why)),
                None => self.make_ready(enquiry),
            },
        }
    }

    fn make_ready(&mut self, enquiry: Key) {
        let Some(entry) = self.entries.get(enquiry) else { return };
        if let (true, Some((_, rank))) = (entry.awaits_offer(), entry.standing(enquiry)) {
            self.turn.ready.push(Reverse(rank));
        }
    }

    /// Leaves the present person or stop and goes on with the errand.
    pub(super) fn move_on(&mut self, enquiry: Key, why: Option<PassedOver>) {
        self.withdraw_all(enquiry, OfferEnd::Moved);
        let Some(entry) = self.entries.get(enquiry) else { return };
        let at = entry.at.clone();
        let transfers = matches!(entry.place.errand, Errand::Transfer { .. });
        self.leave_line(enquiry);
        if transfers {
            self.transfer_came_to_nothing(enquiry);
            return;
        }
        match at {
            At::Direct(at) => self.direct_is_over(enquiry, at.direct),
            At::Stop(stop) => {
                let why = why.unwrap_or(PassedOver::TimeOver);
                self.turn.steps.push(Step::PassedOver { at: stop.destination, why });
                self.stop_is_over(enquiry);
            }
            At::Bot => self.stop_is_over(enquiry),
            At::Nowhere => return,
        }
        self.arrive(enquiry);
    }

    /// The walk ended with nobody.
    fn end_walk(&mut self, enquiry: Key) {
        let now = self.turn.now;
        let Some(entry) = self.entry_mut(enquiry) else { return };
        let Errand::Walk(walk) = std::mem::take(&mut entry.place.errand) else { return };
        entry.at = At::Nowhere;
        if entry.place.stage.owner().is_some() {
            entry.relief_failed = true;
            self.unrelieved.insert(enquiry);
            self.decided(enquiry);
            self.happened(FloorEvent::NobodyTookOver { enquiry: self.id(enquiry) });
            return;
        }
        let was_missed = matches!(entry.place.stage, Stage::Missed { .. });
        entry.place.stage = Stage::Missed { since: now, again_at: None };
        self.turn.steps.push(Step::Missed);
        self.decided(enquiry);
        self.happened(if was_missed {
            FloorEvent::WalkEnded { enquiry: self.id(enquiry) }
        } else {
            let away = matches!(walk.purpose, Purpose::Opening | Purpose::Again);
            FloorEvent::Missed { enquiry: self.id(enquiry), away }
        });
        self.put_on_shelf(enquiry);
    }

    /// Stops whatever is under way; the state stays.
    pub(super) fn drop_errand(&mut self, enquiry: Key) {
        self.withdraw_all(enquiry, OfferEnd::Moved);
        self.leave_line(enquiry);
        if let Some(entry) = self.entry_mut(enquiry) {
            entry.place.errand = Errand::None;
        }
    }

    pub(super) fn enter_line(&mut self, enquiry: Key) {
        let Some((line, rank)) =
            self.entries.get(enquiry).and_then(|entry| entry.standing(enquiry))
        else {
            return;
        };
        self.lines.enter(line, rank);
        self.mark(enquiry);
        self.touch(enquiry);
    }

    pub(super) fn leave_line(&mut self, enquiry: Key) {
        if let Some((line, rank)) =
            self.entries.get(enquiry).and_then(|entry| entry.standing(enquiry))
        {
            self.lines.leave(line, rank);
        }
        self.forget_position(enquiry);
    }

    fn forget_position(&mut self, enquiry: Key) {
        if let Some(entry) = self.entries.get_mut(enquiry) {
            entry.at = At::Nowhere;
        }
        self.mark(enquiry);
    }

    pub(super) fn resume_one(&mut self, enquiry: Key) {
        let now = self.turn.now;
        let Some(entry) = self.entries.get_mut(enquiry) else { return };
        entry.owned_since = now;
        self.mark(enquiry);
        let Some(entry) = self.entries.get(enquiry) else { return };
        match (&entry.place.errand, entry.place.stage) {
            (Errand::Walk(_), Stage::WithBot { .. }) => {
                if let Some(entry) = self.entries.get_mut(enquiry) {
                    entry.at = At::Bot;
                }
            }
            (Errand::Walk(_), _) => self.arrive(enquiry),
            (Errand::Transfer { .. }, _) => self.resume_transfer(enquiry),
            (Errand::None, Stage::Open) => {
                self.start_walk(enquiry, Purpose::Opening, Vec::new(), None);
            }
            (Errand::None, Stage::Missed { .. }) => self.put_on_shelf(enquiry),
            (
                Errand::None,
                Stage::Ongoing { .. } | Stage::FollowedUp { .. } | Stage::WithBot { .. },
            ) => {}
        }
    }
}

/// Before the rule was asked.
const fn no_leaf() -> Leaf {
    Leaf { stops: Vec::new(), priority: Leaf::PRIORITY_DEFAULT }
}

/// Transfers and second walks go before first walks of the same leaf.
pub(super) fn priority_of(place: &Place, base: u8) -> u8 {
    let first = matches!(&place.errand, Errand::Walk(walk) if walk.purpose == Purpose::Opening);
    base.saturating_add(u8::from(!first)).min(Leaf::PRIORITY_MAX)
}
