//! The projector's thread: projects while there is something, waits otherwise, ends with the journal.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{ArchiveOptions, Projector};
use crate::journal::JournalReader;

/// After the disk failed the projector tries again this often; the lag holds what comes in back.
const RETRY: Duration = Duration::from_secs(1);

pub(super) fn start(
    projector: Projector,
    journal: JournalReader,
    options: ArchiveOptions,
    woken: Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("projector".to_owned())
        .spawn(move || run(projector, &journal, &options, &woken))
}

fn run(
    mut projector: Projector,
    journal: &JournalReader,
    options: &ArchiveOptions,
    woken: &Receiver<()>,
) {
    let mut ended = false;
    loop {
        let level = projector.step(journal, options.batch_max);
        (options.on_lag)(projector.lag());
        let wait = match level {
            Ok(false) => continue,
            Ok(true) if ended => return,
            Ok(true) => None,
            Err(error) => {
                tracing::error!(%error, cause = ?error, "the archive cannot be written");
                if ended {
                    return;
                }
                Some(RETRY)
            }
        };
        ended = !wait_for(woken, wait);
    }
}

/// False when nobody will wake this thread again.
fn wait_for(woken: &Receiver<()>, at_most: Option<Duration>) -> bool {
    match at_most {
        None => woken.recv().is_ok(),
        Some(time) => !matches!(woken.recv_timeout(time), Err(RecvTimeoutError::Disconnected)),
    }
}
