//! What each end does by itself: order and bounds on the server's, advice on the client's.

use std::time::Duration;

use usher_domain::ids::{EnquiryId, StaffId};
use usher_protocol::close::Close;
use usher_protocol::command::Command;
use usher_protocol::event::{Event, Head, Level, Named, Now};
use usher_protocol::feed::{
    FeedClient, FeedServer, Incoming, Limits, Next, Outlet, Overrun, Pulled,
};
use usher_protocol::frame::{
    Done, Epoch, Part, Resume, ServerFrame, Welcome, reply_ok, snapshot, splice,
};
use usher_protocol::{BATCH_BYTES_MAX, PART_BYTES_MAX};

use crate::samples;

fn notice(number: u64) -> Event {
    Event::Notice { level: Level::Info, text: number.to_string(), enquiry: None }
}

fn feed(events: u64) -> FeedServer {
    let limits = Limits { events: 10, bytes: 10_000 };
    let mut feed = FeedServer::with_limits(Epoch::new("a1"), limits);
    for number in 1..=events {
        feed.push(notice(number).tail());
    }
    feed
}

fn greeted(feed: &FeedServer, resume: Option<u64>) -> Outlet {
    let resume = resume.map(|offset| Resume { epoch: Epoch::new("a1"), offset });
    let recovery = feed.resume(resume.as_ref());
    Outlet::open(feed, recovery, samples::welcome(), |at| {
        snapshot([samples::head().text()], at, 9_999)
    })
}

/// The first words of each frame.
fn pulled(outlet: &mut Outlet, feed: &FeedServer, bytes: usize) -> Vec<String> {
    match outlet.pull(feed, bytes) {
        Pulled::Frames(frames) => {
            let words = |frame: &String| frame.split(['{', ',', ':']).nth(1).map(str::to_owned);
            frames.iter().filter_map(words).collect()
        }
        Pulled::Idle => Vec::new(),
        Pulled::Behind => vec!["behind".into()],
    }
}

#[test]
fn the_greeting_goes_first_and_state_frames_last() {
    let mut feed = feed(3);
    let mut outlet = greeted(&feed, None);
    outlet.state(&samples::counters(1)).unwrap();
    outlet.state(&samples::counters(2)).unwrap();
    outlet.answer(reply_ok(7, &()).unwrap()).unwrap();
    feed.push(notice(4).tail());
    let order = pulled(&mut outlet, &feed, BATCH_BYTES_MAX);
    assert_eq!(
        order,
        [r#""welcome""#, r#""snapshot""#, r#""done""#, r#""re""#, r#""at""#, r#""now""#]
    );
    assert!(outlet.is_idle(&feed) && outlet.held() == 0);
}

#[test]
fn the_snapshot_is_of_the_moment_it_was_taken_and_events_follow_without_a_gap() {
    let mut feed = feed(3);
    let mut outlet = greeted(&feed, None);
    feed.push(notice(4).tail());
    let Pulled::Frames(frames) = outlet.pull(&feed, BATCH_BYTES_MAX) else { panic!("frames") };
    assert!(frames[0].contains(r#""offset":3,"recovered":false"#), "{}", frames[0]);
    assert_eq!(frames[2], r#"{"done":{"at":3,"parts":1}}"#);
    assert!(frames[3].starts_with(r#"{"at":4,"#));
}

#[test]
fn every_pull_moves_and_none_takes_more_than_it_may() {
    let feed = feed(10);
    let mut outlet = greeted(&feed, Some(0));
    let mut events = 0;
    while let Pulled::Frames(frames) = outlet.pull(&feed, 200) {
        let bytes: usize = frames.iter().map(String::len).sum();
        assert!(frames.len() == 1 || bytes <= 200, "{frames:?}");
        events += frames.iter().filter(|frame| frame.starts_with("{\"at\"")).count();
    }
    assert_eq!(events, 10);
}

#[test]
fn a_connection_the_feed_went_past_is_told() {
    let mut feed = feed(3);
    let mut outlet = greeted(&feed, Some(3));
    assert_eq!(pulled(&mut outlet, &feed, BATCH_BYTES_MAX), [r#""welcome""#]);
    for number in 4..=14 {
        feed.push(notice(number).tail());
    }
    assert_eq!(pulled(&mut outlet, &feed, BATCH_BYTES_MAX), ["behind"]);
}

#[test]
fn what_a_connection_holds_is_bounded() {
    let feed = feed(0);
    let mut outlet = greeted(&feed, None);
    let answer = reply_ok(7, &"x".repeat(1_000)).unwrap();
    let answers = (0..1_000).take_while(|_| outlet.answer(answer.clone()).is_ok()).count();
    assert!((50..70).contains(&answers), "{answers}");
    let typing = |number| Now::Typing {
        enquiry: EnquiryId::from_number(number),
        staff: Named::new(StaffId::from_number(number), "Ana Lee"),
    };
    let states = (0..1_000).take_while(|number| outlet.state(&typing(*number)).is_ok()).count();
    assert!((50..200).contains(&states), "{states}");
    assert_eq!(outlet.state(&typing(1_001)), Err(Overrun));
    assert_eq!(outlet.state(&typing(0)), Ok(()), "the same key takes no more room");
    assert!(outlet.held() <= 96 * 1024 - BATCH_BYTES_MAX, "{}", outlet.held());
}

/// A client that has applied everything up to 130 in epoch `a1`.
fn live() -> FeedClient {
    let mut client = FeedClient::new();
    client.hello(None);
    let welcome = Welcome { recovered: false, ..samples::welcome() };
    client.receive(&ServerFrame::Welcome { welcome }.encode());
    client.receive(&part(1, vec![samples::head()]));
    let done = client.receive(&done(130, 1));
    assert_eq!(done, Incoming::Snapshot { at: 130, heads: vec![samples::head()] });
    client
}

fn part(part: u32, heads: Vec<Head>) -> String {
    ServerFrame::Snapshot { snapshot: Part { part, heads } }.encode()
}

fn done(at: u64, parts: u32) -> String {
    ServerFrame::Done { done: Done { at, parts } }.encode()
}

fn event(at: u64) -> String {
    splice(at, &notice(at).tail())
}

fn lost(incoming: &Incoming) -> bool {
    matches!(incoming, Incoming::Reconnect { .. })
}

#[test]
fn the_client_applies_each_event_once_and_in_order() {
    let mut client = live();
    assert!(matches!(client.receive(&event(131)), Incoming::Apply(event) if event.at == 131));
    assert_eq!(client.receive(&event(131)), Incoming::Duplicate { at: 131 });
    assert_eq!(client.receive(&event(5)), Incoming::Duplicate { at: 5 });
    assert!(lost(&client.receive(&event(133))));
    assert_eq!(client.applied().map(|applied| applied.offset), Some(131));
    insta::assert_snapshot!(client.hello(None), @r#"{"hello":{"resume":{"epoch":"a1","offset":131}}}"#);
}

#[test]
fn a_snapshot_replaces_nothing_until_it_is_whole() {
    let fresh = || {
        let mut client = live();
        client.closed(None, "");
        client.hello(None);
        let welcome = Welcome { recovered: false, epoch: Epoch::new("b2"), ..samples::welcome() };
        client.receive(&ServerFrame::Welcome { welcome }.encode());
        assert_eq!(client.receive(&part(1, vec![samples::head()])), Incoming::Nothing);
        assert_eq!(client.applied().map(|applied| applied.epoch.as_str()), Some("a1"));
        client
    };
    assert!(lost(&fresh().receive(&part(3, Vec::new()))), "part 2 is missing");
    assert!(lost(&fresh().receive(&done(9, 2))), "part 2 is missing");
    assert!(lost(&fresh().receive(&event(10))), "not done");
    let mut client = fresh();
    assert!(matches!(client.receive(&done(9, 1)), Incoming::Snapshot { at: 9, .. }));
    assert!(matches!(client.receive(&event(10)), Incoming::Apply(_)));
}

#[test]
fn a_recovery_of_something_else_is_not_believed() {
    let mut client = live();
    client.closed(None, "");
    client.hello(None);
    let welcome = Welcome { epoch: Epoch::new("b2"), ..samples::welcome() };
    assert!(lost(&client.receive(&ServerFrame::Welcome { welcome }.encode())));
    assert_eq!(client.hello(None), r#"{"hello":{}}"#, "a snapshot is asked for");
    assert!(lost(&client.receive("{")));
    assert!(lost(&FeedClient::new().receive(&event(1))));
}

#[test]
fn keyed_commands_are_repeated_and_the_others_reported() {
    let mut client = live();
    let send = Command::Send {
        enquiry: samples::ENQUIRY,
        key: samples::key("k-1"),
        content: samples::text("x"),
        reply_to: None,
    };
    let close = Command::Close { enquiry: samples::ENQUIRY, silent: false, reason: None };
    let submitted = client.submit(send.clone()).unwrap();
    client.submit(close.clone()).unwrap();
    client.closed(None, "");
    assert!(client.submit(close.clone()).is_err(), "away, and without a key");
    let later = client.submit(send).unwrap();
    assert_eq!(later.frame, None, "kept for later");
    client.hello(None);
    let welcome = ServerFrame::Welcome { welcome: samples::welcome() }.encode();
    let Incoming::Welcome { repeat, unanswered, .. } = client.receive(&welcome) else {
        panic!("no welcome")
    };
    assert_eq!(repeat.first(), submitted.frame.as_ref(), "under its old number");
    assert_eq!(repeat.len(), 2);
    assert_eq!(unanswered.iter().map(|left| &left.command).collect::<Vec<_>>(), [&close]);
    assert_eq!(client.pending(), 2);
    client.receive(&reply_ok(submitted.id, &()).unwrap());
    assert_eq!(client.receive(&reply_ok(submitted.id, &()).unwrap()), Incoming::Nothing);
    assert_eq!(client.pending(), 1);
}

#[test]
fn close_codes_say_what_to_do_next() {
    let next = |code: Close, reason: &str| live().closed(Some(code.number()), reason);
    assert_eq!(next(Close::Behind, ""), Next::ReconnectNow);
    let hinted = Close::Restarting.reason(Some(7));
    assert_eq!(next(Close::Restarting, &hinted), Next::ReconnectLater(Duration::from_secs(7)));
    assert_eq!(next(Close::Crowded, ""), Next::ReconnectLater(Duration::from_secs(1)));
    assert_eq!(next(Close::Expired, ""), Next::SignIn);
    assert_eq!(next(Close::Flooding, ""), Next::GiveUp);
    assert_eq!(live().closed(Some(4399), ""), Next::GiveUp, "of a later version");
}

#[test]
fn a_bye_stands_in_for_a_close_frame_that_never_came() {
    let mut client = live();
    client.receive(&ServerFrame::Bye { bye: Close::Unavailable.bye(Some(9)) }.encode());
    assert_eq!(client.closed(None, ""), Next::ReconnectLater(Duration::from_secs(9)));
}

#[test]
fn who_cannot_get_through_comes_back_ever_more_seldom() {
    let mut client = live();
    let mut waits = Vec::new();
    for _ in 0..8 {
        match client.closed(Some(1006), "") {
            Next::ReconnectNow => waits.push(0),
            Next::ReconnectLater(wait) => waits.push(wait.as_secs()),
            Next::SignIn | Next::GiveUp => panic!("a lost connection"),
        }
        client.hello(None);
    }
    assert_eq!(waits, [0, 2, 4, 8, 16, 30, 30, 30]);
}

#[test]
fn a_part_is_never_larger_than_it_may_be() {
    let head = Head { first_message: Some("x".repeat(30_000)), ..samples::head() };
    let frames = snapshot([head.text(), head.text()], 1, usize::MAX);
    assert_eq!(frames.len(), 3);
    assert!(frames.iter().all(|frame| frame.len() <= PART_BYTES_MAX));
}
