//! Bots as destinations, in one service inside one process: the test is the bot and the provider.

#![cfg(test)]

mod stores;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use usher_config::{Config, LoadOptions};
use usher_domain::floor::event::Closer;
use usher_domain::ids::{BotCallId, BotId, ChannelId, EnquiryId, ServiceId, SessionId, StaffId};
use usher_domain::message::{Author, Content, Counts};
use usher_domain::rule::{Branch, Destination, Leaf, Stop};
use usher_domain::settings::{Bot, Settings};
use usher_engine::{
    Answer, Attach, BotAction, BotCall, BotSaid, BotWord, ConnectionId, Engine, EngineOptions,
    Given, Inbound, InboundBody, InboundMessage, Outgoing, ProviderCall, Pulls, SendOutcome,
    Sender,
};
use usher_protocol::event::{Direction, Writer};
use usher_protocol::feed::Pulled;
use usher_protocol::refusal::Code;
use usher_store::{EnquiryFilter, EnquiryRow, Store};

const GREETER: BotId = BotId::from_number(1);
const ORACLE: BotId = BotId::from_number(2);

#[derive(Clone)]
struct Shop {
    engine: Engine,
    settings: Arc<Settings>,
}

/// What leaves the shop; messages are taken at once.
struct Doors {
    engine: Engine,
    calls: mpsc::Receiver<ProviderCall>,
    sent: u32,
}

/// The demo shop, with its support channel served by `stops`.
fn settings(stops: &[Destination]) -> Settings {
    let options = LoadOptions {
        overrides: [("services.demo".to_owned(), "true".to_owned())].into(),
        ..LoadOptions::default()
    };
    let mut settings = Config::load(&options).unwrap().services.remove(0).settings;
    for (id, name) in [(GREETER, "Greeter"), (ORACLE, "Oracle")] {
        let hand_over_words = vec!["human".to_owned()];
        let url = "https://bot.example.com".to_owned();
        settings.bots.insert(id, Bot { id, name: name.to_owned(), url, hand_over_words });
    }
    let channel = settings.channels.values_mut().find(|channel| channel.name == "Support").unwrap();
    channel.welcome.on = false;
    channel.away.on = false;
    let rule = settings.rules.get_mut(&channel.rule).unwrap();
    let stops = stops.iter().map(|to| Stop { to: *to, pick_up: None }).collect();
    rule.branch = Branch::Leaf(Leaf { stops, priority: Leaf::PRIORITY_DEFAULT });
    settings
}

fn support(settings: &Settings) -> Destination {
    let group = settings.groups.values().find(|group| group.name == "Support").unwrap();
    Destination::Group(group.id)
}

/// To the greeter first, then to people.
fn usual() -> Settings {
    let people = support(&settings(&[]));
    settings(&[Destination::Bot(GREETER), people])
}

impl Shop {
    async fn open(settings: Settings, store: Store) -> (Self, Doors) {
        let settings = Arc::new(settings);
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
        let doors = Doors { engine: engine.clone(), calls, sent: 0 };
        (Self { engine, settings }, doors)
    }

    fn service(&self) -> ServiceId {
        self.settings.service
    }

    fn channel(&self) -> ChannelId {
        self.settings.channels.values().find(|channel| channel.name == "Support").unwrap().id
    }

    async fn write_as(&self, wa_id: &str, provider_id: &str, text: &str) {
        let message = InboundMessage {
            sender: Sender { wa_id: Some(wa_id.into()), ..Sender::default() },
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

    async fn write(&self, provider_id: &str, text: &str) {
        self.write_as("4915112345678", provider_id, text).await;
    }

    async fn answers(&self, call: &BotCall, actions: Vec<BotAction>) -> Answer {
        self.said(call.bot, call.enquiry, Some(call.id), BotSaid::Actions(actions)).await
    }

    async fn said(
        &self,
        bot: BotId,
        enquiry: EnquiryId,
        call: Option<BotCallId>,
        said: BotSaid,
    ) -> Answer {
        let word = BotWord { bot, call, key: None, said };
        self.engine.bot_said(self.service(), enquiry, word).await
    }

    async fn rows(&self) -> Vec<EnquiryRow> {
        self.engine.archive_is_level(self.service()).await.unwrap();
        let reader = self.engine.store().archive().reader().unwrap();
        reader.enquiries(self.service(), &EnquiryFilter::default(), 100).unwrap()
    }

    async fn row(&self) -> EnquiryRow {
        self.rows().await.remove(0)
    }

    /// What one connection of this person is sent.
    async fn connect(&self, first_name: &str) -> mpsc::Receiver<Value> {
        let person = self.settings.staff.values().find(|person| person.first_name == first_name);
        let (staff, service) = (person.unwrap().id, self.service());
        let connection = ConnectionId(staff.uuid().as_u64_pair().0);
        let session = SessionId::from_number(connection.0.into());
        let attach = Attach { staff, connection, session, resume: None };
        let pulls = self.engine.attach(service, attach).await.unwrap();
        let (shown, frames) = mpsc::channel(1_000);
        actix::spawn(pull(pulls, self.engine.clone(), (service, staff, connection), shown));
        frames
    }
}

async fn pull(
    mut pulls: Pulls,
    engine: Engine,
    (service, staff, connection): (ServiceId, StaffId, ConnectionId),
    shown: mpsc::Sender<Value>,
) {
    let mut pong = tokio::time::interval(Duration::from_secs(20));
    loop {
        let frames = tokio::select! {
            frames = pulls.next() => frames,
            _ = pong.tick() => {
                engine.alive(service, staff, connection);
                continue;
            }
        };
        let Ok(Given { pulled: Pulled::Frames(frames), ask }) = frames else { return };
        if ask {
            engine.alive(service, staff, connection);
        }
        for frame in frames {
            shown.send(serde_json::from_str(&frame).unwrap()).await.unwrap();
        }
    }
}

async fn event(frames: &mut mpsc::Receiver<Value>, name: &str) -> Value {
    loop {
        let mut frame = frames.recv().await.expect("the connection was let go");
        if frame["event"] == name {
            return frame["data"].take();
        }
    }
}

impl Doors {
    async fn next(&mut self) -> ProviderCall {
        let call = self.calls.recv().await.unwrap();
        if let ProviderCall::Send(outgoing) = &call {
            self.sent += 1;
            let provider_id = format!("wamid.OUT{}", self.sent);
            let outcome = SendOutcome::Accepted { provider_id, wa_id: None, user_id: None };
            self.engine.outcome(outgoing.service, outgoing.channel, outgoing.message, outcome);
        }
        call
    }

    /// The next thing that leaves is a question to a bot.
    async fn asks(&mut self) -> BotCall {
        match self.next().await {
            ProviderCall::Bot(call) => *call,
            other => panic!("not a question: {other:?}"),
        }
    }

    async fn sends(&mut self) -> Outgoing {
        match self.next().await {
            ProviderCall::Send(outgoing) => *outgoing,
            other => panic!("not a message: {other:?}"),
        }
    }

    /// Nothing has left that nobody took.
    async fn is_quiet(&mut self) -> bool {
        let wait = tokio::time::timeout(Duration::from_secs(5), self.calls.recv());
        wait.await.is_err()
    }
}

fn reply(text: &str) -> BotAction {
    BotAction::Reply { text: text.to_owned() }
}

fn text(content: &Content) -> &str {
    match content {
        Content::Text { body } => body,
        other => panic!("not a text: {other:?}"),
    }
}

#[actix::test]
async fn a_bot_is_asked_one_message_at_a_time_and_its_replies_leave() {
    tokio::time::pause();
    let (shop, mut doors) = Shop::open(usual(), stores::fresh()).await;
    shop.write("wamid.1", "Do you have it in blue?").await;
    let first = doors.asks().await;
    assert_eq!((first.service, first.bot), (shop.service(), GREETER));
    assert_eq!(text(&first.message.content), "Do you have it in blue?");
    assert_eq!(first.last, std::slice::from_ref(&first.message));
    assert_eq!(first.visitor.phone.as_deref(), Some("+4915112345678"));
    assert_eq!(first.country.as_deref(), Some("DE"));
    let row = shop.row().await;
    assert_eq!((row.state.as_str(), row.bot, row.owner), ("ongoing", Some(GREETER), None));

    shop.write("wamid.2", "Or green?").await;
    shop.write("wamid.3", "Or red?").await;
    assert!(doors.is_quiet().await, "one call is under way");
    let answer = shop.answers(&first, vec![reply("Blue is sold out."), reply("Sorry.")]).await;
    assert_eq!(answer.unwrap()["messages"].as_array().unwrap().len(), 2);
    let mut said = Vec::new();
    let mut second = None;
    for _ in 0..3 {
        match doors.next().await {
            ProviderCall::Send(outgoing) => said.push(text(&outgoing.content).to_owned()),
            ProviderCall::Bot(call) => second = Some(call),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(said, ["Blue is sold out.", "Sorry."], "in order, and without a name before them");
    let second = second.unwrap();
    assert_eq!(text(&second.message.content), "Or green?");
    assert_ne!(second.id, first.id);
    let last: Vec<_> = second.last.iter().map(|m| (m.direction, text(&m.content))).collect();
    assert_eq!(
        last,
        [
            (Direction::In, "Do you have it in blue?"),
            (Direction::In, "Or green?"),
            (Direction::In, "Or red?"),
            (Direction::Out, "Blue is sold out."),
            (Direction::Out, "Sorry."),
        ]
    );
    assert!(matches!(&second.last[3].writer, Writer::Bot { bot } if bot.name == "Greeter"));

    let again = shop.answers(&first, vec![reply("Blue is sold out.")]).await;
    assert_eq!(again.unwrap_err().code, Code::NotFound, "answered already");
    shop.answers(&second, vec![]).await.unwrap();
    assert_eq!(text(&doors.asks().await.message.content), "Or red?");
}

#[actix::test]
async fn what_it_hands_over_goes_on_to_people_with_the_language_that_it_set() {
    tokio::time::pause();
    let mut settings = usual();
    let channel = settings.channels.values_mut().find(|channel| channel.name == "Support").unwrap();
    channel.language = None;
    let group = settings.groups.values_mut().find(|group| group.name == "Support").unwrap();
    (group.languages, group.unknown_matches) = (vec!["fr".to_owned()], false);
    let (shop, mut doors) = Shop::open(settings, stores::fresh()).await;
    let mut anna = shop.connect("Anna").await;
    shop.write("wamid.1", "Bonjour").await;
    let call = doors.asks().await;
    let set = BotAction::Set { language: Some("fr".to_owned()) };
    let actions = vec![set, reply("Un instant."), BotAction::HandOver, reply("Never said.")];
    shop.answers(&call, actions).await.unwrap();
    assert_eq!(text(&doors.sends().await.content), "Un instant.");
    let offered = event(&mut anna, "enquiry.offered").await;
    assert_eq!(offered["enquiry"]["language"], "fr");
    assert!(doors.is_quiet().await);
    let late = shop.said(GREETER, call.enquiry, None, BotSaid::Actions(vec![reply("Hm")])).await;
    assert_eq!(late.unwrap_err().code, Code::NotOwner, "only while it holds the enquiry");
}

#[actix::test]
async fn a_hand_over_word_leaves_the_bot_unasked() {
    tokio::time::pause();
    let (shop, mut doors) = Shop::open(usual(), stores::fresh()).await;
    let mut anna = shop.connect("Anna").await;
    shop.write("wamid.1", "Hello").await;
    let call = doors.asks().await;
    shop.write("wamid.2", "I want a HUMAN!").await;
    event(&mut anna, "enquiry.offered").await;
    let late = shop.answers(&call, vec![reply("Hello!")]).await;
    assert_eq!(late.unwrap_err().code, Code::NotOwner);
    assert!(doors.is_quiet().await, "neither asked nor answered");
    // Said at once, it is not even asked the first time.
    shop.write_as("4915100000002", "wamid.3", "human please").await;
    event(&mut anna, "enquiry.offered").await;
    assert!(doors.is_quiet().await);
}

#[actix::test]
async fn a_bot_that_fails_is_followed_by_the_next_destination() {
    tokio::time::pause();
    let people = support(&settings(&[]));
    let stops = [Destination::Bot(GREETER), Destination::Bot(ORACLE), people];
    let (shop, mut doors) = Shop::open(settings(&stops), stores::fresh()).await;
    let mut anna = shop.connect("Anna").await;
    shop.write("wamid.1", "Hello").await;
    let call = doors.asks().await;
    shop.said(GREETER, call.enquiry, Some(call.id), BotSaid::Failed).await.unwrap();
    let next = doors.asks().await;
    assert_eq!((next.bot, next.message.id), (ORACLE, call.message.id));
    assert_ne!(next.id, call.id);
    let stale = shop.answers(&call, vec![BotAction::Close]).await;
    assert_eq!(stale.unwrap_err().code, Code::NotOwner, "another bot holds it");
    // Nobody tells what came of the second call: its time is up all the same.
    let offered = event(&mut anna, "enquiry.offered").await;
    assert_eq!(offered["enquiry"]["bot"], Value::Null);
}

#[actix::test]
async fn a_bot_that_always_fails_is_passed_over_and_reported() {
    tokio::time::pause();
    let (shop, mut doors) = Shop::open(usual(), stores::fresh()).await;
    let mut sam = shop.connect("Sam").await;
    for visitor in 0..5 {
        shop.write_as(&format!("49151000000{visitor:02}"), &format!("wamid.{visitor}"), "Hi").await;
        let call = doors.asks().await;
        shop.said(GREETER, call.enquiry, Some(call.id), BotSaid::Failed).await.unwrap();
    }
    let notice = event(&mut sam, "notice").await;
    assert!(notice["text"].as_str().unwrap().contains("Greeter"), "{notice}");
    shop.write_as("4915100000099", "wamid.99", "Hi").await;
    assert!(doors.is_quiet().await, "passed over");
    tokio::time::sleep(Duration::from_mins(1)).await;
    shop.write_as("4915100000100", "wamid.100", "Hi").await;
    doors.asks().await;
}

#[actix::test]
async fn it_may_speak_unasked_close_and_repeat_itself_under_a_key() {
    tokio::time::pause();
    let (shop, mut doors) = Shop::open(usual(), stores::fresh()).await;
    shop.write("wamid.1", "Hello").await;
    let call = doors.asks().await;
    let says = |actions, key: &str| {
        let (bot, key) = (GREETER, Some(key.to_owned()));
        let word = BotWord { bot, call: None, key, said: BotSaid::Actions(actions) };
        shop.engine.bot_said(shop.service(), call.enquiry, word)
    };
    let too_long = says(vec![reply("Hm"), reply(&"x".repeat(4_097))], "k0").await;
    assert_eq!(too_long.unwrap_err().code, Code::TooLarge, "all or nothing");
    let once = says(vec![reply("One moment")], "k1").await.unwrap();
    assert_eq!(says(vec![reply("One moment")], "k1").await.unwrap(), once);
    assert_eq!(text(&doors.sends().await.content), "One moment");
    shop.answers(&call, vec![]).await.unwrap();
    assert!(doors.is_quiet().await);
    says(vec![reply("Bye"), BotAction::Close], "k2").await.unwrap();
    assert_eq!(text(&doors.sends().await.content), "Bye");
    assert!(text(&doors.sends().await.content).contains("closed"), "the close message");
    let row = shop.row().await;
    assert_eq!(row.closer, Some(Closer::Bot { bot: GREETER }));
    let closed = says(vec![reply("Bye")], "k3").await.unwrap_err().code;
    assert!(matches!(closed, Code::NotFound | Code::Closed), "{closed:?}");
}

#[actix::test]
async fn silence_with_a_bot_closes_as_with_people() {
    tokio::time::pause();
    let (shop, mut doors) = Shop::open(usual(), stores::fresh()).await;
    shop.write("wamid.1", "Hello").await;
    let call = doors.asks().await;
    shop.answers(&call, vec![reply("Hello!")]).await.unwrap();
    assert_eq!(doors.sends().await.enquiry, Some(call.enquiry));
    assert!(text(&doors.sends().await.content).contains("closes in 1 min"));
    assert!(text(&doors.sends().await.content).contains("closed"));
    assert!(matches!(shop.row().await.closer, Some(Closer::AutoClose { unanswered: false })));
}

#[actix::test]
async fn a_restart_makes_the_call_under_way_again_under_the_same_id() {
    let (dir, store) = stores::kept();
    let (shop, mut doors) = Shop::open(usual(), store).await;
    shop.write("wamid.1", "Hello").await;
    let answered = doors.asks().await;
    shop.answers(&answered, vec![reply("Hello!")]).await.unwrap();
    doors.sends().await;
    shop.write("wamid.2", "Do you have it in blue?").await;
    let call = doors.asks().await;
    shop.write("wamid.3", "Or green?").await;
    let (_copy, store) = stores::after_a_crash(dir.path());

    let (shop, mut doors) = Shop::open(usual(), store).await;
    let again = doors.asks().await;
    assert_eq!((again.id, again.message.id), (call.id, call.message.id));
    assert_eq!(shop.answers(&answered, vec![]).await.unwrap_err().code, Code::NotFound);
    shop.answers(&again, vec![reply("No.")]).await.unwrap();
    let mut left = vec![doors.next().await, doors.next().await];
    left.sort_by_key(|call| matches!(call, ProviderCall::Bot(_)));
    let [ProviderCall::Send(reply), ProviderCall::Bot(next)] = &left[..] else {
        panic!("{left:?}")
    };
    assert_eq!(text(&reply.content), "No.");
    assert_eq!(text(&next.message.content), "Or green?", "what waited is asked");
    let reader = shop.engine.store().archive().reader().unwrap();
    shop.engine.archive_is_level(shop.service()).await.unwrap();
    let written = reader.message(shop.service(), reply.message).unwrap().unwrap();
    assert_eq!(written.author, Some(Author::Bot { bot: GREETER }));
}
