//! What few enquiries have: the others pay a pointer for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use usher_domain::bot::Talk;
use usher_domain::ids::{MessageId, StaffId};
use usher_domain::time::Timestamp;

use super::Sent;
use super::bot::Newest;
use crate::inbound::Inbound;
use crate::ledger::Ack;

#[derive(Debug, Default)]
pub(super) struct Rare(Option<Box<Parts>>);

#[derive(Debug, Default)]
pub(super) struct Parts {
    /// While a bot holds it.
    pub(super) talk: Option<Talk>,
    pub(super) newest: Option<Newest>,
    /// Keys of what the bot said unasked, until the archive has them.
    pub(super) bot_keys: Vec<(String, MessageId)>,
    /// Colleagues in the room; true = looks on unseen.
    pub(super) members: BTreeMap<StaffId, bool>,
    /// Were offered it in this walk and no longer are.
    pub(super) offered_before: Vec<StaffId>,
    /// Owned it or were in the room, and until when.
    pub(super) former: Vec<(StaffId, Timestamp)>,
    pub(super) labels: BTreeSet<String>,
    /// Came for the visitor after the floor had decided to close: for the enquiry after this one.
    pub(super) held_back: Vec<(Inbound, Arc<Ack>)>,
    /// What an enquiry at rest has to remember until the archive shows it.
    pub(super) unshown: Option<Unshown>,
}

/// Keys of the newest sends, and the provider's id of the visitor's newest message.
#[derive(Debug, Default)]
pub(super) struct Unshown {
    pub(super) keys: Keys,
    pub(super) last_inbound: Option<String>,
}

/// What people sent under which keys.
pub(super) type Keys = Vec<(StaffId, String, Sent)>;

static NONE: Parts = Parts {
    talk: None,
    newest: None,
    bot_keys: Vec::new(),
    members: BTreeMap::new(),
    offered_before: Vec::new(),
    former: Vec::new(),
    labels: BTreeSet::new(),
    held_back: Vec::new(),
    unshown: None,
};

impl Parts {
    fn is_empty(&self) -> bool {
        let Self {
            talk,
            newest,
            bot_keys,
            members,
            offered_before,
            former,
            labels,
            held_back,
            unshown,
        } = self;
        talk.is_none()
            && newest.is_none()
            && bot_keys.is_empty()
            && members.is_empty()
            && offered_before.is_empty()
            && former.is_empty()
            && labels.is_empty()
            && held_back.is_empty()
            && unshown.is_none()
    }
}

impl Rare {
    /// As it was before a restart.
    pub(super) fn of(
        talk: Option<Talk>,
        members: BTreeMap<StaffId, bool>,
        labels: BTreeSet<String>,
    ) -> Self {
        if talk.is_none() && members.is_empty() && labels.is_empty() {
            return Self::default();
        }
        Self(Some(Box::new(Parts { talk, members, labels, ..Parts::default() })))
    }

    /// To put something in.
    pub(super) fn write(&mut self) -> &mut Parts {
        self.0.get_or_insert_default()
    }

    /// To change what is there, if anything is.
    pub(super) fn existing(&mut self) -> Option<&mut Parts> {
        self.0.as_deref_mut()
    }

    /// The archive shows everything so far: what is found there is forgotten here.
    pub(super) fn forget_shown(&mut self) {
        let Some(parts) = self.existing() else { return };
        parts.newest = None;
        parts.bot_keys = Vec::new();
        parts.unshown = None;
        if parts.is_empty() {
            self.0 = None;
        }
    }

    pub(super) fn talk(&mut self) -> Option<&mut Talk> {
        self.existing().and_then(|parts| parts.talk.as_mut())
    }
}

impl Deref for Rare {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        self.0.as_deref().unwrap_or(&NONE)
    }
}
