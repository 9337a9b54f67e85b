//! The main job on real input: from a visitor's first message to the same person a second time.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use usher_domain::floor::event::{Closer, OfferSort};
use usher_domain::ids::{EnquiryId, MessageId};
use usher_domain::message::{AutoMessage, Content, Delivery, MediaKind};
use usher_domain::template::Template;
use usher_domain::trace::BindingKind;
use usher_engine::Clock;
use usher_protocol::command::{Command, Outgoing};
use usher_protocol::event::{Entry, Event};

use crate::agent::{Agent, texts};
use crate::house::House;
use crate::phone::Phone;
use crate::shop::Shop;

const ADA: &str = "4915112345678";
const USER_ID: &str = "DE.13491208655302741918";
/// A picture of one pixel.
const PICTURE: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, 0x00, 0x00, 0x00, 0x1f, 0x15, 0xc4,
    0x89, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x64, 0xf8, 0xcf, 0x50,
    0x0f, 0x00, 0x03, 0x06, 0x01, 0x80, 0x5a, 0x34, 0x7d, 0x6b, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45,
    0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// A webhook as the Cloud API writes it and 360dialog passes it on.
fn recorded(house: &House, wamid: &str, text: &str) -> String {
    let seconds = Clock::system().now().millis() / 1000;
    json!({"object": "whatsapp_business_account", "entry": [{"id": "2000000000001", "changes": [{
        "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": {
                "display_phone_number": "15550100",
                "phone_number_id": house.shop.phone_number_id(),
            },
            "contacts": [{
                "profile": {"name": "Ada L.", "username": "ada.l"},
                "wa_id": ADA, "user_id": USER_ID,
            }],
            "messages": [{
                "from": ADA, "from_user_id": USER_ID,
                "id": wamid, "timestamp": seconds.to_string(), "type": "text", "text": {"body": text},
                "referral": {"source_url": "https://fb.me/3cr4Wqqkv", "source_id": "120226305854810726",
                    "source_type": "ad", "headline": "Chat with us", "body": "Summer sale"},
            }],
        },
    }]}]})
    .to_string()
}

fn message_id(ok: &Value) -> MessageId {
    ok["message"].as_str().unwrap().parse().unwrap()
}

async fn delivered(agent: &mut Agent, message: MessageId, wanted: Delivery) {
    agent
        .until(&format!("{wanted:?}"), |event| match event {
            Event::Status { message: of, delivery, .. } if *of == message => {
                (*delivery == wanted).then_some(())
            }
            _ => None,
        })
        .await;
}

/// What was told of a message's way only ever went forward.
fn assert_monotone(agent: &Agent, message: MessageId) {
    let told: Vec<Delivery> = agent
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Status { message: of, delivery, .. } if *of == message => Some(*delivery),
            _ => None,
        })
        .collect();
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
}

/// Text, media and their receipts, these delivered twice and out of order.
async fn text_and_picture(house: &House, anna: &mut Agent, ada: &mut Phone, enquiry: EnquiryId) {
    let faults = json!({"shuffle_webhooks": true, "duplicate_statuses": true});
    house.sandbox_post("faults", &faults).await;
    let text = message_id(&anna.says(enquiry, "Until six.").await.unwrap());
    ada.gets_text("*anna*\nUntil six.").await;
    delivered(anna, text, Delivery::Read).await;
    let uploaded = house
        .http
        .post(house.url("/v1/media?filename=plan.png"))
        .bearer_auth(&anna.token)
        .header(CONTENT_TYPE, "image/png")
        .body(PICTURE)
        .send()
        .await
        .unwrap();
    assert_eq!(uploaded.status(), 201);
    let file = uploaded.json::<Value>().await.unwrap()["id"].as_str().unwrap().parse().unwrap();
    let caption = Some("the plan".to_owned());
    let media = Outgoing::Media { file, sort: MediaKind::Image, caption, filename: None };
    let media = message_id(&anna.sends(enquiry, media).await.unwrap());
    ada.gets("picture", |entry| entry["type"] == "image").await;
    delivered(anna, media, Delivery::Read).await;
    assert_monotone(anna, text);
    assert_monotone(anna, media);
    house
        .http
        .delete(format!("{}/sandbox/api/faults", house.sandbox.base_url()))
        .send()
        .await
        .unwrap();
}

/// The next message opens a new enquiry, offered to nobody but who served the last.
async fn again_the_same_person(anna: &mut Agent, ada: &mut Phone, first: EnquiryId) {
    // The provider counts in seconds: in the second of the closing it would be one from before.
    let later = Clock::system().now().millis() / 1_000 + 1;
    let again = json!({"type": "text", "text": "One more thing", "timestamp": later.to_string()});
    ada.sends(again).await;
    let (again, sort) = anna
        .until("second offer", |event| match event {
            Event::Offered { enquiry, sort, .. } => Some((enquiry.id, *sort)),
            _ => None,
        })
        .await;
    assert_ne!(again, first);
    assert_eq!(sort, OfferSort::Direct { binding: BindingKind::Sticky });
    anna.order(Command::PickUp { enquiry: again }).await.unwrap();
    anna.says(again, "Yes?").await.unwrap();
    ada.gets_text("*anna*\nYes?").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_reaches_the_right_person_and_the_answer_gets_back() {
    let mut shop = Shop::new("corner", &["anna", "ben"]);
    shop.auto_close = Some((4, 2));
    let house = House::open(shop).await;
    let mut anna = Agent::arrives(&house, "anna").await;
    let mut ben = Agent::arrives(&house, "ben").await;
    let mut ada = Phone::new(&house, ADA);

    // In, welcomed, offered to both, picked up by one.
    ada.sends(json!({"type": "text", "text": "Is it open?", "user_id": USER_ID})).await;
    ada.gets_text("Welcome to corner!").await;
    let enquiry = anna.picks_up().await;
    let withdrawn = |event: &Event| matches!(event, Event::Withdrawn { .. }).then_some(());
    ben.until("withdrawal", withdrawn).await;

    // A recorded webhook joins the same enquiry; posted again it is nothing new.
    for _ in 0..2 {
        let body = recorded(&house, "wamid.recorded-1", "I saw your ad");
        assert_eq!(house.post_webhook(body).await.unwrap(), 200);
    }
    anna.until("recorded message", |event| match event {
        Event::Received { message } if message.enquiry == enquiry => match &message.content {
            Content::Text { body } if body == "I saw your ad" => message.referral.clone(),
            _ => None,
        },
        _ => None,
    })
    .await;

    text_and_picture(&house, &mut anna, &mut ada, enquiry).await;

    // Silence: notified, then closed, each told to both sides.
    ada.gets_text("Still there?").await;
    ada.gets_text("Goodbye from corner.").await;
    let closer = anna
        .until("closing", |event| match event {
            Event::Closed { enquiry: closed, closer, .. } if *closed == enquiry => Some(*closer),
            _ => None,
        })
        .await;
    assert_eq!(closer, Closer::AutoClose { unanswered: false });

    again_the_same_person(&mut anna, &mut ada, enquiry).await;

    // The first room holds all of it once, in order.
    let ada_id = house.sign_in("ada").await;
    let first: Value =
        house.get(&ada_id, &format!("/v1/enquiries/{enquiry}")).await.json().await.unwrap();
    assert_eq!(first["enquiry"]["state"], "closed", "{first}");
    let said = texts(&anna.room(enquiry).await);
    let said: Vec<(&str, &str)> =
        said.iter().map(|(by, text)| (by.as_str(), text.as_str())).collect();
    let auto = |message: AutoMessage| format!("{message:?}");
    assert_eq!(
        said,
        [
            ("visitor", "Is it open?"),
            (auto(AutoMessage::Welcome).as_str(), "Welcome to corner!"),
            ("visitor", "I saw your ad"),
            ("anna", "Until six."),
            (auto(AutoMessage::AutoCloseNotification).as_str(), "Still there?"),
            (auto(AutoMessage::Close).as_str(), "Goodbye from corner."),
        ]
    );
    let told = ben.events.iter().filter(|(_, event)| matches!(event, Event::Offered { .. }));
    assert_eq!(told.count(), 1, "the second enquiry was nobody else's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_are_synced_and_go_where_texts_cannot() {
    let house = House::open(Shop::new("tmpl", &["anna"])).await;
    let template = json!({
        "name": "hello_again", "language": "en", "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Hello {{1}}, are you still there?",
            "example": {"body_text": [["Ada"]]}}],
    });
    let provider = house.sandbox.base_url();
    let made = house
        .http
        .post(format!("{provider}/v1/configs/templates"))
        .header("D360-API-KEY", house.shop.api_key())
        .json(&template)
        .send()
        .await
        .unwrap();
    assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    house.sandbox_post("templates/hello_again", &json!({"status": "APPROVED"})).await;
    let administrator = house.sign_in("ada").await;
    let sync = format!("/v1/channels/{}/templates/sync", house.shop.channel());
    let synced = house.post(&administrator, &sync, &json!({})).await;
    assert_eq!(synced.status(), 200);

    let mut anna = Agent::arrives(&house, "anna").await;
    let mut ada = Phone::new(&house, ADA);
    ada.writes("Hello?").await;
    let enquiry = anna.picks_up().await;
    let template = Outgoing::Template(Template::plain("hello_again", "en", &["Ada"]));
    let sent = message_id(&anna.sends(enquiry, template).await.unwrap());
    ada.gets("template", |entry| entry["type"] == "template").await;
    delivered(&mut anna, sent, Delivery::Read).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_comes_in_and_only_the_entitled_may_see_it() {
    let house = House::open(Shop::new("media", &["anna", "ben"])).await;
    let mut anna = Agent::arrives(&house, "anna").await;
    let ada = Phone::new(&house, ADA);
    ada.sends(json!({"type": "image", "caption": "look"})).await;
    let enquiry = anna.picks_up().await;
    // The file is fetched beside everything else: the room shows when it is there.
    let file = crate::wait::until("file in the room", async || {
        let entries = anna.room(enquiry).await;
        let file = entries.iter().find_map(|entry| match entry {
            Entry::Message(message) => match &message.content {
                Content::Media(media) => media.file,
                _ => None,
            },
            _ => None,
        });
        file.ok_or("no file yet")
    })
    .await;
    let path = format!("/v1/media/{file}");
    let got = house.get(&anna.token, &path).await;
    assert_eq!(got.status(), 200);
    assert_eq!(got.headers()[CONTENT_TYPE], "image/png");
    assert!(got.bytes().await.unwrap().starts_with(b"\x89PNG"));
    let ben = house.sign_in("ben").await;
    let of_ben = house.get(&ben, &path).await;
    assert_eq!(of_ben.status(), 404, "as if it did not exist");
}
