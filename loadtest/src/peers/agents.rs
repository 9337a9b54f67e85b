//! Agents at the sockets of one service: they close what is finished, come back when thrown out, and
//! note down all they are told.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::book::{Book, Label, Note};
use super::desk::{Desk, Told};
use crate::socket::{Gone, Socket};

/// Pause before a connection that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Notes on their way to the book; who finds it full waits.
const NOTES: usize = 65_536;

/// Where the agents of a service connect.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) address: String,
    pub(super) protocol: Option<&'static str>,
}

/// Whom the agents obey.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Serve,
    /// One of them is without a connection.
    Without(usize),
    Leave,
}

/// The one who keeps the book, asked in the same line in which notes arrive.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    pub(super) notes: mpsc::Sender<Note>,
    questions: mpsc::Sender<Question>,
}

type Question = Box<dyn FnOnce(&mut Book) + Send>;

impl Keeper {
    pub(super) fn of(mut book: Book) -> Self {
        let (notes, mut written) = mpsc::channel(NOTES);
        let (questions, mut asked) = mpsc::channel::<Question>(16);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    Some(note) = written.recv() => book.write(note),
                    Some(question) = asked.recv() => question(&mut book),
                    else => break,
                }
            }
        });
        Self { notes, questions }
    }

    /// Looks into the book once all that was noted before stands in it.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Book) -> T + Send + 'static,
    ) -> T {
        let (tell, told) = oneshot::channel();
        let question: Question = Box::new(move |book| {
            // Who asked waits for it.
            tell.send(look(book)).ok();
        });
        assert!(self.questions.send(question).await.is_ok(), "the book is kept while it is asked");
        told.await.expect("every question is answered")
    }

    /// Waits until the book says so; `false` when it does not in that time.
    pub(super) async fn until(
        &self,
        patience: Duration,
        look: impl Fn(&mut Book) -> bool + Clone + Send + 'static,
    ) -> bool {
        let begun = Instant::now();
        while !self.look(look.clone()).await {
            if begun.elapsed() > patience {
                return false;
            }
            sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

/// All agents of one service.
#[derive(Debug)]
pub(super) struct Team {
    orders: watch::Sender<Order>,
    tasks: Vec<JoinHandle<()>>,
}

impl Team {
    pub(super) fn start(
        desks: Vec<Box<dyn Desk>>,
        link: &Link,
        notes: &mpsc::Sender<Note>,
    ) -> Self {
        let (orders, heard) = watch::channel(Order::Serve);
        let seat = |(place, desk)| {
            let agent = Agent { place, desk, notes: notes.clone(), held: Vec::new() };
            tokio::spawn(agent.serve(link.clone(), heard.clone()))
        };
        Self { orders, tasks: desks.into_iter().enumerate().map(seat).collect() }
    }

    pub(super) fn order(&self, order: Order) {
        self.orders.send_replace(order);
    }

    pub(super) async fn leave(self) {
        self.order(Order::Leave);
        futures_util::future::join_all(self.tasks).await;
    }
}

struct Agent {
    place: usize,
    desk: Box<dyn Desk>,
    notes: mpsc::Sender<Note>,
    held: Vec<String>,
}

impl Agent {
    async fn serve(mut self, link: Link, mut orders: watch::Receiver<Order>) {
        loop {
            let order = *orders.borrow_and_update();
            if order == Order::Leave {
                return;
            }
            if order == Order::Without(self.place) {
                // Whoever gives the orders ends the team before going.
                orders.changed().await.ok();
                continue;
            }
            let opening =
                timeout(Duration::from_secs(5), Socket::open(&link.address, link.protocol));
            let Ok(Ok(socket)) = opening.await else {
                sleep(AGAIN_AFTER).await;
                continue;
            };
            let gone = self.talk(socket, &mut orders).await;
            self.desk.gone(gone.code, &gone.reason);
            if gone.code.is_some() {
                // Refused or sent away: knocking without a pause would be a flood.
                sleep(AGAIN_AFTER).await;
            }
        }
    }

    /// Until the connection ends, or an order ends it.
    async fn talk(&mut self, mut socket: Socket, orders: &mut watch::Receiver<Order>) -> Gone {
        socket.write(self.desk.hello()).await;
        let (mut told, mut write) = (Vec::new(), Vec::new());
        loop {
            let frame = tokio::select! {
                frame = socket.hear() => frame,
                _ = orders.changed() => {
                    let order = *orders.borrow();
                    if order == Order::Leave || order == Order::Without(self.place) {
                        return Gone::default();
                    }
                    continue;
                }
            };
            let at = Instant::now();
            match frame {
                Ok(frame) if self.desk.hear(&frame, &mut told, &mut write) => {}
                Ok(_) => return Gone::default(),
                Err(gone) => return gone,
            }
            for told in told.drain(..) {
                self.take(told, at, &mut write).await;
            }
            for frame in write.drain(..) {
                socket.write(frame).await;
            }
        }
    }

    async fn take(&mut self, told: Told, at: Instant, write: &mut Vec<String>) {
        let finished = match &told {
            Told::Ready { held: Some(held) } => {
                self.held.clone_from(held);
                None
            }
            Told::Assigned { enquiry } => {
                self.held.push(enquiry.clone());
                None
            }
            Told::Message { enquiry, text, .. } => {
                let is_last = Label::read(text).is_some_and(|label| label.is_last);
                (is_last && self.held.contains(enquiry)).then(|| enquiry.clone())
            }
            Told::Closed { enquiry } => {
                self.held.retain(|held| held != enquiry);
                None
            }
            Told::Ready { held: None } => None,
        };
        self.note(Note::Heard { agent: self.place, at, told }).await;
        let Some(enquiry) = finished else { return };
        if let Some(frame) = self.desk.close(&enquiry) {
            self.held.retain(|held| *held != enquiry);
            write.push(frame);
            self.note(Note::Closing { agent: self.place, enquiry }).await;
        }
    }

    async fn note(&self, note: Note) {
        // The keeper lives longer than those who write.
        self.notes.send(note).await.ok();
    }
}
