//! The newest state of what is live, from the records' `after`.

use std::collections::HashMap;

use usher_domain::floor::place::{Place, Stage};
use usher_domain::ids::EnquiryId;
use usher_domain::record::After;

use super::Target;
use crate::db::{Db, Result};
use crate::sql::{Blob, Id, blob, json, millis};

/// The states that the records of one transaction left, each once: of what changes with every
/// message only the last state is written.
#[derive(Debug, Default)]
pub(crate) struct Live {
    left: HashMap<Key, (i64, After)>,
}

type Key = (Blob, &'static str, Vec<u8>);

impl Live {
    pub(super) fn keep(&mut self, t: &Target<'_>, after: After) -> Result<()> {
        if let After::Place { enquiry, place: Some(place) } = &after {
            stands(t, *enquiry, place)?;
        }
        let (kind, key) = key(&after);
        self.left.insert((t.service, kind, key), (t.seq, after));
        Ok(())
    }

    /// Writes them.
    pub(crate) fn write(self, tx: &Db) -> Result<()> {
        for ((service, kind, key), (seq, after)) in self.left {
            if is_gone(&after) {
                tx.run(
                    "DELETE FROM live WHERE service = ?1 AND kind = ?2 AND key = ?3",
                    (service, kind, key),
                )?;
            } else {
                tx.run(
                    "INSERT INTO live (service, kind, key, seq, state) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (service, kind, key) DO UPDATE SET seq = excluded.seq,
                       state = excluded.state",
                    (service, kind, key, seq, json(&after)),
                )?;
            }
        }
        Ok(())
    }
}

fn key(after: &After) -> (&'static str, Vec<u8>) {
    match after {
        After::Place { enquiry, .. } => ("place", enquiry.blob().to_vec()),
        After::Enquiry { enquiry, .. } => ("enquiry", enquiry.blob().to_vec()),
        After::Talk { enquiry, .. } => ("talk", enquiry.blob().to_vec()),
        After::Seat { staff, .. } => ("seat", staff.blob().to_vec()),
        After::Attendance { staff, .. } => ("attendance", staff.blob().to_vec()),
        After::Draws { channel, rule, node, .. } => {
            let ids = [&channel.blob()[..], &rule.blob()[..], &node.to_be_bytes()[..]];
            ("draws", ids.concat())
        }
    }
}

const fn is_gone(after: &After) -> bool {
    matches!(
        after,
        After::Place { place: None, .. }
            | After::Enquiry { kept: None, .. }
            | After::Talk { talk: None, .. }
    )
}

/// A live enquiry's row says what its place says.
fn stands(t: &Target<'_>, enquiry: EnquiryId, place: &Place) -> Result<()> {
    let bot = match place.stage {
        Stage::WithBot { bot } => Some(bot),
        Stage::Open | Stage::Ongoing { .. } | Stage::Missed { .. } | Stage::FollowedUp { .. } => {
            None
        }
    };
    t.run(
        "UPDATE enquiries SET state = ?3, owner = ?4, bot = ?5, epoch = ?6, hold_until = ?7,
           window_until = ?8
         WHERE service = ?1 AND enquiry = ?2 AND closed_at IS NULL",
        (
            t.service,
            enquiry.blob(),
            place.stage.name(),
            blob(place.stage.owner()),
            blob(bot),
            place.epoch,
            place.hold_until.map(millis),
            millis(place.window_until),
        ),
    )?;
    Ok(())
}
