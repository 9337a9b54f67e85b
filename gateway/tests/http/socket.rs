//! The agent socket byte by byte: how HTTP is left, and what clients may do with frames.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use reqwest::header::{CONNECTION, ORIGIN, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use reqwest::{Method, RequestBuilder};

use crate::bench::{Answer, Bench};

const PATH: &str = "/v1/agent/socket";
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

fn asked(bench: &Bench, path: &str, version: &str) -> RequestBuilder {
    bench
        .request(Method::GET, path)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header("Sec-WebSocket-Version", version)
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// A connection that is spoken on without a library.
struct Raw(TcpStream);

impl Raw {
    /// Upgraded behind another request on the same connection, together with its first frame.
    async fn greeted(bench: &Bench) -> Self {
        let token = bench.token("ada").await;
        let url = bench.request(Method::GET, PATH).build().unwrap().url().clone();
        let stream = TcpStream::connect(("127.0.0.1", url.port().unwrap())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut raw = Self(stream);
        raw.0.write_all(b"GET /livez HTTP/1.1\r\nHost: usher\r\n\r\n").unwrap();
        assert!(raw.head().starts_with("HTTP/1.1 200"));
        let mut said = format!(
            "GET {PATH} HTTP/1.1\r\nHost: usher\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: usher.v1\r\n\r\n"
        )
        .into_bytes();
        said.extend(frame(TEXT, format!(r#"{{"hello":{{"token":"{token}"}}}}"#).as_bytes()));
        raw.0.write_all(&said).unwrap();
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert!(head.contains("sec-websocket-protocol: usher.v1"), "{head}");
        let (kind, welcome) = raw.hear().unwrap();
        assert_eq!((kind, welcome.starts_with(b"{\"welcome\"")), (TEXT, true));
        raw
    }

    /// Of an answer; its body is as long as it says.
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.bytes(1).unwrap()[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        self.bytes(length.map_or(0, |length| length.parse().unwrap())).unwrap();
        head
    }

    fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{error}");
                None
            }
        }
    }

    /// The next frame; `None`: the connection has ended in order.
    fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.bytes(2)?;
        let length = match head[1] {
            126 => u16::from_be_bytes(self.bytes(2)?.try_into().unwrap()).into(),
            127 => usize::try_from(u64::from_be_bytes(self.bytes(8)?.try_into().unwrap())).unwrap(),
            short => short.into(),
        };
        Some((head[0], self.bytes(length)?))
    }

    /// The next frame of a kind.
    fn next(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let (heard, payload) = self.hear().expect("it ended");
            if heard == kind {
                return payload;
            }
        }
    }

    fn says(&mut self, first: u8, payload: &[u8]) {
        self.0.write_all(&frame(first, payload)).unwrap();
    }
}

/// Masked with zeros, which changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    if let Ok(short @ ..126) = u8::try_from(payload.len()) {
        frame.push(0x80 | short);
    } else {
        frame.push(0xfe);
        frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[actix_web::test]
async fn who_is_not_let_in_is_told_why() {
    let mut bench = Bench::demo();
    let protocol = |asked: RequestBuilder| asked.header(SEC_WEBSOCKET_PROTOCOL, "usher.v1");
    let header = |answer: &Answer, name: &str| {
        answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    let plain = protocol(bench.request(Method::GET, PATH));
    let nowhere = protocol(asked(&bench, "/v1/agent/nowhere", "13"));
    let silent = asked(&bench, PATH, "13");
    let old = protocol(asked(&bench, PATH, "8"));
    let foreign = protocol(asked(&bench, PATH, "13")).header(ORIGIN, "https://evil.example");
    let unknown = protocol(asked(&bench, PATH, "13")).bearer_auth("nobody");
    for (asked, status, code) in [
        (plain, 400, "handshake"),
        (nowhere, 404, "not_found"),
        (silent, 400, "sub_protocol"),
        (old, 426, "handshake"),
        (foreign, 403, "origin_refused"),
        (unknown, 401, "token_refused"),
    ] {
        let answer = bench.answer(asked).await;
        assert_eq!(answer.code(), (status, code), "{answer:?}");
        assert_eq!(header(&answer, "content-type").unwrap(), "application/problem+json");
        let version = header(&answer, "sec-websocket-version");
        assert_eq!(version.as_deref(), (status == 426).then_some("13"));
    }
    bench.stop().await;
}

#[actix_web::test]
async fn both_sides_say_that_they_close() {
    let mut bench = Bench::demo();
    let mut raw = Raw::greeted(&bench).await;
    raw.says(CLOSE, &1000u16.to_be_bytes());
    assert_eq!(raw.next(CLOSE), 1000u16.to_be_bytes());
    assert!(raw.hear().is_none());

    // A length alone says that a frame is too large; what follows is not listened to, but read.
    let mut raw = Raw::greeted(&bench).await;
    raw.0.write_all(&[TEXT, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]).unwrap();
    raw.0.write_all(&vec![b'x'; 300_000]).unwrap();
    assert_eq!(raw.next(CLOSE)[..2], 4301u16.to_be_bytes());
    raw.says(CLOSE, &4301u16.to_be_bytes());
    assert!(raw.hear().is_none());

    // Half a connection is no connection.
    let mut raw = Raw::greeted(&bench).await;
    raw.0.shutdown(Shutdown::Write).unwrap();
    while raw.hear().is_some() {}
    bench.stop().await;
}

#[actix_web::test]
async fn a_message_may_come_in_pieces_with_pings_between() {
    let mut bench = Bench::demo();
    let mut raw = Raw::greeted(&bench).await;
    raw.says(0x01, br#"{"id":7,"#);
    raw.says(PING, b"there?");
    raw.says(0x00, b"");
    raw.says(0x80, br#""cmd":"nothing"}"#);
    assert_eq!(raw.next(PONG), b"there?");
    let answer = String::from_utf8(raw.next(TEXT)).unwrap();
    assert!(answer.starts_with(r#"{"re":7,"#), "{answer}");
    bench.stop().await;
}

#[actix_web::test]
async fn who_does_not_read_the_answers_is_not_heard() {
    const PINGS_MAX: usize = 1_000_000;
    let mut bench = Bench::demo();
    let mut raw = Raw::greeted(&bench).await;
    raw.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let pings = frame(PING, &[b'x'; 125]).repeat(100);
    let mut sent = 0;
    let partial = loop {
        match raw.0.write(&pings) {
            Ok(whole) if whole == pings.len() => sent += 100,
            Ok(partial) => break partial,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
                break 0;
            }
        }
        assert!(sent < PINGS_MAX, "all of it is taken");
    };
    // Once they are read it goes on, and none is forgotten.
    sent += partial / frame(PING, &[b'x'; 125]).len();
    for _ in 0..sent {
        raw.next(PONG);
    }
    bench.stop().await;
}
