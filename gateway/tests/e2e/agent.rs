//! An agent at the real socket, with the protocol's own client half.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use usher_domain::ids::EnquiryId;
use usher_domain::message::Content;
use usher_protocol::command::{Command, Key, Outgoing, PageLimit};
use usher_protocol::event::{Entry, Event, Head, History, Writer};
use usher_protocol::feed::{FeedClient, Incoming, Next};
use usher_protocol::frame::{Token, Welcome};
use usher_protocol::refusal::Refusal;

use crate::house::House;
use crate::wait::{PATIENCE, until};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) struct Agent {
    address: String,
    pub(crate) token: String,
    /// `None` while away.
    socket: Option<Socket>,
    pub(crate) feed: FeedClient,
    /// All that was applied, in order, with its number.
    pub(crate) events: Vec<(u64, Event)>,
    /// What [`until`](Self::until) has not looked at yet.
    unseen: usize,
    pub(crate) heads: Vec<Head>,
    pub(crate) welcome: Option<Welcome>,
    answers: Vec<(u64, Result<Value, Refusal>)>,
    keys: u64,
}

/// The connection is gone.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) code: Option<u16>,
    pub(crate) next: Next,
}

impl Agent {
    pub(crate) async fn arrives(house: &House, name: &str) -> Self {
        let token = house.sign_in(name).await;
        Self::with_token(house, token).await
    }

    pub(crate) async fn with_token(house: &House, token: String) -> Self {
        let address = house.url("/v1/agent/socket").replacen("http", "ws", 1);
        let mut agent = Self {
            socket: Some(dial(&address).await.unwrap()),
            address,
            token,
            feed: FeedClient::new(),
            events: Vec::new(),
            unseen: 0,
            heads: Vec::new(),
            welcome: None,
            answers: Vec::new(),
            keys: 0,
        };
        agent.greet().await.unwrap();
        agent
    }

    /// Says hello, and hears until the feed is live.
    async fn greet(&mut self) -> Result<(), Gone> {
        let hello = self.feed.hello(Some(Token::new(self.token.clone())));
        self.write(hello).await;
        while !self.feed.is_live() {
            self.hear().await?;
        }
        Ok(())
    }

    /// Breaks the connection off without a word.
    pub(crate) fn falls_away(&mut self) {
        self.socket = None;
        self.feed.closed(None, "");
    }

    pub(crate) async fn comes_back(&mut self) -> Result<(), Gone> {
        match dial(&self.address).await {
            Ok(socket) => self.socket = Some(socket),
            Err(_) => return Err(Gone { code: None, next: self.feed.closed(None, "") }),
        }
        self.greet().await
    }

    /// Comes back by this house's door, as often as that takes; what was missed is told again.
    pub(crate) async fn goes_to(&mut self, house: &House) {
        self.address = house.url("/v1/agent/socket").replacen("http", "ws", 1);
        self.falls_away();
        until("agent that is back", async || self.comes_back().await).await;
    }

    async fn write(&mut self, text: String) {
        if let Some(socket) = &mut self.socket {
            // A lost connection shows itself when the next frame is read.
            socket.send(Message::text(text)).await.ok();
        }
    }

    /// The next frame.
    pub(crate) async fn hear(&mut self) -> Result<(), Gone> {
        let text = loop {
            let Some(socket) = &mut self.socket else {
                return Err(Gone { code: None, next: Next::ReconnectNow });
            };
            let frame = timeout(PATIENCE, socket.next()).await;
            match frame.unwrap_or_else(|_| panic!("no frame; heard {}", self.tail())) {
                Some(Ok(Message::Text(text))) => break text,
                Some(Ok(Message::Close(Some(close)))) => {
                    let code = u16::from(close.code);
                    self.socket = None;
                    let next = self.feed.closed(Some(code), &close.reason);
                    return Err(Gone { code: Some(code), next });
                }
                Some(Ok(Message::Close(None)) | Err(_)) | None => {
                    self.socket = None;
                    return Err(Gone { code: None, next: self.feed.closed(None, "") });
                }
                Some(Ok(_)) => {}
            }
        };
        match self.feed.receive(&text) {
            Incoming::Welcome { welcome, repeat, .. } => {
                self.welcome = Some(*welcome);
                for frame in repeat {
                    self.write(frame).await;
                }
            }
            Incoming::Snapshot { heads, .. } => self.heads = heads,
            Incoming::Apply(event) => {
                let typed = event.typed().unwrap_or_else(|| panic!("unknown event: {text}"));
                self.events.push((event.at, typed));
            }
            Incoming::Answer { id, outcome, .. } => self.answers.push((id, outcome)),
            Incoming::Reconnect { why } => panic!("the feed has a gap ({why}): {text}"),
            Incoming::Now(_)
            | Incoming::Bye(_)
            | Incoming::Duplicate { .. }
            | Incoming::Nothing => {}
        }
        Ok(())
    }

    /// The first event, from where the last one was found, that fits.
    pub(crate) async fn until<T>(&mut self, what: &str, fits: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            while let Some((_, event)) = self.events.get(self.unseen) {
                self.unseen += 1;
                if let Some(found) = fits(event) {
                    return found;
                }
            }
            if let Err(gone) = timeout(PATIENCE, self.hear()).await.unwrap_or_else(|_| {
                panic!("no {what}; heard {}", self.tail());
            }) {
                panic!("no {what}, the connection is gone: {gone:?}");
            }
        }
    }

    fn tail(&self) -> String {
        let last = self.events.len().saturating_sub(5);
        format!("{:#?}", &self.events[last..])
    }

    /// Sends a command; its answer comes by [`answer`](Self::answer).
    pub(crate) async fn asks(&mut self, command: Command) -> u64 {
        let submitted = self.feed.submit(command).unwrap();
        if let Some(frame) = submitted.frame {
            self.write(frame).await;
        }
        submitted.id
    }

    /// As [`asks`](Self::asks), unless it is a command that cannot be kept while away.
    pub(crate) async fn try_asks(&mut self, command: Command) -> Option<u64> {
        let submitted = self.feed.submit(command).ok()?;
        if let Some(frame) = submitted.frame {
            self.write(frame).await;
        }
        Some(submitted.id)
    }

    /// The answers that came since, by the numbers of their commands.
    pub(crate) fn take_answers(&mut self) -> Vec<(u64, Result<Value, Refusal>)> {
        std::mem::take(&mut self.answers)
    }

    pub(crate) async fn answer(&mut self, id: u64) -> Result<Result<Value, Refusal>, Gone> {
        loop {
            if let Some(place) = self.answers.iter().position(|(answered, _)| *answered == id) {
                return Ok(self.answers.swap_remove(place).1);
            }
            self.hear().await?;
        }
    }

    pub(crate) async fn order(&mut self, command: Command) -> Result<Value, Refusal> {
        let id = self.asks(command).await;
        self.answer(id).await.unwrap()
    }

    pub(crate) async fn says(&mut self, enquiry: EnquiryId, body: &str) -> Result<Value, Refusal> {
        self.sends(enquiry, Outgoing::Text { body: body.to_owned() }).await
    }

    pub(crate) async fn sends(
        &mut self,
        enquiry: EnquiryId,
        content: Outgoing,
    ) -> Result<Value, Refusal> {
        self.keys += 1;
        let key = Key::try_from(format!("k{}", self.keys)).unwrap();
        self.order(Command::Send { enquiry, key, content, reply_to: None }).await
    }

    /// A room, oldest entry first.
    pub(crate) async fn room(&mut self, enquiry: EnquiryId) -> Vec<Entry> {
        let limit = PageLimit::try_from(100).unwrap();
        let page = self.order(Command::History { enquiry, before: None, limit }).await.unwrap();
        let mut page: History = serde_json::from_value(page).unwrap();
        page.entries.reverse();
        page.entries
    }

    /// Waits for an offer and takes it.
    pub(crate) async fn picks_up(&mut self) -> EnquiryId {
        let enquiry = self.offered().await;
        self.order(Command::PickUp { enquiry }).await.unwrap();
        self.until("pick-up", |event| match event {
            Event::PickedUp { enquiry: head, .. } if head.id == enquiry => Some(()),
            _ => None,
        })
        .await;
        enquiry
    }

    pub(crate) async fn offered(&mut self) -> EnquiryId {
        self.until("offer", |event| match event {
            Event::Offered { enquiry, .. } => Some(enquiry.id),
            _ => None,
        })
        .await
    }
}

async fn dial(address: &str) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
    let mut request = address.into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", "usher.v1".parse().unwrap());
    Ok(connect_async(request).await?.0)
}

/// Texts of a room in its order, each with who wrote it.
pub(crate) fn texts(entries: &[Entry]) -> Vec<(String, String)> {
    let mut said = Vec::new();
    for entry in entries {
        if let Entry::Message(message) = entry
            && let Content::Text { body } = &message.content
        {
            let by = match &message.writer {
                Writer::Visitor => "visitor".to_owned(),
                Writer::Staff { staff } => staff.name.clone(),
                Writer::Auto { message } => format!("{message:?}"),
                other => format!("{other:?}"),
            };
            said.push((by, body.clone()));
        }
    }
    said
}
