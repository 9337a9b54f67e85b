//! Receipts that come before their message is known wait for it, ten minutes, restarts included.

use std::time::Duration;

use serde_json::json;
use usher_domain::message::{Content, Delivery};
use usher_store::AsideKind;

use super::{Break, Shop, VISITOR, enquiry_of};
use crate::clock::Clock;
use crate::inbound::{Inbound, InboundBody, InboundReceipt, Sender};
use crate::outgoing::{ProviderCall, SendOutcome};

/// Without our callback data.
fn receipt(provider_id: &str, delivery: Delivery) -> Inbound {
    let receipt = InboundReceipt {
        provider_id: provider_id.into(),
        delivery,
        participant: None,
        provider_at: None,
        code: None,
        title: None,
        about: None,
    };
    Inbound { body: InboundBody::Receipt(receipt), raw: Some("{}".into()) }
}

fn held(shop: &Shop) -> usize {
    shop.reader().held_receipts(shop.service()).unwrap().len()
}

fn given_up(shop: &Shop) -> usize {
    let kind = AsideKind::UnmatchedReceipt;
    shop.reader().aside(shop.service(), kind, None, 10).unwrap().len()
}

async fn level(shop: &Shop) {
    shop.engine.archive_is_level(shop.service()).await.unwrap();
}

#[actix::test]
async fn receipts_that_come_before_the_answer_are_matched_by_it() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.sent_by_now().await;
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let send = json!({ "send": {
        "enquiry": enquiry, "key": "k1", "content": { "kind": "text", "body": "Yes." } } });
    shop.does("Anna", send).await.unwrap();
    let Some(ProviderCall::Send(reply)) = shop.provider.recv().await else { panic!("no send") };
    let both = vec![receipt("wamid.OUT", Delivery::Sent), receipt("wamid.OUT", Delivery::Read)];
    shop.deliver(both).await.unwrap();
    level(&shop).await;
    assert_eq!((held(&shop), given_up(&shop)), (2, 0));
    let accepted =
        SendOutcome::Accepted { provider_id: "wamid.OUT".into(), wa_id: None, user_id: None };
    shop.engine.outcome(reply.service, reply.channel, reply.message, accepted);
    while anna.event("message.status").await["delivery"] != "read" {}
    level(&shop).await;
    let row = shop.reader().message(shop.service(), reply.message).unwrap().unwrap();
    assert_eq!(row.delivery, Some(Delivery::Read));
    assert_eq!((held(&shop), given_up(&shop)), (0, 0));
}

#[actix::test]
async fn a_message_that_becomes_known_later_gets_its_receipt_after_a_restart() {
    tokio::time::pause();
    let shop = Shop::open().await;
    shop.deliver(vec![receipt("wamid.phone", Delivery::Delivered)]).await.unwrap();
    shop.breaks(Break::Router).await;
    shop.until_ready().await;
    let echo = InboundBody::Echo {
        to: Sender { wa_id: Some(VISITOR.into()), ..Sender::default() },
        provider_id: "wamid.phone".into(),
        provider_at: Clock::system().now(),
        content: Content::Text { body: "From our phone".into() },
    };
    shop.deliver(vec![Inbound { body: echo, raw: None }]).await.unwrap();
    tokio::time::sleep(Duration::from_mins(9)).await;
    level(&shop).await;
    let found = shop.reader().message_by_provider_id(shop.service(), "wamid.phone").unwrap();
    assert_eq!(found.unwrap().delivery, Some(Delivery::Delivered));
    assert_eq!(given_up(&shop), 0);
}

#[actix::test]
async fn after_ten_minutes_it_is_kept_as_unmatched_however_often_usher_was_restarted() {
    tokio::time::pause();
    let shop = Shop::open().await;
    shop.deliver(vec![receipt("wamid.nobody", Delivery::Read)]).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_mins(3)).await;
        shop.breaks(Break::Channel(shop.channel())).await;
        shop.until_ready().await;
    }
    level(&shop).await;
    assert_eq!((held(&shop), given_up(&shop)), (1, 0), "nine minutes are not ten");
    tokio::time::sleep(Duration::from_secs(90)).await;
    level(&shop).await;
    assert_eq!((held(&shop), given_up(&shop)), (0, 1));
}
