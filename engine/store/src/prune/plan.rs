//! Which records go, which are said anew, and which stay.

use std::collections::HashSet;

use usher_domain::ids::{EnquiryId, MessageId, ServiceId};
use usher_domain::record::{After, Event, Record};
use usher_domain::time::Timestamp;
use usher_domain::visitor::Visitor;

use crate::archive::forget::Gone;
use crate::archive::read::{ArchiveReader, ClosedEnquiry};
use crate::encoding::{decode, encode};
use crate::error::StoreError;
use crate::journal::{JournalReader, JournalRow, Rewrite};

/// Rows read at once.
const PAGE: usize = 1024;

/// What is done to the journal, and to the archive after it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) rewrite: Rewrite,
    pub(super) gone: Gone,
}

/// What goes, and where in the journal it lies.
struct Doomed<'a> {
    reader: &'a ArchiveReader,
    service: ServiceId,
    before: Timestamp,
    enquiries: HashSet<EnquiryId>,
    messages: HashSet<MessageId>,
    /// Rows of edits, deletions and reactions of those messages.
    about: HashSet<u64>,
    /// Records on which live states stand.
    live: HashSet<u64>,
    /// The service's last record is never removed: the archive's position is that of a record.
    head: u64,
    first_seq: u64,
    last_seq: u64,
    last_id: u64,
}

/// What becomes of one record.
enum Verdict {
    Stays,
    Goes,
    IsSaidAnew(Box<Record>),
}

impl Plan {
    pub(super) fn make(
        reader: &ArchiveReader,
        journal: &JournalReader,
        (service, before): (ServiceId, Timestamp),
        closed: &[ClosedEnquiry],
    ) -> Result<Self, StoreError> {
        let head = journal.last_seq(service)?;
        let doomed = Doomed::find(reader, (service, before, head), closed)?;
        let gone = Gone {
            enquiries: closed.iter().map(|closed| closed.enquiry).collect(),
            ..Gone::default()
        };
        let mut plan = Self { rewrite: Rewrite::default(), gone };
        let mut seq = doomed.first_seq.saturating_sub(1);
        loop {
            let rows = journal.read_after(service, seq, PAGE)?;
            for row in rows.iter().filter(|row| doomed.reaches(row)) {
                plan.judge(&doomed, row)?;
            }
            match rows.last() {
                Some(last) if doomed.reaches(last) => seq = last.seq,
                Some(_) | None => return Ok(plan),
            }
        }
    }

    fn judge(&mut self, doomed: &Doomed<'_>, row: &JournalRow) -> Result<(), StoreError> {
        let (service, seq) = (row.service, row.seq);
        let record =
            decode(&row.body).map_err(|source| StoreError::Record { service, seq, source })?;
        if let (Event::MediaStored { media, sha256, .. }, true) =
            (&record.event, doomed.owns(row.id, &record.event))
        {
            self.gone.media.push((*media, sha256.clone()));
        }
        match doomed.verdict(row, record)? {
            Verdict::Stays => (),
            Verdict::Goes => {
                self.rewrite.removed.push(row.id);
                self.gone.rows.push(row.id);
            }
            Verdict::IsSaidAnew(record) => {
                if matches!(record.event, Event::FloorKept {}) {
                    self.gone.rows.push(row.id);
                }
                self.rewrite.changed.push((row.id, encode(&record)));
            }
        }
        Ok(())
    }
}

impl<'a> Doomed<'a> {
    fn find(
        reader: &'a ArchiveReader,
        (service, before, head): (ServiceId, Timestamp, u64),
        closed: &[ClosedEnquiry],
    ) -> Result<Self, StoreError> {
        let first_seq = closed.iter().map(|closed| closed.opened_seq).min().unwrap_or_default();
        let mut doomed = Self {
            reader,
            service,
            before,
            enquiries: closed.iter().map(|closed| closed.enquiry).collect(),
            messages: HashSet::new(),
            about: HashSet::new(),
            live: reader.live_seqs(service)?,
            head,
            first_seq,
            last_seq: 0,
            last_id: 0,
        };
        for enquiry in doomed.enquiries.clone() {
            doomed.last_seq = doomed.last_seq.max(reader.last_event(service, enquiry)?);
            for kept in reader.messages_in(service, enquiry)? {
                doomed.messages.insert(kept.message);
                // What was said before the opening is in the room as well.
                doomed.first_seq = doomed.first_seq.min(kept.seq);
                doomed.last_id = doomed.last_id.max(kept.touched);
                let Some(provider_id) = kept.provider_id else { continue };
                doomed.about.extend(reader.about(service, &provider_id)?);
            }
        }
        let last_about = doomed.about.iter().copied().max().unwrap_or_default();
        doomed.last_id = doomed.last_id.max(last_about);
        Ok(doomed)
    }

    fn reaches(&self, row: &JournalRow) -> bool {
        row.seq <= self.last_seq || row.id <= self.last_id
    }

    fn verdict(&self, row: &JournalRow, record: Record) -> Result<Verdict, StoreError> {
        let goes = self.owns(row.id, &record.event) || self.is_superseded(row.seq, &record)?;
        let mut after = Vec::new();
        for state in record.after.clone() {
            if self.still_says(row.seq, &state, goes)? {
                after.push(state);
            }
        }
        let states_only = matches!(record.event, Event::FloorKept {}) && !after.is_empty();
        if after.len() == record.after.len() && (!goes || states_only) {
            return Ok(Verdict::Stays);
        }
        if goes && after.is_empty() && row.seq != self.head {
            return Ok(Verdict::Goes);
        }
        let event = if goes { Event::FloorKept {} } else { record.event };
        Ok(Verdict::IsSaidAnew(Record { event, after, ..record }.into()))
    }

    /// Whether the record belongs to what goes. What came in about a message belongs to where
    /// that message is.
    fn owns(&self, row: u64, event: &Event) -> bool {
        match event {
            Event::MessageEdited { .. } | Event::MessageRevoked { .. } | Event::Reacted { .. } => {
                self.about.contains(&row)
            }
            // Said before the enquiry was opened that it came to belong to.
            Event::MessageReceived(received) if received.enquiry.is_none() => {
                self.messages.contains(&received.message)
            }
            Event::MessageQueued(queued) if queued.enquiry.is_none() => {
                self.messages.contains(&queued.message)
            }
            event => match subject(event) {
                Subject::Enquiry(enquiry) => self.enquiries.contains(&enquiry),
                Subject::Message(message) => self.messages.contains(&message),
                Subject::None => false,
            },
        }
    }

    /// An old record that told a state which a later one has told again.
    fn is_superseded(&self, seq: u64, record: &Record) -> Result<bool, StoreError> {
        if record.at >= self.before {
            return Ok(false);
        }
        Ok(match &record.event {
            Event::FloorKept {} | Event::AttendanceKept { .. } => true,
            Event::VisitorChanged { visitor } => {
                let now = self.reader.visitor_as_journaled(self.service, visitor.id)?;
                now.is_some_and(|(last, now)| seq < last && has_same_ids(&now, visitor))
            }
            _ => false,
        })
    }

    /// Whether a state that a record left has to stay in the journal.
    fn still_says(&self, seq: u64, after: &After, goes: bool) -> Result<bool, StoreError> {
        match after {
            After::Place { enquiry, .. }
            | After::Enquiry { enquiry, .. }
            | After::Talk { enquiry, .. } => Ok(!self.enquiries.contains(enquiry)
                && (!goes || self.reader.knows_enquiry(self.service, *enquiry)?)),
            After::Seat { .. } | After::Attendance { .. } | After::Draws { .. } => {
                Ok(!goes || self.live.contains(&seq))
            }
        }
    }
}

/// Taking ids from one visitor to another is what such a record may have done besides.
fn has_same_ids(one: &Visitor, other: &Visitor) -> bool {
    one.identities == other.identities
}

/// To what a record belongs.
enum Subject {
    Enquiry(EnquiryId),
    Message(MessageId),
    None,
}

fn subject(event: &Event) -> Subject {
    let of = |enquiry: Option<EnquiryId>| enquiry.map_or(Subject::None, Subject::Enquiry);
    match event {
        Event::MessageReceived(received) => of(received.enquiry),
        Event::MessageQueued(queued) => of(queued.enquiry),
        Event::Floor(floor) => of(floor.enquiry()),
        Event::MessageEdited { enquiry, .. }
        | Event::MessageRevoked { enquiry, .. }
        | Event::Reacted { enquiry, .. }
        | Event::SystemNoticed { enquiry, .. } => of(*enquiry),
        Event::EnquiryOpened { enquiry, .. }
        | Event::WindowLapsed { enquiry, .. }
        | Event::ClockSet { enquiry }
        | Event::NotificationUnsent { enquiry, .. }
        | Event::NoteAdded { enquiry, .. }
        | Event::Labelled { enquiry, .. }
        | Event::RoomJoined { enquiry, .. }
        | Event::RoomLeft { enquiry, .. } => Subject::Enquiry(*enquiry),
        Event::MessageSending { message, .. }
        | Event::MessagePutBack { message, .. }
        | Event::MessageAccepted { message, .. }
        | Event::MessageFailed { message, .. }
        | Event::MessageUnknown { message }
        | Event::MessageWithdrawn { message }
        | Event::ReceiptTaken { message, .. }
        | Event::MediaUnavailable { message, .. } => Subject::Message(*message),
        Event::MediaStored { message, .. } => message.map_or(Subject::None, Subject::Message),
        Event::SettingsApplied { .. }
        | Event::NumberLearned { .. }
        | Event::VisitorChanged { .. }
        | Event::VisitorsMerged { .. }
        | Event::ReceiptHeld(_)
        | Event::ReceiptUnmatched { .. }
        | Event::FloorKept {}
        | Event::AttendanceKept { .. }
        | Event::TemplatesSynced { .. }
        | Event::SessionOpened { .. }
        | Event::SessionEnded { .. }
        | Event::UnknownNumber { .. }
        | Event::Quarantined { .. }
        | Event::ProviderNoticed { .. } => Subject::None,
    }
}
