//! Posts webhooks as 360dialog would: signed, over kept connections, again until there is a 200.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};

use super::book::{Label, Note};

/// How many messages a visitor writes before the agent closes.
pub(super) const PER_VISITOR: u64 = 8;
/// How long the provider waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The provider's first pause before it tries again, shortened.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Longest anybody goes on trying.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the webhooks of one service go.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) secret: String,
    /// A header of its own that the service wants to see.
    pub(super) header: Option<(String, String)>,
    pub(super) phone_number_id: String,
}

impl Door {
    /// One text in one webhook, as the provider writes it.
    fn body(&self, visitor: &str, label: Label) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (number, serial, text) = (&self.phone_number_id, label.serial, label.text());
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"700800900","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"4930111222","phone_number_id":"{number}"}},"contacts":[{{"profile":{{"name":"Visitor {visitor}"}},"wa_id":"{visitor}","user_id":"DE.{visitor}"}}],"messages":[{{"from":"{visitor}","from_user_id":"DE.{visitor}","id":"wamid.HBgN{number}{serial:012}","timestamp":"{now}","type":"text","text":{{"body":"{text}"}}}}]}}}}]}}]}}"#
        )
    }

    fn request(&self, body: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let own = self.header.as_ref().map(|(name, value)| format!("{name}: {value}\r\n"));
        let (path, port, own, size) = (&self.path, self.port, own.unwrap_or_default(), body.len());
        format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
             x-360dialog-signature: {signature}\r\n{own}content-length: {size}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// One kept connection.
struct Wire {
    port: u16,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Wire {
    fn to(port: u16) -> Self {
        Self { port, stream: None, buffer: Vec::with_capacity(4096) }
    }

    /// The status that the request was answered with.
    async fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        let asked = timeout(ANSWER_WITHIN, self.exchange(request)).await;
        let answer = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            empty => {
                let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
                stream.set_nodelay(true)?;
                empty.insert(stream)
            }
        };
        stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if let Some(answer) = answer(&self.buffer)? {
                return Ok(answer);
            }
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The status of a whole answer with a known length; `None`: there is more to come.
fn answer(bytes: &[u8]) -> io::Result<Option<u16>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let wrong = || io::Error::from(io::ErrorKind::InvalidData);
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong())?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).ok_or_else(wrong)?;
    Ok((bytes.len() >= end + 4 + length).then_some(status))
}

/// Everybody who writes to one service.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    pub(super) door: Arc<Door>,
    pub(super) notes: mpsc::Sender<Note>,
    pub(super) serials: Arc<AtomicU64>,
    pub(super) visitors: Arc<AtomicU64>,
}

/// One visitor after the other.
struct Writing {
    visitor: String,
    written: u64,
}

impl Crowd {
    fn next_visitor(&self) -> Writing {
        let number = self.visitors.fetch_add(1, Ordering::Relaxed);
        Writing { visitor: format!("49151{number:08}"), written: 0 }
    }

    /// The next message of this visitor, or the first of the next one.
    fn next_message(&self, writing: &mut Writing) -> (String, Label) {
        if writing.written == PER_VISITOR {
            *writing = self.next_visitor();
        }
        writing.written += 1;
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        (writing.visitor.clone(), Label { serial, is_last: writing.written == PER_VISITOR })
    }

    async fn post(&self, wire: &mut Wire, due: Instant, visitor: &str, label: Label) {
        let request = self.door.request(&self.door.body(visitor, label));
        let serial = label.serial;
        self.note(Note::Posted { serial, due }).await;
        while due.elapsed() < PATIENCE {
            if matches!(wire.ask(&request).await, Ok(200)) {
                return self.note(Note::Acked { serial, at: Instant::now() }).await;
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    async fn note(&self, note: Note) {
        // Whoever keeps the book lives longer than those who write in it.
        self.notes.send(note).await.ok();
    }

    /// Each connection posts its next as soon as the last is answered, for so long.
    pub(super) async fn press(&self, connections: usize, long: Duration) {
        let until = Instant::now() + long;
        let posters = (0..connections).map(|_| async move {
            let mut wire = Wire::to(self.door.port);
            let mut writing = self.next_visitor();
            // Nobody's enquiry is left half written: its slot would stay taken.
            while Instant::now() < until || writing.written < PER_VISITOR {
                let (visitor, label) = self.next_message(&mut writing);
                self.post(&mut wire, Instant::now(), &visitor, label).await;
            }
        });
        futures_util::future::join_all(posters).await;
    }

    /// So many per second on a fixed schedule, whether or not the last are answered.
    pub(super) async fn steadily(&self, per_second: u32, long: Duration) {
        /// Visitors who write at the same time.
        const AT_ONCE: u32 = 64;
        let begun = Instant::now();
        let rounds = long.as_secs_f64() * f64::from(per_second) / f64::from(AT_ONCE);
        let pause = Duration::from_secs(1) * AT_ONCE / per_second;
        let posters = (0..AT_ONCE).map(|place| async move {
            let mut wire = Wire::to(self.door.port);
            let mut writing = self.next_visitor();
            let mut due = begun + Duration::from_secs(1) * place / per_second;
            let mut round = 0.0;
            while round < rounds || writing.written < PER_VISITOR {
                sleep_until(due.into()).await;
                let (visitor, label) = self.next_message(&mut writing);
                self.post(&mut wire, due, &visitor, label).await;
                due += pause;
                round += 1.0;
            }
        });
        futures_util::future::join_all(posters).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_all_of_it_is_there() {
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap(), None);
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap(), Some(200));
        assert_eq!(answer(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbus").unwrap(), None);
        let whole = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy";
        assert_eq!(answer(whole).unwrap(), Some(503));
        assert!(answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_webhook_is_json_and_its_signature_fits() {
        let door = Door {
            port: 1,
            path: "/webhook".into(),
            secret: "platform".into(),
            header: Some(("x-usher-secret".into(), "s".into())),
            phone_number_id: "900100200300".into(),
        };
        let body = door.body("4915100000001", Label { serial: 5, is_last: true });
        let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
        let message = &parsed["entry"][0]["changes"][0]["value"]["messages"][0];
        assert_eq!(message["text"]["body"], "m5 bye");
        let request = String::from_utf8(door.request(&body)).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"platform").unwrap();
        mac.update(body.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        assert!(request.contains(&format!("x-360dialog-signature: {signature}\r\n")));
        assert!(request.contains("x-usher-secret: s\r\n"));
    }
}
