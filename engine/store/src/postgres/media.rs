//! Files in the database, in pieces: what every node can read, whichever of them stored it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use super::{Array, Own, Purpose, Server};
use crate::db::DbError;
use crate::error::StoreError;
use crate::sql::{int, uint};

/// Sent at once, so that nobody else's files wait for long. Never another: two nodes may store the same
/// file at the same time, each a part of it.
const PIECE: usize = 256 * 1024;

/// A connection for each file on its way, of which there are few at once.
pub(crate) struct Files(Arc<Server>);

/// What is known of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    There,
    Removed,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Files {
    pub(crate) fn new(server: &Arc<Server>) -> Self {
        Self(Arc::clone(server))
    }

    fn own(&self) -> Own {
        Own::new(Arc::clone(&self.0), Purpose::Journal)
    }

    /// Those of these digests that are or were here.
    pub(crate) fn known(
        &self,
        digests: &[[u8; 32]],
    ) -> Result<BTreeMap<[u8; 32], Known>, StoreError> {
        let asked: Vec<&[u8]> = digests.iter().map(<[u8; 32]>::as_slice).collect();
        let sql = "SELECT sha256, removed FROM files WHERE sha256 = ANY(?1::bytea[])";
        let mut known = BTreeMap::new();
        self.own().with(|connection| {
            connection.arrays(sql, &[Array::Blobs(&asked)], |row| {
                let sha256 = row.get::<_, Vec<u8>>("sha256")?;
                let sha256 = sha256.try_into().map_err(|_| DbError::Kind)?;
                let removed = row.get::<_, bool>("removed")?;
                known.insert(sha256, if removed { Known::Removed } else { Known::There });
                Ok(())
            })
        })?;
        Ok(known)
    }

    /// Durable when it returns.
    pub(crate) fn put(&self, sha256: &[u8; 32], mut from: impl Read) -> Result<(), PutFailed> {
        let (own, mut bytes) = (self.own(), 0);
        for at in 0.. {
            let mut piece = Vec::new();
            from.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(PutFailed::Read)?;
            if piece.is_empty() {
                break;
            }
            bytes += piece.len() as u64;
            let sql = "INSERT INTO file_pieces (sha256, at, piece) VALUES (?1, ?2, ?3)
                       ON CONFLICT DO NOTHING";
            own.with(|connection| connection.count(sql, (sha256.as_slice(), int(at), &piece)))?;
        }
        // What one sees with this row is all of it.
        let sql = "INSERT INTO files (sha256, bytes, removed) VALUES (?1, ?2, false)
                   ON CONFLICT (sha256) DO UPDATE SET removed = false";
        own.with(|connection| connection.count(sql, (sha256.as_slice(), int(bytes))))?;
        Ok(())
    }

    /// Writes a file; whether it is there.
    pub(crate) fn get(&self, sha256: &[u8; 32], mut to: impl Write) -> Result<bool, PutFailed> {
        let sql = "SELECT bytes FROM files WHERE sha256 = ?1 AND NOT removed";
        let own = self.own();
        let bytes = own.with(|connection| {
            connection.one(sql, [sha256.as_slice()], |row| row.get::<_, i64>("bytes").map(uint))
        })?;
        let Some(bytes) = bytes else { return Ok(false) };
        let mut written = 0;
        for at in 0.. {
            if written >= bytes {
                break;
            }
            let sql = "SELECT piece FROM file_pieces WHERE sha256 = ?1 AND at = ?2";
            let piece = own.with(|connection| {
                connection
                    .one(sql, (sha256.as_slice(), int(at)), |row| row.get::<_, Vec<u8>>("piece"))
            })?;
            // Removed meanwhile.
            let Some(piece) = piece else { return Ok(false) };
            written += piece.len() as u64;
            to.write_all(&piece).map_err(PutFailed::Read)?;
        }
        Ok(true)
    }

    /// Also one that was never here: somebody else may have it.
    pub(crate) fn remove(&self, sha256: &[u8; 32]) -> Result<(), StoreError> {
        let own = self.own();
        let sql = "INSERT INTO files (sha256, bytes, removed) VALUES (?1, 0, true)
                   ON CONFLICT (sha256) DO UPDATE SET removed = true";
        own.with(|connection| connection.count(sql, [sha256.as_slice()]))?;
        let sql = "DELETE FROM file_pieces WHERE sha256 = ?1";
        own.with(|connection| connection.count(sql, [sha256.as_slice()]))?;
        Ok(())
    }
}

/// Why a file did not get from one side to the other.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutFailed {
    #[error("the file on the disk")]
    Read(#[source] io::Error),
    #[error("the database")]
    Database(#[from] DbError),
}
