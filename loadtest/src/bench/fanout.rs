//! P9: one event to many entitled sockets, beside raw writes of a frame made once.
//!
//! They belong to the people of one room, its owner and who was added, each with as many
//! connections as a person may have: every message of the visitor is theirs to see.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use usher_domain::ids::{EnquiryId, StaffId};
use usher_protocol::command::Command;
use usher_protocol::frame::ClientFrame;

use super::Options;
use super::crowd::{Heard, heard};
use crate::ceiling::{Ceiling, Kind, frame_bytes};
use crate::drive::{Connections, wire};
use crate::house::{Channel, Desk, Desks, Group, House, Node, Shop};
use crate::measure::compare::Turn;
use crate::measure::show::{Goal, Report};
use crate::measure::{Metric, Place, Plan, Slice, alternate};

const SLICE: Duration = Duration::from_millis(200);
/// Messages under way at once.
const AT_ONCE: usize = 16;
/// What may wait has come by then.
const SETTLE: Duration = Duration::from_millis(500);
const EVENTS: &str = "usher_events_total";
const READ_WITHIN: Duration = Duration::from_secs(30);

/// A room holds 15 people, and each may have 16 connections.
const ROOMS: [Room; 2] = [Room { people: 10, each: 10 }, Room { people: 15, each: 16 }];

/// How many sockets are told, and whose.
#[derive(Clone, Copy, Debug)]
struct Room {
    people: usize,
    each: usize,
}

impl Room {
    const fn sockets(self) -> usize {
        self.people * self.each
    }
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P9 Fan-out", &options.command("fanout"));
    for room in options.either(&ROOMS[..1], &ROOMS[..]) {
        let sockets = room.sockets();
        let mut ours = Ours::open(options, *room).await?;
        let (mut raw, mut twin) = (Raw::open(sockets).await?, Raw::open(sockets).await?);
        let blocks = options.either(10, 40);
        let plan = Plan { place: Place::OverSockets, blocks, slice: SLICE };
        let told = alternate(plan, async |turn, span| match turn {
            Turn::Ours => ours.turn(span).await,
            Turn::Ceiling => raw.turn(span).await,
            Turn::Twin => twin.turn(span).await,
        });
        let told = told.await?;
        let each = ours.frames_per_event().await?;
        let what = |text: &str| format!("{sockets} sockets of {} people: {text}", room.people);
        report.sides(&what("server CPU per frame"), &told, Metric::Cpu);
        // 0.6 of raw writes.
        let goal = Some(Goal::AtMost(1.0 / 0.6));
        report.ratio(&what("server CPU, ours / raw writes"), &told, Metric::Cpu, goal);
        report.sides(&what("frames"), &told, Metric::Rate);
        let goal = Some(Goal::AtLeast(0.6));
        report.ratio(&what("frames/s, ours / raw writes"), &told, Metric::Rate, goal);
        let goal = Some(Goal::AtLeast(sockets as f64));
        report.figure(&what("frames read for each event written"), each, "", goal);
    }
    report.end();
    Ok(())
}

struct Ours {
    house: House,
    doors: Connections,
    _desks: Desks,
    read: Arc<AtomicU64>,
    /// Events of any kind that were read.
    frames: Arc<AtomicU64>,
    /// Read and written before the first turn.
    before: (u64, f64),
    sockets: u64,
    next_id: u64,
}

impl Ours {
    async fn open(options: &Options, room: Room) -> anyhow::Result<Self> {
        // Only the first is in the group, and so has what is opened.
        let groups = vec![Group::new("g", 0..1).at_once()];
        let channels = vec![Channel::to("g")];
        let shop = Shop { agents: room.people, capacity: 1_000, groups, channels };
        let set = vec![("limits.connections_per_staff", room.each.to_string())];
        let house = House::open(&options.binary, &shop, Node { set, ..Node::default() }).await?;
        let mut owner = Desk::open(&house, 0).await?;
        let mut doors = Connections::open(house.port, AT_ONCE).await?;
        doors.deliver([message(1)].into()).await?;
        let enquiry = owned(&mut owner).await?;
        let mut desks = vec![owner];
        for person in 0..room.people {
            let token = house.sign_in(&Shop::email(person)).await?;
            // The owner has one already.
            for _ in usize::from(person == 0)..room.each {
                desks.push(Desk::with_token(house.port, person, &token).await?);
            }
        }
        let colleagues: BTreeSet<StaffId> =
            desks.iter().filter(|desk| desk.agent > 0).filter_map(|desk| desk.staff).collect();
        let read = Arc::new(AtomicU64::new(0));
        let frames = Arc::new(AtomicU64::new(0));
        let (count, all) = (Arc::clone(&read), Arc::clone(&frames));
        let mut desks = Desks::hear(desks, move |_, text| {
            let is_one = text.contains("\"message.received\"");
            count.fetch_add(u64::from(is_one), Ordering::Relaxed);
            all.fetch_add(u64::from(text.starts_with("{\"at\":")), Ordering::Relaxed);
        });
        for (staff, id) in colleagues.into_iter().zip(1..) {
            let command = Command::AddStaff { enquiry, staff };
            let frame = ClientFrame::Command { id, command }.encode();
            desks.writers[0].send(Message::text(frame)).await?;
        }
        let sockets = room.sockets() as u64;
        let (before, next_id) = ((0, 0.0), 1);
        let mut ours = Self { house, doors, _desks: desks, read, frames, before, sockets, next_id };
        ours.all_hear().await?;
        ours.before = ours.settled().await?;
        Ok(ours)
    }

    /// Events that were read and that were written, once nothing is on its way.
    async fn settled(&self) -> anyhow::Result<(u64, f64)> {
        let began = Instant::now();
        loop {
            let read = self.frames.load(Ordering::Relaxed);
            let written = self.house.metric(EVENTS).await?;
            tokio::time::sleep(SETTLE).await;
            if read == self.frames.load(Ordering::Relaxed) {
                return Ok((read, written));
            }
            ensure!(began.elapsed() < READ_WITHIN, "events do not end");
        }
    }

    /// Over all turns: as many as there are sockets where each event is written once.
    async fn frames_per_event(&self) -> anyhow::Result<f64> {
        let ((read, written), (first_read, first_written)) = (self.settled().await?, self.before);
        Ok((read - first_read) as f64 / (written - first_written).max(1.0))
    }

    /// Until a message is read by everybody: all have been added.
    async fn all_hear(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let first = self.read.load(Ordering::Relaxed);
            self.next_id += 1;
            self.doors.deliver([message(self.next_id)].into()).await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
            let heard = self.read.load(Ordering::Relaxed) - first;
            if heard == self.sockets {
                return Ok(());
            }
            let sockets = self.sockets;
            ensure!(began.elapsed() < READ_WITHIN, "{heard} of {sockets} sockets are told");
        }
    }

    /// So many, each read by everybody.
    async fn messages(&mut self, count: u64) -> anyhow::Result<()> {
        let first = self.next_id + 1;
        self.next_id += count;
        let requests = (first..=self.next_id).map(message).collect();
        let wanted = self.read.load(Ordering::Relaxed) + count * self.sockets;
        self.doors.deliver(requests).await?;
        let began = Instant::now();
        while self.read.load(Ordering::Relaxed) < wanted {
            ensure!(began.elapsed() < READ_WITHIN, "not every frame was read");
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn turn(&mut self, span: Duration) -> anyhow::Result<Slice> {
        let process = self.house.process();
        let (began, before) = (Instant::now(), process.cpu()?);
        let first = self.read.load(Ordering::Relaxed);
        while began.elapsed() < span {
            self.messages(AT_ONCE as u64).await?;
        }
        let wall = began.elapsed();
        let operations = self.read.load(Ordering::Relaxed) - first;
        Ok(Slice { operations, wall, cpu: process.cpu()?.saturating_sub(before) })
    }
}

/// From the one visitor there is.
fn message(id: u64) -> Bytes {
    wire::request(0, &[wire::text(0, 1, id, "Where is my parcel, please? It is late.")])
}

/// Until an enquiry is this desk's.
async fn owned(desk: &mut Desk) -> anyhow::Result<EnquiryId> {
    loop {
        let frame = timeout(READ_WITHIN, desk.socket.next()).await.context("nothing opened")?;
        let Message::Text(text) = frame.context("the socket ended")?? else { continue };
        if let Some(Heard::Owns { enquiry, .. }) = heard(&text) {
            return Ok(enquiry);
        }
    }
}

struct Raw {
    ceiling: Ceiling,
    control: TcpStream,
    read: Arc<AtomicU64>,
    readers: Vec<JoinHandle<()>>,
    frame: u64,
}

impl Raw {
    async fn open(sockets: usize) -> anyhow::Result<Self> {
        let ceiling = Ceiling::start(Kind::Raw)?;
        let mut control = TcpStream::connect(("127.0.0.1", ceiling.port)).await?;
        control.set_nodelay(true)?;
        let read = Arc::new(AtomicU64::new(0));
        let mut readers = Vec::with_capacity(sockets);
        for _ in 0..sockets {
            control.write_all(b"+").await?;
            let stream = TcpStream::connect(("127.0.0.1", ceiling.port)).await?;
            control.read_u8().await?;
            readers.push(tokio::spawn(read_all(stream, Arc::clone(&read))));
        }
        let frame = u64::try_from(frame_bytes()?).context("a frame")?;
        Ok(Self { ceiling, control, read, readers, frame })
    }

    async fn turn(&mut self, span: Duration) -> anyhow::Result<Slice> {
        let process = self.ceiling.process();
        let (began, before) = (Instant::now(), process.cpu()?);
        let first = self.read.load(Ordering::Relaxed);
        let mut rounds = 0;
        while began.elapsed() < span {
            self.control.write_all(&[b'.'; AT_ONCE]).await?;
            self.control.read_exact(&mut [0; AT_ONCE]).await?;
            rounds += AT_ONCE as u64;
            let wanted = first + rounds * self.readers.len() as u64 * self.frame;
            while self.read.load(Ordering::Relaxed) < wanted {
                ensure!(began.elapsed() < READ_WITHIN, "not every frame was read");
                tokio::task::yield_now().await;
            }
        }
        let wall = began.elapsed();
        let operations = rounds * self.readers.len() as u64;
        Ok(Slice { operations, wall, cpu: process.cpu()?.saturating_sub(before) })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        for reader in &self.readers {
            reader.abort();
        }
    }
}

async fn read_all(mut stream: TcpStream, read: Arc<AtomicU64>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        read.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
