//! The directory against every trap of identity, then against a model over random sequences.

mod commands;
mod random;
mod traps;

use super::*;
use crate::ids::{ChannelId, VisitorId};
use crate::time::Timestamp;

pub(super) const CHANNEL: ChannelId = ChannelId::from_number(1);

/// Numbers and user ids by a small number; 0 = not given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A message from number and user id.
    See(u8, u8),
    /// The number changed from, to.
    Number(u8, u8),
    /// The user id changed from, to; the number named beside.
    User(u8, u8, u8),
}

pub(super) fn wa_id(n: u8) -> Option<String> {
    (n > 0).then(|| format!("16505550{n:03}"))
}

pub(super) fn user_id(n: u8) -> Option<String> {
    (n > 0).then(|| format!("US.{n}"))
}

/// What a step came to: who, if anybody.
pub(super) fn take(
    directory: &mut Directory,
    now: Timestamp,
    step: Step,
    new_id: VisitorId,
    effects: &mut Vec<Effect>,
) -> Option<VisitorId> {
    match step {
        Step::See(number, user) => {
            let (number, user) = (wa_id(number), user_id(user));
            let seen = Seen {
                wa_id: number.as_deref(),
                user_id: user.as_deref(),
                name: None,
                username: None,
                channel: CHANNEL,
            };
            directory.identify(now, &seen, new_id, effects).ok().map(|found| found.visitor)
        }
        Step::Number(old, new) => {
            let (old, new) = (wa_id(old).unwrap_or_default(), wa_id(new).unwrap_or_default());
            let notice = Notice::NumberChanged { old_wa_id: &old, new_wa_id: &new };
            directory.notice(now, &notice, effects)
        }
        Step::User(old, new, number) => {
            let (old, new, number) = (user_id(old), user_id(new), wa_id(number));
            let notice = Notice::UserIdChanged {
                previous: old.as_deref(),
                current: new.as_deref().unwrap_or_default(),
                wa_id: number.as_deref(),
            };
            directory.notice(now, &notice, effects)
        }
    }
}
