//! Builds a service's actors from what is durable; closed history is never looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use usher_domain::attendance::{Attendance, AttendanceKept, Times};
use usher_domain::enquiry::EnquiryKept;
use usher_domain::floor::Floor;
use usher_domain::floor::place::Place;
use usher_domain::ids::{ChannelId, EnquiryId, StaffId};
use usher_domain::outbox::Priority;
use usher_domain::record::{After, Event, MessageQueued, Record};
use usher_domain::visitor::Visitor;
use usher_protocol::event::preview;
use usher_store::{ArchiveReader, SeenIds, StoreError, Unsent};

use crate::channel::{Channel, Restored, ToSend};
use crate::clock::Clock;
use crate::directory::Directory;
use crate::enquiry::{Enquiry, Kept, Opened, outgoing};
use crate::ledger::Ledger;
use crate::peers::Peers;
use crate::router::Router;
use crate::service::{Service, Start};
use crate::staff::Staff;
use crate::timer::Timer;

/// The newest states of everything live.
#[derive(Debug, Default)]
struct Live {
    places: Vec<(EnquiryId, Box<Place>)>,
    kept: BTreeMap<EnquiryId, EnquiryKept>,
    attendance: BTreeMap<StaffId, AttendanceKept>,
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
    clock: Clock,
    service: &Addr<Service>,
) -> Result<Peers, StoreError> {
    let reader = Rc::new(start.archive.reader()?);
    let id = start.settings.service;
    let last = reader.position(id)?.seq;
    let mut floor = Floor::new(Arc::clone(&start.settings));
    let live = load(&reader, start, &mut floor)?;
    let seen = SeenIds::load(start.dir.as_ref(), id, clock.now(), &reader)?;
    let contexts = Contexts::new(start);
    let addresses = contexts.staff.iter().map(|(id, context)| (*id, context.address())).collect();
    let ledger = Ledger::new(id, start.journal.clone(), start.provider.clone(), last);
    let peers = Peers {
        id,
        clock,
        settings: Arc::clone(&start.settings),
        ledger,
        archive: start.archive.clone(),
        reader,
        service: service.clone(),
        directory: contexts.directory.address(),
        router: contexts.router.address(),
        timer: contexts.timer.address(),
        channels: Rc::new(
            contexts.channels.iter().map(|(id, context)| (*id, context.address())).collect(),
        ),
        staff: Rc::new(addresses),
        staffed: Rc::default(),
        joined: Rc::default(),
    };
    peers.ledger.wire(Rc::clone(&peers.staff));
    note_settings(&peers)?;
    run(&peers, contexts, live, floor, seen)?;
    Ok(peers)
}

fn load(reader: &ArchiveReader, start: &Start, floor: &mut Floor) -> Result<Live, StoreError> {
    let mut live = Live::default();
    reader.live(start.settings.service, |found| match found.state {
        After::Place { enquiry, place: Some(place) } => live.places.push((enquiry, place)),
        After::Enquiry { enquiry, kept: Some(kept) } => {
            live.kept.insert(enquiry, *kept);
        }
        After::Seat { staff, seat } => floor.restore_seat(staff, seat),
        After::Attendance { staff, kept } => {
            live.attendance.insert(staff, kept);
        }
        After::Draws { channel, rule, node, draws } => {
            floor.restore_draws(channel, rule, node, draws);
        }
        After::Place { place: None, .. } | After::Enquiry { kept: None, .. } => {}
    })?;
    for (enquiry, place) in &mut live.places {
        // The floor writes a place down only when it changes; the window is the enquiry's.
        if let Some(kept) = live.kept.get(enquiry) {
            place.window_until = place.window_until.max(kept.window_until);
        }
        floor.restore_place(*enquiry, (**place).clone());
    }
    Ok(live)
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

fn run(
    peers: &Peers,
    contexts: Contexts,
    mut live: Live,
    floor: Floor,
    seen: SeenIds,
) -> Result<(), StoreError> {
    let mut restored: BTreeMap<ChannelId, Vec<Restored>> = BTreeMap::new();
    let mut pinned: Vec<Visitor> = Vec::new();
    for (enquiry, place) in live.places {
        let Some(kept) = live.kept.remove(&enquiry) else { continue };
        let Some(visitor) = peers.reader.visitor(peers.id, place.visitor)? else { continue };
        pinned.push(visitor.clone());
        let (channel, owner, opened_at) = (place.channel, place.stage.owner(), place.opened_at);
        let kept = remembered(peers, enquiry, place, kept)?;
        let opened = Opened { enquiry, channel, visitor: Box::new(visitor) };
        let visitor = opened.visitor.id;
        let actor = Enquiry::restore(peers.clone(), opened, kept).start();
        restored.entry(channel).or_default().push(Restored {
            enquiry,
            visitor,
            owner,
            opened_at,
            actor,
        });
    }
    contexts.timer.run(Timer::new(peers.clone()));
    contexts.directory.run(Directory::new(peers.clone(), seen, pinned));
    for (id, context) in contexts.channels {
        let own = restored.remove(&id).unwrap_or_default();
        context.run(Channel::new(peers.clone(), id, own));
    }
    let times =
        Times { idle_after: peers.settings.idle_after, grace: peers.settings.presence_grace };
    for (id, context) in contexts.staff {
        let attendance = match live.attendance.remove(&id) {
            Some(kept) => Attendance::restore(peers.now(), times, kept),
            None => Attendance::new(times),
        };
        // Wall time at the build, in milliseconds: never the same twice for one person.
        let epoch = peers.now().millis();
        context.run(Staff::new(peers.clone(), id, attendance, epoch));
    }
    contexts.router.run(Router::new(peers.clone(), floor));
    resend(peers)
}

fn remembered(
    peers: &Peers,
    enquiry: EnquiryId,
    place: Box<Place>,
    kept: EnquiryKept,
) -> Result<Kept, StoreError> {
    let row = peers.reader.enquiry(peers.id, enquiry)?;
    let first = match row.as_ref().and_then(|row| row.first_message) {
        Some(message) => peers.reader.message(peers.id, message)?,
        None => None,
    };
    let mut members = BTreeMap::new();
    for member in peers.reader.room_members(peers.id, enquiry)? {
        if member.left_at.is_none() {
            members.insert(member.staff, member.monitor);
        }
    }
    let labels: BTreeSet<String> =
        row.map(|row| row.labels.into_iter().collect()).unwrap_or_default();
    Ok(Kept {
        place,
        clock: kept,
        first_message: first.as_ref().and_then(|row| preview(&row.content)),
        members,
        labels,
        last_inbound: first.and_then(|row| row.provider_id),
    })
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
