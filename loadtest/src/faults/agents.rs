//! Agents at sockets before several nodes: they come back as the protocol says, to whichever node the
//! balancer gives them, answer who asks, and tell what they hear.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use usher_domain::message::Content;
use usher_protocol::SUB_PROTOCOL;
use usher_protocol::command::{Command, Outgoing};
use usher_protocol::event::{Event, Message};
use usher_protocol::feed::{FeedClient, Incoming, Next};
use usher_protocol::frame::Token;

use super::balancer::Balancer;
use super::book::Fact;
use super::visitors::QUESTION;
use crate::drive::wire;
use crate::socket::{Gone, Socket};

const OPENING: Duration = Duration::from_secs(3);

/// All agents; they leave when this goes.
pub(super) struct Team {
    working: Rc<Cell<bool>>,
}

struct Agent {
    place: usize,
    token: String,
    feed: FeedClient,
    balancer: Rc<Balancer>,
    facts: Sender<(Instant, Fact)>,
    replies: u64,
    /// Of several sockets of one person, one answers.
    answers: bool,
    /// Greeted on this connection, and waiting for what was missed: without a snapshot or with one.
    greeted: Option<bool>,
    /// How an epoch is written here; events come in great numbers.
    epoch: u64,
}

impl Team {
    pub(super) fn start(
        tokens: &[String],
        sockets: usize,
        balancer: &Rc<Balancer>,
        facts: &Sender<(Instant, Fact)>,
    ) -> Self {
        let working = Rc::new(Cell::new(true));
        for (place, token) in tokens.iter().cycle().take(sockets).enumerate() {
            let agent = Agent {
                place,
                token: token.clone(),
                feed: FeedClient::new(),
                balancer: Rc::clone(balancer),
                facts: facts.clone(),
                replies: 0,
                answers: place < tokens.len(),
                greeted: None,
                epoch: 0,
            };
            tokio::task::spawn_local(agent.work(Rc::clone(&working)));
        }
        Self { working }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.working.set(false);
    }
}

impl Agent {
    async fn work(mut self, working: Rc<Cell<bool>>) {
        while working.get() {
            let gone = match self.connect().await {
                Some((socket, silence)) => self.talk(socket, silence, &working).await,
                None => Gone::default(),
            };
            self.greeted = None;
            self.say(Fact::Gone { agent: self.place });
            match self.feed.closed(gone.code, &gone.reason) {
                Next::ReconnectNow => {}
                Next::ReconnectLater(pause) => {
                    sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                }
                // Tokens hold for hours, and nobody here is suspended: that it ends shows in who is here.
                Next::SignIn | Next::GiveUp => return,
            }
        }
    }

    async fn connect(&self) -> Option<(Socket, watch::Receiver<bool>)> {
        let door = self.balancer.pick()?;
        let address = format!("ws://{}/v1/agent/socket", door.address);
        let opening = timeout(OPENING, Socket::open(&address, Some(SUB_PROTOCOL))).await;
        Some((opening.ok()?.ok()?, door.silence()))
    }

    async fn talk(
        &mut self,
        mut socket: Socket,
        mut silence: watch::Receiver<bool>,
        working: &Cell<bool>,
    ) -> Gone {
        socket.write(self.feed.hello(Some(Token::new(self.token.clone())))).await;
        let mut write = Vec::new();
        while working.get() {
            let frame = tokio::select! {
                frame = socket.hear() => frame,
                // Who asked may have gone, and its balancer with it.
                _ = silence.wait_for(|silent| *silent) => return Gone::default(),
            };
            match frame {
                Ok(frame) if self.hear(&frame, &mut write) => {}
                Ok(_) => return Gone::default(),
                Err(gone) => return gone,
            }
            for frame in write.drain(..) {
                socket.write(frame).await;
            }
        }
        Gone::default()
    }

    /// Reads a frame; `false`: it makes no sense here, come back on another connection.
    fn hear(&mut self, frame: &str, write: &mut Vec<String>) -> bool {
        match self.feed.receive(frame) {
            Incoming::Welcome { welcome, repeat, .. } => {
                write.extend(repeat);
                self.epoch = u64::from_str_radix(welcome.epoch.as_str(), 16).unwrap_or_default();
                self.greeted = Some(welcome.recovered);
                if welcome.recovered {
                    self.say(Fact::Back { agent: self.place, recovered: true });
                }
            }
            Incoming::Snapshot { .. } => {
                self.say(Fact::Back { agent: self.place, recovered: false });
            }
            Incoming::Apply(event) => {
                self.say(Fact::Told { epoch: self.epoch });
                if let Some(event) = event.typed() {
                    self.event(event, write);
                }
            }
            Incoming::Answer { command, outcome: Ok(told), .. } => {
                if matches!(*command, Command::Send { .. })
                    && let Some(message) = told["message"].as_str()
                {
                    self.say(Fact::Promised { message: message.to_owned() });
                }
            }
            Incoming::Reconnect { .. } => return false,
            Incoming::Now(_)
            | Incoming::Bye(_)
            | Incoming::Answer { .. }
            | Incoming::Duplicate { .. }
            | Incoming::Nothing => {}
        }
        true
    }

    fn event(&mut self, event: Event, write: &mut Vec<String>) {
        match event {
            Event::PickedUp { enquiry, .. } | Event::Offered { enquiry, .. } => {
                let phone = enquiry.visitor.phone.as_deref().unwrap_or_default();
                if let Some(visitor) = wire::visitor_of(phone.trim_start_matches('+')) {
                    self.say(Fact::Decided { visitor });
                }
            }
            Event::Received { message } if self.answers && asks(&message) => {
                write.extend(self.reply(&message));
            }
            _ => {}
        }
    }

    /// Under a key of its own, so that it is sent once, however often it is said.
    fn reply(&mut self, message: &Message) -> Option<String> {
        self.replies += 1;
        let key = format!("a{}-{}", self.place, self.replies);
        let content = Outgoing::Text { body: format!("Reply {key}.") };
        let key = key.try_into().ok()?;
        let send = Command::Send { enquiry: message.enquiry, key, content, reply_to: None };
        self.feed.submit(send).ok()?.frame
    }

    fn say(&self, fact: Fact) {
        // Whoever does not listen any more has all it wanted.
        self.facts.send((Instant::now(), fact)).ok();
    }
}

fn asks(message: &Message) -> bool {
    matches!(&message.content, Content::Text { body } if body == QUESTION)
}
