//! Erasure: what a person said and is called leaves every record; that something was said stays.
//!
//! Bodies are rewritten in place, so sequences, instants, counts and decisions remain what they
//! were. The provider's ids of messages hold the number written to or from: they become digests of
//! themselves, the same everywhere, so that replies and reactions still find what they are about.

mod archive;
mod record;

use std::collections::HashSet;

use usher_domain::ids::{EnquiryId, MediaId, MessageId, ServiceId, VisitorId};
use usher_domain::record::Record;
use usher_domain::visitor::Visitor;

use crate::archive::read::ArchiveReader;
use crate::encoding::{decode, encode};
use crate::error::StoreError;
use crate::journal::{JournalRow, Rewrite};
use crate::store::Store;
use archive::Changed;

/// Rows read at once.
const PAGE: usize = 1024;

/// What was erased.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Erased {
    pub records: usize,
    pub files: usize,
}

/// Whose records they are.
#[derive(Debug, Default)]
struct Person {
    visitors: HashSet<VisitorId>,
    enquiries: HashSet<EnquiryId>,
    messages: HashSet<MessageId>,
    /// Numbers and user ids; grows with the records that tell earlier ones.
    known_as: HashSet<String>,
}

impl Store {
    /// Erases what a visitor said and is known as, together with everybody merged with them.
    ///
    /// Reads the service's whole journal; blocks, and commits wait for the transaction that
    /// rewrites it. Refused while an enquiry of theirs is live: its actors would say it all again.
    /// Somebody unknown is no error.
    pub fn erase(&self, service: ServiceId, visitor: VisitorId) -> Result<Erased, StoreError> {
        let reader = self.archive().reader()?;
        let mut person = Person::find(&reader, service, visitor)?;
        let Plan { rewrite, changed, media } = self.read_through(service, &mut person)?;
        if rewrite.is_empty() {
            return Ok(Erased::default());
        }
        let records = rewrite.changed.len();
        self.journal().rewrite(service, rewrite)?;
        let unused = self.archive().change(service, |tx| {
            archive::apply(tx, service, &person.visitors, (&changed, &media))
        })?;
        for sha256 in &unused {
            self.media().remove(sha256)?;
        }
        Ok(Erased { records, files: unused.len() })
    }

    /// What is to be said anew, and the files that go.
    fn read_through(&self, service: ServiceId, person: &mut Person) -> Result<Plan, StoreError> {
        let journal = self.journal().reader()?;
        let (mut plan, mut seq) = (Plan::default(), 0);
        loop {
            let rows = journal.read_after(service, seq, PAGE)?;
            let Some(last) = rows.last() else { return Ok(plan) };
            seq = last.seq;
            for row in &rows {
                plan.judge(person, row)?;
            }
        }
    }
}

/// What is done to the journal, and to the archive after it.
#[derive(Debug, Default)]
struct Plan {
    rewrite: Rewrite,
    changed: Vec<Changed>,
    media: Vec<(MediaId, String)>,
}

impl Plan {
    fn judge(&mut self, person: &mut Person, row: &JournalRow) -> Result<(), StoreError> {
        let (service, seq) = (row.service, row.seq);
        let record =
            decode(&row.body).map_err(|source| StoreError::Record { service, seq, source })?;
        let Some(event) = person.erased(&record.event, &mut self.media) else { return Ok(()) };
        let now = Record { event, ..record.clone() };
        // Of the same length it takes the old body's very place in the file.
        let mut body = encode(&now);
        let shorter = row.body.len().saturating_sub(body.len());
        body.extend(std::iter::repeat_n(' ', shorter));
        self.rewrite.changed.push((row.id, body));
        self.changed.push(Changed { id: row.id, seq, before: record.event, now: now.event });
        Ok(())
    }
}

impl Person {
    fn find(
        reader: &ArchiveReader,
        service: ServiceId,
        visitor: VisitorId,
    ) -> Result<Self, StoreError> {
        let mut person = Self::default();
        for visitor in reader.same_person(service, visitor)? {
            let (enquiries, live) = reader.enquiries_of(service, visitor)?;
            if live {
                return Err(StoreError::Live { visitor });
            }
            person.visitors.insert(visitor);
            person.enquiries.extend(enquiries);
            person.messages.extend(reader.messages_of(service, visitor)?);
            if let Some((_, known)) = reader.visitor_as_journaled(service, visitor)? {
                person.learn(&known);
            }
        }
        Ok(person)
    }

    fn learn(&mut self, visitor: &Visitor) {
        let ids = [&visitor.identities.wa_id, &visitor.identities.user_id];
        self.known_as.extend(ids.into_iter().flatten().map(ToString::to_string));
    }
}
