//! A story that every kind of record has a part in, for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use usher_domain::attendance::{AttendanceKept, Lapse};
use usher_domain::bot::{self, Question, TalkKept};
use usher_domain::enquiry::{EnquiryKept, IdleClock, Notice, Serving, WindowTold};
use usher_domain::floor::event::{
    Closer, FloorEvent, OfferEnd, OfferSort, PickUp, PresenceWhy, TransferEnd, TransferTo,
};
use usher_domain::floor::place::{Errand, Place, SeatKept, Stage};
use usher_domain::ids::{
    BotCallId, BotId, ChannelId, EnquiryId, GroupId, MediaId, MessageId, RuleId, ServiceId,
    SessionId, StaffId, VisitorId,
};
use usher_domain::message::{Author, AutoMessage, Content, Counts, Delivery, Media, MediaKind};
use usher_domain::presence::Presence;
use usher_domain::record::{After, Event, MessageQueued, MessageReceived, ReceiptHeld, Record};
use usher_domain::rule::{Destination, Draws};
use usher_domain::time::Timestamp;
use usher_domain::trace::{BindingKind, Step};
use usher_domain::visitor::{Binding, Identities, OnChannel, Visitor};

/// The ids of one telling of the story; tellings of different numbers share none but the channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast(pub(crate) u128);

pub(crate) const SERVICE: ServiceId = ServiceId::from_number(1);
pub(crate) const CHANNEL: ChannelId = ChannelId::from_number(2);
pub(crate) const STAFF: StaffId = StaffId::from_number(3);
pub(crate) const OTHER: StaffId = StaffId::from_number(4);
const GROUP: GroupId = GroupId::from_number(5);
const BOT: BotId = BotId::from_number(6);
const RULE: RuleId = RuleId::from_number(7);
/// 2026-11-01, noon.
pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_793_534_400_000);

impl Cast {
    pub(crate) const fn visitor(self) -> VisitorId {
        VisitorId::from_number(self.0 * 100)
    }

    pub(crate) const fn gone(self) -> VisitorId {
        VisitorId::from_number(self.0 * 100 + 1)
    }

    pub(crate) const fn enquiry(self) -> EnquiryId {
        EnquiryId::from_number(self.0 * 100 + 2)
    }

    pub(crate) const fn message(self, number: u128) -> MessageId {
        MessageId::from_number(self.0 * 100 + 10 + number)
    }

    pub(crate) const fn media(self) -> MediaId {
        MediaId::from_number(self.0 * 100 + 3)
    }

    pub(crate) const fn session(self) -> SessionId {
        SessionId::from_number(self.0 * 100 + 4)
    }

    pub(crate) fn wamid(self, name: &str) -> String {
        format!("wamid.{}.{name}", self.0)
    }

    pub(crate) fn wa_id(self) -> String {
        format!("85260{:06}", self.0)
    }

    /// The story up to a live, picked-up enquiry with something in the outbox.
    pub(crate) fn opening(self) -> Vec<Record> {
        let mut told = self.arrival();
        told.extend(self.serving());
        at_steps(told)
    }

    /// The whole story: every kind of event, to the close.
    pub(crate) fn whole(self) -> Vec<Record> {
        let mut told = self.arrival();
        told.extend(self.serving());
        told.extend(self.floor());
        told.extend(self.room());
        told.extend(self.outbox());
        told.extend(self.set_aside());
        told.extend(self.ending());
        at_steps(told)
    }

    pub(crate) fn person(self, wa_id: Option<&str>) -> Box<Visitor> {
        let on_channel = OnChannel { window_until: Some(NOON), ..OnChannel::default() };
        Box::new(Visitor {
            id: self.visitor(),
            identities: Identities {
                wa_id: wa_id.map(Into::into),
                user_id: Some(format!("HK.{}", self.0).into()),
            },
            name: Some("Ada Lovelace".into()),
            username: Some("ada".into()),
            language: None,
            blocked: false,
            opted_out: false,
            channels: BTreeMap::from([(CHANNEL, on_channel)]).into(),
            number_changed_at: None,
            bindings: vec![Binding {
                kind: BindingKind::Sticky,
                staff: STAFF,
                channel: Some(CHANNEL),
                set_at: NOON,
                expires_at: Some(NOON + Duration::from_hours(24)),
            }],
        })
    }

    fn arrival(self) -> Vec<Record> {
        let gone = Visitor {
            id: self.gone(),
            identities: Identities { wa_id: Some(self.wa_id().into()), user_id: None },
            channels: BTreeMap::new().into(),
            bindings: vec![Binding {
                kind: BindingKind::Engagement,
                staff: OTHER,
                channel: None,
                set_at: NOON,
                expires_at: None,
            }],
            ..*self.person(None)
        };
        vec![
            plain(Event::SettingsApplied { service: SERVICE, settings: "{}".to_owned() }),
            plain(Event::NumberLearned {
                channel: CHANNEL,
                phone_number_id: "106540352242922".to_owned(),
            }),
            plain(Event::VisitorChanged { visitor: Box::new(gone) }),
            plain(Event::VisitorChanged { visitor: self.person(None) }),
            plain(Event::EnquiryOpened {
                enquiry: self.enquiry(),
                channel: CHANNEL,
                visitor: self.gone(),
            }),
            plain(Event::MessageReceived(Box::new(self.received("first", 0))))
                .leaving(self.place(Stage::Open))
                .leaving(After::Enquiry { enquiry: self.enquiry(), kept: Some(kept().into()) }),
            plain(Event::VisitorsMerged { kept: self.visitor(), gone: self.gone() }),
            plain(Event::VisitorChanged { visitor: self.person(Some(&self.wa_id())) }),
        ]
    }

    pub(crate) fn received(self, name: &str, number: u128) -> MessageReceived {
        MessageReceived {
            message: self.message(number),
            channel: CHANNEL,
            visitor: if name == "first" { self.gone() } else { self.visitor() },
            enquiry: Some(self.enquiry()),
            provider_id: self.wamid(name),
            provider_at: NOON,
            counts: Counts::Message,
            content: Content::Text { body: format!("Grüße, where is parcel {name}?") },
            reply_to: None,
            referral: None,
            forwarded: false,
        }
    }

    fn serving(self) -> Vec<Record> {
        let enquiry = self.enquiry();
        let at = Destination::Group(GROUP);
        let draws = Draws {
            shares: vec![70, 30],
            period: vec![1, 0],
            totals: vec![1, 0],
            overflowed: vec![0, 0],
        };
        vec![
            floor(FloorEvent::Decided {
                enquiry,
                steps: vec![
                    Step::Percentage {
                        bucket: "north".to_owned(),
                        percent: 70,
                        draw: 0,
                        kept: false,
                    },
                    Step::Arrived { at },
                ],
            })
            .leaving(After::Draws {
                channel: CHANNEL,
                rule: RULE,
                node: 0,
                draws: Box::new(draws),
            }),
            floor(FloorEvent::Offered {
                enquiry,
                to: vec![STAFF],
                sort: OfferSort::OneByOne { at },
                until: NOON,
            }),
            floor(FloorEvent::PickedUp {
                enquiry,
                by: STAFF,
                how: PickUp::Offer,
                from: None,
                epoch: 1,
            })
            .leaving(self.place(Stage::Ongoing { owner: STAFF }))
            .leaving(After::Seat { staff: STAFF, seat: SeatKept::default() }),
            plain(Event::MessageQueued(Box::new(self.queued(1, "queued")))),
            plain(Event::MessageSending { message: self.message(1), attempt: 1 }),
        ]
    }

    pub(crate) fn queued(self, number: u128, body: &str) -> MessageQueued {
        MessageQueued {
            message: self.message(number),
            channel: CHANNEL,
            visitor: self.visitor(),
            enquiry: Some(self.enquiry()),
            author: Author::Staff { staff: STAFF },
            content: Content::Text { body: body.to_owned() },
            reply_to: Some(self.wamid("first")),
            reacts_to: None,
            key: Some(format!("key-{}-{number}", self.0)),
            withdraw_at: None,
        }
    }

    fn floor(self) -> Vec<Record> {
        let enquiry = self.enquiry();
        let at = Destination::Group(GROUP);
        let to = TransferTo::Group { group: GROUP };
        let (staff, by) = (OTHER, STAFF);
        [
            FloorEvent::OfferEnded { enquiry, staff, end: OfferEnd::Lapsed },
            FloorEvent::Waiting { enquiry, at },
            FloorEvent::BotTook { enquiry, bot: BOT },
            FloorEvent::BotLeft { enquiry, bot: BOT, failed: true },
            FloorEvent::Missed { enquiry, away: true },
            FloorEvent::WalkEnded { enquiry },
            FloorEvent::TransferOffered { enquiry, by, to, blind: true },
            FloorEvent::TransferEnded { enquiry, end: TransferEnd::Lapsed },
            FloorEvent::OwnerGone { enquiry, owner: STAFF, suspended: false },
            FloorEvent::NobodyTookOver { enquiry },
            FloorEvent::Held { enquiry, by, until: Some(NOON) },
            FloorEvent::PresenceChanged {
                staff,
                presence: Presence::Busy,
                why: PresenceWhy::SetByHand,
            },
        ]
        .map(floor)
        .into()
    }

    #[expect(clippy::too_many_lines, reason = "one record after the other, as in a room")]
    fn room(self) -> Vec<Record> {
        let enquiry = self.enquiry();
        let (channel, visitor, to) = (CHANNEL, self.visitor(), Some(enquiry));
        let text = |body: &str| Content::Text { body: body.to_owned() };
        let reaction = |name: &str, emoji: Option<&str>| Event::Reacted {
            channel,
            visitor,
            enquiry: to,
            provider_id: self.wamid(name),
            on: self.wamid("first"),
            emoji: emoji.map(str::to_owned),
            by: None,
        };
        let photo = MessageReceived {
            content: Content::Media(Media {
                sort: MediaKind::Image,
                file: None,
                provider_id: Some("media.1".to_owned()),
                mime_type: "image/jpeg".to_owned(),
                caption: Some("the parcel".to_owned()),
                filename: None,
                sha256: None,
            }),
            ..self.received("photo", 2)
        };
        let stored = Event::MediaStored {
            media: self.media(),
            message: Some(self.message(2)),
            sha256: "ab".repeat(32),
            mime_type: "image/jpeg".to_owned(),
            bytes: 1000,
            filename: None,
        };
        let mut provider_id = self.wamid("edit");
        let edited = Event::MessageEdited {
            channel,
            visitor,
            enquiry: to,
            provider_id: provider_id.clone(),
            of: self.wamid("first"),
            content: text("where is my umbrella?"),
        };
        provider_id = self.wamid("revoke");
        let of = self.wamid("photo");
        let revoked = Event::MessageRevoked { channel, visitor, enquiry: to, provider_id, of };
        let provider_id = self.wamid("system");
        let what = "changed the number".to_owned();
        let attendance =
            AttendanceKept { chosen: Presence::Active, lapse: Lapse::default(), present: true };
        let question = Question { call: BotCallId::from_number(1), message: self.message(2) };
        let asked = bot::State::Asked { question, since: NOON, waiting: vec![question] };
        let talk = Some(Box::new(TalkKept { bot: BotId::from_number(1), state: asked }));
        let note = "speaks Cantonese".to_owned();
        let label = "parcel".to_owned();
        vec![
            plain(Event::MessageReceived(Box::new(photo))),
            plain(Event::MediaUnavailable { message: self.message(2), why: "gone".to_owned() }),
            plain(stored),
            plain(edited),
            plain(revoked),
            plain(reaction("heart", Some("❤"))),
            plain(reaction("thumb", Some("👍"))),
            plain(Event::SystemNoticed { channel, visitor, enquiry: to, provider_id, text: what }),
            plain(Event::WindowLapsed { enquiry, by_provider: true }),
            plain(Event::ClockSet { enquiry }).leaving(After::Talk { enquiry, talk }),
            plain(Event::FloorKept {}),
            plain(Event::AttendanceKept { staff: STAFF })
                .leaving(After::Attendance { staff: STAFF, kept: attendance }),
            plain(Event::NotificationUnsent { enquiry, why: "window".to_owned() }),
            plain(Event::NoteAdded { note: self.message(3), enquiry, by: STAFF, text: note }),
            plain(Event::Labelled { enquiry, by: STAFF, label: label.clone(), on: true }),
            plain(Event::RoomJoined { enquiry, staff: OTHER, monitor: true, by: OTHER }),
            plain(Event::RoomLeft { enquiry, staff: OTHER }),
        ]
    }

    fn outbox(self) -> Vec<Record> {
        let auto = MessageQueued {
            author: Author::Auto { message: AutoMessage::Welcome },
            key: None,
            withdraw_at: Some(NOON),
            ..self.queued(4, "Welcome!")
        };
        let reaction =
            MessageQueued { reacts_to: Some(self.wamid("first")), ..self.queued(5, "🙏") };
        let [first, auto_id, reaction_id, lost] = [1, 4, 5, 6].map(|number| self.message(number));
        let receipt = |delivery, participant: Option<&str>| Event::ReceiptTaken {
            message: first,
            delivery,
            participant: participant.map(str::to_owned),
            provider_at: NOON,
            code: None,
        };
        vec![
            plain(Event::MessagePutBack { message: first, code: 130_429 }),
            plain(Event::MessageSending { message: first, attempt: 2 }),
            plain(Event::MessageAccepted { message: first, provider_id: self.wamid("ours") }),
            plain(receipt(Delivery::Read, None)),
            plain(receipt(Delivery::Delivered, Some("85261111111"))),
            plain(Event::MessageQueued(Box::new(auto))),
            plain(Event::MessageWithdrawn { message: auto_id }),
            plain(Event::MessageQueued(Box::new(reaction))),
            plain(Event::MessageFailed {
                message: reaction_id,
                code: 131_047,
                title: "lapsed".to_owned(),
            }),
            plain(Event::MessageQueued(Box::new(self.queued(6, "anybody there?")))),
            plain(Event::MessageUnknown { message: lost }),
        ]
    }

    fn held(self) -> ReceiptHeld {
        ReceiptHeld {
            channel: CHANNEL,
            provider_id: self.wamid("unheard of"),
            delivery: Delivery::Failed,
            participant: Some("85262222222".to_owned()),
            provider_at: NOON,
            code: Some(131_026),
            title: Some("undeliverable".to_owned()),
            raw: "{}".to_owned(),
        }
    }

    fn set_aside(self) -> Vec<Record> {
        let (channel, raw) = (CHANNEL, "{}".to_owned());
        [
            Event::ReceiptHeld(Box::new(self.held())),
            Event::ReceiptUnmatched { channel, provider_id: self.wamid("?"), raw: raw.clone() },
            Event::UnknownNumber { channel, phone_number_id: "1".to_owned(), raw: raw.clone() },
            Event::Quarantined { channel, why: "no sender".to_owned(), raw: raw.clone() },
            Event::ProviderNoticed { channel, field: "account_update".to_owned(), raw },
            Event::TemplatesSynced { channel, templates: "[]".to_owned() },
            Event::SessionOpened {
                session: self.session(),
                staff: STAFF,
                token_sha256: format!("token-{}", self.0),
                until: NOON + Duration::from_hours(24),
            },
            Event::SessionEnded { session: self.session() },
        ]
        .map(plain)
        .into()
    }

    fn ending(self) -> Vec<Record> {
        let enquiry = self.enquiry();
        vec![
            floor(FloorEvent::Closed {
                enquiry,
                by: Closer::Staff { staff: STAFF },
                silent: false,
                reason: Some("solved".to_owned()),
                owner: Some(STAFF),
            })
            .leaving(After::Place { enquiry, place: None })
            .leaving(After::Enquiry { enquiry, kept: None })
            .leaving(After::Talk { enquiry, talk: None }),
        ]
    }

    fn place(self, stage: Stage) -> After {
        let place = Place {
            channel: CHANNEL,
            visitor: self.visitor(),
            language: None,
            country: None,
            arrival: 1,
            opened_at: NOON,
            stage,
            epoch: 1,
            hold_until: None,
            visitor_waits: None,
            window_until: NOON + Duration::from_hours(24),
            errand: Errand::None,
            drawn: None,
            groups: [GROUP].into(),
        };
        After::Place { enquiry: self.enquiry(), place: Some(place.into()) }
    }
}

fn kept() -> EnquiryKept {
    EnquiryKept {
        opened_at: NOON,
        window_until: NOON + Duration::from_hours(24),
        window: WindowTold::Open,
        last_counted: NOON,
        visitor_last: true,
        staff_wrote: None,
        serving: Serving::Nobody,
        clock: IdleClock::Stopped,
        notice: Notice::None,
        grace: Duration::from_mins(1),
        away_sent: None,
        hold_until: None,
        recovered_at: None,
        over: false,
    }
}

fn plain(event: Event) -> Record {
    Record::new(NOON, event)
}

fn floor(event: FloorEvent) -> Record {
    plain(Event::Floor(event))
}

fn at_steps(mut records: Vec<Record>) -> Vec<Record> {
    for (record, second) in records.iter_mut().zip(0..) {
        record.at = NOON + Duration::from_secs(second);
    }
    records
}
