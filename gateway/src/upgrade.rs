//! Connections that leave HTTP: what was asked with the upgrade, and the bytes behind it.
//!
//! After the answer the HTTP library has no part in such a connection, nor has it any buffer for it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_codec::{AsyncRead, AsyncWrite, Framed, ReadBuf};
use actix_http::body::{BodySize, BoxBody, MessageBody as _};
use actix_http::h1::{Codec, Message};
use actix_http::{ConnectionType, Request, RequestHead, Response};
use actix_rt::net::TcpStream;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::codec::Encoder as _;

/// Who was refused is given this long to read why.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// The bytes of a connection.
#[derive(Debug)]
pub(crate) enum Pipe {
    Plain(TcpStream),
    /// What it takes for TLS is no part of a plain one.
    Encrypted(Box<TlsStream<TcpStream>>),
}

macro_rules! either {
    ($pipe:expr, $stream:ident => $polled:expr) => {
        match $pipe.get_mut() {
            Pipe::Plain($stream) => {
                let $stream = Pin::new($stream);
                $polled
            }
            Pipe::Encrypted($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $polled
            }
        }
    };
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(context, into))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(context))
    }
}

/// A request to leave HTTP; whoever takes it answers it, or passes it on unanswered.
#[derive(Debug)]
pub(crate) struct Upgrade {
    request: Request,
    codec: Codec,
    opened: Opened,
}

/// A connection that is no longer HTTP's.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) pipe: Pipe,
    /// Read already: what the client said behind its request.
    pub(crate) read: BytesMut,
    /// To be written before anything else.
    pub(crate) unwritten: BytesMut,
}

impl Upgrade {
    pub(crate) fn new(request: Request, framed: Framed<Pipe, Codec>) -> Self {
        let parts = framed.into_parts();
        // A copy of the few bytes there may be: what HTTP has read into is large.
        let opened = Opened {
            pipe: parts.io,
            read: BytesMut::from(&*parts.read_buf),
            unwritten: BytesMut::from(&*parts.write_buf),
        };
        Self { request, codec: parts.codec, opened }
    }

    pub(crate) fn head(&self) -> &RequestHead {
        self.request.head()
    }

    pub(crate) const fn request(&self) -> &Request {
        &self.request
    }

    /// With an `answer` that switches protocols.
    pub(crate) fn accept(mut self, answer: Response<()>) -> io::Result<(Request, Opened)> {
        self.write_head(answer, BodySize::None)?;
        Ok((self.request, self.opened))
    }

    /// Answers with a body that is there as a whole, and closes.
    pub(crate) async fn refuse(self, answer: impl Into<Response<BoxBody>>) {
        let answer = answer.into();
        // Who does not read it is none the wiser.
        drop(timeout(REFUSED_WITHIN, self.refused(answer)).await);
    }

    async fn refused(mut self, answer: Response<BoxBody>) -> io::Result<()> {
        let (mut head, body) = answer.into_parts();
        head.head_mut().set_connection_type(ConnectionType::Close);
        let size = body.size();
        let body = body.try_into_bytes().map_err(|_| io::ErrorKind::InvalidInput)?;
        self.write_head(head, size)?;
        let Opened { mut pipe, mut unwritten, .. } = self.opened;
        unwritten.extend_from_slice(&body);
        pipe.write_all(&unwritten).await?;
        pipe.shutdown().await?;
        // What is closed with something unread is reset, and the answer with it.
        let mut rest = [0; 512];
        while pipe.read(&mut rest).await? > 0 {}
        Ok(())
    }

    fn write_head(&mut self, head: Response<()>, size: BodySize) -> io::Result<()> {
        self.codec.encode(Message::Item((head, size)), &mut self.opened.unwritten)
    }
}
