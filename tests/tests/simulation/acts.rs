//! What visitors, staff and administrators do, one act a step.

use std::sync::Arc;
use std::time::Duration;

use usher_domain::floor::event::{Closer, PresenceWhy, TransferTo};
use usher_domain::floor::place::Stage;
use usher_domain::floor::{Command, Route};
use usher_domain::ids::{ChannelId, EnquiryId, StaffId, VisitorId};
use usher_domain::presence::Presence;
use usher_domain::rule::{self, Branch, Leaf, Percentage};
use usher_domain::settings::{Settings, StickyScope};
use usher_domain::trace::BindingKind;
use usher_domain::visitor::{self, Binding, VisitorEnquiry};

use crate::shapes::{self, COUNTRIES, LANGUAGES};
use crate::world::World;

impl World {
    pub(crate) fn act(&mut self) {
        match self.random.below(1_000) {
            0..200 => self.visitor_writes(),
            200..430 => self.somebody_answers_an_offer(),
            430..460 => self.somebody_clicks_anywhere(),
            460..540 => self.owner_writes(),
            540..650 => self.somebody_closes(),
            650..720 => self.transfer(),
            720..740 => self.cancel_transfer(),
            740..770 => self.supervisor_acts(),
            770..790 => self.hold(),
            790..870 => self.presence_changes(),
            870..900 => self.reload(),
            900..930 => self.bot_leaves(),
            930..940 => self.known(),
            940..975 => self.edit_settings(),
            975..985 => self.merge(),
            985..992 => self.crash(),
            992..995 => self.hand_over(),
            _ => self.write_first(),
        }
    }

    fn any_live(&mut self) -> Option<EnquiryId> {
        let live: Vec<EnquiryId> = self.checker.model.cases.keys().copied().collect();
        self.random.pick(&live)
    }

    fn any_staff(&mut self) -> Option<StaffId> {
        let staff = self.staff();
        self.random.pick(&staff)
    }

    fn owned(&mut self) -> Option<(EnquiryId, StaffId)> {
        let cases = self.checker.model.cases.iter();
        let owned: Vec<(EnquiryId, StaffId)> =
            cases.filter_map(|(enquiry, case)| Some((*enquiry, case.owner()?))).collect();
        self.random.pick(&owned)
    }

    fn visitor_writes(&mut self) {
        let visitors: Vec<VisitorId> = self.visitors.keys().copied().collect();
        let channels: Vec<ChannelId> = self.settings.channels.keys().copied().collect();
        let (Some(visitor), Some(channel)) =
            (self.random.pick(&visitors), self.random.pick(&channels))
        else {
            return;
        };
        // Mostly a day; now and then a window about to lapse.
        let window = if self.random.chance(90) { 86_400 } else { self.random.between(60, 900) };
        let window_until = self.now + Duration::from_secs(window);
        if let Some(enquiry) = self.live.get(&(visitor, channel)).copied() {
            let opens = self.random.chance(85);
            if self.give(Command::VisitorWrote { enquiry, opens, window_until }) {
                self.clocks.visitor_wrote(enquiry, &self.settings);
            }
            return;
        }
        self.enquiries += 1;
        // Ids do not come in order of arrival.
        let number = (u128::from(self.random.below(1 << 20)) << 32) + u128::from(self.enquiries);
        let enquiry = EnquiryId::from_number(number);
        let country = self.random.chance(70).then(|| COUNTRIES[self.random.index(3)].into());
        self.live.insert((visitor, channel), enquiry);
        let visitor = self.visitors[&visitor].clone();
        let delayed = self.random.chance(8);
        self.clocks.look_at(self.checker.model.now.max(self.now));
        self.clocks.opened(enquiry, channel, &self.settings);
        let route =
            Route { enquiry, channel, visitor, country, window_until, delayed, lapsed: false };
        self.give(Command::Route(Box::new(route)));
    }

    fn somebody_answers_an_offer(&mut self) {
        let cases = self.checker.model.cases.iter();
        let offers: Vec<(EnquiryId, StaffId)> = cases
            .flat_map(|(enquiry, case)| case.offers.iter().map(|offer| (*enquiry, offer.staff)))
            .collect();
        let Some((enquiry, staff)) = self.random.pick(&offers) else { return };
        if self.random.chance(70) {
            self.give(Command::PickUp { enquiry, staff });
        } else {
            self.give(Command::Decline { enquiry, staff });
        }
    }

    fn somebody_clicks_anywhere(&mut self) {
        let missed: Vec<EnquiryId> = self
            .checker
            .model
            .cases
            .iter()
            .filter(|(_, case)| matches!(case.stage, Stage::Missed { .. }))
            .map(|(enquiry, _)| *enquiry)
            .collect();
        let rivals: Vec<(EnquiryId, StaffId)> = self
            .checker
            .model
            .cases
            .iter()
            .flat_map(|(enquiry, case)| case.rivals.iter().map(|staff| (*enquiry, *staff)))
            .collect();
        let enquiry = match self.random.below(4) {
            0 => self.random.pick(&missed),
            1 if !rivals.is_empty() => {
                let Some((enquiry, staff)) = self.random.pick(&rivals) else { return };
                if self.settings.staff.contains_key(&staff) {
                    self.give(Command::PickUp { enquiry, staff });
                }
                return;
            }
            2 if self.random.chance(20) => self.random.pick(&self.over.clone()),
            _ => self.any_live(),
        };
        let (Some(enquiry), Some(staff)) = (enquiry, self.any_staff()) else { return };
        if self.random.chance(80) {
            let offered =
                self.checker.model.cases.get(&enquiry).is_some_and(|c| c.offer_to(staff).is_some());
            if self.give(Command::PickUp { enquiry, staff }) && !offered {
                self.checker.coverage.hit("pick-up: of a missed one without an offer");
            }
        } else {
            self.give(Command::Decline { enquiry, staff });
        }
    }

    fn owner_writes(&mut self) {
        let Some((enquiry, owner)) = self.owned() else { return };
        self.wrote.insert(enquiry, owner);
        self.clocks.staff_wrote(enquiry, owner, &self.settings);
        self.give(Command::WeWrote { enquiry });
    }

    fn somebody_closes(&mut self) {
        let chosen = if self.random.chance(75) {
            self.owned().map(|(enquiry, staff)| (enquiry, Closer::Staff { staff }))
        } else {
            let system = [Closer::AutoClose { unanswered: false }, Closer::Stale, Closer::Blocked];
            let by = system[self.random.index(3)];
            self.any_live().filter(|_| self.random.chance(30)).map(|enquiry| (enquiry, by))
        };
        let Some((enquiry, by)) = chosen else { return };
        self.give(Command::Close { enquiry, by, silent: false, reason: None });
    }

    fn transfer(&mut self) {
        let owned = self.owned();
        let chosen =
            if self.random.chance(80) { owned } else { self.any_live().zip(self.any_staff()) };
        let Some((enquiry, by)) = chosen else { return };
        let groups: Vec<_> = self.settings.groups.keys().copied().collect();
        let to = if self.random.chance(50) {
            self.any_staff().map(|staff| TransferTo::Staff { staff })
        } else {
            self.random.pick(&groups).map(|group| TransferTo::Group { group })
        };
        let Some(to) = to else { return };
        let blind = self.random.chance(50);
        self.give(Command::Transfer { enquiry, by, to, blind });
    }

    fn cancel_transfer(&mut self) {
        let pending: Vec<EnquiryId> = self
            .checker
            .model
            .cases
            .iter()
            .filter(|(_, case)| {
                matches!(case.errand, crate::model::Errand::Transfer { blind: false, .. })
            })
            .map(|(enquiry, _)| *enquiry)
            .collect();
        let Some(enquiry) = self.random.pick(&pending) else { return };
        let owner = self.checker.model.case(enquiry).owner();
        let by = if self.random.chance(80) { owner } else { self.any_staff() };
        let Some(by) = by else { return };
        self.give(Command::CancelTransfer { enquiry, by });
    }

    fn supervisor_acts(&mut self) {
        let (Some(enquiry), Some(staff)) = (self.any_live(), self.any_staff()) else { return };
        if self.random.chance(50) {
            self.give(Command::Assign { enquiry, to: staff });
        } else {
            self.give(Command::TakeOver { enquiry, by: staff });
        }
    }

    fn hand_over(&mut self) {
        if let Some(staff) = self.any_staff() {
            self.give(Command::HandOver { staff });
            self.presence(staff, Presence::Offline, PresenceWhy::SignedOut);
        }
    }

    fn hold(&mut self) {
        let Some((enquiry, by)) = self.owned() else { return };
        let until = self.now + Duration::from_secs(self.random.between(1, 600));
        let until = self.random.chance(75).then_some(until);
        self.give(Command::Hold { enquiry, by, until });
    }

    pub(crate) fn presence(&mut self, staff: StaffId, presence: Presence, why: PresenceWhy) {
        self.give(Command::Presence { staff, presence, why });
    }

    fn presence_changes(&mut self) {
        let Some(staff) = self.any_staff() else { return };
        let (presence, why) = match self.random.below(14) {
            0 => (Presence::Busy, PresenceWhy::SetByHand),
            1 => (Presence::Idle, PresenceWhy::Idle),
            2 => (Presence::Offline, PresenceWhy::NoConnection),
            3 => (Presence::Offline, PresenceWhy::SignedOut),
            4 => (Presence::Active, PresenceWhy::Connected),
            5 => (Presence::Busy, PresenceWhy::SetBySupervisor),
            _ => (Presence::Active, PresenceWhy::SetByHand),
        };
        self.presence(staff, presence, why);
    }

    fn reload(&mut self) {
        let away: Vec<StaffId> = self
            .checker
            .model
            .people
            .iter()
            .filter(|(_, person)| person.reloading)
            .map(|(staff, _)| *staff)
            .collect();
        match self.random.pick(&away) {
            Some(staff) => self.give(Command::Reloading { staff, on: false }),
            None => match self.any_staff() {
                Some(staff) => self.give(Command::Reloading { staff, on: true }),
                None => return,
            },
        };
    }

    fn bot_leaves(&mut self) {
        let with: Vec<EnquiryId> = self
            .checker
            .model
            .cases
            .iter()
            .filter(|(_, case)| matches!(case.stage, Stage::WithBot { .. }))
            .map(|(enquiry, _)| *enquiry)
            .collect();
        if self.random.chance(15) {
            let bots: Vec<_> = self.settings.bots.keys().copied().collect();
            let (Some(enquiry), Some(bot)) = (self.any_live(), self.random.pick(&bots)) else {
                return;
            };
            let by = Closer::Bot { bot };
            if self.give(Command::Close { enquiry, by, silent: false, reason: None }) {
                self.checker.coverage.hit("bot: closed");
            }
            return;
        }
        let Some(enquiry) = self.random.pick(&with) else { return };
        let failed = self.random.chance(70);
        self.give(Command::BotLeft { enquiry, failed });
    }

    fn known(&mut self) {
        let Some(enquiry) = self.any_live() else { return };
        let language = self.random.chance(70).then(|| LANGUAGES[self.random.index(3)].into());
        let country = self.random.chance(30).then(|| COUNTRIES[self.random.index(3)].into());
        self.give(Command::Known { enquiry, language, country });
    }

    /// Two visitors turn out to be one person: of two live enquiries one goes on.
    fn merge(&mut self) {
        let visitors: Vec<VisitorId> = self.visitors.keys().copied().collect();
        let (Some(kept), Some(gone)) = (self.random.pick(&visitors), self.random.pick(&visitors))
        else {
            return;
        };
        if kept == gone || self.visitors.len() < 3 {
            return;
        }
        let channels: Vec<ChannelId> = self.settings.channels.keys().copied().collect();
        for channel in channels {
            let Some(other) = self.live.remove(&(gone, channel)) else { continue };
            let Some(mine) = self.live.insert((kept, channel), other) else { continue };
            self.checker.coverage.hit("merge");
            let (stays, closes) = self.goes_on(mine, other);
            self.live.insert((kept, channel), stays);
            self.give(Command::Close {
                enquiry: closes,
                by: Closer::Merged,
                silent: true,
                reason: None,
            });
            assert!(self.checker.model.cases.contains_key(&stays), "one of the two goes on");
            assert!(!self.checker.model.cases.contains_key(&closes), "a merge leaves one live");
        }
        let moved = self.visitors.remove(&gone).map_or_else(Vec::new, |visitor| visitor.bindings);
        if let Some(visitor) = self.visitors.get_mut(&kept) {
            visitor.bindings.extend(moved);
        }
    }

    /// Which of two live enquiries of one person goes on, and which closes.
    fn goes_on(&self, mine: EnquiryId, other: EnquiryId) -> (EnquiryId, EnquiryId) {
        let model = &self.checker.model;
        let (a, b) = (model.case(mine), model.case(other));
        let seen = |enquiry: EnquiryId| {
            let place = self.floor.place(enquiry).expect("live");
            let (opened_at, owner) = (place.opened_at, place.stage.owner());
            VisitorEnquiry { enquiry, opened_at, owner }
        };
        let told = visitor::survivor(seen(mine), seen(other));
        let mine_goes_on = match (a.owner(), b.owner()) {
            (Some(_), None) => true,
            (None, Some(_)) => false,
            // Opened in the same millisecond: either may go on.
            _ if a.opened_at == b.opened_at => told.goes_on == mine,
            (Some(_), Some(_)) | (None, None) => a.opened_at < b.opened_at,
        };
        let (stays, closes) = if mine_goes_on { (mine, other) } else { (other, mine) };
        assert_eq!((told.goes_on, told.closes), (stays, closes), "the owned one, else the older");
        (stays, closes)
    }

    fn write_first(&mut self) {
        let visitors: Vec<VisitorId> = self.visitors.keys().copied().collect();
        let channels: Vec<ChannelId> = self.settings.channels.keys().copied().collect();
        let (Some(visitor), Some(channel), Some(staff)) =
            (self.random.pick(&visitors), self.random.pick(&channels), self.any_staff())
        else {
            return;
        };
        let binding = Binding {
            kind: BindingKind::Engagement,
            staff,
            channel: Some(channel),
            set_at: self.now,
            expires_at: Some(self.now + Duration::from_secs(self.random.between(60, 86_400))),
        };
        if let Some(visitor) = self.visitors.get_mut(&visitor) {
            let old = |old: &Binding| old.kind != binding.kind || old.channel != binding.channel;
            visitor.bindings.retain(old);
            visitor.bindings.push(binding);
        }
    }

    /// What is remembered when an enquiry closes.
    pub(crate) fn bind(
        &mut self,
        visitor: VisitorId,
        channel: ChannelId,
        owner: Option<StaffId>,
        owner_wrote: bool,
    ) {
        let (Some(set), Some(visitor)) =
            (self.settings.channels.get(&channel), self.visitors.get_mut(&visitor))
        else {
            return;
        };
        let memory = visitor.channels.entry(channel);
        memory.last_closed_at = Some(self.now);
        memory.last_owner = owner.or(memory.last_owner);
        let binding = rule::binding_after_close(set, owner, owner_wrote, self.now);
        let wanted = set.sticky.on && owner.is_some() && owner_wrote;
        assert_eq!(binding.is_some(), wanted, "a binding for an owner who wrote");
        let Some(binding) = binding else { return };
        assert_eq!(Some(binding.staff), owner);
        assert_eq!(binding.channel.is_some(), set.sticky.scope == StickyScope::Channel);
        visitor.bindings.retain(|old| old.kind != binding.kind || old.channel != binding.channel);
        visitor.bindings.push(binding);
        self.checker.coverage.hit("binding: after close");
    }

    fn edit_settings(&mut self) {
        let mut settings = (*self.settings).clone();
        let staff: Vec<StaffId> = settings.staff.keys().copied().collect();
        let groups: Vec<_> = settings.groups.keys().copied().collect();
        let (Some(person), Some(group)) = (self.random.pick(&staff), self.random.pick(&groups))
        else {
            return;
        };
        let row = match self.random.below(12) {
            0..3 => {
                let person = settings.staff.get_mut(&person).expect("listed");
                person.enabled = !person.enabled;
                "settings: suspended"
            }
            3 if staff.len() > 2 => {
                settings.staff.remove(&person);
                settings.groups.values_mut().for_each(|g| g.members.retain(|s| *s != person));
                "settings: deleted"
            }
            4 | 5 => {
                let lower = self.random.between(1, 4);
                let person = settings.staff.get_mut(&person).expect("listed");
                person.capacity = u16::try_from(lower).expect("small");
                "settings: capacity lowered"
            }
            6 | 7 => {
                let members = shapes::members(&mut self.random, &staff);
                settings.groups.get_mut(&group).expect("listed").members = members;
                "settings: membership"
            }
            8 => {
                let language = LANGUAGES[self.random.index(3)].to_owned();
                let group = settings.groups.get_mut(&group).expect("listed");
                let all = group.languages.iter().any(|entry| entry == "*");
                group.languages = vec![if all { language } else { "*".to_owned() }];
                "settings: languages"
            }
            9 | 10 => {
                self.pause_a_bucket(&mut settings);
                "settings: pause"
            }
            _ => {
                self.emergency(&mut settings);
                "settings: emergency"
            }
        };
        self.checker.coverage.hit(row);
        self.settings = Arc::new(settings);
        self.give(Command::Settings(Arc::clone(&self.settings)));
    }

    fn pause_a_bucket(&mut self, settings: &mut Settings) {
        for rule in settings.rules.values_mut() {
            let Some(layer) = first_percentage(&mut rule.branch) else { continue };
            let bucket = self.random.index(layer.buckets.len());
            layer.buckets[bucket].paused = !layer.buckets[bucket].paused;
        }
    }

    fn emergency(&mut self, settings: &mut Settings) {
        for rule in settings.rules.values_mut() {
            if let Some(emergency) = &mut rule.emergency {
                let until = self.now + Duration::from_secs(self.random.between(10, 1_200));
                emergency.on_until = self.random.chance(70).then_some(until);
            }
        }
    }
}

fn first_percentage(branch: &mut Branch) -> Option<&mut Percentage> {
    match branch {
        Branch::Leaf(Leaf { .. }) => None,
        Branch::Percentage(layer) => Some(layer),
        Branch::Time(layer) => {
            let conditions = layer.conditions.iter_mut().map(|condition| &mut condition.branch);
            conditions.chain([&mut *layer.otherwise]).find_map(first_percentage)
        }
    }
}
