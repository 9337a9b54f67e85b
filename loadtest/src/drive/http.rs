//! Connections to an HTTP server that are kept, and written to as fast or as regularly as asked.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::measure::{Latencies, Schedule};

/// What a server says before it closes an idle connection.
const REQUEST_TIMEOUT: u16 = 408;
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const DELIVER_WITHIN: Duration = Duration::from_mins(30);

/// What was answered.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Answered 200.
    pub ok: u64,
    /// Answered anything else.
    pub refused: u64,
    pub wall: Duration,
    pub latencies: Latencies,
}

/// Kept connections to one server.
#[derive(Debug)]
pub struct Connections {
    all: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    port: u16,
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connections {
    pub async fn open(port: u16, count: usize) -> anyhow::Result<Self> {
        let open = (0..count).map(|_| Connection::open(port));
        Ok(Self { all: try_join_all(open).await.context("no connection")? })
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    async fn renew(&mut self) -> anyhow::Result<()> {
        let renewed = self.all.iter_mut().map(Connection::renew);
        try_join_all(renewed).await.context("a connection could not be opened again")?;
        Ok(())
    }

    /// Closed loop: every connection sends the next as soon as it was answered, until time is over
    /// or nothing is left; what is under way is waited for.
    pub async fn saturate(
        &mut self,
        requests: &mut VecDeque<Bytes>,
        span: Duration,
    ) -> anyhow::Result<Answers> {
        self.renew().await?;
        let began = Instant::now();
        let (queue, answers) = (RefCell::new(requests), RefCell::new(Answers::default()));
        let next = || if began.elapsed() < span { queue.borrow_mut().pop_front() } else { None };
        let work = self.all.iter_mut().map(async |connection| {
            while let Some(request) = next() {
                let sent = Instant::now();
                let status = connection.exchange(&request).await?;
                answers.borrow_mut().count(status, sent.elapsed());
            }
            io::Result::Ok(())
        });
        try_join_all(work).await.context("a connection broke")?;
        let mut answers = answers.into_inner();
        answers.wall = began.elapsed();
        Ok(answers)
    }

    /// As the provider does: what was not answered 200 comes again, until all of it was.
    pub async fn deliver(&mut self, requests: VecDeque<Bytes>) -> anyhow::Result<()> {
        self.renew().await?;
        let began = Instant::now();
        let queue = RefCell::new(requests);
        let next = || queue.borrow_mut().pop_front();
        let work = self.all.iter_mut().map(async |connection| {
            while let Some(request) = next() {
                if connection.exchange(&request).await? != 200 {
                    queue.borrow_mut().push_back(request);
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                if began.elapsed() > DELIVER_WITHIN {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            io::Result::Ok(())
        });
        try_join_all(work).await.context("not everything was taken")?;
        Ok(())
    }

    /// Open loop: each request is due on the schedule, and who is sent late has waited since then.
    /// `sent` is told the number of each and when it was due.
    pub async fn on_schedule(
        &mut self,
        requests: &mut VecDeque<Bytes>,
        schedule: Schedule,
        sent: impl Fn(u64, Instant),
    ) -> anyhow::Result<Answers> {
        self.renew().await?;
        let count = requests.len() as u64;
        let pacer = Pacer::start(schedule, count);
        let (began, due) = (pacer.began, Arc::clone(&pacer.due));
        let (queue, answers) = (RefCell::new(requests), RefCell::new(Answers::default()));
        let number = Cell::new(0_u64);
        let work = self.all.iter_mut().map(async |connection| {
            loop {
                // The gate closes after the last.
                let Ok(permit) = due.acquire().await else { return io::Result::Ok(()) };
                permit.forget();
                let Some(request) = queue.borrow_mut().pop_front() else { return Ok(()) };
                let this = number.replace(number.get() + 1);
                sent(this, began + schedule.due(this));
                let status = connection.exchange(&request).await?;
                let waited = schedule.waited(this, began.elapsed());
                answers.borrow_mut().count(status, waited);
                if number.get() >= count {
                    due.close();
                }
            }
        });
        try_join_all(work).await.context("a connection broke")?;
        let mut answers = answers.into_inner();
        answers.wall = began.elapsed();
        Ok(answers)
    }
}

/// Lets requests go when they are due. A thread of its own: the runtime's timers are no finer than
/// a millisecond.
struct Pacer {
    began: Instant,
    due: Arc<Semaphore>,
    stopped: Arc<AtomicBool>,
}

impl Pacer {
    fn start(schedule: Schedule, count: u64) -> Self {
        let (began, due) = (Instant::now(), Arc::new(Semaphore::new(0)));
        let stopped = Arc::new(AtomicBool::new(false));
        let (gate, stop) = (Arc::clone(&due), Arc::clone(&stopped));
        std::thread::spawn(move || {
            let mut released = 0;
            while released < count && !stop.load(Ordering::Relaxed) {
                let due = schedule.due_by(began.elapsed()).min(count);
                if due > released {
                    gate.add_permits(usize::try_from(due - released).unwrap_or(usize::MAX));
                    released = due;
                }
                let next = began + schedule.due(released);
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        Self { began, due, stopped }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl Answers {
    fn count(&mut self, status: u16, took: Duration) {
        if status == 200 {
            self.ok += 1;
        } else {
            self.refused += 1;
        }
        self.latencies.add(took);
    }
}

impl Connection {
    async fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { port, stream, read: Vec::with_capacity(4_096) })
    }

    /// Opens it anew if the server closed it for having been idle.
    async fn renew(&mut self) -> io::Result<()> {
        let mut nothing = [0; 1];
        match self.stream.try_read(&mut nothing) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            _ => {
                *self = Self::open(self.port).await?;
                Ok(())
            }
        }
    }

    /// Sends a request and reads its answer whole; the status. A server that closed the connection
    /// for having been idle, just then, is asked again.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        match self.once(request).await {
            Ok(status) if status != REQUEST_TIMEOUT => Ok(status),
            _ => {
                *self = Self::open(self.port).await?;
                self.once(request).await
            }
        }
    }

    async fn once(&mut self, request: &[u8]) -> io::Result<u16> {
        exchange(&mut self.stream, &mut self.read, request).await
    }
}

/// Sends a request and reads its answer whole into `read`; the status.
pub(crate) async fn exchange(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
    request: &[u8],
) -> io::Result<u16> {
    stream.write_all(request).await?;
    read.clear();
    loop {
        if stream.read_buf(read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some((status, length)) = answer(read)
            && read.len() >= length
        {
            return Ok(status);
        }
    }
}

/// Status and length, body included, once the head is there.
fn answer(read: &[u8]) -> Option<(u16, usize)> {
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&read[..head]).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some((status, head + 4 + length.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let text = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\nA: b\r\n\r\nabc";
        assert_eq!(answer(text), Some((503, text.len())));
        assert_eq!(answer(&text[..text.len() - 3]), Some((503, text.len())));
        assert_eq!(answer(&text[..40]), None);
    }

    /// Answers one connection, with one status after the other, each after a pause.
    async fn answers(listener: TcpListener, statuses: &[&str], pause: Duration) {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 64];
        for status in statuses.iter().cycle() {
            if stream.read(&mut buffer).await.unwrap() == 0 {
                return;
            }
            tokio::time::sleep(pause).await;
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    fn requests(count: usize) -> VecDeque<Bytes> {
        (0..count).map(|_| Bytes::from_static(b"x")).collect()
    }

    /// With one connection and requests due every millisecond, the last have waited for all before
    /// them, though each was answered as soon as it was sent.
    #[tokio::test]
    async fn an_open_loop_counts_the_wait_of_those_sent_late() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(answers(listener, &["200 OK"], Duration::from_millis(5)));
        let mut connections = Connections::open(port, 1).await.unwrap();
        let seen = Cell::new(0);
        let sent = |_, _| seen.set(seen.get() + 1);
        let schedule = Schedule::per_second(1_000);
        let told = connections.on_schedule(&mut requests(40), schedule, sent).await.unwrap();
        assert_eq!((told.ok, told.refused, seen.get()), (40, 0, 40));
        // 40 answers at 5 ms each, due within 40 ms: the last has waited at least 160 ms.
        assert!(told.latencies.max() >= Duration::from_millis(155), "{}", told.latencies);
        drop(connections);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_refused_comes_again_until_it_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, heard) = std::sync::mpsc::channel();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 64];
            for status in ["503 No", "200 OK", "503 No", "503 No", "200 OK"] {
                let read = stream.read(&mut buffer).await.unwrap();
                told.send((buffer[..read].to_vec(), status)).unwrap();
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let mut connections = Connections::open(port, 1).await.unwrap();
        let queue = [Bytes::from_static(b"a"), Bytes::from_static(b"b")].into();
        connections.deliver(queue).await.unwrap();
        server.await.unwrap();
        let taken = heard.iter().filter(|(_, status)| *status == "200 OK");
        let mut taken: Vec<Vec<u8>> = taken.map(|(request, _)| request).collect();
        taken.sort();
        assert_eq!(taken, [b"a".to_vec(), b"b".to_vec()]);
    }

    #[tokio::test]
    async fn a_closed_loop_stops_when_nothing_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(answers(listener, &["200 OK", "503 No"], Duration::ZERO));
        let mut connections = Connections::open(port, 1).await.unwrap();
        let mut queue = requests(10);
        let told = connections.saturate(&mut queue, Duration::from_mins(1)).await.unwrap();
        assert_eq!((told.ok, told.refused, queue.len()), (5, 5, 0));
        drop(connections);
        server.await.unwrap();
    }
}
