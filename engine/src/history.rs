//! A page of a room, read from the archive by somebody who may see it.

use std::sync::Arc;

use serde_json::json;
use usher_domain::access::{RoomFacts, Sight, Standing, Viewer, sight};
use usher_domain::floor::event::FloorEvent;
use usher_domain::ids::{EnquiryId, StaffId, VisitorId};
use usher_domain::record::Event as Recorded;
use usher_domain::settings::{Role, Settings};
use usher_domain::time::Timestamp;
use usher_protocol::command::PageLimit;
use usher_protocol::event::Event as Telling;
use usher_protocol::event::{
    Changed, Direction, Entry, Failure, History, Level, Line, Message, Named, Note, Reaction,
    Writer, shown,
};
use usher_protocol::refusal::Code;
use usher_store::{Cursor, EventRow, MessageRow, RoomEntry};

use crate::handle::Answer;
use crate::peers::Peers;
use crate::router::{Pass, Serves};
use crate::service::AnswerTo;

/// Which part of which room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    pub(crate) enquiry: EnquiryId,
    pub(crate) before: Option<u64>,
    pub(crate) limit: PageLimit,
}

/// Entries of a room looked through for its former owners.
const FORMER_LOOK_MAX: usize = 1_000;

/// Newest entries of a room looked through for the last time it was missed.
const MISSED_LOOK_MAX: usize = 100;

/// Latest enquiries of a visitor looked at.
const ENQUIRIES_LOOK_MAX: usize = 20;

/// Most bytes of a page; the frame around it is small.
const PAGE_BYTES_MAX: usize = 48 * 1024;

/// Asks whether this person may see the room, waits for the archive, reads, answers.
pub(crate) fn answer(peers: &Peers, staff: StaffId, page: Page, to: AnswerTo) {
    let peers = peers.clone();
    actix::spawn(async move {
        let outcome = read(&peers, staff, page).await;
        to.answer(&peers, staff, outcome);
    });
}

async fn read(peers: &Peers, staff: StaffId, page: Page) -> Answer {
    let sight = sight_of(peers, staff, page.enquiry).await;
    if matches!(sight, Sight::Nothing | Sight::Head) {
        return Err(Code::NotFound.into());
    }
    let seq = peers.ledger.last();
    if peers.archive.wait(peers.id, seq).await.is_err() {
        return Err(Code::Unavailable.into());
    }
    let limit = usize::from(page.limit.entries());
    let cursor = page.before.map_or(Cursor::Latest, Cursor::Before);
    let rows = peers.reader.room(peers.id, page.enquiry, cursor, limit + 1);
    let mut rows = match rows {
        Ok(rows) => rows,
        Err(error) => {
            tracing::error!(%error, "a room could not be read");
            return Err(Code::Unavailable.into());
        }
    };
    let more = rows.len() > limit;
    // Pages are read in stored order and shown newest first.
    rows.reverse();
    rows.truncate(limit);
    rows.retain(|row| {
        sight.shows(match row {
            RoomEntry::Message(row) => row.at,
            RoomEntry::Event(row) => row.at,
        })
    });
    let settings = Arc::clone(&peers.settings);
    let entries: Vec<Entry> =
        rows.into_iter().filter_map(|row| entry(&settings, page.enquiry, row)).collect();
    Ok(json!(History::fitting(entries, more, PAGE_BYTES_MAX)))
}

/// Whether a supervisor is set over what concerns a visitor: one of the latest enquiries.
pub(crate) async fn is_over(peers: &Peers, staff: StaffId, visitor: VisitorId) -> bool {
    let Some(person) = peers.settings.staff.get(&staff) else { return false };
    if person.role == Role::Administrator || person.supervises.is_empty() {
        return true;
    }
    let seq = peers.ledger.last();
    if peers.archive.wait(peers.id, seq).await.is_err() {
        return false;
    }
    let latest = peers.reader.earlier(peers.id, visitor, None, ENQUIRIES_LOOK_MAX);
    for row in latest.unwrap_or_default() {
        if sight_of(peers, staff, row.enquiry).await == Sight::Whole {
            return true;
        }
    }
    false
}

/// Live: the enquiry itself decides. Closed: whoever serves the visitor, its owner, who was in the
/// room, supervisors.
pub(crate) async fn sight_of(peers: &Peers, staff: StaffId, enquiry: EnquiryId) -> Sight {
    let (told, hears) = tokio::sync::oneshot::channel();
    let what = crate::enquiry::Told::MaySee { staff, answer: told };
    peers.router.do_send(Pass { enquiry, what });
    if let Ok(seen) = hears.await {
        return seen;
    }
    let row = peers.reader.enquiry(peers.id, enquiry).ok().flatten();
    let Some((row, person)) = row.zip(peers.settings.staff.get(&staff)) else {
        return Sight::Nothing;
    };
    let serves = Serves { staff, visitor: row.visitor };
    let serving = peers.router.send(serves).await.unwrap_or(false);
    let former = former(peers, enquiry);
    // Of a closed one only the owner's groups are known.
    let groups: Vec<_> = peers
        .settings
        .groups
        .values()
        .filter(|group| row.owner.is_some_and(|owner| group.members.contains(&owner)))
        .map(|group| group.id)
        .collect();
    let viewer = Viewer {
        staff: Some(staff),
        role: person.role,
        supervises: &person.supervises,
        member_of: &[],
        channels: None,
    };
    let facts = RoomFacts {
        channel: row.channel,
        standing: Standing::Closed,
        owner: row.owner,
        joined: &[],
        offered_to: &[],
        offered_before: &[],
        groups: &groups,
        transferred_by: None,
        former: &former,
        serving_visitor: if serving { std::slice::from_ref(&staff) } else { &[] },
    };
    sight(&viewer, &facts)
}

/// Who owned the enquiry before, or has left its room, and until when.
pub(crate) fn former(peers: &Peers, enquiry: EnquiryId) -> Vec<(StaffId, Timestamp)> {
    let members = peers.reader.room_members(peers.id, enquiry).unwrap_or_default();
    let mut former: Vec<_> = members
        .iter()
        .filter(|member| !member.monitor)
        .filter_map(|member| Some((member.staff, member.left_at?)))
        .collect();
    let room = peers.reader.room(peers.id, enquiry, Cursor::Latest, FORMER_LOOK_MAX);
    for entry in room.unwrap_or_default() {
        let RoomEntry::Event(row) = entry else { continue };
        let left = match row.event {
            Recorded::Floor(FloorEvent::PickedUp { from, .. }) => from,
            Recorded::Floor(FloorEvent::TransferOffered { by, blind: true, .. }) => Some(by),
            Recorded::Floor(FloorEvent::OwnerGone { owner, suspended: true, .. }) => Some(owner),
            _ => None,
        };
        former.extend(left.map(|staff| (staff, row.at)));
    }
    former
}

/// How it was last missed, if that is not long ago.
pub(crate) fn last_missed(peers: &Peers, enquiry: EnquiryId) -> Option<FloorEvent> {
    let room = peers.reader.room(peers.id, enquiry, Cursor::Latest, MISSED_LOOK_MAX);
    room.unwrap_or_default().into_iter().rev().find_map(|entry| match entry {
        RoomEntry::Event(row) => match row.event {
            Recorded::Floor(
                missed @ (FloorEvent::Missed { .. } | FloorEvent::WalkEnded { .. }),
            ) => Some(missed),
            _ => None,
        },
        RoomEntry::Message(_) => None,
    })
}

fn entry(settings: &Settings, enquiry: EnquiryId, row: RoomEntry) -> Option<Entry> {
    match row {
        RoomEntry::Message(row) => Some(Entry::Message(Box::new(message(settings, enquiry, *row)))),
        RoomEntry::Event(row) => event(settings, enquiry, *row),
    }
}

fn name_of(settings: &Settings, staff: StaffId) -> String {
    settings.staff.get(&staff).map_or_else(
        || "(deleted)".to_owned(),
        |person| format!("{} {}", person.first_name, person.last_name).trim().to_owned(),
    )
}

/// A message as staff see it in a room.
pub(crate) fn message(settings: &Settings, enquiry: EnquiryId, row: MessageRow) -> Message {
    let writer = match row.author {
        Some(author) => Writer::of(
            author,
            |staff| name_of(settings, staff),
            |bot| settings.bots.get(&bot).map_or_else(String::new, |bot| bot.name.clone()),
        ),
        None => Writer::Visitor,
    };
    let failure = row.code.map(|code| Failure { code, title: row.title.unwrap_or_default() });
    Message {
        id: row.message,
        enquiry,
        order: row.seq,
        direction: match row.direction {
            usher_store::Direction::In => Direction::In,
            usher_store::Direction::Out => Direction::Out,
        },
        writer,
        content: shown(&row.content),
        time: row.at.into(),
        provider_time: row.provider_at.map(Into::into),
        reply_to: None,
        delivery: row.delivery,
        failure,
        key: row.key,
        referral: row.referral.map(Box::new),
        forwarded: row.forwarded,
        changed: match (row.revoked_at, row.edited_at) {
            (Some(_), _) => Some(Changed::Revoked),
            (None, Some(_)) => Some(Changed::Edited),
            (None, None) => None,
        },
        reactions: row
            .reactions
            .iter()
            .map(|reaction| self::reaction(settings, reaction))
            .collect(),
    }
}

fn reaction(settings: &Settings, row: &usher_store::ReactionRow) -> Reaction {
    let writer = match row.who.parse::<StaffId>() {
        Ok(staff) => Writer::Staff { staff: Named::new(staff, name_of(settings, staff)) },
        Err(_) => Writer::Visitor,
    };
    Reaction { writer, emoji: row.emoji.clone() }
}

/// What a room shows besides messages: notes as they are, the rest as a line that says it.
fn event(settings: &Settings, enquiry: EnquiryId, row: EventRow) -> Option<Entry> {
    let EventRow { seq, at, event } = row;
    let named = |staff: StaffId| Named::new(staff, name_of(settings, staff));
    let what = match event {
        Recorded::NoteAdded { note, by, text, .. } => {
            let note = Note { id: note, enquiry, order: seq, by: named(by), text, time: at.into() };
            return Some(Entry::Note(note));
        }
        Recorded::Floor(FloorEvent::Closed { by, silent, reason, .. }) => {
            Telling::Closed { enquiry, closer: by, silent, reason, time: at.into() }
        }
        Recorded::Floor(FloorEvent::PickedUp { by, .. }) => {
            notice(enquiry, format!("{} took it.", named(by).name))
        }
        Recorded::Floor(FloorEvent::Missed { .. }) => {
            notice(enquiry, "Nobody took it: missed.".into())
        }
        Recorded::Floor(FloorEvent::WalkEnded { .. }) => {
            notice(enquiry, "Tried again, and nobody took it.".into())
        }
        Recorded::Floor(FloorEvent::TransferOffered { by, .. }) => {
            notice(enquiry, format!("{} transfers it.", named(by).name))
        }
        Recorded::Floor(FloorEvent::OwnerGone { owner, .. }) => {
            notice(enquiry, format!("{} has gone; somebody else is asked.", named(owner).name))
        }
        Recorded::RoomLeft { staff, .. } => Telling::Left { enquiry, staff: named(staff) },
        Recorded::RoomJoined { staff, .. } => {
            notice(enquiry, format!("{} joined.", named(staff).name))
        }
        Recorded::NotificationUnsent { why, .. } => {
            notice(enquiry, format!("The auto-close notification was not sent: {why}."))
        }
        Recorded::SystemNoticed { text, .. } => notice(enquiry, text),
        Recorded::WindowLapsed { by_provider, .. } => {
            Telling::WindowClosed { enquiry, by_provider }
        }
        _ => return None,
    };
    Some(Entry::Event(Line { order: seq, time: at.into(), what }))
}

fn notice(enquiry: EnquiryId, text: String) -> Telling {
    Telling::Notice { level: Level::Info, text, enquiry: Some(enquiry) }
}
