//! Agents at their sockets, who hear what they are told.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use usher_domain::ids::StaffId;
use usher_protocol::close::Close;

use super::child::House;
use super::shop::Shop;
use crate::measure::show::progress;

/// Sign-ins at once.
const AT_ONCE: usize = 32;

type Socket = WebSocketStream<TcpStream>;

/// One agent's connection, greeted and up to date.
#[derive(Debug)]
pub struct Desk {
    pub agent: usize,
    /// As Usher knows them; nobody at a bare socket.
    pub staff: Option<StaffId>,
    pub socket: Socket,
}

/// Connections that are read by a task each.
#[derive(Debug)]
pub struct Desks {
    tasks: Vec<JoinHandle<()>>,
    pub writers: Vec<SplitSink<Socket, Message>>,
}

impl Desk {
    /// Signs in, connects and hears until everything known was told.
    pub async fn open(house: &House, agent: usize) -> anyhow::Result<Self> {
        let token = house.sign_in(&Shop::email(agent)).await?;
        Self::with_token(house.port, agent, &token).await
    }

    /// As [`open`](Self::open), by somebody who has signed in.
    pub async fn with_token(port: u16, agent: usize, token: &str) -> anyhow::Result<Self> {
        let mut socket = dial(port, Some("usher.v1")).await?;
        let hello = format!("{{\"hello\":{{\"token\":\"{token}\"}}}}");
        socket.send(Message::text(hello)).await?;
        let mut staff = None;
        while let Some(frame) = socket.next().await {
            match frame? {
                Message::Text(text) if text.starts_with("{\"done\"") => {
                    return Ok(Self { agent, staff, socket });
                }
                Message::Text(text) if text.starts_with("{\"welcome\"") => staff = myself(&text),
                Message::Close(close) => bail!("the socket was closed: {close:?}"),
                _ => {}
            }
        }
        bail!("the socket ended before its snapshot")
    }

    /// At a bare socket, where nobody signs in.
    pub async fn bare(port: u16, agent: usize) -> anyhow::Result<Self> {
        Ok(Self { agent, staff: None, socket: dial(port, None).await? })
    }

    /// All agents of a range, some at a time.
    pub async fn open_all(
        house: &House,
        agents: std::ops::Range<usize>,
    ) -> anyhow::Result<Vec<Self>> {
        let agents: Vec<usize> = agents.collect();
        let mut desks = Vec::with_capacity(agents.len());
        for some in agents.chunks(AT_ONCE) {
            let opening = some.iter().map(|agent| Self::open(house, *agent));
            desks.extend(try_join_all(opening).await.context("an agent could not connect")?);
        }
        Ok(desks)
    }
}

/// Who a welcome says one is.
fn myself(welcome: &str) -> Option<StaffId> {
    let id = welcome.split("\"staff\":{\"id\":\"").nth(1)?.split('"').next()?;
    id.parse().ok()
}

async fn dial(port: u16, protocol: Option<&str>) -> anyhow::Result<Socket> {
    let address = format!("ws://127.0.0.1:{port}/v1/agent/socket");
    let mut request = address.into_client_request()?;
    if let Some(protocol) = protocol {
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse()?);
    }
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    // Thousands of them: the default is a buffer of 128 KiB each.
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024);
    let dialled = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    Ok(dialled?.0)
}

impl Desks {
    /// Reads every frame of every desk; `hear` is given the agent and the text.
    pub fn hear(desks: Vec<Desk>, hear: impl Fn(usize, &str) + Send + Sync + 'static) -> Self {
        let hear = Arc::new(hear);
        let mut tasks = Vec::with_capacity(desks.len());
        let mut writers = Vec::with_capacity(desks.len());
        for Desk { agent, socket, .. } in desks {
            let (writer, reader) = socket.split();
            writers.push(writer);
            let hear = Arc::clone(&hear);
            let read = read_all(reader, move |text| hear(agent, text));
            tasks.push(tokio::spawn(read));
        }
        Self { tasks, writers }
    }

    /// Leaves those of some agents open, and reads from them no more.
    pub fn stop_reading(&self, whose: impl Fn(usize) -> bool) {
        for (place, task) in self.tasks.iter().enumerate() {
            if whose(place) {
                task.abort();
            }
        }
    }

    /// How many connections have ended.
    pub fn gone(&self) -> usize {
        self.tasks.iter().filter(|task| task.is_finished()).count()
    }
}

async fn read_all(mut reader: SplitStream<Socket>, hear: impl Fn(&str)) {
    while let Some(Ok(frame)) = reader.next().await {
        match frame {
            Message::Text(text) => hear(&text),
            // Restarts are the bench's own doing; whatever else ends a desk spoils what it measures.
            Message::Close(Some(close)) if u16::from(close.code) != Close::Restarting.number() => {
                progress(&format!("an agent's socket was closed: {close}"));
            }
            _ => {}
        }
    }
}

impl Drop for Desks {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
