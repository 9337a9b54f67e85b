//! The newest state of what is live, from the records' `after`.

use std::collections::HashMap;

use usher_domain::enquiry::EnquiryKept;
use usher_domain::floor::place::{Place, Stage};
use usher_domain::ids::{EnquiryId, MessageId};
use usher_domain::record::After;
use usher_domain::time::Timestamp;

use super::Target;
use crate::db::{Db, Result};
use crate::sql::{Blob, Id, blob, json, millis};

/// The states that the records of one transaction left, each once: of what changes with every
/// message only the last state is written.
#[derive(Debug, Default)]
pub(crate) struct Live {
    left: HashMap<Key, (i64, After)>,
    /// By service and enquiry.
    rows: HashMap<(Blob, Blob), Row>,
}

type Key = (Blob, &'static str, Vec<u8>);

/// What is said in an enquiry, and what it goes on from, change one row of it, and that row once.
///
/// Of very many enquiries each one's row is on a page of its own, and a page is what a message costs.
#[derive(Debug, Default)]
struct Row {
    first: Option<Blob>,
    last: Option<(Blob, i64)>,
    messages: u32,
    window: Option<i64>,
    kept: Option<(i64, Option<Box<EnquiryKept>>)>,
}

impl Live {
    pub(super) fn keep(&mut self, t: &Target<'_>, after: &After) -> Result<()> {
        let (kind, key) = match after {
            After::Enquiry { enquiry, kept } => {
                self.row(t, *enquiry).kept = Some((t.seq, kept.clone()));
                return Ok(());
            }
            After::Place { enquiry, place } => {
                if let Some(place) = place {
                    self.stands(t, *enquiry, place)?;
                }
                ("place", enquiry.blob().to_vec())
            }
            After::Talk { enquiry, .. } => ("talk", enquiry.blob().to_vec()),
            After::Seat { staff, .. } => ("seat", staff.blob().to_vec()),
            After::Attendance { staff, .. } => ("attendance", staff.blob().to_vec()),
            After::Draws { channel, rule, node, .. } => {
                let ids = [&channel.blob()[..], &rule.blob()[..], &node.to_be_bytes()[..]];
                ("draws", ids.concat())
            }
        };
        self.left.insert((t.service, kind, key), (t.seq, after.clone()));
        Ok(())
    }

    /// A live enquiry's row says what its place says.
    fn stands(&mut self, t: &Target<'_>, enquiry: EnquiryId, place: &Place) -> Result<()> {
        stands(t, enquiry, place)?;
        // The place is newer than what was said before.
        if let Some(row) = self.rows.get_mut(&(t.service, enquiry.blob())) {
            row.window = None;
        }
        Ok(())
    }

    /// A message stands in the enquiry's room; `window`: the enquiry's, where it has changed.
    pub(super) fn spoken_in(
        &mut self,
        t: &Target<'_>,
        enquiry: EnquiryId,
        (message, window): (MessageId, Option<Timestamp>),
    ) {
        let row = self.row(t, enquiry);
        row.first.get_or_insert(message.blob());
        row.last = Some((message.blob(), t.at));
        row.messages += 1;
        row.window = window.map(millis).or(row.window);
    }

    fn row(&mut self, t: &Target<'_>, enquiry: EnquiryId) -> &mut Row {
        self.rows.entry((t.service, enquiry.blob())).or_default()
    }

    /// Writes them.
    pub(crate) fn write(self, tx: &Db) -> Result<()> {
        for (whose, row) in self.rows {
            row.write(tx, whose)?;
        }
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

const fn is_gone(after: &After) -> bool {
    matches!(after, After::Place { place: None, .. } | After::Talk { talk: None, .. })
}

/// Nothing goes on from this enquiry.
pub(crate) fn is_live_no_more(tx: &Db, service: Blob, enquiry: Blob) -> Result<()> {
    tx.run(
        "DELETE FROM live WHERE service = ?1 AND kind = 'enquiry' AND key = ?2",
        (service, enquiry),
    )
}

impl Row {
    fn write(self, tx: &Db, (service, enquiry): (Blob, Blob)) -> Result<()> {
        let (last, last_at) = self.last.unzip();
        let ended = matches!(self.kept, Some((_, None)));
        let (seq, kept) = self.kept.and_then(|(seq, kept)| Some((seq, kept?))).unzip();
        tx.run(
            "UPDATE enquiries SET first_message = coalesce(first_message, ?3),
               last_message = coalesce(?4, last_message),
               last_message_at = coalesce(?5, last_message_at), messages = messages + ?6,
               window_until = coalesce(?7, window_until), kept = coalesce(?8, kept),
               kept_seq = coalesce(?9, kept_seq)
             WHERE service = ?1 AND enquiry = ?2",
            (
                service,
                enquiry,
                self.first,
                last,
                last_at,
                self.messages,
                self.window,
                kept.as_ref().map(json),
                seq,
            ),
        )?;
        if ended {
            tx.run(
                "UPDATE enquiries SET kept = NULL, kept_seq = NULL
                 WHERE service = ?1 AND enquiry = ?2",
                (service, enquiry),
            )?;
            is_live_no_more(tx, service, enquiry)?;
        }
        Ok(())
    }
}

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
