//! `usher agent`: a small terminal client over the real agent socket.

mod desk;
mod input;
mod talk;
mod unsent;
mod words;

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Client;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use usher_engine::Clock;
use usher_protocol::SUB_PROTOCOL;
use usher_protocol::feed::Next;

use super::terminal::{base, call, client, is_interactive, lines, say, sign_in};
use talk::{Ask, Habits, Reaction, Stay, Talk};

/// The server pings every 25 s; without any sign for this long the connection is dead.
const SILENCE_MAX: Duration = Duration::from_mins(1);
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// What comes back later does not come back all at once.
const JITTER_MILLIS: u64 = 500;

/// Serve visitors from the terminal.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where Usher is; https too, under a certificate that the system knows or that `SSL_CERT_FILE` names.
    #[arg(long, default_value = "http://127.0.0.1:8480")]
    url: String,
    #[arg(long, default_value = "anna@demo.example")]
    email: String,
    #[arg(long, default_value = "usher-demo")]
    password: String,
    /// Picks up whatever is offered.
    #[arg(long)]
    pick_up: bool,
    /// Says this in every room that was picked up.
    #[arg(long, value_name = "TEXT")]
    say: Option<String>,
    /// Leaves as soon as what was said has been sent.
    #[arg(long)]
    once: bool,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How a connection ended.
enum End {
    Quit,
    Closed { code: Option<u16>, reason: String },
}

/// Runs until the person leaves, or the server says that coming back is of no use.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let url = base(&args.url);
    let http = client()?;
    let habits = Habits {
        pick_up: args.pick_up,
        say: args.say.clone(),
        stay: match (args.once, is_interactive()) {
            (true, _) => Stay::Once,
            (false, true) => Stay::Person,
            (false, false) => Stay::Piped,
        },
    };
    if habits.stay == Stay::Person {
        say("/help says what can be typed")?;
    }
    let mut talk = Talk::new(habits, format!("t{:016x}", rand::random::<u64>()));
    let mut keyboard = Keyboard { lines: lines(), is_over: false };
    let token = sign_in(&http, &url, &args.email, &args.password).await?;
    let mut door = Door { http, url, token };
    loop {
        let end = match connect(&door.url).await {
            Ok(socket) => converse(socket, &door, &mut talk, &mut keyboard).await?,
            Err(error) => {
                say(format!("no connection: {error:#}"))?;
                End::Closed { code: None, reason: String::new() }
            }
        };
        let End::Closed { code, reason } = end else { return Ok(()) };
        match talk.closed(code, &reason) {
            Next::ReconnectNow => {}
            Next::ReconnectLater(pause) => {
                say(format!("back in {} s", pause.as_secs().max(1)))?;
                sleep(pause + Duration::from_millis(rand::random_range(0..JITTER_MILLIS))).await;
            }
            Next::SignIn => {
                door.token = sign_in(&door.http, &door.url, &args.email, &args.password).await?;
            }
            Next::GiveUp => bail!("the server does not want this client: {reason}"),
        }
    }
}

/// The way to the server besides the socket.
struct Door {
    http: Client,
    url: String,
    token: String,
}

impl Door {
    async fn ask(&self, ask: Ask) -> Result<Value, String> {
        let request = match ask {
            Ask::Unsent => self.http.get(format!("{}/v1/outbox", self.url)),
            Ask::Resend(message) => {
                self.http.post(format!("{}/v1/outbox/{message}/resend", self.url))
            }
        };
        let request = request.bearer_auth(&self.token).timeout(CONNECT_MAX);
        call(request).await.map_err(|error| format!("{error:#}"))
    }
}

struct Keyboard {
    lines: mpsc::Receiver<String>,
    is_over: bool,
}

async fn connect(url: &str) -> anyhow::Result<Socket> {
    let Some(address) = url.strip_prefix("http") else {
        bail!("{url} is no address of Usher: it begins with https:// or http://");
    };
    let mut request = format!("ws{address}/v1/agent/socket").into_client_request()?;
    let protocol = HeaderValue::from_static(SUB_PROTOCOL);
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    let (socket, _) = timeout(CONNECT_MAX, connect_async(request)).await.context("no answer")??;
    Ok(socket)
}

/// One connection, from hello to its end.
async fn converse(
    mut socket: Socket,
    door: &Door,
    talk: &mut Talk,
    keyboard: &mut Keyboard,
) -> anyhow::Result<End> {
    let clock = Clock::system();
    let lost = || End::Closed { code: None, reason: String::new() };
    if socket.send(Message::text(talk.hello(&door.token))).await.is_err() {
        return Ok(lost());
    }
    let mut ticks = interval(Duration::from_secs(1));
    let mut heard = Instant::now();
    loop {
        let mut reaction = tokio::select! {
            frame = socket.next() => {
                heard = Instant::now();
                match read(frame) {
                    Read::Text(text) => talk.hear(&text, clock.now()),
                    Read::Other => continue,
                    Read::Over(end) => return Ok(end),
                }
            }
            line = keyboard.lines.recv(), if !keyboard.is_over => {
                if let Some(line) = line {
                    talk.typed(&line, clock.now())
                } else {
                    keyboard.is_over = true;
                    talk.typed_all()
                }
            }
            _ = ticks.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    return Ok(lost());
                }
                Reaction { lines: talk.tick(clock.now()), ..Reaction::default() }
            }
        };
        if let Some(ask) = reaction.ask.take() {
            reaction.lines.extend(talk.told(ask, door.ask(ask).await));
        }
        if let Some(end) = perform(reaction, &mut socket).await? {
            return Ok(end);
        }
    }
}

enum Read {
    Text(String),
    Other,
    Over(End),
}

fn read(frame: Option<Result<Message, tungstenite::Error>>) -> Read {
    match frame {
        Some(Ok(Message::Text(text))) => Read::Text(text.to_string()),
        Some(Ok(Message::Close(Some(close)))) => Read::Over(End::Closed {
            code: Some(close.code.into()),
            reason: close.reason.to_string(),
        }),
        Some(Ok(Message::Close(None)) | Err(_)) | None => {
            Read::Over(End::Closed { code: None, reason: String::new() })
        }
        Some(Ok(_)) => Read::Other,
    }
}

/// Shows and sends; the end, if this was it.
async fn perform(reaction: Reaction, socket: &mut Socket) -> anyhow::Result<Option<End>> {
    for line in reaction.lines {
        say(line)?;
    }
    for frame in reaction.frames {
        if socket.send(Message::text(frame)).await.is_err() {
            return Ok(Some(End::Closed { code: None, reason: String::new() }));
        }
    }
    if let Some(why) = reaction.reconnect {
        say(format!("connecting anew: {why}"))?;
        // It ends here whether or not the server still hears of it.
        drop(socket.close(None).await);
        return Ok(Some(End::Closed { code: None, reason: String::new() }));
    }
    if reaction.quit {
        drop(socket.close(None).await);
        return Ok(Some(End::Quit));
    }
    Ok(None)
}
