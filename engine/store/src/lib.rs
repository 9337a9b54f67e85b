//! What is kept: the journal, which is the truth, and the archive, which is read and derived from it.
//!
//! Nothing here decides anything about enquiries: records come in, are made durable in order, and
//! are laid out so that they can be found again.

mod archive;
mod db;
mod directory;
mod encoding;
mod erase;
mod error;
mod journal;
mod media;
mod mine;
mod moving;
mod postgres;
mod progress;
mod prune;
mod seen;
mod sql;
mod store;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod inbox_tests;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod media_tests;
#[cfg(test)]
mod owners_tests;
#[cfg(test)]
mod ownership_tests;
#[cfg(test)]
mod postgres_tests;
#[cfg(test)]
mod prune_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod script;

pub use archive::read::{
    ArchiveReader, AsideKind, AsideRow, BindingRow, ClosedRow, Cursor, DecisionRow, Direction,
    EnquiryFilter, EnquiryRow, EventRow, HeldReceipt, LiveMembers, LiveRoom, LiveState, MediaRow,
    MessageRow, OutboxFilter, OutboxRow, OutboxState, ParticipantDelivery, ReactionRow, Resent,
    RoomEntry, RoomMember, SessionRow, SettingsRow, Span, StatsRow, TemplatesRow, Unanswered,
    Unsent, resend_key,
};
pub use archive::{Archive, ArchiveOptions, Reached, Stuck, rebuild};
pub use db::DbError;
pub use directory::DataDir;
pub use encoding::{BadRecord, decode, encode};
pub use erase::Erased;
pub use error::StoreError;
pub use journal::{
    Commit, CommitFailed, CommitInfo, Done, Entry, Full, Journal, JournalOptions, JournalReader,
    JournalRow, LogInfo, LogLimits, OnCommit, OnLog, Reopened,
};
pub use media::{MediaStore, MediaWriter, StoredFile};
pub use moving::{Moved, move_to_postgres};
pub use postgres::{
    Arrived, Held, Inbox, InboxLimits, InboxRow, Ownership, Portion, Postgres, Standing, WhyNot,
};
pub use progress::Lag;
pub use prune::Pruned;
pub use seen::SeenIds;
pub use store::{Store, StoreOptions};
