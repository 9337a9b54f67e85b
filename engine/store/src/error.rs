//! What can go wrong between the store and the world.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use usher_domain::ids::{ServiceId, VisitorId};

use crate::db::DbError;
use crate::encoding::BadRecord;
use crate::journal::CommitFailed;
use crate::postgres::WhyNot;

/// The world failed the store.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("the data directory {} is in use by another process", dir.display())]
    InUse { dir: PathBuf },
    #[error("cannot use {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the database failed")]
    Database(#[from] DbError),
    #[error("the address of the database cannot be used")]
    Url(#[source] WhyNot),
    #[error(
        "the database was changed by a newer program: step {found}, and {newest} is the newest this one knows"
    )]
    Newer { found: u64, newest: u64 },
    #[error("the database is not empty: a journal is moved into one that nobody has used")]
    NotEmpty,
    #[error("what arrived in the database is not what was sent; nothing was kept there")]
    Differs,
    #[error("the journal's write-ahead log could not be written back: readers hold it")]
    CheckpointHeld,
    #[error("record {seq} of {service} cannot be read")]
    Record {
        service: ServiceId,
        seq: u64,
        #[source]
        source: BadRecord,
    },
    #[error("projecting record {seq} of {service} panicked")]
    Panicked { service: ServiceId, seq: u64 },
    #[error("{visitor} has a live enquiry")]
    Live { visitor: VisitorId },
    #[error("the journal could not be rewritten")]
    Journal(#[from] CommitFailed),
    #[error("not a SHA-256 digest in lower-case hexadecimal")]
    NotADigest,
    #[error("the file {sha256} in the database is not what its digest says")]
    FileDiffers { sha256: String },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

impl StoreError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    /// Whether trying the same again later can help: the disk failed, not the record.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Database(error) => error.is_of_the_disk(),
            Self::File { .. } | Self::InUse { .. } | Self::CheckpointHeld => true,
            Self::Record { .. }
            | Self::Panicked { .. }
            | Self::Journal(_)
            | Self::Url(_)
            | Self::Newer { .. }
            | Self::NotEmpty
            | Self::Differs
            | Self::FileDiffers { .. }
            | Self::Live { .. }
            | Self::NotADigest => false,
        }
    }
}
