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
use crate::time::Timestamp;

/// How long after an announced number change a new user id may still be expected.
const USER_ID_FOLLOWS_WITHIN: Duration = Duration::from_hours(30 * 24);
/// Characters kept of a name; the provider allows far fewer.
const NAME_CHARS_MAX: usize = 128;

/// The visitors of one service, as far as they are loaded.
#[derive(Debug, Default)]
pub struct Directory {
    visitors: BTreeMap<VisitorId, Entry>,
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
        if self.visitors.contains_key(&id) || self.gone.contains_key(&id) {
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
        let Some(entry) = self.visitors.get(&visitor) else {
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
        if let Some(entry) = self.visitors.get_mut(&id) {
            entry.pins = entry.pins.saturating_add(1);
        }
    }

    /// An enquiry of this visitor is no longer live.
    pub fn unpin(&mut self, visitor: VisitorId) {
        let id = self.current(visitor);
        if let Some(entry) = self.visitors.get_mut(&id) {
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
        self.visitors.get(&self.current(id)).map(|entry| &entry.visitor)
    }

    /// Loaded visitors, in order of id.
    pub fn visitors(&self) -> impl Iterator<Item = &Visitor> {
        self.visitors.values().map(|entry| &*entry.visitor)
    }

    /// Whose key this is, among the loaded.
    pub fn holder(&self, key: &Key) -> Option<VisitorId> {
        match key {
            Key::WaId(wa_id) => self.by_number(wa_id),
            Key::UserId(user_id) => self.by_user(user_id),
        }
    }

    fn by_number(&self, wa_id: &str) -> Option<VisitorId> {
        self.by_wa_id.find(wa_id, |id| self.has(id, |own| own.wa_id.as_deref() == Some(wa_id)))
    }

    fn by_user(&self, user_id: &str) -> Option<VisitorId> {
        self.by_user_id
            .find(user_id, |id| self.has(id, |own| own.user_id.as_deref() == Some(user_id)))
    }

    fn has(&self, visitor: VisitorId, is: impl Fn(&Identities) -> bool) -> bool {
        self.visitors.get(&visitor).is_some_and(|entry| is(&entry.visitor.identities))
    }

    /// Who is writing, where everything that is seen of them is known already, as it nearly always
    /// is: then [`identify`](Self::identify) changes nothing and names the same.
    pub fn known(&self, seen: &Seen<'_>) -> Option<&Arc<Visitor>> {
        let id = match (seen.wa_id, seen.user_id) {
            (Some(wa_id), _) => self.by_number(wa_id),
            (None, Some(user_id)) => self.by_user(user_id),
            (None, None) => None,
        };
        let visitor = &self.visitors.get(&id?)?.visitor;
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
        self.visitors.get(&holder).is_some_and(|Entry { visitor, .. }| {
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
        if let Some(entry) = self.visitors.get_mut(&kept) {
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
        let nothing_new = self.visitors.get(&visitor).is_none_or(|entry| {
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
        if let Some(entry) = self.visitors.get_mut(&visitor).filter(|_| new_user) {
            Arc::make_mut(&mut entry.visitor).number_changed_at = None;
        }
        true
    }

    /// Remembers names and channel; whether that is news.
    fn note(&mut self, visitor: VisitorId, seen: &Seen<'_>) -> bool {
        let Some(Entry { visitor, .. }) = self.visitors.get_mut(&visitor) else {
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
        if let Some(entry) = self.visitors.get_mut(&visitor) {
            self.revision += 1;
            entry.revision = self.revision;
            effects.push(Effect::Changed(Box::new(Visitor::clone(&entry.visitor))));
        }
    }

    pub(super) fn visitor_mut(&mut self, id: VisitorId) -> Option<&mut Visitor> {
        self.visitors.get_mut(&id).map(|entry| Arc::make_mut(&mut entry.visitor))
    }

    pub(super) fn ids_of(&self, id: VisitorId) -> Identities {
        self.visitors.get(&id).map(|entry| entry.visitor.identities.clone()).unwrap_or_default()
    }

    pub(super) fn set_ids(&mut self, id: VisitorId, ids: Identities) {
        let Some(entry) = self.visitors.get_mut(&id) else {
            return;
        };
        let identities = &mut Arc::make_mut(&mut entry.visitor).identities;
        if identities.wa_id != ids.wa_id {
            self.by_wa_id.moved(id, identities.wa_id.as_deref(), ids.wa_id.as_deref());
        }
        if identities.user_id != ids.user_id {
            self.by_user_id.moved(id, identities.user_id.as_deref(), ids.user_id.as_deref());
        }
        *identities = ids;
    }

    /// The visitor an id stands for now.
    pub(super) fn current(&self, id: VisitorId) -> VisitorId {
        self.gone.get(&id).map_or(id, |&(became, _)| became)
    }

    fn insert(&mut self, visitor: Arc<Visitor>) {
        let id = visitor.id;
        let Identities { wa_id, user_id } = &visitor.identities;
        self.by_wa_id.moved(id, None, wa_id.as_deref());
        self.by_user_id.moved(id, None, user_id.as_deref());
        self.visitors.insert(id, Entry { visitor, pins: 0, revision: 0 });
    }

    fn remove(&mut self, id: VisitorId) -> Option<Entry> {
        let entry = self.visitors.remove(&id)?;
        let Identities { wa_id, user_id } = &entry.visitor.identities;
        self.by_wa_id.moved(id, wa_id.as_deref(), None);
        self.by_user_id.moved(id, user_id.as_deref(), None);
        Some(entry)
    }
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
