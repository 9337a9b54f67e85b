//! What a provider's notice of a changed number or user id does to a visitor.

use super::directory::{Directory, Effect};
use super::identity::Key;
use super::person::Identities;
use crate::ids::VisitorId;
use crate::time::Timestamp;

/// A change of ids that the provider announced, in its own forms.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// `user_changed_number`.
    NumberChanged { old_wa_id: &'a str, new_wa_id: &'a str },
    /// `user_changed_user_id`, `user_id_update`.
    UserIdChanged { previous: Option<&'a str>, current: &'a str, wa_id: Option<&'a str> },
}

impl Notice<'_> {
    /// The ids before (or known beside), and the ids after.
    fn identities(&self) -> (Identities, Identities) {
        match *self {
            Self::NumberChanged { old_wa_id, new_wa_id } => {
                let number = |wa_id| Identities::read(Some(wa_id), None);
                (number(old_wa_id), number(new_wa_id))
            }
            Self::UserIdChanged { previous, current, wa_id } => {
                (Identities::read(wa_id, previous), Identities::read(None, Some(current)))
            }
        }
    }
}

impl Directory {
    /// Ids of a notice that no loaded visitor has.
    pub fn wanted_by(&self, notice: &Notice<'_>) -> Vec<Key> {
        let (before, after) = notice.identities();
        before.keys().chain(after.keys()).filter(|key| self.holder(key).is_none()).collect()
    }

    /// Re-keys the person concerned: bindings and history move with them, the window does not.
    /// `None`: nobody known is concerned.
    pub fn notice(
        &mut self,
        now: Timestamp,
        notice: &Notice<'_>,
        effects: &mut Vec<Effect>,
    ) -> Option<VisitorId> {
        let (before, after) = notice.identities();
        match notice {
            Notice::NumberChanged { .. } => {
                self.number_changed(now, before.wa_id?, after.wa_id?, effects)
            }
            Notice::UserIdChanged { .. } => {
                self.user_id_changed(now, before, after.user_id?, effects)
            }
        }
    }

    fn number_changed(
        &mut self,
        now: Timestamp,
        old: Box<str>,
        new: Box<str>,
        effects: &mut Vec<Effect>,
    ) -> Option<VisitorId> {
        let there = self.holder(&Key::WaId(new.clone()));
        let Some(person) = self.holder(&Key::WaId(old)) else {
            return there;
        };
        if there == Some(person) {
            return there;
        }
        self.lapse_windows(person, effects);
        let former = self.ids_of(person).user_id;
        // Whoever has the new number already is this person, written to or writing before the notice.
        let newer = there.and_then(|there| self.ids_of(there).user_id);
        let kept = there.map_or(person, |there| self.merge(person, there, effects));
        let follows = newer.is_none() && former.is_some();
        self.set_ids(kept, Identities { wa_id: Some(new), user_id: newer.or(former) });
        if let Some(visitor) = self.visitor_mut(kept) {
            visitor.number_changed_at = follows.then_some(now);
        }
        self.emit(kept, effects);
        Some(kept)
    }

    fn user_id_changed(
        &mut self,
        now: Timestamp,
        before: Identities,
        new: Box<str>,
        effects: &mut Vec<Effect>,
    ) -> Option<VisitorId> {
        let there = self.holder(&Key::UserId(new.clone()));
        let person = self.person_before(&before);
        if person.is_none() || person == there {
            return there;
        }
        let person = person?;
        let announced = self.visitor(person).is_some_and(|v| v.number_changed_at.is_some());
        if !announced {
            self.lapse_windows(person, effects);
        }
        let mut ids = self.ids_of(person);
        ids.wa_id = there.and_then(|there| self.ids_of(there).wa_id).or(ids.wa_id);
        ids.user_id = Some(new);
        let kept = there.map_or(person, |there| self.merge(person, there, effects));
        self.set_ids(kept, ids.clone());
        if let Some(visitor) = self.visitor_mut(kept) {
            visitor.number_changed_at = None;
        }
        // The number named beside the change is theirs as well, like any number seen with the id.
        ids.wa_id = before.wa_id.or(ids.wa_id);
        let kept = self.settle(now, &ids, effects).unwrap_or(kept);
        self.link(kept, ids);
        self.emit(kept, effects);
        Some(kept)
    }

    /// Whom a change of user id concerns: who had the previous one, else who has the number, unless
    /// that person is known by yet another id.
    fn person_before(&self, before: &Identities) -> Option<VisitorId> {
        let by_user = before.user_id.clone().and_then(|key| self.holder(&Key::UserId(key)));
        by_user.or_else(|| {
            let by_number = self.holder(&Key::WaId(before.wa_id.clone()?))?;
            let unknown = self.ids_of(by_number).user_id.is_none();
            (unknown || before.user_id.is_none()).then_some(by_number)
        })
    }

    fn lapse_windows(&mut self, visitor: VisitorId, effects: &mut Vec<Effect>) {
        if let Some(visitor) = self.visitor_mut(visitor) {
            visitor.channels.values_mut().for_each(|on| on.window_until = None);
        }
        effects.push(Effect::WindowsLapsed { visitor });
    }
}
