//! The newest state of what is live, from the records' `after`.

use rusqlite::Result;
use usher_domain::floor::place::{Place, Stage};
use usher_domain::ids::{ChannelId, EnquiryId, RuleId};
use usher_domain::record::After;

use super::Target;
use crate::sql::{Id, blob, json, millis};

pub(super) fn keep(t: &Target<'_>, after: &After) -> Result<()> {
    match after {
        After::Place { enquiry, place } => {
            if let Some(place) = place {
                stands(t, *enquiry, place)?;
            }
            put(t, "place", &enquiry.blob(), place.is_some().then_some(after))
        }
        After::Enquiry { enquiry, kept } => {
            put(t, "enquiry", &enquiry.blob(), kept.is_some().then_some(after))
        }
        After::Seat { staff, .. } => put(t, "seat", &staff.blob(), Some(after)),
        After::Attendance { staff, .. } => put(t, "attendance", &staff.blob(), Some(after)),
        After::Draws { channel, rule, node, .. } => {
            put(t, "draws", &draws_key(*channel, *rule, *node), Some(after))
        }
    }
}

fn draws_key(channel: ChannelId, rule: RuleId, node: u16) -> Vec<u8> {
    [&channel.blob()[..], &rule.blob()[..], &node.to_be_bytes()[..]].concat()
}

fn put(t: &Target<'_>, kind: &str, key: &[u8], state: Option<&After>) -> Result<()> {
    match state {
        Some(after) => t.run(
            "REPLACE INTO live (service, kind, key, seq, state) VALUES (?1, ?2, ?3, ?4, ?5)",
            (t.service, kind, key, t.seq, json(after)),
        )?,
        None => t.run(
            "DELETE FROM live WHERE service = ?1 AND kind = ?2 AND key = ?3",
            (t.service, kind, key),
        )?,
    };
    Ok(())
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
