//! A thousand agents of capacity 1,000 and as many live enquiries as asked: 60 % Handling, 40 %
//! Missed, each visitor known by two ids.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_tungstenite::tungstenite::Message;
use usher_domain::ids::EnquiryId;

use super::aged::Aged;
use crate::drive::{Connections, wire};
use crate::house::{Binary, Channel, Desk, Desks, Group, House, Node, Shop};
use crate::measure::show::progress;

pub(super) const AGENTS: usize = 1_000;
/// To whom what is missed would go; they are not there.
const ABSENT: usize = 20;
/// Channels whose enquiries are handled, each by a group of its own.
const HANDLED: usize = 40;
/// Channels at which nobody is there.
const MISSED: usize = 20;
const SEED_BATCH: usize = 250;
/// Of five visitors three are handled.
const OF: u64 = 5;
const SERVED: u64 = 3;
/// Visitors who come once are numbered from here on.
const PASSING: u64 = 20_000_000;
const CHURN: u64 = 5_000;
const TOLD_WITHIN: Duration = Duration::from_mins(5);

/// What an agent's socket was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// It is now the owner of this visitor's enquiry.
    Owns { visitor: u64, enquiry: EnquiryId },
    /// An enquiry was closed.
    Closed,
    /// A message with this number in its text.
    Message(u64),
}

/// By which agent's socket, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) agent: usize,
    pub(super) at: Instant,
    pub(super) heard: Heard,
}

pub(super) struct Crowd {
    pub(super) house: House,
    pub(super) desks: Desks,
    pub(super) told: Receiver<Told>,
    /// Whose visitor each is.
    pub(super) owners: HashMap<u64, usize>,
    pub(super) live: u64,
    /// What is told again of others.
    pub(super) aged: Option<Aged>,
    teller: Sender<Told>,
    next_id: u64,
    passed: u64,
}

pub(super) fn shop(auto_close: Option<(u32, u32)>) -> Shop {
    let each = AGENTS / HANDLED;
    let working = (0..HANDLED).map(|number| {
        Group::new(format!("g{number}"), number * each..(number + 1) * each).at_once()
    });
    let groups = working.chain([Group::new("absent", AGENTS..AGENTS + ABSENT)]).collect();
    let channels = (0..HANDLED + MISSED).map(|number| {
        let group = if number < HANDLED { format!("g{number}") } else { "absent".to_owned() };
        Channel { auto_close, ..Channel::to(group) }
    });
    Shop { agents: AGENTS + ABSENT, capacity: 1_000, groups, channels: channels.collect() }
}

/// Whether somebody handles this visitor's enquiry.
pub(super) const fn is_handled(visitor: u64) -> bool {
    visitor % OF < SERVED
}

/// Where this visitor writes.
pub(super) fn channel_of(visitor: u64) -> usize {
    let place = usize::try_from(visitor / OF * SERVED + visitor % OF).unwrap_or_default();
    if is_handled(visitor) { place % HANDLED } else { HANDLED + place % MISSED }
}

impl Crowd {
    /// All agents at their desks, and nobody has written yet.
    pub(super) async fn open(binary: &Binary, shop: &Shop, node: Node) -> anyhow::Result<Self> {
        let house = House::open(binary, shop, node).await?;
        let (teller, told) = channel();
        let desks = take_seats(&house, 0..AGENTS, &teller).await?;
        let owners = HashMap::new();
        let (live, aged, next_id, passed) = (0, None, 0, 0);
        Ok(Self { house, desks, told, owners, live, aged, teller, next_id, passed })
    }

    /// Everybody comes back after a restart.
    pub(super) async fn return_to_desks(&mut self) -> anyhow::Result<()> {
        self.desks = take_seats(&self.house, 0..AGENTS, &self.teller).await?;
        Ok(())
    }

    /// Opens enquiries until so many are live, and waits until their owners and the archive know.
    pub(super) async fn open_until(&mut self, live: u64) -> anyhow::Result<()> {
        let mut doors = Connections::open(self.house.port, 4).await?;
        let mut changes = Vec::with_capacity(SEED_BATCH);
        while self.live < live {
            let mut requests = VecDeque::new();
            let until = (self.live + 50_000).min(live);
            for visitor in self.live..until {
                let id = self.id();
                changes.push(wire::text(channel_of(visitor), visitor, id, "Hello, anybody there?"));
                if changes.len() == SEED_BATCH || visitor + 1 == until {
                    requests.push_back(wire::request(0, &changes));
                    changes.clear();
                }
            }
            doors.deliver(requests).await?;
            self.live = until;
            progress(&format!("{until} of {live} enquiries opened"));
        }
        self.until_owned().await?;
        self.house.until_level().await
    }

    async fn until_owned(&mut self) -> anyhow::Result<()> {
        let handled = (0..self.live).filter(|visitor| is_handled(*visitor)).count();
        let began = Instant::now();
        while self.owners.len() < handled {
            for Told { agent, heard, .. } in self.told.try_iter() {
                if let Heard::Owns { visitor, .. } = heard {
                    self.owners.insert(visitor, agent);
                }
            }
            let owned = self.owners.len();
            ensure!(began.elapsed() < TOLD_WITHIN, "{owned} of {handled} enquiries have an owner");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Opens and closes so many enquiries besides those that are live; owners close them.
    pub(super) async fn churn(&mut self, closed: u64) -> anyhow::Result<()> {
        let mut doors = Connections::open(self.house.port, 4).await?;
        let mut done = 0;
        while done < closed {
            let some = CHURN.min(closed - done);
            // Of visitors who never come again; all of them are handled.
            let first = (PASSING + self.passed) / OF * OF;
            self.passed += some * OF;
            let mut changes = Vec::new();
            for number in 0..some {
                let (visitor, id) = (first + number * OF, self.id());
                changes.push(wire::text(channel_of(visitor), visitor, id, "One question only."));
            }
            let requests = changes.chunks(SEED_BATCH).map(|some| wire::request(0, some));
            doors.deliver(requests.collect()).await?;
            self.close_all(some).await?;
            done += some;
            progress(&format!("{done} of {closed} opened and closed"));
        }
        self.house.until_level().await
    }

    /// Every enquiry that somebody gets now is closed at once, until so many are closed.
    async fn close_all(&mut self, count: u64) -> anyhow::Result<()> {
        let (mut closed, began) = (0, Instant::now());
        while closed < count {
            let told: Vec<Told> = self.told.try_iter().collect();
            for Told { agent, heard, .. } in told {
                match heard {
                    Heard::Owns { enquiry, .. } => {
                        let id = self.id();
                        let text = format!(r#"{{"id":{id},"do":"close","enquiry":"{enquiry}"}}"#);
                        self.desks.writers[agent].send(Message::text(text)).await?;
                    }
                    Heard::Closed => closed += 1,
                    Heard::Message(_) => {}
                }
            }
            ensure!(began.elapsed() < TOLD_WITHIN, "{closed} of {count} were closed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Messages of visitors whose enquiry is missed: they move no idle clock.
    pub(super) fn messages_to_missed(&mut self, count: u64) -> VecDeque<Bytes> {
        let messages = (0..count).map(|_| {
            let visitor = rand::random_range(0..self.live) / OF * OF + SERVED;
            let (channel, id) = (channel_of(visitor), self.id());
            wire::request(channel, &[wire::text(channel, visitor, id, "Is anybody there at all?")])
        });
        messages.collect()
    }

    /// Messages of visitors whose enquiry is handled, each with its place in the text; and who
    /// they are from.
    pub(super) fn messages(&mut self, count: u64) -> (VecDeque<Bytes>, Vec<u64>) {
        let mut requests = VecDeque::new();
        let mut from = Vec::new();
        for place in 0..count {
            let visitor = self.somebody_handled();
            let (channel, id) = (channel_of(visitor), self.id());
            let text = format!("#{place}# Where is my parcel, please? It is late.");
            requests.push_back(wire::request(channel, &[wire::text(channel, visitor, id, &text)]));
            from.push(visitor);
        }
        (requests, from)
    }

    /// As [`messages`](Self::messages), every other of somebody whose owner fits.
    pub(super) fn messages_half_to(
        &mut self,
        count: u64,
        fits: impl Fn(usize) -> bool,
    ) -> (VecDeque<Bytes>, Vec<u64>) {
        let (mut requests, mut from) = (VecDeque::new(), Vec::new());
        let theirs: Vec<u64> = self
            .owners
            .iter()
            .filter(|(_, agent)| fits(**agent))
            .map(|(visitor, _)| *visitor)
            .collect();
        for place in 0..count {
            let one = rand::random_range(0..theirs.len().max(1));
            let visitor = match theirs.get(one) {
                Some(visitor) if place % 2 == 0 => *visitor,
                _ => self.somebody_handled(),
            };
            let (channel, id) = (channel_of(visitor), self.id());
            let text = format!("#{place}# Where is my parcel, please? It is late.");
            requests.push_back(wire::request(channel, &[wire::text(channel, visitor, id, &text)]));
            from.push(visitor);
        }
        (requests, from)
    }

    /// Messages of so many characters from visitors whose owners fit, to each owner as many.
    pub(super) fn long_messages_to(
        &mut self,
        count: u64,
        length: usize,
        fits: impl Fn(usize) -> bool,
    ) -> VecDeque<Bytes> {
        let theirs: BTreeMap<usize, u64> =
            self.owners.iter().map(|(visitor, agent)| (*agent, *visitor)).collect();
        let theirs: Vec<u64> =
            theirs.into_iter().filter(|(agent, _)| fits(*agent)).map(|(_, one)| one).collect();
        let text = "Where is my parcel? ".repeat(length.div_ceil(20));
        let messages = theirs.iter().cycle().take(usize::try_from(count).unwrap_or_default());
        messages
            .map(|visitor| {
                let (channel, id) = (channel_of(*visitor), self.next_id + 1);
                self.next_id = id;
                wire::request(channel, &[wire::text(channel, *visitor, id, &text)])
            })
            .collect()
    }

    fn somebody_handled(&self) -> u64 {
        let visitor = rand::random_range(0..self.live);
        visitor / OF * OF + visitor % SERVED
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

async fn take_seats(
    house: &House,
    agents: Range<usize>,
    teller: &Sender<Told>,
) -> anyhow::Result<Desks> {
    let desks = Desk::open_all(house, agents).await?;
    let teller = teller.clone();
    Ok(Desks::hear(desks, move |agent, text| {
        if let Some(heard) = heard(text) {
            // Whoever does not listen any more has all it wanted.
            teller.send(Told { agent, at: Instant::now(), heard }).ok();
        }
    }))
}

/// Looks only where it has to: what is measured is Usher, not the reading of JSON.
pub(super) fn heard(text: &str) -> Option<Heard> {
    if text.contains("\"enquiry.picked_up\"") {
        let phone = text.split("\"phone\":\"+").nth(1)?.split('"').next()?;
        let enquiry = text.split("\"id\":\"enq_").nth(1)?.split('"').next()?;
        let enquiry = format!("enq_{enquiry}").parse().ok()?;
        return wire::visitor_of(phone).map(|visitor| Heard::Owns { visitor, enquiry });
    }
    if text.contains("\"enquiry.closed\"") {
        return Some(Heard::Closed);
    }
    let place = text.contains("\"message.received\"").then(|| text.split('#').nth(1))??;
    place.parse().ok().map(Heard::Message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_of_five_are_handled_and_write_where_somebody_is() {
        let handled = (0..10_000).filter(|visitor| is_handled(*visitor)).count();
        assert_eq!(handled, 6_000);
        for visitor in 0..10_000 {
            assert_eq!(channel_of(visitor) < HANDLED, is_handled(visitor), "{visitor}");
            assert!(channel_of(visitor) < HANDLED + MISSED);
        }
        let used: std::collections::BTreeSet<_> = (0..1_000).map(channel_of).collect();
        assert_eq!(used.len(), HANDLED + MISSED, "every channel is written to");
    }

    #[test]
    fn frames_say_who_owns_and_what_was_written() {
        let picked = r#"{"at":3,"event":"enquiry.picked_up","data":{"enquiry":{"id":"enq_0198f3a27c5e7d10a4b2c6d8e0f1a2b5","visitor":{"id":"vis_1","phone":"+4915100000042"}}}}"#;
        let enquiry = "enq_0198f3a27c5e7d10a4b2c6d8e0f1a2b5".parse().unwrap();
        assert_eq!(heard(picked), Some(Heard::Owns { visitor: 42, enquiry }));
        let written = r##"{"at":4,"event":"message.received","data":{"message":{"content":{"kind":"text","body":"#17# Where"}}}}"##;
        assert_eq!(heard(written), Some(Heard::Message(17)));
        assert_eq!(heard(r#"{"now":{"queue":1}}"#), None);
    }
}
