//! Builds a service's actors from what is durable; closed history is never looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use actix::prelude::*;
use usher_domain::attendance::{Attendance, AttendanceKept, Reachability, Times};
use usher_domain::bot::TalkKept;
use usher_domain::enquiry::EnquiryKept;
use usher_domain::floor::Floor;
use usher_domain::floor::place::{PlaceThen, SeatKept};
use usher_domain::ids::{ChannelId, EnquiryId, RuleId, ServiceId, StaffId};
use usher_domain::outbox::Priority;
use usher_domain::record::{After, Event, MessageQueued, Record};
use usher_domain::rule::Draws;
use usher_domain::settings::Settings;
use usher_domain::time::Timestamp;
use usher_domain::visitor::Visitor;
use usher_protocol::event::preview;
use usher_store::{ArchiveReader, HeldReceipt, LiveMembers, LiveRoom, SeenIds, StoreError, Unsent};

use crate::channel::{Channel, Live as LiveEnquiry, Restored, ToSend};
use crate::clock::{Clock, Wall};
use crate::directory::Directory;
use crate::enquiry::{Enquiry, Kept, Opened, Told, outgoing};
use crate::ledger::Ledger;
use crate::peers::{InHand, InTime, Known, Peers};
use crate::router::{Board, Present, Router};
use crate::service::{Service, Start, StartError};
use crate::staff::Staff;
use crate::timer::{Deadlines, Timer};

/// The newest states of everything live.
#[derive(Debug, Default)]
struct Live {
    /// In one piece, which is given back whole: nodes of a tree would lie between what stays.
    kept: HashMap<EnquiryId, EnquiryKept>,
    places: Vec<(EnquiryId, PlaceThen)>,
    attendance: BTreeMap<StaffId, AttendanceKept>,
    talks: BTreeMap<EnquiryId, Box<TalkKept>>,
    seats: Vec<(StaffId, SeatKept)>,
    draws: Vec<(ChannelId, RuleId, u16, Draws)>,
}

/// What a service goes on from, all of it read at once.
struct Found {
    live: Live,
    rooms: Rooms,
    seen: SeenIds,
}

/// The contexts come first, so that everybody has everybody's address.
struct Contexts {
    directory: Context<Directory>,
    router: Context<Router>,
    timer: Context<Timer>,
    channels: BTreeMap<ChannelId, Context<Channel>>,
    staff: BTreeMap<StaffId, Context<Staff>>,
}

impl Contexts {
    fn new(start: &Start) -> Self {
        Self {
            directory: Context::new(),
            router: Context::new(),
            timer: Context::new(),
            channels: start.settings.channels.keys().map(|id| (*id, Context::new())).collect(),
            staff: start.settings.staff.keys().map(|id| (*id, Context::new())).collect(),
        }
    }
}

pub(crate) fn build(
    start: &Start,
    (clock, wall, build, in_hand): (Clock, Wall, u64, InHand),
    service: &Addr<Service>,
) -> Result<Peers, StartError> {
    let reader = Rc::new(start.archive.reader()?);
    let id = start.settings.service;
    let last = reader.position(id)?.seq;
    let found = read(start, &reader, clock.now())?;
    let contexts = Contexts::new(start);
    let addresses = contexts.staff.iter().map(|(id, context)| (*id, context.address())).collect();
    let ledger =
        Ledger::new((id, build), &wall, (start.journal.clone(), start.provider.clone()), last);
    let peers = Peers::new(Known {
        id,
        build,
        clock,
        wall: wall.clone(),
        settings: Arc::clone(&start.settings),
        messages_per_second: start.messages_per_second,
        sends_at_once: start.sends_at_once,
        credits: Arc::clone(&start.credits),
        ledger,
        archive: start.archive.clone(),
        reader,
        service: service.clone(),
        directory: contexts.directory.address(),
        router: contexts.router.address(),
        timer: contexts.timer.address(),
        deadlines: Deadlines::of(id),
        channels: Rc::new(
            contexts.channels.iter().map(|(id, context)| (*id, context.address())).collect(),
        ),
        staff: Rc::new(addresses),
        staffed: Rc::default(),
        in_time: Rc::new(InTime::of(id)),
        starting: Rc::default(),
        connected: Rc::default(),
        closing: Rc::default(),
        in_hand,
        joined: Rc::default(),
        board: Board::default(),
    });
    peers.ledger.wire(Rc::clone(&peers.staff));
    // A record that panics in replay stops this service, and no other.
    let started = catch_unwind(AssertUnwindSafe(|| {
        note_settings(&peers)?;
        run(&peers, contexts, found)
    }));
    match started {
        Ok(Ok(())) => Ok(peers),
        Ok(Err(error)) => {
            peers.end();
            Err(error.into())
        }
        Err(_) => {
            peers.end();
            Err(StartError::Panicked)
        }
    }
}

/// States and rooms are read beside each other: most of it is making sense of what is written there.
fn read(start: &Start, reader: &ArchiveReader, now: Timestamp) -> Result<Found, StartError> {
    let (archive, id) = (&start.archive, start.settings.service);
    thread::scope(|threads| {
        let live = threads.spawn(|| Live::read(&archive.reader()?, id));
        let rooms = threads.spawn(|| Rooms::read(&archive.reader()?, id));
        let seen = SeenIds::load(start.dir.as_ref(), id, now, reader)?;
        let live = live.join().map_err(|_| StartError::Panicked)??;
        let rooms = rooms.join().map_err(|_| StartError::Panicked)??;
        Ok(Found { live, rooms, seen })
    })
}

impl Live {
    fn read(reader: &ArchiveReader, service: ServiceId) -> Result<Self, StoreError> {
        let mut live = Self::default();
        reader.live(service, |found| live.take(found.state))?;
        Ok(live)
    }

    fn take(&mut self, state: After) {
        match state {
            After::Place { enquiry, place: Some(place) } => self.places.push((enquiry, place)),
            After::Enquiry { enquiry, kept: Some(kept) } => {
                self.kept.insert(enquiry, *kept);
            }
            After::Seat { staff, seat } => self.seats.push((staff, seat)),
            After::Attendance { staff, kept } => {
                self.attendance.insert(staff, kept);
            }
            After::Draws { channel, rule, node, draws } => {
                self.draws.push((channel, rule, node, *draws));
            }
            After::Talk { enquiry, talk: Some(talk) } => {
                self.talks.insert(enquiry, talk);
            }
            After::Place { place: None, .. }
            | After::Enquiry { kept: None, .. }
            | After::Talk { talk: None, .. } => {}
        }
    }

    /// The floor as it stood.
    fn floor(&mut self, settings: &Arc<Settings>) -> Floor {
        let mut floor = Floor::new(Arc::clone(settings));
        for (staff, seat) in std::mem::take(&mut self.seats) {
            floor.restore_seat(staff, seat);
        }
        for (channel, rule, node, draws) in std::mem::take(&mut self.draws) {
            floor.restore_draws(channel, rule, node, draws);
        }
        for (enquiry, mut place) in std::mem::take(&mut self.places) {
            // The floor writes a place down only when it changes; the window is the enquiry's.
            if let Some(kept) = self.kept.get(&enquiry) {
                place.window_until = place.window_until.max(kept.window_until);
            }
            floor.restore_place(enquiry, place);
        }
        floor
    }
}

/// The journal says which settings were in force, and since when.
fn note_settings(peers: &Peers) -> Result<(), StoreError> {
    let settings = serde_json::to_string(&*peers.settings).unwrap_or_default();
    let known = peers.reader.settings(peers.id)?;
    if known.is_none_or(|known| known.settings != settings) {
        let event = Event::SettingsApplied { service: peers.id, settings };
        peers.ledger.append(vec![Record::new(peers.now(), event)], Vec::new());
    }
    Ok(())
}

fn run(peers: &Peers, contexts: Contexts, found: Found) -> Result<(), StoreError> {
    let Found { mut live, mut rooms, seen } = found;
    let floor = live.floor(&peers.settings);
    let mut restored: BTreeMap<ChannelId, Vec<Restored>> = BTreeMap::new();
    let mut pinned: Vec<Arc<Visitor>> = Vec::new();
    for room in std::mem::take(&mut rooms.all) {
        let Some(clock) = live.kept.remove(&room.enquiry) else { continue };
        let enquiry = room.enquiry;
        let place = floor.place_now(enquiry);
        let channel = place.as_ref().map_or(room.channel, |place| place.channel);
        let (opened_at, unrouted) = (clock.opened_at, place.is_none());
        let kept = Kept {
            place,
            clock,
            talk: live.talks.remove(&enquiry),
            first_message: room.first_message.as_ref().and_then(preview),
            members: rooms.members.remove(&enquiry).unwrap_or_default(),
            labels: rooms.labels.remove(&enquiry).unwrap_or_default(),
        };
        let visitor = room.visitor.id;
        let person = Arc::new(room.visitor);
        pinned.push(Arc::clone(&person));
        let opened = Opened { enquiry, channel, visitor: person };
        let mut opened = Enquiry::restore(peers.clone(), opened, kept);
        opened.recover();
        // The floor's word came after the enquiry's last one, or its word never reached the floor.
        let told = match room.closed {
            Some(event) => Some(Told::Floor { events: vec![event], place: None }),
            None if unrouted => {
                let provider_at = room.first_at.unwrap_or(opened_at);
                Some(Told::Route { provider_at, waited: room.adopted })
            }
            None => None,
        };
        let live = LiveEnquiry::restored(opened, told);
        restored.entry(channel).or_default().push(Restored { enquiry, visitor, live });
    }
    contexts.timer.run(Timer::new(peers.clone()));
    contexts.directory.run(Directory::new(peers.clone(), seen, pinned));
    let mut held: BTreeMap<ChannelId, Vec<HeldReceipt>> = BTreeMap::new();
    for receipt in peers.reader.held_receipts(peers.id)? {
        held.entry(receipt.2.channel).or_default().push(receipt);
    }
    for (id, context) in contexts.channels {
        let own = (restored.remove(&id).unwrap_or_default(), held.remove(&id).unwrap_or_default());
        context.run(Channel::new(peers.clone(), id, own));
    }
    let present = staff(peers, contexts.staff, live.attendance);
    contexts.router.run(Router::new(peers.clone(), floor, present));
    resend(peers)
}

/// Starts everybody with what is kept of their attendance; how present they are.
fn staff(
    peers: &Peers,
    contexts: BTreeMap<StaffId, Context<Staff>>,
    mut kept: BTreeMap<StaffId, AttendanceKept>,
) -> Vec<Present> {
    let times =
        Times { idle_after: peers.settings.idle_after, grace: peers.settings.presence_grace };
    let mut present = Vec::new();
    for (id, context) in contexts {
        let attendance = match kept.remove(&id) {
            Some(kept) => Attendance::restore(peers.now(), times, kept),
            None => Attendance::new(times),
        };
        present.push(Present {
            staff: id,
            presence: attendance.presence(),
            reloading: matches!(attendance.reachability(), Reachability::Reloading { .. }),
        });
        // Wall time at the build, in milliseconds: never the same twice for one person.
        let epoch = peers.now().millis();
        context.run(Staff::new(peers.clone(), id, attendance, epoch));
    }
    present
}

/// What live enquiries go on with besides their states, read in a few sweeps for all of them.
struct Rooms {
    all: Vec<LiveRoom>,
    members: LiveMembers,
    labels: BTreeMap<EnquiryId, BTreeSet<String>>,
}

impl Rooms {
    fn read(reader: &ArchiveReader, service: ServiceId) -> Result<Self, StoreError> {
        let mut all = Vec::new();
        reader.live_rooms(service, |room| all.push(room))?;
        let mut labels: BTreeMap<EnquiryId, BTreeSet<String>> = BTreeMap::new();
        for (enquiry, label) in reader.live_labels(service)? {
            labels.entry(enquiry).or_default().insert(label);
        }
        let members = reader.live_members(service)?;
        Ok(Self { all, members, labels })
    }
}

/// What was in the outbox goes back into it; what was under way is in doubt.
fn resend(peers: &Peers) -> Result<(), StoreError> {
    let mut unsent: Vec<Unsent> = Vec::new();
    peers.reader.unsent(peers.id, |message| unsent.push(message))?;
    // Of each visitor, the one that was being sent goes first.
    unsent.sort_by_key(|message| (!message.sending, message.seq));
    for message in unsent {
        let (visitor, in_doubt) = (message.visitor, message.sending);
        let (class, withdraw_at) = (Priority::of(message.author), message.withdraw_at);
        let queued = MessageQueued {
            message: message.message,
            channel: message.channel,
            visitor,
            enquiry: message.enquiry,
            author: message.author,
            content: message.content,
            reply_to: message.reply_to,
            reacts_to: message.reacts_to,
            key: message.key,
            withdraw_at,
        };
        let Some(outgoing) = outgoing(peers, &message.identities, &queued) else { continue };
        if let Some(channel) = peers.channel(queued.channel) {
            channel.do_send(ToSend {
                outgoing: Box::new(outgoing),
                visitor,
                class,
                withdraw_at,
                in_doubt,
            });
        }
    }
    Ok(())
}
