//! One service end to end inside one process: actors on a paused clock, the provider's door held by
//! the test.

#![cfg(test)]

mod stores;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use usher_config::{Config, LoadOptions};
use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId, SessionId, StaffId};
use usher_domain::message::{Content, Counts, Delivery};
use usher_domain::settings::Settings;
use usher_engine::{
    About, Attach, ConnectionId, Engine, EngineOptions, Given, Inbound, InboundBody,
    InboundMessage, InboundReceipt, Outgoing, ProviderCall, Pulls, SendOutcome, Sender,
};
use usher_protocol::command::{Command, SetPresence};
use usher_protocol::feed::Pulled;
use usher_store::Store;

const VISITOR: &str = "4915112345678";

#[derive(Clone)]
struct Shop {
    engine: Engine,
    settings: Arc<Settings>,
}

/// What leaves the shop; the provider takes everything.
struct Provider {
    engine: Engine,
    calls: mpsc::Receiver<ProviderCall>,
    sent: u32,
}

impl Shop {
    async fn open(store: Store) -> (Self, Provider) {
        let options = LoadOptions {
            overrides: [("services.demo".to_owned(), "true".to_owned())].into(),
            ..LoadOptions::default()
        };
        let loaded = Config::load(&options).unwrap();
        let settings = Arc::new(loaded.services[0].settings.clone());
        let store = stores::owned(store, settings.service);
        let (provider, calls) = mpsc::channel(1_000);
        let options = EngineOptions {
            services: vec![Arc::clone(&settings)],
            credits_per_service: 64,
            arbiters: 0,
            messages_per_second: 80,
            sends_at_once: 32,
        };
        let engine = Engine::start(options, store, provider).await.unwrap();
        let provider = Provider { engine: engine.clone(), calls, sent: 0 };
        (Self { engine, settings }, provider)
    }

    fn service(&self) -> ServiceId {
        self.settings.service
    }

    fn channel(&self) -> ChannelId {
        self.settings.channels.values().find(|channel| channel.name == "Support").unwrap().id
    }

    fn staff(&self, first_name: &str) -> StaffId {
        self.settings.staff.values().find(|person| person.first_name == first_name).unwrap().id
    }

    /// Connects and keeps the connection alive, as a client does.
    async fn connect(&self, first_name: &str, connection: u64) -> Screen {
        let (staff, service) = (self.staff(first_name), self.service());
        let connection = ConnectionId(connection);
        let session = SessionId::from_number(connection.0.into());
        let attach = Attach { staff, connection, session, resume: None };
        let pulls = self.engine.attach(service, attach).await.unwrap();
        let (shown, frames) = mpsc::channel(1_000);
        let engine = self.engine.clone();
        actix::spawn(async move {
            let mut pong = tokio::time::interval(Duration::from_secs(20));
            let pulling = pull(pulls, &engine, (service, staff, connection), shown);
            let ponging = async {
                loop {
                    pong.tick().await;
                    engine.alive(service, staff, connection);
                }
            };
            tokio::select! { () = pulling => (), () = ponging => () }
        });
        Screen { shop: self.clone(), staff, frames, seen: Vec::new() }
    }

    async fn write(&self, provider_id: &str, text: &str) {
        let message = InboundMessage {
            sender: Sender {
                wa_id: Some(VISITOR.into()),
                name: Some("Vera".into()),
                ..Sender::default()
            },
            provider_id: provider_id.into(),
            provider_at: None,
            counts: Counts::Message,
            content: Content::Text { body: text.into() },
            reply_to: None,
            referral: None,
            forwarded: false,
        };
        let update = Inbound { body: InboundBody::Message(Box::new(message)), raw: None };
        self.engine.receive(self.service(), self.channel(), vec![update]).await.unwrap();
    }

    async fn receipt(&self, message: MessageId, enquiry: EnquiryId, delivery: Delivery) {
        let receipt = InboundReceipt {
            provider_id: "wamid.of-the-receipt".into(),
            delivery,
            participant: None,
            provider_at: None,
            code: None,
            title: None,
            about: Some(About { message, enquiry: Some(enquiry) }),
        };
        let update = Inbound { body: InboundBody::Receipt(receipt), raw: None };
        self.engine.receive(self.service(), self.channel(), vec![update]).await.unwrap();
    }
}

async fn pull(
    mut pulls: Pulls,
    engine: &Engine,
    (service, staff, connection): (ServiceId, StaffId, ConnectionId),
    shown: mpsc::Sender<Value>,
) {
    while let Ok(Given { pulled: Pulled::Frames(frames), ask }) = pulls.next().await {
        if ask {
            engine.alive(service, staff, connection);
        }
        for frame in frames {
            shown.send(serde_json::from_str::<Value>(&frame).unwrap()).await.unwrap();
        }
    }
}

impl Provider {
    /// The next message that leaves; the provider takes it.
    async fn sends(&mut self) -> Outgoing {
        loop {
            match self.calls.recv().await.unwrap() {
                ProviderCall::Send(outgoing) => {
                    self.sent += 1;
                    let provider_id = format!("wamid.OUT{}", self.sent);
                    let outcome = SendOutcome::Accepted { provider_id, wa_id: None, user_id: None };
                    self.engine.outcome(
                        outgoing.service,
                        outgoing.channel,
                        outgoing.message,
                        outcome,
                    );
                    return *outgoing;
                }
                ProviderCall::Read { .. } | ProviderCall::Fetch { .. } | ProviderCall::Bot(_) => {}
            }
        }
    }

    async fn sends_text(&mut self) -> String {
        match self.sends().await.content {
            Content::Text { body } => body,
            other => panic!("not a text: {other:?}"),
        }
    }
}

/// One connection, and what it was sent.
struct Screen {
    shop: Shop,
    staff: StaffId,
    frames: mpsc::Receiver<Value>,
    seen: Vec<Value>,
}

impl Screen {
    /// Waits for an event of this name and gives its data.
    async fn event(&mut self, name: &str) -> Value {
        loop {
            let found = self.seen.iter().position(|frame| frame["event"] == name);
            if let Some(index) = found {
                return self.seen.remove(index)["data"].take();
            }
            self.seen.push(self.frames.recv().await.expect("the connection was let go"));
        }
    }

    /// The enquiry's head in the snapshot.
    async fn head(&mut self, enquiry: EnquiryId) -> Value {
        let wanted = serde_json::to_value(enquiry).unwrap();
        loop {
            let frame = self.frames.recv().await.expect("the connection was let go");
            let heads = frame["snapshot"]["heads"].as_array().cloned().unwrap_or_default();
            if let Some(head) = heads.into_iter().find(|head| head["id"] == wanted) {
                return head;
            }
        }
    }

    async fn does(&self, command: Value) -> Result<Value, String> {
        let command: Command = serde_json::from_value(command).unwrap();
        let answer = self.shop.engine.command(self.shop.service(), self.staff, command).await;
        answer.map_err(|refusal| refusal.code.name().to_owned())
    }
}

fn enquiry_of(data: &Value) -> EnquiryId {
    serde_json::from_value(data["enquiry"]["id"].clone()).unwrap()
}

#[actix::test]
async fn a_message_reaches_the_right_person_and_the_answer_gets_back() {
    tokio::time::pause();
    let (shop, mut doors) = Shop::open(stores::fresh()).await;
    let mut anna = shop.connect("Anna", 1).await;
    let mut ben = shop.connect("Ben", 2).await;

    shop.write("wamid.1", "Do you have it in blue?").await;
    assert!(doors.sends_text().await.starts_with("Hello, this is the Corner Shop!"), "welcome");

    let offered = anna.event("enquiry.offered").await;
    let enquiry = enquiry_of(&offered);
    assert_eq!(offered["enquiry"]["first_message"], "Do you have it in blue?");
    assert_eq!(offered["enquiry"]["visitor"]["phone"], Value::Null, "an offer shows no number");
    assert_eq!(enquiry_of(&ben.event("enquiry.offered").await), enquiry);

    let pick_up = serde_json::json!({ "pick_up": { "enquiry": enquiry } });
    anna.does(pick_up.clone()).await.unwrap();
    assert_eq!(ben.does(pick_up).await, Err("already_taken".into()));
    assert_eq!(ben.event("enquiry.withdrawn").await["why"], "already_taken");
    let picked = anna.event("enquiry.picked_up").await;
    assert_eq!(picked["enquiry"]["visitor"]["phone"], format!("+{VISITOR}"));

    let send = serde_json::json!({ "send": {
        "enquiry": enquiry, "key": "k1", "content": { "kind": "text", "body": "Yes, in two sizes." } } });
    let first = anna.does(send.clone()).await.unwrap();
    assert_eq!(anna.does(send.clone()).await.unwrap(), first, "the same key is the same message");
    assert_eq!(ben.does(send).await, Err("not_found".into()), "not his to see");
    let reply = doors.sends().await;
    assert_eq!(reply.content, Content::Text { body: "*Anna*\nYes, in two sizes.".into() });

    // Receipts arrive in any order and are shown in one.
    for (delivery, shown) in
        [(Delivery::Delivered, true), (Delivery::Sent, false), (Delivery::Read, true)]
    {
        shop.receipt(reply.message, enquiry, delivery).await;
        if shown {
            let wanted = serde_json::to_value(delivery).unwrap();
            loop {
                let status = anna.event("message.status").await;
                if status["delivery"] == wanted {
                    break;
                }
                assert_ne!(status["delivery"], "sent", "never backwards");
            }
        }
    }

    // Silence for two minutes, then a notification; a minute after it was taken, the end.
    let asked = doors.sends_text().await;
    assert!(asked.contains("closes in 1 min"), "{asked}");
    let closed = anna.event("enquiry.closed").await;
    assert_eq!(closed["closer"]["by"], "auto_close");
    assert!(doors.sends_text().await.contains("closed"), "the close message");

    // Who served before is asked first, alone.
    shop.write("wamid.2", "One more thing").await;
    let again = anna.event("enquiry.offered").await;
    assert_ne!(enquiry_of(&again), enquiry);
    assert_eq!(again["sort"]["offer"], "simultaneous", "support has no sticky routing in the demo");
}

/// An enquiry that Anna has answered, and her answer.
async fn answered(shop: &Shop, doors: &mut Provider, anna: &mut Screen) -> (EnquiryId, MessageId) {
    shop.write("wamid.1", "Do you have it in blue?").await;
    doors.sends_text().await;
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    anna.does(serde_json::json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let send = serde_json::json!({ "send": {
        "enquiry": enquiry, "key": "k1", "content": { "kind": "text", "body": "Yes." } } });
    anna.does(send).await.unwrap();
    let reply = doors.sends().await.message;
    while anna.event("message.status").await["message"] != serde_json::to_value(reply).unwrap() {}
    (enquiry, reply)
}

#[actix::test]
async fn ticks_gather_and_leave_with_what_somebody_acts_on() {
    tokio::time::pause();
    let (shop, mut doors) = Shop::open(stores::fresh()).await;
    let mut anna = shop.connect("Anna", 1).await;
    let (enquiry, reply) = answered(&shop, &mut doors, &mut anna).await;

    let began = tokio::time::Instant::now();
    shop.receipt(reply, enquiry, Delivery::Sent).await;
    tokio::time::advance(Duration::from_millis(60)).await;
    shop.write("wamid.2", "Hello?").await;
    anna.event("message.received").await;
    assert_eq!(began.elapsed(), Duration::from_millis(60), "a message waits for nothing");
    assert!(anna.seen.iter().any(|frame| frame["event"] == "message.status"), "taken along");
    anna.seen.clear();

    // What comes next gathers anew: not only until the moment meant for what has left already.
    let began = tokio::time::Instant::now();
    shop.receipt(reply, enquiry, Delivery::Delivered).await;
    tokio::time::advance(Duration::from_millis(30)).await;
    shop.receipt(reply, enquiry, Delivery::Read).await;
    for delivery in ["delivered", "read"] {
        assert_eq!(anna.event("message.status").await["delivery"], delivery);
        let waited = began.elapsed().as_millis();
        assert!((100..=101).contains(&waited), "{delivery} after {waited} ms");
    }
}

#[actix::test]
async fn a_restart_goes_on_where_it_was() {
    let (dir, store) = stores::kept();
    let (shop, mut doors) = Shop::open(store).await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Do you have it in blue?").await;
    doors.sends_text().await;
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    anna.does(serde_json::json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let send = serde_json::json!({ "send": {
        "enquiry": enquiry, "key": "k1", "content": { "kind": "text", "body": "Yes." } } });
    let sent = anna.does(send.clone()).await.unwrap();
    // The request has left, and what came of it was never heard.
    let ProviderCall::Send(in_doubt) = doors.calls.recv().await.unwrap() else {
        panic!("not a send")
    };
    let (_copy, store) = stores::after_a_crash(dir.path());

    let (shop, mut doors) = Shop::open(store).await;
    let mut anna = shop.connect("Anna", 1).await;
    let head = anna.head(enquiry).await;
    assert_eq!((head["as"].as_str(), head["state"].as_str()), (Some("owner"), Some("ongoing")));
    assert_eq!(
        anna.does(send).await.unwrap(),
        sent,
        "a repeat after the restart is the same message"
    );
    shop.write("wamid.1", "Do you have it in blue?").await;
    shop.write("wamid.2", "Hello?").await;
    let received = anna.event("message.received").await;
    assert_eq!(received["message"]["content"]["body"], "Hello?", "the first one was a duplicate");
    // A receipt settles the doubt: nothing is sent twice.
    shop.receipt(in_doubt.message, enquiry, Delivery::Delivered).await;
    let close = serde_json::json!({ "close": { "enquiry": enquiry } });
    anna.does(close).await.unwrap();
    assert!(
        doors.sends_text().await.contains("closed"),
        "the close message is the next thing that leaves"
    );
}

#[actix::test]
async fn a_message_delivered_twice_is_one_message() {
    tokio::time::pause();
    let (shop, _doors) = Shop::open(stores::fresh()).await;
    shop.write("wamid.1", "Hello").await;
    shop.write("wamid.1", "Hello").await;
    shop.engine.archive_is_level(shop.service()).await.unwrap();
    let reader = shop.engine.store().archive().reader().unwrap();
    let enquiries =
        reader.enquiries(shop.service(), &usher_store::EnquiryFilter::default(), 10).unwrap();
    assert_eq!(enquiries.len(), 1);
    let messages: Vec<_> = reader
        .room(shop.service(), enquiries[0].enquiry, usher_store::Cursor::Latest, 50)
        .unwrap()
        .into_iter()
        .filter(
            |entry| matches!(entry, usher_store::RoomEntry::Message(row) if row.author.is_none()),
        )
        .collect();
    assert_eq!(messages.len(), 1);
}

#[actix::test]
async fn nobody_there_is_missed_with_an_away_message() {
    tokio::time::pause();
    let (shop, mut doors) = Shop::open(stores::fresh()).await;
    shop.write("wamid.1", "Anybody?").await;
    assert!(doors.sends_text().await.starts_with("Hello"), "welcome comes first");
    // Nobody is Active in the group; the queue behind it holds for ten minutes.
    assert!(doors.sends_text().await.starts_with("Nobody is at the counter"), "then away");
}

#[actix::test]
async fn a_busy_person_is_asked_nothing() {
    tokio::time::pause();
    let (shop, _doors) = Shop::open(stores::fresh()).await;
    let mut anna = shop.connect("Anna", 1).await;
    let busy = Command::PresenceSet { presence: SetPresence::Busy, staff: None };
    shop.engine.command(shop.service(), anna.staff, busy).await.unwrap();
    let mut ben = shop.connect("Ben", 2).await;
    shop.write("wamid.1", "Hello").await;
    ben.event("enquiry.offered").await;
    let active = Command::PresenceSet { presence: SetPresence::Active, staff: None };
    shop.engine.command(shop.service(), anna.staff, active).await.unwrap();
    anna.event("enquiry.offered").await;
}
