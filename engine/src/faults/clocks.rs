//! The wall clock is set: no deadline moves, and rules, windows and stamps follow.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use usher_domain::time::Timestamp;
use usher_domain::trace::Step;
use usher_domain::wall::Ahead;

use super::{Break, Shop, enquiry_of, from, message, set_the_wall};
use crate::clock::Clock;
use crate::handle::Explain;
use crate::inbound::InboundBody;

const HOUR: i64 = 3_600_000;
/// The wall clock is looked at once a second.
const LOOKED_AT: Duration = Duration::from_secs(2);

#[actix::test]
async fn a_step_moves_no_deadline_and_every_stamp() {
    tokio::time::pause();
    for step in [HOUR, -HOUR] {
        set_the_wall(0);
        let mut shop = Shop::open().await;
        let mut anna = shop.connect("Anna", 1).await;
        shop.write("wamid.1", "Hello?").await.unwrap();
        let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
        shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
        shop.write("wamid.2", "Anybody?").await.unwrap();
        let began = Instant::now();
        set_the_wall(step);
        while !shop.sends().await.contains("closes in 1 min") {}
        let silence = began.elapsed().as_secs();
        assert!((119..125).contains(&silence), "{silence} s of silence, step {step}");
        anna.event("enquiry.closed").await;
        let open = began.elapsed().as_secs();
        assert!((179..190).contains(&open), "{open} s open, step {step}");
        let row = shop.enquiries().await[0].clone();
        let expected = Ahead::from_millis(step).wall(row.opened_at);
        let closed = row.closed_at.unwrap();
        let off = closed.since(expected).max(expected.since(closed));
        assert!(off < Duration::from_mins(10), "{off:?} off, step {step}");
    }
    set_the_wall(0);
}

#[actix::test]
async fn the_window_lapses_by_the_wall_clock() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    let mut first = message("wamid.1", "Hello?");
    if let InboundBody::Message(message) = &mut first.body {
        message.provider_at = Some(Clock::system().now() - Duration::from_hours(23));
    }
    shop.deliver(vec![first]).await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let says = |key: &str| json!({ "send": { "enquiry": enquiry, "key": key, "content": { "kind": "text", "body": "Hi" } } });
    shop.does("Anna", says("k1")).await.unwrap();
    set_the_wall(HOUR);
    let began = Instant::now();
    anna.event("window.closed").await;
    assert!(began.elapsed() < 5 * LOOKED_AT, "and everybody is told at once");
    assert_eq!(shop.does("Anna", says("k2")).await, Err("window_lapsed".into()));
    set_the_wall(0);
}

#[actix::test]
async fn time_rules_follow_the_wall_clock_and_so_does_what_is_kept() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let channel =
        shop.settings.channels.values().find(|channel| channel.name == "Sales").unwrap().id;
    let by_time = |steps: &[Step]| {
        steps.iter().find_map(|step| match step {
            Step::Time { matched, .. } => Some(matched.clone()),
            _ => None,
        })
    };
    let now = Clock::system().now();
    let explain = async |at: Timestamp| {
        let wanted = Explain { channel, visitor: None, at: Some(at), everyone: false };
        by_time(&shop.engine.explain(shop.service(), wanted).await.unwrap().steps)
    };
    let today = explain(now).await.expect("a time rule");
    let hour = Duration::from_hours(1);
    let mut ahead = hour;
    while explain(now + ahead).await.as_ref() == Some(&today) {
        ahead += hour;
    }
    // Well into the next branch.
    ahead += Duration::from_mins(1);
    let other = explain(now + ahead).await;
    set_the_wall(i64::try_from(ahead.as_millis()).unwrap());
    tokio::time::sleep(LOOKED_AT).await;
    let update = from("4915100000001", "wamid.1", "Hello?");
    shop.engine.receive(shop.service(), channel, vec![update]).await.unwrap();
    let row = shop.enquiries().await[0].clone();
    let decided = shop.reader().decisions(shop.service(), row.enquiry).unwrap();
    let steps: Vec<Step> = decided.iter().flat_map(|row| row.steps.clone()).collect();
    assert_eq!(by_time(&steps), other);
    // What is kept stands on the wall: a rebuilt service goes on from there.
    let kept = |shop: &Shop| shop.reader().enquiry(shop.service(), row.enquiry).unwrap().unwrap();
    assert!(row.opened_at.since(now) + hour > ahead, "{:?}", row.opened_at);
    shop.breaks(Break::Router).await;
    shop.until_ready().await;
    shop.write("wamid.2", "Anybody?").await.unwrap();
    let after = shop.enquiries().await[0].clone();
    let passed = after.opened_at.since(row.opened_at);
    assert!(passed < hour, "the clocks agree again: {passed:?}");
    assert_eq!(kept(&shop).opened_at, row.opened_at);
    set_the_wall(0);
}
