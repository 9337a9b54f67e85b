//! Which connections are open, so that a person's can be counted and all can be told to come back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use actix::Addr;
use usher_domain::ids::StaffId;
use usher_engine::ConnectionId;
use usher_protocol::close::Close;

use super::Member;
use super::session::{End, Session};

/// Every open connection of a person, and every one that is being made.
#[derive(Debug, Default)]
pub(super) struct Registry {
    open: RwLock<BTreeMap<StaffId, Vec<Entry>>>,
    last: AtomicU64,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Entry {
    connection: ConnectionId,
    address: Addr<Session>,
}

impl Registry {
    pub(super) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.last.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Takes a connection in, unless the person has as many as allowed.
    pub(super) fn enter(
        &self,
        member: Member,
        address: Addr<Session>,
        most: usize,
    ) -> Result<(), Close> {
        if self.is_stopping() {
            return Err(Close::Restarting);
        }
        let mut open = self.write();
        let theirs = open.entry(member.staff).or_default();
        if theirs.len() >= most {
            return Err(Close::Crowded);
        }
        theirs.push(Entry { connection: member.connection, address });
        Ok(())
    }

    pub(super) fn leave(&self, member: Member) {
        let mut open = self.write();
        let Some(theirs) = open.get_mut(&member.staff) else { return };
        theirs.retain(|entry| entry.connection != member.connection);
        if theirs.is_empty() {
            open.remove(&member.staff);
        }
    }

    /// Tells everybody to come back, not all in the same second, and lets nobody in any more.
    pub(super) fn stop(&self) {
        const SPREAD: u64 = 4;
        self.stopping.store(true, Ordering::Relaxed);
        for entry in self.read().values().flatten() {
            let retry_after = u32::try_from(1 + entry.connection.0 % SPREAD).ok();
            entry.address.do_send(End { close: Close::Restarting, retry_after });
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    // Nothing below can panic half-way, so a poisoned lock still guards a sound map.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<StaffId, Vec<Entry>>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<StaffId, Vec<Entry>>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }
}
