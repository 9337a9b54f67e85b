//! What stands before the nodes: it asks each whether it is ready, goes round those that are, and
//! leaves out who refuses or does not answer until it is ready again.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::drive::http::exchange;

/// As often each node is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);
const READY_WITHIN: Duration = Duration::from_millis(300);
/// Who says nothing at all for so long has its connections shut: who sits at them goes elsewhere.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// Longest wait for the answer to a webhook.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const READYZ: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: nodes\r\n\r\n";
const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nHost: nodes\r\n\r\n";

/// All nodes, as they look from outside.
pub(super) struct Balancer {
    doors: Vec<Rc<Door>>,
    next: Cell<usize>,
    /// Nobody is sent to any other.
    only: Cell<Option<usize>>,
}

/// One node's address.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    up: Cell<bool>,
    /// Says nothing at all.
    silent: watch::Sender<bool>,
    idle: RefCell<Vec<Line>>,
}

struct Line {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Balancer {
    /// Asks from now on, for as long as there is somebody to ask for.
    pub(super) fn start(addresses: impl Iterator<Item = SocketAddr>) -> Rc<Self> {
        let door = |address| {
            let (up, idle) = (Cell::new(false), RefCell::default());
            Rc::new(Door { address, up, silent: watch::Sender::new(true), idle })
        };
        let doors: Vec<Rc<Door>> = addresses.map(door).collect();
        for door in &doors {
            tokio::task::spawn_local(look_at(Rc::downgrade(door)));
        }
        Rc::new(Self { doors, next: Cell::new(0), only: Cell::new(None) })
    }

    /// The next that is ready.
    pub(super) fn pick(&self) -> Option<Rc<Door>> {
        let from = self.next.get();
        self.next.set(from.wrapping_add(1));
        let count = self.doors.len();
        let mut round = (0..count).map(|step| from.wrapping_add(step) % count);
        let may = |place: &usize| self.only.get().is_none_or(|only| only == *place);
        let found = round.find(|place| may(place) && self.doors[*place].up.get())?;
        Some(Rc::clone(&self.doors[found]))
    }

    /// Sends everybody to this node, or to all again.
    pub(super) fn only(&self, door: Option<usize>) {
        self.only.set(door);
    }

    /// Shuts all sockets, whose clients then come by whichever node is their turn.
    pub(super) fn let_go(&self) {
        for door in &self.doors {
            door.silent.send_replace(true);
        }
    }

    pub(super) fn ready(&self) -> usize {
        self.doors.iter().filter(|door| door.up.get()).count()
    }

    /// Whether every node says that it lives.
    pub(super) async fn all_live(&self) -> bool {
        for door in &self.doors {
            if !matches!(timeout(READY_WITHIN, door.exchange(LIVEZ)).await, Ok(Ok(200))) {
                return false;
            }
        }
        true
    }
}

async fn look_at(door: std::rc::Weak<Door>) {
    let mut heard = Instant::now();
    while let Some(door) = door.upgrade() {
        let status = timeout(READY_WITHIN, door.exchange(READYZ)).await;
        if let Ok(Ok(_)) = status {
            heard = Instant::now();
        }
        door.up.set(matches!(status, Ok(Ok(200))));
        let silent = heard.elapsed() > SILENT_AFTER;
        door.silent.send_if_modified(|was| std::mem::replace(was, silent) != silent);
        if silent {
            door.idle.borrow_mut().clear();
        }
        drop(door);
        tokio::time::sleep(ASK_EVERY).await;
    }
}

impl Door {
    /// A webhook's status; whoever refuses or does not answer is left out for a while.
    pub(super) async fn post(&self, request: &[u8]) -> Option<u16> {
        let status = timeout(ANSWER_WITHIN, self.exchange(request)).await;
        let status = status.ok().and_then(Result::ok);
        if status != Some(200) {
            self.up.set(false);
        }
        status
    }

    pub(super) fn silence(&self) -> watch::Receiver<bool> {
        self.silent.subscribe()
    }

    /// On a connection that was kept, or else on a new one.
    async fn exchange(&self, request: &[u8]) -> io::Result<u16> {
        let kept = self.idle.borrow_mut().pop();
        if let Some(mut line) = kept
            && let Ok(status) = line.exchange(request).await
        {
            self.idle.borrow_mut().push(line);
            return Ok(status);
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut line = Line { stream, read: Vec::with_capacity(1_024) };
        let status = line.exchange(request).await?;
        self.idle.borrow_mut().push(line);
        Ok(status)
    }
}

impl Line {
    async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        exchange(&mut self.stream, &mut self.read, request).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;

    use super::*;

    /// Answers everything on every connection with what the cell says.
    async fn serve(listener: TcpListener, ready: Rc<Cell<bool>>, asked: Rc<Cell<usize>>) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(answer_all(stream, Rc::clone(&ready), Rc::clone(&asked)));
        }
    }

    async fn answer_all(mut stream: TcpStream, ready: Rc<Cell<bool>>, asked: Rc<Cell<usize>>) {
        let mut buffer = [0; 1_024];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            asked.set(asked.get() + usize::from(buffer[..read].starts_with(b"POST")));
            let status = if ready.get() { "200 OK" } else { "503 No" };
            let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    }

    async fn until(what: impl Fn() -> bool) {
        while !what() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_refuses_is_left_out_until_it_is_ready_again() {
        let local = LocalSet::new();
        let test = local.run_until(async {
            let mut nodes = Vec::new();
            for _ in 0..2 {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let (ready, asked) = (Rc::new(Cell::new(true)), Rc::new(Cell::new(0)));
                tokio::task::spawn_local(serve(listener, Rc::clone(&ready), Rc::clone(&asked)));
                nodes.push((address, ready, asked));
            }
            let balancer = Balancer::start(nodes.iter().map(|node| node.0));
            until(|| balancer.ready() == 2).await;
            nodes[0].1.set(false);
            for _ in 0..4 {
                let door = balancer.pick().unwrap();
                door.post(b"POST / HTTP/1.1\r\n\r\n").await;
            }
            assert!(nodes[0].2.get() <= 1, "asked once, refused, and left out");
            until(|| balancer.ready() == 1).await;
            nodes[0].1.set(true);
            until(|| balancer.ready() == 2).await;
        });
        test.await;
    }
}
