//! Looks at a client's greeting before anybody answers it: whose it is decides which node the session is on.

use std::io;
use std::time::Duration;

use actix_http::ws::Frame;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use usher_protocol::HELLO_SECONDS;
use usher_protocol::frame::{ClientFrame, Token, parse_client};

use super::Sockets;
use super::input::Input;
use crate::upgrade::Opened;

impl Sockets {
    /// The token of the greeting; what was read for it is there for whoever has the session. `None`: there
    /// is none, or it is no greeting, which the session then finds out.
    pub(crate) async fn greeting(&self, opened: &mut Opened) -> Option<Token> {
        let patience = Duration::from_secs(HELLO_SECONDS.into());
        timeout(patience, self.read_greeting(opened)).await.ok()?.ok()?
    }

    async fn read_greeting(&self, opened: &mut Opened) -> io::Result<Option<Token>> {
        let Opened { pipe, read, unwritten } = opened;
        pipe.write_all(unwritten).await?;
        *unwritten = BytesMut::new();
        loop {
            match self.greeting_in(read) {
                Seen::Greeting(token) => return Ok(token),
                Seen::Nothing => {}
            }
            if pipe.read_buf(read).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn greeting_in(&self, read: &BytesMut) -> Seen {
        let mut input = Input::new(read.clone(), self.shared.limits.frame_max);
        loop {
            let text = match input.next() {
                Ok(None) => return Seen::Nothing,
                // Whoever has the session answers them.
                Ok(Some(Frame::Ping(_) | Frame::Pong(_))) => continue,
                Ok(Some(Frame::Text(text))) => text,
                Ok(Some(Frame::Binary(_) | Frame::Continuation(_) | Frame::Close(_))) | Err(_) => {
                    return Seen::Greeting(None);
                }
            };
            let text = std::str::from_utf8(&text).ok();
            return Seen::Greeting(match text.map(parse_client) {
                Some(Ok(ClientFrame::Hello(hello))) => hello.token,
                Some(_) | None => None,
            });
        }
    }
}

enum Seen {
    /// No whole frame yet.
    Nothing,
    Greeting(Option<Token>),
}
