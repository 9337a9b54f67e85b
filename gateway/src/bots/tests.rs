//! The door against real HTTP servers, with the engine behind it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use usher_config::{BotAccess, Config, LoadOptions, Service};
use usher_domain::ids::{BotId, EnquiryId};
use usher_domain::message::{Content, Counts};
use usher_domain::rule::{Branch, Destination, Leaf, Stop};
use usher_domain::settings::Bot as BotSettings;
use usher_engine::{
    BotCall, Engine, EngineOptions, Inbound, InboundBody, InboundMessage, Outgoing, ProviderCall,
    Sender,
};
use usher_store::Store;

use super::ask::Times;
use super::*;

const GREETER: BotId = BotId::from_number(7);
const KEY: &[u8] = b"thirty-two bytes of test secret.";

/// A question as it reached the bot's server.
#[derive(Debug)]
struct Asked {
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

/// What the bot's server answers, one after the other; then the last one again.
type Answers = Arc<Vec<(u16, &'static str, Duration)>>;

/// A bot's server, and what reaches it.
fn bot_server(answers: &[(u16, &'static str, Duration)]) -> (String, mpsc::Receiver<Asked>) {
    let (told, asked) = mpsc::channel(100);
    let answers: Answers = Arc::new(answers.to_vec());
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new((told.clone(), Arc::clone(&answers), Arc::clone(&count))))
            .default_service(web::post().to(answer))
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let port = server.addrs()[0].port();
    actix_web::rt::spawn(server.run());
    (format!("http://127.0.0.1:{port}/usher"), asked)
}

type Bench = (mpsc::Sender<Asked>, Answers, Arc<std::sync::atomic::AtomicUsize>);

async fn answer(bench: Data<Bench>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
    let (told, answers, count) = &**bench;
    assert_eq!(header("content-type"), "application/json");
    let asked = Asked {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body: body.to_vec(),
    };
    told.send(asked).await.unwrap();
    let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (status, body, after) = answers[n.min(answers.len() - 1)];
    tokio::time::sleep(after).await;
    let mut response = HttpResponse::build(StatusCode::from_u16(status).unwrap());
    if status == 302 {
        response.insert_header(("location", "/elsewhere"));
    }
    response.body(body)
}

/// HMAC-SHA256 from its definition (RFC 2104), so that nothing is checked against itself.
fn hmac_by_hand(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], message].concat());
    Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner].concat()).to_vec()
}

fn signature_by_hand(id: &str, timestamp: &str, body: &[u8]) -> String {
    let covered = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    format!("v1,{}", STANDARD.encode(hmac_by_hand(KEY, &covered)))
}

struct Shop {
    engine: Engine,
    door: Door,
    calls: mpsc::Receiver<ProviderCall>,
    service: Service,
}

impl Shop {
    /// The demo, its support channel served by a bot at `url`, then by people.
    async fn open(url: &str, allow_private: bool) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let options = LoadOptions {
            overrides: [("services.demo".to_owned(), "true".to_owned())].into(),
            ..LoadOptions::default()
        };
        let mut service = Config::load(&options).unwrap().services.remove(0);
        let secret = SecretString::from(format!("whsec_{}", STANDARD.encode(KEY)));
        service.bots.insert(GREETER, BotAccess { secret, allow_private });
        let settings = &mut service.settings;
        let bot = BotSettings {
            id: GREETER,
            name: "Greeter".to_owned(),
            url: url.to_owned(),
            hand_over_words: Vec::new(),
        };
        settings.bots.insert(GREETER, bot);
        let channel = settings.channels.values_mut().find(|one| one.name == "Support").unwrap();
        (channel.welcome.on, channel.away.text) = (false, "Nobody is here.".to_owned());
        let rule = settings.rules.get_mut(&channel.rule).unwrap();
        let group = settings.groups.values().find(|group| group.name == "Support").unwrap().id;
        let stops = [Destination::Bot(GREETER), Destination::Group(group)]
            .map(|to| Stop { to, pick_up: None });
        rule.branch = Branch::Leaf(Leaf { stops: stops.into(), priority: 5 });
        let (provider, calls) = mpsc::channel(100);
        let options = EngineOptions {
            services: vec![Arc::new(settings.clone())],
            credits_per_service: 64,
            arbiters: 0,
            messages_per_second: 80,
            sends_at_once: 32,
        };
        let engine = Engine::start(options, Store::memory().unwrap(), provider).await.unwrap();
        let mut door = Door::new(std::slice::from_ref(&service), engine.clone()).unwrap();
        door.times = Times {
            one_try: Duration::from_millis(500),
            all: Duration::from_secs(5),
            pause: Duration::from_millis(10),
        };
        Self { engine, door, calls, service }
    }

    async fn write(&self, text: &str) {
        let settings = &self.service.settings;
        let channel = settings.channels.values().find(|one| one.name == "Support").unwrap().id;
        let message = InboundMessage {
            sender: Sender {
                wa_id: Some("4915112345678".into()),
                name: Some("Vera".into()),
                ..Sender::default()
            },
            provider_id: format!("wamid.{text}"),
            provider_at: None,
            counts: Counts::Message,
            content: Content::Text { body: text.into() },
            reply_to: None,
            referral: None,
            forwarded: false,
        };
        let update = Inbound { body: InboundBody::Message(Box::new(message)), raw: None };
        self.engine.receive(settings.service, channel, vec![update]).await.unwrap();
    }

    async fn question(&mut self) -> Box<BotCall> {
        match self.calls.recv().await.unwrap() {
            ProviderCall::Bot(call) => call,
            other => panic!("not a question: {other:?}"),
        }
    }

    async fn sends(&mut self) -> Outgoing {
        let sent = tokio::time::timeout(Duration::from_secs(20), self.calls.recv());
        match sent.await.expect("nothing was sent").unwrap() {
            ProviderCall::Send(outgoing) => *outgoing,
            other => panic!("not a message: {other:?}"),
        }
    }

    async fn sends_text(&mut self) -> String {
        match self.sends().await.content {
            Content::Text { body } => body,
            other => panic!("not a text: {other:?}"),
        }
    }

    /// What the door makes of one answer.
    async fn outcome(url: &str, allow_private: bool) -> BotSaid {
        let mut shop = Self::open(url, allow_private).await;
        shop.write("Hello").await;
        let call = shop.question().await;
        shop.door.bots[&GREETER].ask(&call, shop.door.times).await
    }
}

const NOW: Duration = Duration::ZERO;
const HI: &str = r#"{"actions":[{"reply":{"text":"Hi Vera!"}}]}"#;

#[actix_web::test]
async fn a_question_leaves_signed_and_its_answer_reaches_the_visitor() {
    let (url, mut asked) = bot_server(&[(200, HI, NOW)]);
    let mut shop = Shop::open(&url, true).await;
    shop.write("Hello").await;
    let call = shop.question().await;
    let enquiry = call.enquiry;
    shop.door.spawn(call);
    let Asked { id, timestamp, signature, body } = asked.recv().await.unwrap();
    assert_eq!(signature, signature_by_hand(&id, &timestamp, &body));
    assert!(id.starts_with("bcl_"), "{id}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["type"], "bot.message");
    let data = &body["data"];
    assert_eq!(data["bot"], json!(GREETER));
    assert_eq!(data["enquiry"]["id"], json!(enquiry));
    assert_eq!(data["enquiry"]["channel"]["name"], "Support");
    assert_eq!(data["visitor"]["name"], "Vera");
    assert_eq!(data["visitor"]["country"], "DE");
    assert_eq!(data["message"]["content"], json!({ "kind": "text", "body": "Hello" }));
    assert_eq!((&data["message"]["by"], &data["last"][0]), (&json!("visitor"), &data["message"]));
    assert_eq!(shop.sends_text().await, "Hi Vera!");
}

#[actix_web::test]
async fn a_stumble_is_tried_again_under_the_same_id() {
    let late = Duration::from_secs(2);
    let (url, mut asked) = bot_server(&[(503, "", NOW), (200, HI, late), (200, HI, NOW)]);
    let mut shop = Shop::open(&url, true).await;
    shop.write("Hello").await;
    let call = shop.question().await;
    shop.door.spawn(call);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let tried = asked.recv().await.unwrap();
        assert_eq!(
            tried.signature,
            signature_by_hand(&tried.id, &tried.timestamp, &tried.body),
            "each try is signed"
        );
        ids.push(tried.id);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(shop.sends_text().await, "Hi Vera!");
}

#[actix_web::test]
async fn a_bot_that_does_not_answer_loses_the_enquiry() {
    let (url, mut asked) = bot_server(&[(500, "", NOW)]);
    let mut shop = Shop::open(&url, true).await;
    shop.write("Hello").await;
    let call = shop.question().await;
    shop.door.spawn(call);
    // Nobody is there either.
    assert_eq!(shop.sends_text().await, "Nobody is here.");
    asked.close();
    let mut tries = 0;
    while asked.recv().await.is_some() {
        tries += 1;
    }
    assert_eq!(tries, 3);
}

#[actix_web::test]
async fn what_cannot_get_better_is_tried_once() {
    let large: &'static str = Box::leak(" ".repeat(BODY_MAX + 1).into_boxed_str());
    for (status, body) in [(200, "OK"), (200, large), (404, ""), (410, HI), (302, HI)] {
        let (url, mut asked) = bot_server(&[(status, body, NOW)]);
        assert_eq!(Shop::outcome(&url, true).await, BotSaid::Failed, "{status}");
        asked.close();
        assert!(asked.recv().await.is_some());
        assert!(asked.recv().await.is_none(), "{status}: not again, and no redirect followed");
    }
}

#[actix_web::test]
async fn private_addresses_are_refused_unless_allowed() {
    let (url, mut asked) = bot_server(&[(200, HI, NOW)]);
    let by_name = url.replace("127.0.0.1", "localhost");
    for refused in [&url, &by_name, &url.replace("127.0.0.1", "[::ffff:127.0.0.1]")] {
        assert_eq!(Shop::outcome(refused, false).await, BotSaid::Failed, "{refused}");
        assert!(asked.try_recv().is_err(), "{refused}: nothing was connected to");
    }
    for allowed in [&url, &by_name] {
        assert!(matches!(Shop::outcome(allowed, true).await, BotSaid::Actions(_)), "{allowed}");
        asked.recv().await.unwrap();
    }
}

/// What a bot says by itself, and how it signs.
async fn posts(
    door: &Door,
    enquiry: EnquiryId,
    (id, timestamp, signature): (&str, &str, &str),
    body: &str,
) -> (u16, Value) {
    let app = App::new()
        .app_data(Data::new(door.clone()))
        .route("/{enquiry}/bot", web::post().to(crate::http::bot_said));
    let app = actix_web::test::init_service(app).await;
    let request = actix_web::test::TestRequest::post()
        .uri(&format!("/{enquiry}/bot"))
        .insert_header(("usher-bot", GREETER.to_string()))
        .insert_header(("webhook-id", id))
        .insert_header(("webhook-timestamp", timestamp))
        .insert_header(("webhook-signature", signature))
        .set_payload(body.to_owned())
        .to_request();
    let response = actix_web::test::call_service(&app, request).await;
    let status = response.status().as_u16();
    let body = actix_web::test::read_body(response).await;
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[actix_web::test]
async fn a_bot_speaks_by_itself_once_and_only_with_its_signature() {
    let (url, _asked) = bot_server(&[(200, "", NOW)]);
    let mut shop = Shop::open(&url, true).await;
    shop.write("Hello").await;
    let call = shop.question().await;
    let enquiry = call.enquiry;
    shop.door.spawn(call);
    let now = unix_seconds(Clock::system()).to_string();
    let right = signature_by_hand("k1", &now, HI.as_bytes());
    let (status, first) = posts(&shop.door, enquiry, ("k1", &now, &right), HI).await;
    assert_eq!((status, first["messages"].as_array().unwrap().len()), (200, 1));
    let again = posts(&shop.door, enquiry, ("k1", &now, &right), HI).await;
    assert_eq!(again, (200, first), "a repeat says nothing new");
    assert_eq!(shop.sends_text().await, "Hi Vera!");
    assert!(shop.calls.try_recv().is_err());

    for (id, at, signature) in [
        ("k2", now.as_str(), right.as_str()),
        ("k1", "1600000000", &signature_by_hand("k1", "1600000000", HI.as_bytes())),
        ("k1", &now, ""),
    ] {
        let (status, body) = posts(&shop.door, enquiry, (id, at, signature), HI).await;
        assert_eq!((status, &body["code"]), (401, &json!("unauthorized")), "{id} {at}");
    }
    let bad = r#"{"actions":[{"shout":{}}]}"#;
    let signed = signature_by_hand("k3", &now, bad.as_bytes());
    let (status, body) = posts(&shop.door, enquiry, ("k3", &now, &signed), bad).await;
    assert_eq!((status, &body["code"]), (400, &json!("malformed")), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("shout"), "{body}");
    let end = r#"{"actions":[{"hand_over":{}}]}"#;
    let signed = signature_by_hand("k4", &now, end.as_bytes());
    assert_eq!(posts(&shop.door, enquiry, ("k4", &now, &signed), end).await.0, 200);
    let signed = signature_by_hand("k5", &now, HI.as_bytes());
    let (status, body) = posts(&shop.door, enquiry, ("k5", &now, &signed), HI).await;
    assert_eq!((status, &body["code"]), (403, &json!("not_owner")));
}
