//! A client's WebSocket: how it is opened, and what its end says.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// One open connection.
#[derive(Debug)]
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// How a connection ended; without a code it just went away.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Gone {
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

impl Socket {
    pub(crate) async fn open(address: &str, protocol: Option<&'static str>) -> Result<Self, Error> {
        let mut request = address.into_client_request()?;
        if let Some(protocol) = protocol {
            let name = HeaderValue::from_static(protocol);
            request.headers_mut().insert("sec-websocket-protocol", name);
        }
        let (socket, _) = connect_async(request).await?;
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_nodelay(true)?;
        }
        Ok(Self(socket))
    }

    /// The next text; pings are answered on the way.
    pub(crate) async fn hear(&mut self) -> Result<String, Gone> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                Some(Ok(Message::Close(Some(close)))) => {
                    let reason = close.reason.as_str().to_owned();
                    return Err(Gone { code: Some(close.code.into()), reason });
                }
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Err(Gone::default()),
                Some(Ok(_)) => {}
            }
        }
    }

    /// A lost connection shows itself at the next reading.
    pub(crate) async fn write(&mut self, text: String) {
        self.0.send(Message::text(text)).await.ok();
    }
}
