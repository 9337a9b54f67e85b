//! A prior life: the journal and the archive of a service that has worked for long, made in the
//! time it takes to write them.
//!
//! A real Usher serves a few enquiries first. What it wrote of them is told again of as many others
//! as are wanted, through the store's own journal, and projected by its own projector: a start
//! finds what it would find after years.

mod pattern;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context as _, bail, ensure};
use usher_domain::floor::event::FloorEvent;
use usher_domain::ids::{EnquiryId, ServiceId, VisitorId};
use usher_domain::record::Event;
use usher_store::{
    ArchiveOptions, Commit, CommitFailed, Entry, JournalOptions, JournalReader, Store,
    StoreOptions, decode,
};

use crate::drive::wire;
use crate::measure::show::progress;
use pattern::{Cast, Pattern, Real};

/// Records read, and written, at once.
const BATCH: usize = 8_192;
/// Commits handed over before the first is waited for.
const UNDER_WAY: usize = 4;
/// Ids are counted in these bits, below those that say when.
const COUNTED_BITS: u32 = 60;
const SAID_EVERY: u64 = 100_000;

/// What a service has written of a few, to be told of many.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// By the real visitor each was learned of.
    live: BTreeMap<u64, Pattern>,
    closed: Vec<Pattern>,
    first_id: u128,
    told: u64,
}

/// Somebody whose enquiry is as that of a real visitor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Like {
    pub(crate) visitor: u64,
    pub(crate) real: u64,
}

/// A journal while it is written.
struct Pen {
    store: Store,
    service: ServiceId,
    seq: u64,
    waiting: Vec<Entry>,
    told: Sender<Result<(), CommitFailed>>,
    outcomes: Receiver<Result<(), CommitFailed>>,
    under_way: usize,
}

impl Past {
    /// From the data of a program that has ended.
    pub(crate) fn learn(data: &Path) -> anyhow::Result<Self> {
        let store = Store::open(data, StoreOptions::default())?;
        let mut found = Found::default();
        found.read(&store.journal().reader()?)?;
        found.patterns()
    }

    /// Adds live enquiries, each like that of a real visitor.
    pub(crate) fn live(
        &mut self,
        data: &Path,
        all: impl Iterator<Item = Like>,
    ) -> anyhow::Result<()> {
        let mut pen = Pen::take(data)?;
        for (Like { visitor, real }, count) in all.zip(1_u64..) {
            let pattern = self.live.get(&real).context("nobody like that was there")?;
            pen.write(pattern.tell(cast(&mut self.told, self.first_id, visitor)))?;
            if count.is_multiple_of(SAID_EVERY) {
                progress(&format!("{count} live enquiries written"));
            }
        }
        pen.put_down()
    }

    /// Adds enquiries that were closed, each of a visitor of its own.
    pub(crate) fn closed(
        &mut self,
        data: &Path,
        visitors: impl Iterator<Item = u64>,
    ) -> anyhow::Result<()> {
        ensure!(!self.closed.is_empty(), "nothing was closed that could be told again");
        let mut pen = Pen::take(data)?;
        let patterns = self.closed.iter().cycle();
        for ((visitor, pattern), count) in visitors.zip(patterns).zip(1_u64..) {
            pen.write(pattern.tell(cast(&mut self.told, self.first_id, visitor)))?;
            if count.is_multiple_of(SAID_EVERY) {
                progress(&format!("{count} closed enquiries written"));
            }
        }
        pen.put_down()
    }

    /// Whether somebody can be like this visitor.
    pub(crate) fn knows(&self, visitor: u64) -> bool {
        self.live.contains_key(&visitor)
    }

    /// Records of a live enquiry and of a closed one, about.
    pub(crate) fn records(&self) -> (u64, u64) {
        let live = self.live.values().map(Pattern::len).max();
        (live.unwrap_or_default(), self.closed.first().map_or(0, Pattern::len))
    }
}

fn cast(told: &mut u64, first_id: u128, visitor: u64) -> Cast {
    *told += 1;
    Cast { visitor, number: *told, first_id }
}

/// What stands in the journal.
#[derive(Default)]
struct Found {
    known: BTreeMap<VisitorId, Story>,
    /// Whose each enquiry is.
    whose: BTreeMap<EnquiryId, VisitorId>,
    latest_id: u128,
}

#[derive(Default)]
struct Story {
    real: Option<Real>,
    visitor: Option<u64>,
    /// More than one enquiry: nothing to be told again.
    came_back: bool,
    closed: bool,
    bodies: Vec<String>,
}

impl Found {
    fn read(&mut self, journal: &JournalReader) -> anyhow::Result<()> {
        let (service, _) = journal.services()?.pop().context("no service wrote")?;
        let mut after = 0;
        loop {
            let rows = journal.read_after(service, after, BATCH)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.seq;
            for row in rows {
                self.note(row.body)?;
            }
        }
    }

    fn note(&mut self, body: String) -> anyhow::Result<()> {
        match decode(&body)?.event {
            Event::VisitorChanged { visitor } => {
                let story = self.known.entry(visitor.id).or_default();
                let wa_id = visitor.identities.wa_id.as_deref();
                story.visitor = wa_id.and_then(wire::visitor_of).or(story.visitor);
            }
            Event::EnquiryOpened { enquiry, visitor, .. } => {
                self.latest_id = self.latest_id.max(enquiry.uuid().as_u128());
                self.whose.insert(enquiry, visitor);
                let story = self.known.entry(visitor).or_default();
                story.came_back |= story.real.is_some();
                story.real = story.visitor.map(|number| Real {
                    enquiry,
                    visitor_id: visitor,
                    visitor: number,
                });
            }
            Event::Floor(FloorEvent::Closed { enquiry, .. }) => {
                let visitor = self.whose.get(&enquiry);
                if let Some(story) = visitor.and_then(|visitor| self.known.get_mut(visitor)) {
                    story.closed = true;
                }
            }
            _ => {}
        }
        // Who a record is about stands in it by name; one of several is told of nobody.
        let mut about: BTreeSet<VisitorId> =
            named(&body, "vis_").filter_map(|id| id.parse().ok()).collect();
        let enquiries = named(&body, "enq_").filter_map(|id| id.parse::<EnquiryId>().ok());
        about.extend(enquiries.filter_map(|enquiry| self.whose.get(&enquiry).copied()));
        if let (Some(one), 1) = (about.first(), about.len())
            && let Some(story) = self.known.get_mut(one)
        {
            story.bodies.push(body);
        }
        Ok(())
    }

    fn patterns(self) -> anyhow::Result<Past> {
        let mut past = Past::default();
        for story in self.known.into_values().filter(|story| !story.came_back) {
            let Some(real) = story.real else { continue };
            let pattern = Pattern::learn(real, story.bodies.iter().map(String::as_str));
            if story.closed {
                past.closed.push(pattern);
            } else {
                past.live.insert(real.visitor, pattern);
            }
        }
        if past.live.is_empty() {
            bail!("nobody opened an enquiry that could be told again");
        }
        past.first_id = ((self.latest_id >> COUNTED_BITS) + 1) << COUNTED_BITS;
        Ok(past)
    }
}

/// Every id of a kind in a body.
fn named<'a>(body: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    body.match_indices(prefix).filter_map(|(at, _)| body.get(at..)?.split('"').next())
}

impl Pen {
    fn take(data: &Path) -> anyhow::Result<Self> {
        let journal = JournalOptions { batch_max: BATCH, ..JournalOptions::default() };
        let archive = ArchiveOptions { batch_max: BATCH, ..ArchiveOptions::default() };
        let store =
            Store::open(data, StoreOptions { journal, archive, ..StoreOptions::default() })?;
        let (service, seq) =
            store.journal().reader()?.services()?.pop().context("no service wrote")?;
        let (told, outcomes) = channel();
        Ok(Self { store, service, seq, waiting: Vec::new(), told, outcomes, under_way: 0 })
    }

    fn write(&mut self, bodies: impl Iterator<Item = String>) -> anyhow::Result<()> {
        for body in bodies {
            self.seq += 1;
            self.waiting.push(Entry { seq: self.seq, body });
        }
        if self.waiting.len() >= BATCH { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        let told = self.told.clone();
        let done = Box::new(move |outcome| {
            // Whoever writes waits for it.
            told.send(outcome).ok();
        });
        let records = std::mem::take(&mut self.waiting);
        let commit = Commit { service: self.service, records, done };
        ensure!(self.store.journal().submit(commit).is_ok(), "the journal takes no more");
        self.under_way += 1;
        while self.under_way >= UNDER_WAY {
            self.outcomes.recv()??;
            self.under_way -= 1;
        }
        Ok(())
    }

    /// Returns once all is durable and the archive shows it.
    fn put_down(mut self) -> anyhow::Result<()> {
        if !self.waiting.is_empty() {
            self.commit()?;
        }
        for _ in 0..self.under_way {
            self.outcomes.recv()??;
        }
        self.store.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
