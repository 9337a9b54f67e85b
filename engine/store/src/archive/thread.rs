//! The projector's two threads: one reads ahead, the other writes; both end with the journal.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::projector::Batch;
use super::{ArchiveOptions, Projector};
use crate::db::DbError;
use crate::error::StoreError;
use crate::journal::JournalReader;
use crate::mine::Mine;
use crate::progress::{Progress, monotonic};

/// After the disk failed the projector tries again this often; the lag holds what comes in back.
const RETRY: Duration = Duration::from_secs(1);

/// Records come together for so long even while somebody waits for one.
const GATHER_LEAST: Duration = Duration::from_millis(20);

/// Reads the journal and understands its records while the projector writes the ones before.
struct Reader {
    journal: JournalReader,
    progress: Arc<Progress>,
    follows: Follows,
    batch_max: usize,
    batches: SyncSender<Batch>,
    gather: Duration,
    hurried: Receiver<()>,
}

/// What of the journal is read.
enum Follows {
    /// All of it, by its rows; the last one read.
    Rows(u64),
    /// Services that are written here, each for itself.
    Mine(Arc<Mine>),
}

pub(super) fn start(
    projector: Projector,
    (journal, again): (JournalReader, Option<JournalReader>),
    options: ArchiveOptions,
    (woken, hurried): (Receiver<()>, Receiver<()>),
) -> io::Result<JoinHandle<()>> {
    let (batches, read) = sync_channel(1);
    let reader = Reader {
        journal,
        progress: projector.progress(),
        follows: projector.mine().map_or(Follows::Rows(projector.through()), Follows::Mine),
        batch_max: options.batch_max,
        batches,
        gather: options.gather,
        hurried,
    };
    let reading = thread::Builder::new()
        .name("projector-reads".to_owned())
        .spawn(move || reader.run(&woken))?;
    thread::Builder::new().name("projector".to_owned()).spawn(move || {
        write(projector, again.as_ref(), &options, &read);
        drop(read);
        if reading.join().is_err() {
            tracing::error!("the thread that reads for the projector panicked");
        }
    })
}

impl Reader {
    fn run(mut self, woken: &Receiver<()>) {
        let mut ended = false;
        loop {
            let began = monotonic();
            let wait = match self.pass_on() {
                Ok(Some(false)) => continue,
                Ok(Some(true)) if ended => return,
                Ok(Some(true)) => None,
                // Nobody writes any more.
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, cause = ?error, "the journal cannot be read");
                    if ended {
                        return;
                    }
                    Some(RETRY)
                }
            };
            ended = !wait_for(woken, wait);
            if !ended {
                self.gather(began);
            }
        }
    }

    /// Lets records come together, counted from when the last read `began`.
    fn gather(&self, began: Instant) {
        thread::sleep(GATHER_LEAST.saturating_sub(began.elapsed()));
        // Whether somebody came or nobody can any more, the next read is due.
        self.hurried.recv_timeout(self.gather.saturating_sub(began.elapsed())).ok();
    }

    /// Reads one batch; whether it reached the journal's end, `None` when nobody takes it.
    fn pass_on(&mut self) -> Result<Option<bool>, StoreError> {
        let batch = match &mut self.follows {
            Follows::Rows(through) => {
                let from = (*through, self.batch_max);
                let (batch, last) = Batch::read(&self.journal, from, &self.progress)?;
                *through = last;
                batch
            }
            Follows::Mine(mine) => {
                Batch::read_mine(&self.journal, (mine, self.batch_max), &self.progress)?
            }
        };
        let whole = batch.whole;
        Ok(self.batches.send(batch).is_ok().then_some(whole))
    }
}

/// Writes what was read; a batch that the disk refuses is tried again until the journal has ended.
///
/// Where others may change the archive, too, the journal is read `again` from where it then is.
fn write(
    mut projector: Projector,
    again: Option<&JournalReader>,
    options: &ArchiveOptions,
    read: &Receiver<Batch>,
) {
    let progress = projector.progress();
    for batch in read {
        while let Err(error) = project(&mut projector, &batch, again, options.batch_max) {
            tracing::error!(%error, cause = ?error, "the archive cannot be written");
            (options.on_lag)(projector.lag());
            if progress.has_ended() {
                return;
            }
            thread::sleep(RETRY);
        }
        (options.on_lag)(projector.lag());
    }
}

fn project(
    projector: &mut Projector,
    batch: &Batch,
    again: Option<&JournalReader>,
    batch_max: usize,
) -> Result<(), StoreError> {
    match (projector.project(batch), again) {
        (Err(StoreError::Database(DbError::Moved)), Some(journal)) => {
            projector.find_again(journal, batch, batch_max)?;
            projector.project(batch)
        }
        (projected, _) => projected,
    }
}

/// False when nobody will wake this thread again.
fn wait_for(woken: &Receiver<()>, at_most: Option<Duration>) -> bool {
    match at_most {
        None => woken.recv().is_ok(),
        Some(time) => !matches!(woken.recv_timeout(time), Err(RecvTimeoutError::Disconnected)),
    }
}
