//! Every record ever written stays readable, and every kind of record has its sample.

use std::collections::BTreeSet;

use usher_domain::floor::event::FloorEvent;
use usher_domain::record::{After, Event, Record};

use crate::script::Cast;
use crate::{decode, encode};

const VERSION_1: &str = include_str!("../samples/v1.jsonl");

/// Names every variant once: a new one does not compile before it stands here, and then fails for
/// want of a sample.
macro_rules! kinds {
    ($list:ident, $name:ident, $enum:ident: $($variant:ident)*) => {
        const $list: &[&str] = &[$(stringify!($variant)),*];

        fn $name(value: &$enum) -> &'static str {
            match value {
                $($enum::$variant { .. } => stringify!($variant),)*
            }
        }
    };
}

kinds! { EVENTS, event_name, Event:
    SettingsApplied NumberLearned VisitorChanged VisitorsMerged EnquiryOpened MessageReceived
    MessageEdited MessageRevoked Reacted SystemNoticed MessageQueued MessageSending MessagePutBack
    MessageAccepted MessageFailed MessageUnknown MessageWithdrawn ReceiptTaken ReceiptHeld
    ReceiptUnmatched WindowLapsed Floor FloorKept AttendanceKept ClockSet NotificationUnsent NoteAdded Labelled RoomJoined RoomLeft
    MediaStored MediaUnavailable TemplatesSynced SessionOpened SessionEnded UnknownNumber
    Quarantined ProviderNoticed
}

kinds! { FLOOR_EVENTS, floor_event_name, FloorEvent:
    Decided Offered OfferEnded Waiting PickedUp BotTook BotLeft Missed WalkEnded TransferOffered
    TransferEnded OwnerGone NobodyTookOver Held Closed PresenceChanged
}

kinds! { AFTERS, after_name, After: Place Enquiry Talk Seat Attendance Draws }

#[test]
fn every_sample_of_version_1_is_still_read_as_it_was_written() {
    for line in VERSION_1.lines() {
        let record = decode(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(encode(&record), line);
    }
}

/// The kinds that a record has a part in.
fn names(record: &Record) -> Vec<&'static str> {
    let floor = match &record.event {
        Event::Floor(floor) => Some(floor_event_name(floor)),
        _ => None,
    };
    let after = record.after.iter().map(after_name);
    after.chain(floor).chain([event_name(&record.event)]).collect()
}

#[test]
fn every_kind_of_record_has_a_sample() {
    let mut missing: BTreeSet<&str> =
        EVENTS.iter().chain(FLOOR_EVENTS).chain(AFTERS).copied().collect();
    for record in VERSION_1.lines().filter_map(|line| decode(line).ok()) {
        missing.retain(|kind| !names(&record).contains(kind));
    }
    let story = Cast(1).whole();
    let wanted = story.iter().filter(|told| names(told).iter().any(|kind| missing.contains(kind)));
    let lines: Vec<String> = wanted.map(encode).collect();
    assert!(missing.is_empty(), "samples/v1.jsonl misses {missing:?}; add\n{}", lines.join("\n"));
}
