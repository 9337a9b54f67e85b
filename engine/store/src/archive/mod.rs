//! The archive: what is read. Derived from the journal by the projector, and made anew at will.

mod file;
pub(crate) mod forget;
mod project;
mod projector;
pub(crate) mod read;
mod rebuild;
mod shared;
mod thread;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use usher_domain::ids::ServiceId;

use crate::db::{Db, DbError, Result as Read};
use crate::directory::DataDir;
use crate::error::StoreError;
use crate::journal::JournalReader;
use crate::mine::Mine;
use crate::postgres::{Own, Pool, Purpose, Server, until_done};
use crate::progress::{Lag, Progress};

use projector::Positions;
pub(crate) use projector::{Projector, Told};
use read::ArchiveReader;
pub use rebuild::rebuild;
pub(crate) use rebuild::rebuild_shared;

/// How far the archive has come with one service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reached {
    pub seq: u64,
    /// The journal row of that record.
    pub journal_id: u64,
    /// The next record cannot be projected; the service's archive stands still.
    pub stuck: bool,
}

/// The archive will not reach the wanted sequence.
#[derive(Clone, Copy, Debug, Error, Eq, PartialEq)]
pub enum Stuck {
    #[error("record {after} was the last that could be projected")]
    At { after: u64 },
    /// Nobody here knows how far its records go.
    #[error("the service is not written here")]
    NotHere,
    #[error("the archive has been closed")]
    Closed,
}

/// Limits of the projector.
pub struct ArchiveOptions {
    /// Most records of one transaction.
    pub batch_max: usize,
    /// From one read of the journal to the next, unless a whole batch waits or somebody waits for a
    /// record: a transaction costs much the same for ten records as for a hundred, and writes each
    /// page once that several of them change.
    pub gather: Duration,
    /// More records behind than this: [`Archive::slow_down`].
    pub lag_slow: u64,
    /// Further behind than this is [`Archive::is_lagging`].
    pub lag_max: Lag,
    /// Hears the lag after each batch, on the projector's thread.
    pub on_lag: Box<dyn Fn(Lag) + Send>,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self {
            batch_max: 4096,
            gather: Duration::from_millis(100),
            lag_slow: 50_000,
            lag_max: Lag { records: 200_000, age: Duration::from_secs(30) },
            on_lag: Box::new(|_| ()),
        }
    }
}

impl fmt::Debug for ArchiveOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveOptions")
            .field("batch_max", &self.batch_max)
            .field("gather", &self.gather)
            .field("lag_slow", &self.lag_slow)
            .field("lag_max", &self.lag_max)
            .finish_non_exhaustive()
    }
}

/// The way to the archive; cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    at: At,
    reached: watch::Receiver<BTreeMap<ServiceId, Reached>>,
    /// For services that come and go; the projector has it, and ends it.
    tells: Weak<watch::Sender<Positions>>,
    /// Where several processes write one archive.
    mine: Option<Arc<Mine>>,
    progress: Arc<Progress>,
    /// Has the projector gather no longer than it must. Nobody hears it where nothing gathers.
    hurry: SyncSender<()>,
    lag_slow: u64,
    lag_max: Lag,
}

/// Where the archive's file is.
#[derive(Clone, Debug)]
pub(crate) enum At {
    Disk(DataDir),
    /// A name under which SQLite keeps it in memory while a connection is open.
    Memory(Arc<str>),
    Postgres {
        server: Arc<Server>,
        pool: Arc<Pool>,
    },
}

impl At {
    /// A connection that changes what is projected already.
    fn open(&self) -> Result<Db, StoreError> {
        let connection = match self {
            Self::Disk(dir) => file::open(dir)?,
            Self::Memory(name) => file::open_memory(name)?,
            Self::Postgres { server, .. } => {
                return Ok(Db::Postgres(Own::new(Arc::clone(server), Purpose::Archive)));
            }
        };
        // The log is written back by the projector's own connection.
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "secure_delete", true)?;
        Ok(Db::Sqlite(connection))
    }
}

impl Archive {
    /// Opens `archive.db`, brings it level with the journal and starts the projector's thread,
    /// which ends when `woken` does.
    pub(crate) fn open(
        dir: &DataDir,
        options: ArchiveOptions,
        progress: &Arc<Progress>,
        woken: Receiver<()>,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        let journal = JournalReader::open(dir)?;
        if !file::is_usable(dir, &journal)? {
            tracing::info!("the archive is made anew from the journal");
            rebuild::rebuild_from(dir, &journal)?;
        }
        let db = Db::Sqlite(file::open(dir)?);
        let mut projector = Projector::new(db, Arc::clone(progress), None)?;
        projector.catch_up(&journal, options.batch_max)?;
        Self::start((projector, At::Disk(dir.clone())), (journal, None), options, woken)
    }

    /// Opens the archive in PostgreSQL; what is written here from the start is level when this returns.
    pub(crate) fn shared(
        (server, pool): (&Arc<Server>, &Arc<Pool>),
        options: ArchiveOptions,
        (progress, mine): (Arc<Progress>, Arc<Mine>),
        woken: Receiver<()>,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        let journal = JournalReader::pooled(Arc::clone(pool));
        let db = shared::open(server, &journal)?;
        let at = At::Postgres { server: Arc::clone(server), pool: Arc::clone(pool) };
        let mut projector = Projector::new(db, progress, Some(Arc::clone(&mine)))?;
        for (service, seq) in journal.services()? {
            if mine.has(service) {
                projector.catch_up_with(&journal, service, options.batch_max)?;
                mine.level_at(service, seq);
            }
        }
        let again = JournalReader::pooled(Arc::clone(pool));
        Self::start((projector, at), (journal, Some(again)), options, woken)
    }

    fn start(
        (projector, at): (Projector, At),
        journal: (JournalReader, Option<JournalReader>),
        options: ArchiveOptions,
        woken: Receiver<()>,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        let limits = (options.lag_slow, options.lag_max);
        let (hurry, hurried) = sync_channel(1);
        let archive = Self::of(&projector, at, hurry, limits);
        let thread = thread::start(projector, journal, options, (woken, hurried))
            .map_err(|error| StoreError::Database(DbError::Io(error)))?;
        Ok((archive, thread))
    }

    fn of(
        projector: &Projector,
        at: At,
        hurry: SyncSender<()>,
        (lag_slow, lag_max): (u64, Lag),
    ) -> Self {
        let tells = projector.reached();
        let (reached, tells) = (tells.subscribe(), Arc::downgrade(tells));
        let (mine, progress) = (projector.mine(), projector.progress());
        Self { at, reached, tells, mine, progress, hurry, lag_slow, lag_max }
    }

    /// The service is written here from now on; what was written elsewhere is shown when this returns.
    pub(crate) fn take(&self, service: ServiceId, seq: u64) -> Result<(), StoreError> {
        let (At::Postgres { server, pool }, Some(mine)) = (&self.at, &self.mine) else {
            return Ok(());
        };
        if self.reached.borrow().contains_key(&service) && mine.has(service) {
            return Ok(());
        }
        let journal = JournalReader::pooled(Arc::clone(pool));
        let reached = shared::take(server, &journal, service)?;
        mine.level_at(service, seq);
        if let Some(tells) = self.tells.upgrade() {
            tells.send_modify(|all| {
                all.insert(service, reached);
            });
        }
        Ok(())
    }

    /// Waits until all up to `seq` is shown, no longer than `within`, and has nothing more of it shown.
    pub(crate) fn leave(&self, service: ServiceId, seq: u64, within: Duration) {
        if until_done(self.wait(service, seq), within).is_none() {
            tracing::warn!(%service, seq, "who has the service next has to show the last of it");
        }
        let Some(mine) = &self.mine else { return };
        mine.forget(service);
        self.progress.projected(mine.projected(), Duration::ZERO, false);
        if let Some(tells) = self.tells.upgrade() {
            tells.send_modify(|all| {
                all.remove(&service);
            });
        }
    }

    /// A connection of one's own for reading.
    pub fn reader(&self) -> Result<ArchiveReader, StoreError> {
        let connection = match &self.at {
            At::Disk(dir) => file::open_read_only(dir)?,
            At::Memory(name) => file::open_memory(name)?,
            At::Postgres { pool, .. } => {
                return Ok(ArchiveReader::new(Db::Pooled(Arc::clone(pool))));
            }
        };
        Ok(ArchiveReader::new(Db::Sqlite(connection)))
    }

    /// Changes what is projected already of a service, in one transaction beside the projector's.
    pub(crate) fn change<T>(
        &self,
        service: ServiceId,
        run: impl FnOnce(&Db) -> Read<T>,
    ) -> Result<T, StoreError> {
        let db = self.at.open()?;
        let transaction = db.begin()?;
        db.alone_with(service)?;
        let changed = run(&db)?;
        transaction.commit()?;
        Ok(changed)
    }

    /// How far the archive has come with a service.
    pub fn reached(&self, service: ServiceId) -> Reached {
        self.reached.borrow().get(&service).copied().unwrap_or_default()
    }

    /// Changes whenever a batch was projected.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<ServiceId, Reached>> {
        self.reached.clone()
    }

    /// Waits until the archive shows the service's record `seq`.
    pub async fn wait(&self, service: ServiceId, seq: u64) -> Result<(), Stuck> {
        if seq == 0 {
            return Ok(());
        }
        let mut reached = self.reached.clone();
        if self.reached(service).seq < seq {
            self.hurry();
        }
        let elsewhere = || self.mine.as_ref().is_some_and(|mine| !mine.has(service));
        let there = |reached: &BTreeMap<ServiceId, Reached>| match reached.get(&service) {
            Some(reached) => reached.seq >= seq || reached.stuck,
            None => elsewhere(),
        };
        let found = reached.wait_for(there).await.map_err(|_| Stuck::Closed)?;
        match found.get(&service) {
            Some(reached) if reached.seq < seq => Err(Stuck::At { after: reached.seq }),
            Some(_) => Ok(()),
            None => Err(Stuck::NotHere),
        }
    }

    /// Has what was committed projected as soon as may be.
    pub(crate) fn hurry(&self) {
        // Full: it has been told already.
        self.hurry.try_send(()).ok();
    }

    pub fn lag(&self) -> Lag {
        self.progress.lag()
    }

    /// How long what comes in has to wait, so that the archive catches up before it lags.
    pub fn slow_down(&self) -> Option<Duration> {
        self.lag().slow_down(self.lag_slow, self.lag_max.records)
    }

    /// Whether nothing more may come in until the archive has caught up.
    pub fn is_lagging(&self) -> bool {
        let lag = self.lag();
        lag.records > self.lag_max.records || lag.age > self.lag_max.age
    }
}

impl Projector {
    /// A projector whose archive lives in memory.
    pub(crate) fn memory(progress: Arc<Progress>) -> Result<(Self, Archive), StoreError> {
        let name = file::memory_name();
        let connection = file::open_memory(&name)?;
        file::create(&connection)?;
        let projector = Self::new(Db::Sqlite(connection), progress, None)?;
        let ArchiveOptions { lag_slow, lag_max, .. } = ArchiveOptions::default();
        let (hurry, _) = sync_channel(1);
        let archive = Archive::of(&projector, At::Memory(name), hurry, (lag_slow, lag_max));
        Ok((projector, archive))
    }
}
