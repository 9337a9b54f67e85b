//! What the journal says of a file that is kept no longer.

use usher_domain::ids::ServiceId;
use usher_domain::record::{Event, Record};

use crate::archive::read::OldMedia;
use crate::encoding::{decode, encode};
use crate::error::StoreError;
use crate::journal::{JournalReader, Rewrite};

/// Shown in the room in place of the file.
pub(crate) const WHY: &str = "it is kept no longer";

pub(super) fn plan(
    journal: &JournalReader,
    service: ServiceId,
    old: &[OldMedia],
) -> Result<Rewrite, StoreError> {
    let mut rewrite = Rewrite::default();
    for media in old {
        let found = journal.read_after(service, media.seq.saturating_sub(1), 1)?;
        let Some(row) = found.into_iter().find(|row| row.seq == media.seq) else { continue };
        let (service, seq) = (row.service, row.seq);
        let record =
            decode(&row.body).map_err(|source| StoreError::Record { service, seq, source })?;
        let Event::MediaStored { message, .. } = record.event else { continue };
        let event = match message {
            Some(message) => Event::MediaUnavailable { message, why: WHY.to_owned() },
            None => Event::FloorKept {},
        };
        rewrite.changed.push((row.id, encode(&Record { event, ..record })));
    }
    Ok(rewrite)
}
