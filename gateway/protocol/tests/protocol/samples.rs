//! One of everything that goes over the wire.

use usher_domain::floor::event::{Closer, OfferSort, PickUp, PresenceWhy, TransferEnd};
use usher_domain::ids::{
    BotId, ChannelId, EnquiryId, GroupId, MediaId, MessageId, QueueId, SessionId, StaffId,
    VisitorId,
};
use usher_domain::message::{AutoMessage, Content, Delivery, MediaKind};
use usher_domain::presence::Presence;
use usher_domain::rule::Destination;
use usher_domain::settings::Role;
use usher_domain::template::{Button, ButtonKind, Header, Template};
use usher_domain::time::Timestamp;
use usher_protocol::Time;
use usher_protocol::command::{
    Command, Held, Key, Outgoing, PageLimit, Recipient, SetPresence, Target, Unserved,
};
use usher_protocol::event::{
    Countdown, Counters, Direction, Elsewhere, Event, Failure, Head, Level, Message, Named, Note,
    Now, Offer, Person, PresenceNow, QueueNow, Relation, Reminder, Running, State, Transfer,
    Withdrawal, Writer,
};
use usher_protocol::frame::{Epoch, Myself, Welcome};

pub(crate) const ENQUIRY: EnquiryId = EnquiryId::from_number(1);
const MESSAGE: MessageId = MessageId::from_number(2);
const STAFF: StaffId = StaffId::from_number(3);
const GROUP: GroupId = GroupId::from_number(4);
const VISITOR: VisitorId = VisitorId::from_number(5);
const CHANNEL: ChannelId = ChannelId::from_number(6);
const MEDIA: MediaId = MediaId::from_number(7);

pub(crate) fn time(seconds: u64) -> Time {
    Time(Timestamp::from_millis(1_795_426_200_000 + seconds * 1_000))
}

pub(crate) fn key(text: &str) -> Key {
    Key::try_from(text.to_owned()).unwrap()
}

pub(crate) fn text(body: &str) -> Outgoing {
    Outgoing::Text { body: body.into() }
}

/// Every command, those with choices several times.
pub(crate) fn commands() -> Vec<Command> {
    let enquiry = ENQUIRY;
    let mut all = vec![
        Command::PresenceSet { presence: SetPresence::Busy, staff: None },
        Command::PresenceSet { presence: SetPresence::Active, staff: Some(STAFF) },
        Command::PickUp { enquiry },
        Command::Decline { enquiry },
        Command::Typing { enquiry },
        Command::Read { enquiry, message: MESSAGE },
        Command::Note { enquiry, text: "rings back".into() },
        Command::Transfer { enquiry, to: Target::Staff(STAFF), blind: false },
        Command::Transfer { enquiry, to: Target::Group(GROUP), blind: true },
        Command::CancelTransfer { enquiry },
        Command::AddStaff { enquiry, staff: STAFF },
        Command::RemoveStaff { enquiry, staff: STAFF },
        Command::Leave { enquiry },
        Command::Monitor { enquiry },
        Command::Unmonitor { enquiry },
        Command::Join { enquiry },
        Command::TakeOver { enquiry },
        Command::Assign { enquiry, staff: STAFF },
        Command::Hold { enquiry, until: Some(time(0)) },
        Command::Hold { enquiry, until: None },
        Command::Block { visitor: VISITOR, reason: Some("abuse".into()) },
        Command::Close { enquiry, silent: false, reason: None },
        Command::Close { enquiry, silent: true, reason: Some("spam".into()) },
        Command::Label { enquiry, label: "vip".into(), on: true },
        Command::Label { enquiry, label: "vip".into(), on: false },
        Command::Start {
            channel: CHANNEL,
            to: Recipient::Visitor(VISITOR),
            template: template(),
            key: key("k-2"),
        },
        Command::Start {
            channel: CHANNEL,
            to: Recipient::Phone("+85291234567".into()),
            template: template(),
            key: key("k-3"),
        },
        Command::History { enquiry, before: Some(40), limit: PageLimit::try_from(20).unwrap() },
        Command::Unserved {
            state: Unserved::Missed,
            before: Some(enquiry),
            limit: PageLimit::try_from(20).unwrap(),
        },
        Command::Ack { at: 131 },
        Command::Activity {},
        Command::Language { visitor: VISITOR, language: Some("pt".into()) },
        Command::OptOut { visitor: VISITOR, on: true },
        Command::SignOut { held: Some(Held::HandOver) },
        Command::SignOut { held: None },
    ];
    let sends = outgoing().into_iter().map(|content| Command::Send {
        enquiry,
        key: key("k-1"),
        reply_to: matches!(content, Outgoing::Text { .. }).then_some(MESSAGE),
        content,
    });
    all.extend(sends);
    all
}

fn template() -> Template {
    Template {
        header: Some(Header::Media { file: Some(MEDIA), sort: MediaKind::Image, filename: None }),
        buttons: vec![Button { index: 1, kind: ButtonKind::Url, value: "x7".into() }],
        ..Template::plain("hello_again", "en", &["Ana"])
    }
}

fn outgoing() -> [Outgoing; 6] {
    [
        text("Good morning"),
        Outgoing::Media {
            file: MEDIA,
            sort: MediaKind::Image,
            caption: Some("the plan".into()),
            filename: None,
        },
        Outgoing::Location { latitude: 22.3, longitude: 114.2, name: None, address: None },
        Outgoing::Template(Template::plain("back", "en", &[])),
        Outgoing::Reaction { to: MESSAGE, emoji: Some("👍".into()) },
        Outgoing::Reaction { to: MESSAGE, emoji: None },
    ]
}

fn staff() -> Named<StaffId> {
    Named::new(STAFF, "Ana Lee")
}

/// A head with as little as there can be.
pub(crate) fn head() -> Head {
    Head {
        id: ENQUIRY,
        relation: Relation::Offered,
        state: State::Open,
        channel: Named::new(CHANNEL, "Shop"),
        visitor: Person { id: VISITOR, name: None, phone: None, opted_out: false },
        language: None,
        country: None,
        owner: None,
        bot: None,
        opened_at: time(0),
        window_until: time(86_400),
        first_message: None,
        order: 1,
        visitor_waits: None,
        hold_until: None,
        closes_at: None,
        offer: None,
        transfer: None,
        people: Vec::new(),
        labels: Vec::new(),
        elsewhere: Vec::new(),
    }
}

/// A head with everything there can be.
pub(crate) fn full_head() -> Head {
    Head {
        relation: Relation::Owner,
        state: State::FollowedUp,
        visitor: Person {
            id: VISITOR,
            name: Some("Rui".into()),
            phone: Some("+85291234567".into()),
            opted_out: true,
        },
        language: Some("pt".into()),
        country: Some("HK".into()),
        owner: Some(staff()),
        bot: Some(Named::new(BotId::from_number(8), "Robin")),
        first_message: Some("Is it open?".into()),
        visitor_waits: Some(time(1)),
        hold_until: Some(time(2)),
        closes_at: Some(time(3)),
        offer: Some(Offer { until: time(20), sort: OfferSort::Missed }),
        transfer: Some(Transfer {
            by: staff(),
            to: Target::Group(GROUP),
            blind: false,
            until: Some(time(30)),
        }),
        people: vec![staff()],
        labels: vec!["vip".into()],
        elsewhere: vec![Elsewhere {
            enquiry: EnquiryId::from_number(9),
            channel: Named::new(ChannelId::from_number(10), "Repairs"),
            owner: Some(staff()),
        }],
        ..head()
    }
}

fn message(direction: Direction, writer: Writer) -> Box<Message> {
    Box::new(Message {
        id: MESSAGE,
        enquiry: ENQUIRY,
        order: 2,
        direction,
        writer,
        content: Content::Text { body: "Is it open?".into() },
        time: time(5),
        provider_time: None,
        reply_to: None,
        delivery: None,
        failure: None,
        key: None,
        referral: None,
        forwarded: false,
        changed: None,
        reactions: Vec::new(),
    })
}

/// Every event.
pub(crate) fn events() -> Vec<Event> {
    let mut all = enquiry_events();
    all.extend(message_events());
    all.extend([
        Event::Joined { enquiry: head().into(), staff: staff(), by: staff(), monitor: true },
        Event::Left { enquiry: ENQUIRY, staff: staff() },
        Event::WindowClosing { enquiry: ENQUIRY, until: time(60) },
        Event::WindowClosed { enquiry: ENQUIRY, by_provider: true },
        Event::WindowOpened { enquiry: ENQUIRY, until: time(86_400) },
        Event::CustomInfo {
            channel: Named::new(CHANNEL, "Shop"),
            text: Some("Closed on Monday".into()),
        },
        Event::Notice {
            level: Level::Warning,
            text: "Nobody took over.".into(),
            enquiry: Some(ENQUIRY),
        },
    ]);
    all
}

fn enquiry_events() -> Vec<Event> {
    let sort = OfferSort::OneByOne { at: Destination::Group(GROUP) };
    vec![
        Event::Offered { enquiry: head().into(), until: time(20), sort },
        Event::Withdrawn { enquiry: ENQUIRY, why: Withdrawal::Elsewhere },
        Event::PickedUp {
            enquiry: head().into(),
            by: staff(),
            how: PickUp::TakeOver,
            from: Some(staff()),
            epoch: 2,
        },
        Event::Updated { enquiry: head().into() },
        Event::Transferred {
            enquiry: ENQUIRY,
            by: staff(),
            to: Target::Group(GROUP),
            blind: true,
            until: Some(time(20)),
            end: None,
        },
        Event::Transferred {
            enquiry: ENQUIRY,
            by: staff(),
            to: Target::Staff(STAFF),
            blind: false,
            until: None,
            end: Some(TransferEnd::Lapsed),
        },
        Event::Missed { enquiry: head().into() },
        Event::Closed {
            enquiry: ENQUIRY,
            closer: Closer::AutoClose { unanswered: true },
            silent: false,
            reason: None,
            time: time(9),
        },
        Event::Reminder { enquiry: ENQUIRY, why: Reminder::AutoClose, closes_at: Some(time(60)) },
    ]
}

fn message_events() -> Vec<Event> {
    let mut received = message(Direction::In, Writer::Visitor);
    received.provider_time = Some(time(4));
    let mut sent = message(Direction::Out, Writer::Staff { staff: staff() });
    sent.delivery = Some(Delivery::Queued);
    sent.key = Some("k-1".into());
    sent.reply_to = Some(MESSAGE);
    let auto = message(Direction::Out, Writer::Auto { message: AutoMessage::Welcome });
    vec![
        Event::Received { message: received },
        Event::Sent { message: sent },
        Event::Sent { message: auto },
        Event::Status {
            enquiry: ENQUIRY,
            message: MESSAGE,
            delivery: Delivery::Failed,
            time: time(6),
            failure: Some(Failure { code: 131_047, title: "Re-engagement message".into() }),
        },
        Event::Edited {
            enquiry: ENQUIRY,
            message: MESSAGE,
            content: Content::Text { body: "Is it open today?".into() },
            time: time(7),
        },
        Event::Revoked { enquiry: ENQUIRY, message: MESSAGE, time: time(8) },
        Event::Reacted {
            enquiry: ENQUIRY,
            message: MESSAGE,
            writer: Writer::Visitor,
            emoji: Some("👍".into()),
            time: time(8),
        },
        Event::NoteAdded {
            note: Note {
                id: MESSAGE,
                enquiry: ENQUIRY,
                order: 3,
                by: staff(),
                text: "rings back".into(),
                time: time(9),
            },
        },
    ]
}

/// Every statement.
pub(crate) fn states() -> Vec<Now> {
    vec![
        Now::Presence(PresenceNow {
            staff: staff(),
            presence: Presence::Idle,
            why: Some(PresenceWhy::NoAnswer),
            since: time(0),
        }),
        Now::Queue(QueueNow {
            destination: Destination::Queue(QueueId::from_number(11)),
            name: "Repairs".into(),
            length: 3,
            oldest: Some(time(0)),
        }),
        counters(2),
        Now::Countdown(Countdown {
            enquiry: ENQUIRY,
            of: Running::AutoClose,
            until: Some(time(60)),
        }),
        Now::Typing { enquiry: ENQUIRY, staff: staff() },
    ]
}

pub(crate) fn counters(waiting: u32) -> Now {
    Now::Counters(Counters { load: 1, capacity: 5, offers: 0, waiting, missed: 0 })
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        session: SessionId::from_number(12),
        epoch: Epoch::new("a1"),
        offset: 130,
        recovered: true,
        staff: Myself {
            id: STAFF,
            name: "Ana Lee".into(),
            role: Role::Agent,
            presence: Presence::Active,
            capacity: 5,
        },
        heartbeat: usher_protocol::HEARTBEAT_SECONDS,
    }
}
