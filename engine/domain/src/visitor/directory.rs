//! Decides which visitor the ids of an update belong to.
//!
//! Only loaded visitors are known here: before each question the shell asks what is
//! [`wanted`](Directory::wanted), looks that up in the archive and [`load`](Directory::load)s what it
//! finds. What the archive has not caught up with stays loaded, so an old answer of the archive never
//! hides a newer fact.
//!
//! | number known as | user id known as | what it means |
//! |---|---|---|
//! | – | – | a new visitor |
//! | A, or not given | –, A, or not given | A; the ids are linked |
//! | – | B | B, with this number from now on |
//! | A, without a user id | B | one person: merged |
//! | A, with another user id | – or B | recycled: the number leaves A for a new visitor, or for B |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::identity::Key;
use super::index::Index;
use super::merge::absorb;
use super::person::{Identities, Visitor};
use crate::ids::{ChannelId, VisitorId};
use crate::numbers::{Numbers, Slots, hash_of_id};
use crate::time::Timestamp;

/// How long after an announced number change a new user id may still be expected.
const USER_ID_FOLLOWS_WITHIN: Duration = Duration::from_hours(30 * 24);
/// Characters kept of a name; the provider allows far fewer.
const NAME_CHARS_MAX: usize = 128;

/// The visitors of one service, as far as they are loaded.
#[derive(Debug, Default)]
pub struct Directory {
    visitors: Slots<Entry>,
    by_id: Numbers,
    by_wa_id: Index,
    by_user_id: Index,
    /// Merged away, until the archive knows it too: whom they became, and in which revision.
    gone: BTreeMap<VisitorId, (VisitorId, u64)>,
    /// Rises with every change.
    revision: u64,
    /// Up to which revision the archive has come.
    projected: u64,
}

#[derive(Debug)]
struct Entry {
    /// Shared with the live enquiries; copied when it changes while they have it.
    visitor: Arc<Visitor>,
    /// Live enquiries that need this visitor in memory.
    pins: u32,
    revision: u64,
}

/// What an update says of its sender, in the provider's own forms.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub wa_id: Option<&'a str>,
    pub user_id: Option<&'a str>,
    pub name: Option<&'a str>,
    pub username: Option<&'a str>,
    pub channel: ChannelId,
}

impl Seen<'_> {
    pub fn identities(&self) -> Identities {
        Identities::read(self.wa_id, self.user_id)
    }
}

/// Whose update it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Identified {
    pub visitor: VisitorId,
    pub new: bool,
}

/// Neither a number nor a user id: the update is kept and nobody is named.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("neither a number nor a user id")]
pub struct Unidentified;

/// Why a visitor has to stay in memory.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum StillNeeded {
    #[error("an enquiry of this visitor is live")]
    Pinned,
    #[error("the archive has not caught up with this visitor")]
    Unprojected,
}

/// What the shell must do next, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    /// New or changed; whole, for the journal.
    Changed(Box<Visitor>),
    /// `gone` was the same person: its enquiries, pins and history are `kept`'s from now on.
    /// `Changed(kept)` follows.
    Merged { kept: VisitorId, gone: VisitorId },
    /// A notice gave this person another number or user id: the windows of the live enquiries that
    /// were this visitor's before are lapsed.
    WindowsLapsed { visitor: VisitorId },
}

/// What the ids of an update mean.
enum Judgement {
    New,
    Known(VisitorId),
    SamePerson(VisitorId, VisitorId),
    Recycled { from: VisitorId, to: Option<VisitorId> },
}

impl Directory {
    pub fn new() -> Self {
        Self::default()
    }

    /// Ids that no loaded visitor has: to be looked up before these are identified.
    pub fn wanted(&self, identities: &Identities) -> Vec<Key> {
        identities.keys().filter(|key| self.holder(key).is_none()).collect()
    }

    /// Takes in what the archive knows; what is in memory is newer and stays as it is.
    pub fn load(&mut self, visitor: impl Into<Arc<Visitor>>) {
        let mut visitor = visitor.into();
        let id = visitor.id;
        if self.entry(id).is_some() || self.gone.contains_key(&id) {
            return;
        }
        let Identities { wa_id, user_id } = &visitor.identities;
        let taken_number = wa_id.as_deref().is_some_and(|key| self.by_number(key).is_some());
        let taken_user = user_id.as_deref().is_some_and(|key| self.by_user(key).is_some());
        if taken_number || taken_user {
            let own = &mut Arc::make_mut(&mut visitor).identities;
            own.wa_id.take_if(|_| taken_number);
            own.user_id.take_if(|_| taken_user);
        }
        self.insert(visitor);
    }

    /// Forgets a visitor without a live enquiry whom the archive knows as they are.
    pub fn unload(&mut self, visitor: VisitorId) -> Result<(), StillNeeded> {
        let Some(entry) = self.entry(visitor) else {
            return Ok(());
        };
        if entry.pins > 0 {
            return Err(StillNeeded::Pinned);
        }
        if entry.revision > self.projected {
            return Err(StillNeeded::Unprojected);
        }
        self.remove(visitor);
        Ok(())
    }

    /// An enquiry of this visitor has become live.
    pub fn pin(&mut self, visitor: VisitorId) {
        let id = self.current(visitor);
        if let Some(entry) = self.entry_mut(id) {
            entry.pins = entry.pins.saturating_add(1);
        }
    }

    /// An enquiry of this visitor is no longer live.
    pub fn unpin(&mut self, visitor: VisitorId) {
        let id = self.current(visitor);
        if let Some(entry) = self.entry_mut(id) {
            entry.pins = entry.pins.saturating_sub(1);
        }
    }

    /// Rises with every change: note it beside the journal's sequence.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The archive holds every change up to `revision`; look-ups begun earlier are void.
    pub fn projected(&mut self, revision: u64) {
        self.projected = self.projected.max(revision.min(self.revision));
        let projected = self.projected;
        self.gone.retain(|_, &mut (_, since)| since > projected);
    }

    /// A loaded visitor, also by the id of one merged into them.
    pub fn visitor(&self, id: VisitorId) -> Option<&Arc<Visitor>> {
        self.entry(self.current(id)).map(|entry| &entry.visitor)
    }

    /// Loaded visitors, in no order that means anything.
    pub fn visitors(&self) -> impl Iterator<Item = &Visitor> {
        self.visitors.iter().map(|(_, entry)| &*entry.visitor)
    }

    /// Whose key this is, among the loaded.
    pub fn holder(&self, key: &Key) -> Option<VisitorId> {
        match key {
            Key::WaId(wa_id) => self.by_number(wa_id),
            Key::UserId(user_id) => self.by_user(user_id),
        }
    }

    fn number(&self, id: VisitorId) -> Option<u32> {
        let is = |number| self.visitors.get(number).is_some_and(|entry| entry.visitor.id == id);
        self.by_id.find(hash_of_id(id.uuid()), is)
    }

    fn entry(&self, id: VisitorId) -> Option<&Entry> {
        self.visitors.get(self.number(id)?)
    }

    fn entry_mut(&mut self, id: VisitorId) -> Option<&mut Entry> {
        self.visitors.get_mut(self.number(id)?)
    }

    fn by_number(&self, wa_id: &str) -> Option<VisitorId> {
        self.known_by(&self.by_wa_id, wa_id, wa_id_of)
    }

    fn by_user(&self, user_id: &str) -> Option<VisitorId> {
        self.known_by(&self.by_user_id, user_id, user_id_of)
    }

    fn known_by(
        &self,
        index: &Index,
        id: &str,
        id_of: impl Fn(&Slots<Entry>, u32) -> Option<&str>,
    ) -> Option<VisitorId> {
        let found = index.find(id, |number| id_of(&self.visitors, number) == Some(id))?;
        self.visitors.get(found).map(|entry| entry.visitor.id)
    }

    /// Who is writing, where everything that is seen of them is known already, as it nearly always
    /// is: then [`identify`](Self::identify) changes nothing and names the same.
    pub fn known(&self, seen: &Seen<'_>) -> Option<&Arc<Visitor>> {
        let id = match (seen.wa_id, seen.user_id) {
            (Some(wa_id), _) => self.by_number(wa_id),
            (None, Some(user_id)) => self.by_user(user_id),
            (None, None) => None,
        };
        let visitor = &self.entry(id?)?.visitor;
        let no_news = |seen: Option<&str>, own: &Option<Box<str>>| {
            seen.is_none_or(|seen| own.as_deref() == Some(seen))
        };
        let nothing_new = no_news(seen.wa_id, &visitor.identities.wa_id)
            && no_news(seen.user_id, &visitor.identities.user_id)
            && no_news(seen.name, &visitor.name)
            && no_news(seen.username, &visitor.username)
            && visitor.channels.contains_key(&seen.channel);
        nothing_new.then_some(visitor)
    }

    /// Who is writing; `new_id` is used when nobody known is.
    pub fn identify(
        &mut self,
        now: Timestamp,
        seen: &Seen<'_>,
        new_id: VisitorId,
        effects: &mut Vec<Effect>,
    ) -> Result<Identified, Unidentified> {
        let identities = seen.identities();
        if identities.is_empty() {
            return Err(Unidentified);
        }
        let before = effects.len();
        let known = self.settle(now, &identities, effects);
        let visitor = known.unwrap_or_else(|| {
            self.insert(Arc::new(Visitor::new(new_id, Identities::default())));
            new_id
        });
        let linked = self.link(visitor, identities);
        let noted = self.note(visitor, seen);
        let merged = effects.iter().skip(before).any(|e| matches!(e, Effect::Merged { .. }));
        if known.is_none() || linked || noted || merged {
            self.emit(visitor, effects);
        }
        Ok(Identified { visitor, new: known.is_none() })
    }

    /// Makes sure that at most one visitor has any of these ids: merges two who are one, takes a
    /// recycled number from the one who had it. `None`: a new visitor.
    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        identities: &Identities,
        effects: &mut Vec<Effect>,
    ) -> Option<VisitorId> {
        match self.judge(now, identities) {
            Judgement::New => None,
            Judgement::Known(visitor) => Some(visitor),
            Judgement::SamePerson(a, b) => Some(self.merge(a, b, effects)),
            Judgement::Recycled { from, to } => {
                let user_id = self.ids_of(from).user_id;
                self.set_ids(from, Identities { wa_id: None, user_id });
                self.emit(from, effects);
                to
            }
        }
    }

    fn judge(&self, now: Timestamp, Identities { wa_id, user_id }: &Identities) -> Judgement {
        let by_number = wa_id.as_deref().and_then(|key| self.by_number(key));
        let by_user = user_id.as_deref().and_then(|key| self.by_user(key));
        let is_strangers = |holder: VisitorId| {
            user_id.as_deref().is_some_and(|user_id| self.is_anothers(now, holder, user_id))
        };
        match (by_number, by_user) {
            (None, None) => Judgement::New,
            (None, Some(b)) => Judgement::Known(b),
            (Some(a), Some(b)) if a == b => Judgement::Known(a),
            (Some(a), to) if is_strangers(a) => Judgement::Recycled { from: a, to },
            (Some(a), Some(b)) => Judgement::SamePerson(a, b),
            (Some(a), None) => Judgement::Known(a),
        }
    }

    /// Whether a number's holder is known by another user id, and no notice has said it may change.
    fn is_anothers(&self, now: Timestamp, holder: VisitorId, user_id: &str) -> bool {
        self.entry(holder).is_some_and(|Entry { visitor, .. }| {
            let other = visitor.identities.user_id.as_deref().is_some_and(|own| own != user_id);
            let expected =
                visitor.number_changed_at.is_some_and(|at| now.since(at) <= USER_ID_FOLLOWS_WITHIN);
            other && !expected
        })
    }

    /// The older id stays.
    pub(super) fn merge(
        &mut self,
        a: VisitorId,
        b: VisitorId,
        effects: &mut Vec<Effect>,
    ) -> VisitorId {
        let (kept, gone) = (a.min(b), a.max(b));
        let Some(theirs) = self.remove(gone) else {
            return kept;
        };
        let mut ids = self.ids_of(kept);
        ids.wa_id = ids.wa_id.or_else(|| theirs.visitor.identities.wa_id.clone());
        ids.user_id = ids.user_id.or_else(|| theirs.visitor.identities.user_id.clone());
        if let Some(entry) = self.entry_mut(kept) {
            entry.pins = entry.pins.saturating_add(theirs.pins);
            absorb(Arc::make_mut(&mut entry.visitor), Arc::unwrap_or_clone(theirs.visitor));
        }
        self.set_ids(kept, ids);
        self.revision += 1;
        for (became, _) in self.gone.values_mut().filter(|(became, _)| *became == gone) {
            *became = kept;
        }
        self.gone.insert(gone, (kept, self.revision));
        effects.push(Effect::Merged { kept, gone });
        kept
    }

    /// Gives a visitor the ids just seen; those not seen stay.
    pub(super) fn link(&mut self, visitor: VisitorId, seen: Identities) -> bool {
        let is_known =
            |seen: &Option<Box<str>>, own: &Option<Box<str>>| seen.is_none() || seen == own;
        let nothing_new = self.entry(visitor).is_none_or(|entry| {
            let Identities { wa_id, user_id } = &entry.visitor.identities;
            is_known(&seen.wa_id, wa_id) && is_known(&seen.user_id, user_id)
        });
        if nothing_new {
            return false;
        }
        let own = self.ids_of(visitor);
        let new_user = seen.user_id.is_some() && seen.user_id != own.user_id;
        let ids = Identities {
            wa_id: seen.wa_id.or_else(|| own.wa_id.clone()),
            user_id: seen.user_id.or_else(|| own.user_id.clone()),
        };
        self.set_ids(visitor, ids);
        if let Some(entry) = self.entry_mut(visitor).filter(|_| new_user) {
            Arc::make_mut(&mut entry.visitor).number_changed_at = None;
        }
        true
    }

    /// Remembers names and channel; whether that is news.
    fn note(&mut self, visitor: VisitorId, seen: &Seen<'_>) -> bool {
        let Some(Entry { visitor, .. }) = self.entry_mut(visitor) else {
            return false;
        };
        let name = another(visitor.name.as_deref(), seen.name);
        let username = seen.username.map(|name| name.trim().trim_start_matches('@'));
        let username = another(visitor.username.as_deref(), username);
        let first_here = !visitor.channels.contains_key(&seen.channel);
        let news = name.is_some() || username.is_some() || first_here;
        if news {
            let visitor = Arc::make_mut(visitor);
            visitor.name = name.or_else(|| visitor.name.take());
            visitor.username = username.or_else(|| visitor.username.take());
            visitor.channels.entry(seen.channel);
        }
        news
    }

    pub(super) fn emit(&mut self, visitor: VisitorId, effects: &mut Vec<Effect>) {
        let revision = self.revision + 1;
        if let Some(entry) = self.entry_mut(visitor) {
            entry.revision = revision;
            effects.push(Effect::Changed(Box::new(Visitor::clone(&entry.visitor))));
            self.revision = revision;
        }
    }

    pub(super) fn visitor_mut(&mut self, id: VisitorId) -> Option<&mut Visitor> {
        self.entry_mut(id).map(|entry| Arc::make_mut(&mut entry.visitor))
    }

    pub(super) fn ids_of(&self, id: VisitorId) -> Identities {
        self.entry(id).map(|entry| entry.visitor.identities.clone()).unwrap_or_default()
    }

    pub(super) fn set_ids(&mut self, id: VisitorId, ids: Identities) {
        let Some(number) = self.number(id) else { return };
        self.known_by_ids(number, false);
        if let Some(entry) = self.visitors.get_mut(number) {
            Arc::make_mut(&mut entry.visitor).identities = ids;
        }
        self.known_by_ids(number, true);
    }

    /// Puts the ids of a visitor into the indices, or takes them out.
    fn known_by_ids(&mut self, number: u32, known: bool) {
        let visitors = &self.visitors;
        self.by_wa_id.set(number, known, |number| wa_id_of(visitors, number));
        self.by_user_id.set(number, known, |number| user_id_of(visitors, number));
    }

    /// The visitor an id stands for now.
    pub(super) fn current(&self, id: VisitorId) -> VisitorId {
        self.gone.get(&id).map_or(id, |&(became, _)| became)
    }

    fn insert(&mut self, visitor: Arc<Visitor>) {
        let hash = hash_of_id(visitor.id.uuid());
        let number = self.visitors.insert(Entry { visitor, pins: 0, revision: 0 });
        let hash_of = |number| {
            self.visitors.get(number).map_or(0, |entry| hash_of_id(entry.visitor.id.uuid()))
        };
        self.by_id.insert(hash, number, hash_of);
        self.known_by_ids(number, true);
    }

    fn remove(&mut self, id: VisitorId) -> Option<Entry> {
        let number = self.number(id)?;
        self.known_by_ids(number, false);
        self.by_id.remove(hash_of_id(id.uuid()), |other| other == number);
        self.visitors.remove(number)
    }
}

fn wa_id_of(visitors: &Slots<Entry>, number: u32) -> Option<&str> {
    visitors.get(number)?.visitor.identities.wa_id.as_deref()
}

fn user_id_of(visitors: &Slots<Entry>, number: u32) -> Option<&str> {
    visitors.get(number)?.visitor.identities.user_id.as_deref()
}

/// A name that was given and differs.
fn another(name: Option<&str>, seen: Option<&str>) -> Option<Box<str>> {
    let seen = seen.map(shortened).filter(|seen| !seen.is_empty())?;
    (name != Some(seen)).then(|| seen.into())
}

fn shortened(name: &str) -> &str {
    let end = name.char_indices().nth(NAME_CHARS_MAX).map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or(name)
}
