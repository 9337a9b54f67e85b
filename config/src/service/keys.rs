//! What a service's parts are called in its file, and the ids behind the names.

use std::collections::BTreeMap;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use usher_domain::ids::{BadId, BotId, ChannelId, GroupId, QueueId, RuleId, ServiceId, StaffId};
use usher_domain::rule::Destination;
use uuid::{Builder, Uuid};

use crate::nearest::suggestion;
use crate::node::Node;
use crate::table::Table;
use crate::value;

/// An id as a name in a file leads to it.
pub(super) trait Id: Copy + Ord + FromStr<Err = BadId> {
    const PREFIX: &'static str;
    fn of(uuid: Uuid) -> Self;
}

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Id for $name {
            const PREFIX: &'static str = $name::PREFIX;

            fn of(uuid: Uuid) -> Self {
                $name::new(uuid)
            }
        }
    )*};
}

ids! { ServiceId ChannelId StaffId GroupId QueueId BotId RuleId }

/// The id set by hand, else one that follows from the names alone and so outlives restarts.
pub(super) fn id<I: Id>(table: &mut Table<'_>, service: &str, key: &str) -> I {
    let by_hand = table
        .read("id", |node| value::text(node)?.parse().map_err(|bad: BadId| format!("is {bad}")));
    by_hand.unwrap_or_else(|| {
        let digest = digest(service, I::PREFIX, key);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        I::of(Builder::from_custom_bytes(bytes).into_uuid())
    })
}

/// A digest that follows from the names alone.
pub(super) fn digest(service: &str, kind: &str, key: &str) -> [u8; 32] {
    // Keys hold no slash, so different names never meet.
    Sha256::digest(format!("usher/{service}/{kind}/{key}")).into()
}

/// The parts of one kind: their names with their ids.
#[derive(Debug)]
pub(super) struct Names<I>(BTreeMap<String, I>);

impl<I: Id> Names<I> {
    /// Takes the id of each, and refuses one given twice.
    pub(super) fn of(service: &str, tables: &mut [(&str, Table<'_>)]) -> Self {
        let mut names: BTreeMap<String, I> = BTreeMap::new();
        for (key, table) in tables {
            let id = id(table, service, key);
            if let Some((other, _)) = names.iter().find(|(_, taken)| **taken == id) {
                table.fault("id", format!("is also the id of `{other}`"));
            }
            names.insert((*key).to_owned(), id);
        }
        Self(names)
    }

    pub(super) fn find(&self, key: &str) -> Result<I, String> {
        self.0.get(key).copied().ok_or_else(|| {
            let names = self.0.keys().map(String::as_str);
            format!("there is no `{key}`; {}", suggestion(key, names))
        })
    }

    /// The id behind a name that a value holds.
    pub(super) fn named(&self, node: &Node) -> Result<I, String> {
        self.find(&value::text(node)?)
    }
}

/// All names of one service.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) staff: Names<StaffId>,
    pub(super) groups: Names<GroupId>,
    pub(super) queues: Names<QueueId>,
    pub(super) bots: Names<BotId>,
    pub(super) rules: Names<RuleId>,
    pub(super) channels: Names<ChannelId>,
}

impl Keys {
    /// `group:sales`, `queue:overflow` or `bot:greeter`.
    pub(super) fn destination(&self, written: &str) -> Result<Destination, String> {
        let (kind, key) = written.split_once(':').unwrap_or((written, ""));
        let named = |what: String| format!("{written}: {what}");
        match kind {
            "group" => self.groups.find(key).map(Destination::Group).map_err(named),
            "queue" => self.queues.find(key).map(Destination::Queue).map_err(named),
            "bot" => self.bots.find(key).map(Destination::Bot).map_err(named),
            _ => Err(format!(
                "`{written}` is not a destination; write \"group:…\", \"queue:…\" or \"bot:…\""
            )),
        }
    }
}
