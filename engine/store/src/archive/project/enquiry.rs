//! Enquiries: from opening to close, as the floor's events tell.

use usher_domain::floor::event::FloorEvent;
use usher_domain::ids::{BotId, ChannelId, EnquiryId, StaffId, VisitorId};
use usher_domain::record::Event;
use usher_domain::trace::Step;

use super::{Target, room};
use crate::db::Result;
use crate::sql::{Blob, Id, blob, int, json, millis, word};

pub(super) fn opened(
    t: &Target<'_>,
    enquiry: EnquiryId,
    channel: ChannelId,
    visitor: VisitorId,
) -> Result<()> {
    t.run(
        "INSERT INTO enquiries (service, enquiry, channel, visitor, state, opened_at, opened_seq)
         VALUES (?1, ?2, ?3, ?4, 'open', ?5, ?6) ON CONFLICT DO NOTHING",
        (t.service, enquiry.blob(), channel.blob(), visitor.blob(), t.at, t.seq),
    )?;
    t.run(
        "INSERT INTO live (service, kind, key, seq, state) VALUES (?1, 'enquiry', ?2, ?3, '')
         ON CONFLICT DO NOTHING",
        (t.service, enquiry.blob(), t.seq),
    )?;
    adopt(t, enquiry, channel, visitor)
}

/// What was said since the last close belongs to the room that opens now.
fn adopt(t: &Target<'_>, enquiry: EnquiryId, channel: ChannelId, visitor: VisitorId) -> Result<()> {
    let adopted = t.tx.count(
        "UPDATE messages SET enquiry = ?4
         WHERE service = ?1 AND channel = ?2 AND visitor = ?3 AND enquiry IS NULL",
        (t.service, channel.blob(), visitor.blob(), enquiry.blob()),
    )?;
    if adopted == 0 {
        return Ok(());
    }
    t.run(
        "UPDATE enquiries SET messages = ?3,
           (last_message, last_message_at) = (SELECT message, at FROM messages
             WHERE service = ?1 AND enquiry = ?2 ORDER BY seq DESC LIMIT 1),
           first_message = (SELECT message FROM messages
             WHERE service = ?1 AND enquiry = ?2 AND inbound = 1 ORDER BY seq LIMIT 1)
         WHERE service = ?1 AND enquiry = ?2",
        (t.service, enquiry.blob(), int(adopted as u64)),
    )?;
    Ok(())
}

/// `event` is the record's, in which `floor` stands.
pub(super) fn floor(t: &Target<'_>, floor: &FloorEvent, event: &Event) -> Result<()> {
    let enquiry = match floor {
        FloorEvent::PresenceChanged { staff, presence, why } => {
            let words = (word(presence), word(why));
            return presence_changed(t, *staff, words);
        }
        FloorEvent::Decided { enquiry, steps } => return decided(t, *enquiry, steps),
        FloorEvent::PickedUp { enquiry, by, epoch, .. } => {
            picked_up(t, *enquiry, *by, *epoch)?;
            enquiry
        }
        FloorEvent::BotTook { enquiry, bot } => {
            with_bot(t, *enquiry, Some(*bot), "ongoing")?;
            enquiry
        }
        FloorEvent::BotLeft { enquiry, .. } => {
            with_bot(t, *enquiry, None, "open")?;
            enquiry
        }
        FloorEvent::Missed { enquiry, .. } => {
            missed(t, enquiry.blob())?;
            enquiry
        }
        FloorEvent::TransferOffered { enquiry, blind, .. } => {
            if *blind {
                ownerless(t, enquiry.blob())?;
            }
            enquiry
        }
        FloorEvent::Held { enquiry, until, .. } => {
            t.run(
                "UPDATE enquiries SET hold_until = ?3 WHERE service = ?1 AND enquiry = ?2",
                (t.service, enquiry.blob(), until.map(millis)),
            )?;
            enquiry
        }
        FloorEvent::Closed { enquiry, .. } => {
            closed(t, floor)?;
            enquiry
        }
        FloorEvent::Offered { enquiry, .. }
        | FloorEvent::OfferEnded { enquiry, .. }
        | FloorEvent::Waiting { enquiry, .. }
        | FloorEvent::WalkEnded { enquiry }
        | FloorEvent::TransferEnded { enquiry, .. }
        | FloorEvent::OwnerGone { enquiry, .. }
        | FloorEvent::NobodyTookOver { enquiry } => enquiry,
    };
    room::event(t, *enquiry, event)
}

fn presence_changed(t: &Target<'_>, staff: StaffId, (to, why): (String, String)) -> Result<()> {
    t.run(
        "INSERT INTO presences (service, seq, at, staff, presence, why)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (t.service, t.seq, t.at, staff.blob(), to, why),
    )?;
    Ok(())
}

fn decided(t: &Target<'_>, enquiry: EnquiryId, steps: &[Step]) -> Result<()> {
    t.run(
        "INSERT INTO decisions (service, enquiry, seq, at, steps) SELECT ?1, ?2, ?3, ?4, ?5
         WHERE EXISTS (SELECT 1 FROM enquiries WHERE service = ?1 AND enquiry = ?2)",
        (t.service, enquiry.blob(), t.seq, t.at, json(steps)),
    )?;
    let drawn = steps.iter().rev().find_map(|step| match step {
        Step::Overflowed { to, .. } => Some(to),
        Step::Percentage { bucket, .. } => Some(bucket),
        Step::Blocked
        | Step::Binding { .. }
        | Step::Emergency { .. }
        | Step::Time { .. }
        | Step::Leaf { .. }
        | Step::Arrived { .. }
        | Step::PassedOver { .. }
        | Step::Considered { .. }
        | Step::Waiting { .. }
        | Step::Missed => None,
    });
    if let Some(bucket) = drawn {
        t.run(
            "UPDATE enquiries SET bucket = ?3 WHERE service = ?1 AND enquiry = ?2",
            (t.service, enquiry.blob(), bucket),
        )?;
    }
    Ok(())
}

fn picked_up(t: &Target<'_>, enquiry: EnquiryId, by: StaffId, epoch: u32) -> Result<()> {
    t.run(
        "UPDATE enquiries SET owner = ?3, bot = NULL, epoch = ?4,
           picked_up_at = coalesce(picked_up_at, ?5),
           state = CASE WHEN state IN ('missed', 'followed_up') THEN 'followed_up'
                        ELSE 'ongoing' END
         WHERE service = ?1 AND enquiry = ?2",
        (t.service, enquiry.blob(), by.blob(), epoch, t.at),
    )?;
    Ok(())
}

fn with_bot(t: &Target<'_>, enquiry: EnquiryId, bot: Option<BotId>, state: &str) -> Result<()> {
    t.run(
        "UPDATE enquiries SET bot = ?3, state = ?4 WHERE service = ?1 AND enquiry = ?2",
        (t.service, enquiry.blob(), blob(bot), state),
    )?;
    Ok(())
}

fn missed(t: &Target<'_>, enquiry: Blob) -> Result<()> {
    t.run(
        "UPDATE enquiries SET state = 'missed', owner = NULL, bot = NULL,
           missed_at = coalesce(missed_at, ?3)
         WHERE service = ?1 AND enquiry = ?2",
        (t.service, enquiry, t.at),
    )?;
    Ok(())
}

fn ownerless(t: &Target<'_>, enquiry: Blob) -> Result<()> {
    t.run(
        "UPDATE enquiries SET state = 'open', owner = NULL WHERE service = ?1 AND enquiry = ?2",
        (t.service, enquiry),
    )?;
    Ok(())
}

fn closed(t: &Target<'_>, floor: &FloorEvent) -> Result<()> {
    let FloorEvent::Closed { enquiry, by, silent, reason, owner } = floor else { return Ok(()) };
    t.run(
        "UPDATE enquiries SET state = 'closed', closed_at = ?3, closed_seq = ?4, closer = ?5,
           silent = ?6, reason = ?7, owner = ?8, bot = NULL, hold_until = NULL
         WHERE service = ?1 AND enquiry = ?2",
        (t.service, enquiry.blob(), t.at, t.seq, json(by), silent, reason.as_deref(), blob(*owner)),
    )?;
    t.run(
        "UPDATE members SET left_at = coalesce(left_at, ?3) WHERE service = ?1 AND enquiry = ?2",
        (t.service, enquiry.blob(), t.at),
    )?;
    Ok(())
}
