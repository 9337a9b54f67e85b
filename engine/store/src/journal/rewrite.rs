//! Records that are taken out of the journal or said anew: pruning and erasure, nothing else.

use rusqlite::{Connection, Result, TransactionBehavior};

use crate::sql::int;

/// What becomes of rows that are durable already; sequences stay as they are.
#[derive(Debug, Default)]
pub(crate) struct Rewrite {
    pub(crate) removed: Vec<u64>,
    /// Rows and their new bodies.
    pub(crate) changed: Vec<(u64, String)>,
}

impl Rewrite {
    pub(crate) const fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.changed.is_empty()
    }
}

/// All of it in one transaction; what stood there is overwritten in the file, not in the log.
pub(super) fn apply(connection: &mut Connection, rewrite: &Rewrite) -> Result<()> {
    connection.pragma_update(None, "secure_delete", true)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut change = tx.prepare_cached("UPDATE records SET body = ?2 WHERE id = ?1")?;
        for (id, body) in &rewrite.changed {
            change.execute((int(*id), body))?;
        }
        let mut remove = tx.prepare_cached("DELETE FROM records WHERE id = ?1")?;
        for id in &rewrite.removed {
            remove.execute([int(*id)])?;
        }
    }
    tx.commit()?;
    connection.pragma_update(None, "secure_delete", "FAST")
}
