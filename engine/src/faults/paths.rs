//! The rarer ways of an update: changed numbers, merged and blocked visitors, opt-outs, edits,
//! receipts that come first, messages that come late.

use std::time::Duration;

use serde_json::json;
use usher_domain::ids::EnquiryId;
use usher_domain::message::{Content, Delivery};
use usher_domain::time::Timestamp;

use super::{Screen, Shop, VISITOR, enquiry_of, from, message, stores};
use crate::inbound::{About, Inbound, InboundBody, InboundReceipt, Sender};
use crate::outgoing::{Disposition, ProviderCall, SendOutcome};

fn vera() -> Sender {
    Sender { wa_id: Some(VISITOR.into()), name: Some("Vera".into()), ..Sender::default() }
}

fn update(body: InboundBody) -> Inbound {
    Inbound { body, raw: Some("{}".into()) }
}

/// Anna has an enquiry of the visitor's.
async fn served(shop: &Shop) -> (Screen, EnquiryId) {
    served_since(shop, None).await
}

async fn served_since(shop: &Shop, provider_at: Option<Timestamp>) -> (Screen, EnquiryId) {
    let mut anna = shop.connect("Anna", 1).await;
    let mut first = message("wamid.1", "Hello?");
    if let InboundBody::Message(message) = &mut first.body {
        message.provider_at = provider_at;
    }
    shop.deliver(vec![first]).await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    anna.event("enquiry.picked_up").await;
    (anna, enquiry)
}

fn says(enquiry: EnquiryId, key: &str, body: &str) -> serde_json::Value {
    json!({ "send": { "enquiry": enquiry, "key": key, "content": { "kind": "text", "body": body } } })
}

#[actix::test]
async fn a_changed_number_keeps_the_enquiry_and_not_the_window() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let (mut anna, enquiry) = served(&shop).await;
    let changed = InboundBody::NumberChanged {
        sender: vera(),
        provider_id: "wamid.change".into(),
        new_wa_id: "4915199999999".into(),
        text: "Vera changed her number.".into(),
    };
    shop.deliver(vec![update(changed.clone())]).await.unwrap();
    shop.deliver(vec![update(changed)]).await.unwrap();
    anna.event("window.closed").await;
    let refused = shop.does("Anna", says(enquiry, "k1", "Hi")).await;
    assert_eq!(refused, Err("window_lapsed".into()));
    // Only what is written after the change opens it again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.deliver(vec![from("4915199999999", "wamid.2", "It's me")]).await.unwrap();
    anna.event("message.received").await;
    assert_eq!(shop.enquiries().await.len(), 1);
    shop.does("Anna", says(enquiry, "k2", "Hi")).await.unwrap();
}

#[actix::test]
async fn two_visitors_who_turn_out_to_be_one_have_one_enquiry() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    let (_anna, enquiry) = served(&shop).await;
    let by_user_id = Sender { user_id: Some("DE.1".into()), ..Sender::default() };
    let mut other = message("wamid.2", "Me too");
    if let InboundBody::Message(message) = &mut other.body {
        message.sender = by_user_id;
    }
    shop.deliver(vec![other]).await.unwrap();
    assert_eq!(shop.enquiries().await.len(), 2);
    let before = shop.sent_by_now().await;
    let mut both = message("wamid.3", "It was me all the time");
    if let InboundBody::Message(message) = &mut both.body {
        message.sender = Sender { user_id: Some("DE.1".into()), ..vera() };
    }
    shop.deliver(vec![both]).await.unwrap();
    let after = shop.sent_by_now().await;
    let enquiries = shop.enquiries().await;
    let live: Vec<_> = enquiries.iter().filter(|row| row.state != "closed").collect();
    assert_eq!(live.len(), 1, "{before:?} {after:?}");
    assert_eq!(live[0].enquiry, enquiry, "the owned one goes on");
    assert!(after.iter().all(|text| !text.contains("closed")), "the other closes silently");
    let heard = shop.heard_in(enquiry);
    assert!(heard.iter().any(|row| row.provider_id.as_deref() == Some("wamid.3")));
    shop.write("wamid.4", "And this").await.unwrap();
    shop.enquiries().await;
    assert_eq!(shop.heard_in(enquiry).len(), 3, "what follows joins it");
}

#[actix::test]
async fn a_blocked_visitor_is_closed_silently_and_never_answered_again() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    let (mut anna, _) = served(&shop).await;
    let visitor = shop.enquiries().await[0].visitor;
    let block = json!({ "block": { "visitor": visitor } });
    assert!(shop.does("Anna", block.clone()).await.is_err(), "an agent may not");
    shop.sent_by_now().await;
    shop.does("Sam", block).await.unwrap();
    assert_eq!(anna.event("enquiry.closed").await["closer"]["by"], "blocked");
    shop.write("wamid.2", "Hey!").await.unwrap();
    let enquiries = shop.enquiries().await;
    assert_eq!(enquiries.len(), 2);
    assert!(enquiries.iter().all(|row| row.state == "closed"));
    assert_eq!(shop.sent_by_now().await, Vec::<String>::new());
}

#[actix::test]
async fn a_bare_opt_out_opens_nothing_and_is_remembered() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    shop.write("wamid.1", " stop ").await.unwrap();
    assert!(shop.enquiries().await.is_empty());
    assert_eq!(shop.sent_by_now().await, Vec::<String>::new());
    let known = shop.reader().visitor_by_wa_id(shop.service(), VISITOR).unwrap().unwrap();
    assert!(known.opted_out);
}

#[actix::test]
async fn the_provider_says_that_a_visitor_has_opted_out() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    shop.write("wamid.1", "Hello").await.unwrap();
    let Some(ProviderCall::Send(outgoing)) = shop.provider.recv().await else { panic!("no send") };
    let refused = SendOutcome::Refused {
        code: 131_050,
        title: "User has stopped marketing".into(),
        then: Disposition::Final { window_lapsed: false, opted_out: true },
    };
    shop.engine.outcome(outgoing.service, outgoing.channel, outgoing.message, refused);
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.enquiries().await;
    let known = shop.reader().visitor_by_wa_id(shop.service(), VISITOR).unwrap().unwrap();
    assert!(known.opted_out);
    let row = shop.reader().message(shop.service(), outgoing.message).unwrap().unwrap();
    assert_eq!(row.title.as_deref(), Some("User has stopped marketing"), "the room says why");
}

#[actix::test]
async fn what_a_visitor_does_to_a_message_is_told_to_its_room_alone() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut ben = shop.connect("Ben", 9).await;
    let (mut anna, enquiry) = served(&shop).await;
    let (sender, of) = (vera(), "wamid.1".to_owned());
    let id = |id: &str| id.to_owned();
    let edit = InboundBody::Edit {
        sender: sender.clone(),
        provider_id: id("wamid.e"),
        of: of.clone(),
        content: Content::Text { body: "Hello!".into() },
    };
    let react = InboundBody::Reaction {
        sender: sender.clone(),
        provider_id: id("wamid.r"),
        on: of.clone(),
        emoji: Some("👍".into()),
    };
    let echo = InboundBody::Echo {
        to: sender.clone(),
        provider_id: id("wamid.echo"),
        provider_at: crate::clock::Clock::system().now(),
        content: Content::Text { body: "From our phone".into() },
    };
    let revoke = InboundBody::Revoke { sender, provider_id: id("wamid.d"), of };
    shop.deliver(vec![update(edit)]).await.unwrap();
    assert_eq!(anna.event("message.edited").await["content"]["body"], "Hello!");
    shop.deliver(vec![update(react)]).await.unwrap();
    assert_eq!(anna.event("message.reaction").await["emoji"], "👍");
    shop.deliver(vec![update(echo)]).await.unwrap();
    assert_eq!(anna.event("message.received").await["message"]["direction"], "out");
    shop.deliver(vec![update(revoke)]).await.unwrap();
    anna.event("message.revoked").await;
    assert_eq!(shop.enquiries().await.len(), 1);
    shop.does("Anna", json!({ "close": { "enquiry": enquiry } })).await.unwrap();
    let told = ben.told_by_now().await;
    assert!(told.iter().any(|name| name == "enquiry.offered"));
    assert!(told.iter().all(|name| name.starts_with("enquiry.")), "{told:?}");
}

#[actix::test]
async fn a_receipt_may_come_before_the_answer_to_the_request() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    let (mut anna, enquiry) = served(&shop).await;
    shop.sent_by_now().await;
    shop.does("Anna", says(enquiry, "k1", "One")).await.unwrap();
    shop.does("Anna", says(enquiry, "k2", "Two")).await.unwrap();
    let Some(ProviderCall::Send(first)) = shop.provider.recv().await else { panic!("no send") };
    let receipt = InboundReceipt {
        provider_id: "wamid.OUT".into(),
        delivery: Delivery::Delivered,
        participant: None,
        provider_at: None,
        code: None,
        title: None,
        about: Some(About { message: first.message, enquiry: Some(enquiry) }),
    };
    shop.deliver(vec![update(InboundBody::Receipt(receipt))]).await.unwrap();
    shop.engine.outcome(
        first.service,
        first.channel,
        first.message,
        SendOutcome::Accepted { provider_id: "wamid.OUT".into(), wa_id: None, user_id: None },
    );
    let second = shop.sends().await;
    assert!(second.ends_with("Two"), "{second}");
    shop.enquiries().await;
    let row = shop.reader().message(shop.service(), first.message).unwrap().unwrap();
    assert_eq!(row.delivery, Some(Delivery::Delivered));
    while anna.event("message.status").await["message"] != json!(first.message) {}
}

#[actix::test]
async fn a_message_from_before_the_last_closing_goes_to_the_last_owner_without_welcome() {
    tokio::time::pause();
    let mut settings = Shop::settings();
    for channel in settings.channels.values_mut() {
        channel.welcome.repeat = usher_domain::settings::WelcomeRepeat::After(Duration::ZERO);
    }
    let store = stores::fresh();
    let mut shop = Shop::set(store, 1_000, settings).await;
    let _ben = shop.connect("Ben", 9).await;
    let (mut anna, enquiry) = served(&shop).await;
    let before = crate::clock::Clock::system().now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    shop.does("Anna", says(enquiry, "k1", "Bye")).await.unwrap();
    shop.does("Anna", json!({ "close": { "enquiry": enquiry } })).await.unwrap();
    shop.sent_by_now().await;
    let mut late = message("wamid.late", "Was on the train");
    if let InboundBody::Message(message) = &mut late.body {
        message.provider_at = Some(before);
    }
    shop.deliver(vec![late]).await.unwrap();
    loop {
        let offered = anna.event("enquiry.offered").await;
        if enquiry_of(&offered) != enquiry {
            assert_eq!(offered["sort"]["offer"], "direct", "{offered}");
            break;
        }
    }
    assert_eq!(shop.sent_by_now().await, Vec::<String>::new(), "no welcome");
}

#[actix::test]
async fn a_key_stands_for_one_message_only() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let (_anna, enquiry) = served(&shop).await;
    let first = shop.does("Anna", says(enquiry, "k1", "One")).await.unwrap();
    assert_eq!(shop.does("Anna", says(enquiry, "k1", "One")).await.unwrap(), first);
    assert_eq!(shop.does("Anna", says(enquiry, "k1", "Two")).await, Err("key_reused".into()));
    // The archive remembers what the enquiry's actor has forgotten.
    shop.breaks(super::Break::Router).await;
    shop.until_ready().await;
    assert_eq!(shop.does("Anna", says(enquiry, "k1", "One")).await.unwrap(), first);
    assert_eq!(shop.does("Anna", says(enquiry, "k1", "Two")).await, Err("key_reused".into()));
}

#[actix::test]
async fn outside_the_window_only_the_restart_templates_go() {
    tokio::time::pause();
    let mut settings = Shop::settings();
    for channel in settings.channels.values_mut() {
        channel.restart_templates = vec!["still_there".into()];
        channel.auto_close = None;
    }
    let store = stores::fresh();
    let shop = Shop::set(store, 1_000, settings).await;
    let now = crate::clock::Clock::system().now();
    let nearly_a_day_ago = Timestamp::from_millis(now.millis() - (24 * 60 - 5) * 60_000);
    let (_anna, enquiry) = served_since(&shop, Some(nearly_a_day_ago)).await;
    let until = now + Duration::from_hours(1);
    let until = serde_json::to_value(usher_protocol::Time::from(until)).unwrap();
    shop.does("Anna", json!({ "hold": { "enquiry": enquiry, "until": until } })).await.unwrap();
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(shop.does("Anna", says(enquiry, "k0", "Hi")).await, Err("window_lapsed".into()));
    let template = |name: &str, key: &str| {
        json!({ "send": { "enquiry": enquiry, "key": key, "content": {
            "kind": "template", "name": name, "language": "en", "body": [] } } })
    };
    assert_eq!(shop.does("Anna", template("sale", "k1")).await, Err("window_lapsed".into()));
    shop.does("Anna", template("still_there", "k2")).await.unwrap();
}

#[actix::test]
async fn a_text_too_large_for_a_frame_is_shown_by_its_beginning() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let (mut anna, enquiry) = served(&shop).await;
    shop.write("wamid.2", &"x".repeat(200_000)).await.unwrap();
    let told = anna.event("message.received").await;
    assert!(told.to_string().len() < 60_000);
    shop.enquiries().await;
    let kept = shop.heard_in(enquiry).pop().unwrap();
    assert_eq!(kept.content, Content::Text { body: "x".repeat(200_000) }, "kept whole");
}
