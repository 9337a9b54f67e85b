//! A standing connection to an owner that webhooks pass by: what has come together and its answer are a message
//! each, where requests would cost both nodes several times that.
//!
//! It is a WebSocket (RFC 6455) on the path that requests go to, so a node that knows no such connection
//! refuses it and is asked by requests. Each worker has its own: what a webhook came in by, what it is passed
//! on by and what the answer comes back by are on one thread, which nothing has to wake.
//!
//! A message, either way: the number of the batch on this connection (u32, big-endian), then the batch or what
//! the owner says of it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use actix_web::web::Bytes;
use anyhow::{Context as _, bail};
use bytes::{Buf as _, BufMut as _, BytesMut};
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt as _, StreamExt as _};
use metrics::Histogram;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use super::batch::{ANSWER_MAX, Batch, Heard};
use super::{BYTES_MAX, ITEMS_MAX, WAITING_MAX};
use crate::http::{Kept, Whole};

/// Bytes of a batch's number.
const NUMBER: usize = 4;
/// Batches on their way by one connection; what comes then goes together, once one of them is answered.
const AT_ONCE: usize = 32;
/// Bytes that either end reads at once: most batches, whole.
const READ: usize = 16 * 1024;
/// For what is under way when the owner's end closes.
const FAREWELL: Duration = Duration::from_secs(1);

/// The door's end; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Link(mpsc::Sender<Passed>);

#[derive(Debug)]
struct Passed {
    whole: Whole,
    kept: oneshot::Sender<Kept>,
}

impl Link {
    /// The door's end of `stream`, and what has to be polled for it to do anything; that ends with the
    /// connection. `seconds`: from a batch to its answer.
    pub(super) fn open<S>(stream: S, seconds: Histogram) -> (Self, impl Future<Output = ()>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (says, passed) = mpsc::channel(WAITING_MAX);
        let run = async move {
            let limits = Some(limits(ANSWER_MAX));
            let wire = WebSocketStream::from_raw_socket(stream, Role::Client, limits).await;
            if let Err(error) = pass(wire, passed, &seconds).await {
                tracing::debug!(?error, "a connection for webhooks broke");
            }
        };
        (Self(says), run)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// What the owner says of it. `None`: the connection broke, and nobody knows what became of it; or too
    /// much waits to be written.
    pub(super) async fn keep(&self, whole: Whole) -> Option<Kept> {
        let (kept, hears) = oneshot::channel();
        self.0.try_send(Passed { whole, kept }).ok()?;
        hears.await.ok()
    }
}

/// What waits for the answer to one batch.
struct Sent {
    at: Instant,
    kept: Vec<oneshot::Sender<Kept>>,
}

/// Until nobody passes on anything more, or the other end has gone.
async fn pass<S>(
    mut wire: WebSocketStream<S>,
    mut passed: mpsc::Receiver<Passed>,
    seconds: &Histogram,
) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sent, mut last) = (BTreeMap::new(), 0_u32);
    loop {
        let heard = tokio::select! {
            first = passed.recv(), if sent.len() < AT_ONCE => {
                let Some(first) = first else { return Ok(wire.close(None).await?) };
                let (batch, kept) = gathered(first, &mut passed);
                last = last.wrapping_add(1);
                sent.insert(last, Sent { at: Instant::now(), kept });
                wire.send(message(last, &batch.written())).await?;
                continue;
            }
            heard = wire.next() => heard,
        };
        let heard = match heard.context("the owner has gone")?? {
            Message::Binary(heard) => heard,
            Message::Close(_) => bail!("the owner closes it"),
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let (number, heard) = numbered(heard).context("an answer without a number")?;
        let Sent { at, kept } = sent.remove(&number).context("an answer to nothing")?;
        seconds.record(at.elapsed().as_secs_f64());
        let heard = Heard::read(&heard, kept.len()).context("it is not an answer to webhooks")?;
        for (one, said) in kept.into_iter().zip(heard.kept) {
            // Whoever waited for it may have given up.
            one.send(said).ok();
        }
    }
}

/// All that has come until now.
fn gathered(
    first: Passed,
    passed: &mut mpsc::Receiver<Passed>,
) -> (Batch, Vec<oneshot::Sender<Kept>>) {
    let (mut all, mut kept, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(one) = next {
        bytes += one.whole.body.len();
        all.push(one.whole);
        kept.push(one.kept);
        let has_room = all.len() < ITEMS_MAX && bytes <= BYTES_MAX;
        next = if has_room { passed.try_recv().ok() } else { None };
    }
    (Batch { after_inbox: false, all }, kept)
}

/// The owner's end, until the door closes it or `closing` turns true: what is under way then is still answered.
/// A batch has no more than `most` bytes; `begun` was read already.
pub(super) async fn serve<S, F>(
    (stream, begun): (S, Vec<u8>),
    most: usize,
    keep: impl Fn(Batch) -> F,
    mut closing: watch::Receiver<bool>,
) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = Heard>,
{
    let limits = Some(limits(most));
    let mut wire = WebSocketStream::from_partially_read(stream, begun, Role::Server, limits).await;
    let mut kept = FuturesUnordered::new();
    let mut closed = pin!(closing.wait_for(|closing| *closing));
    loop {
        let asked = tokio::select! {
            asked = wire.next(), if kept.len() < AT_ONCE => asked,
            Some((number, heard)) = kept.next() => {
                answer(&mut wire, number, &heard).await?;
                continue;
            }
            _ = &mut closed => break,
        };
        match asked.transpose()? {
            Some(Message::Binary(asked)) => {
                let (number, batch) = numbered(asked).context("a batch without a number")?;
                let heard = keep(Batch::read(batch).context("these are no webhooks")?);
                kept.push(async move { (number, heard.await) });
            }
            Some(Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Some(Message::Close(_)) | None => return Ok(()),
        }
    }
    let rest = async {
        while let Some((number, heard)) = kept.next().await {
            answer(&mut wire, number, &heard).await?;
        }
        wire.close(None).await
    };
    Ok(timeout(FAREWELL, rest).await??)
}

async fn answer<S>(
    wire: &mut WebSocketStream<S>,
    number: u32,
    heard: &Heard,
) -> Result<(), tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    wire.send(message(number, &heard.written())).await
}

/// For messages with `most` bytes behind their number.
fn limits(most: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ)
        .max_message_size(Some(NUMBER + most))
        .max_frame_size(Some(NUMBER + most))
}

fn message(number: u32, body: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(NUMBER + body.len());
    message.put_u32(number);
    message.put_slice(body);
    Message::Binary(message.freeze())
}

/// `None`: it has no number.
fn numbered(mut message: Bytes) -> Option<(u32, Bytes)> {
    (message.len() >= NUMBER).then(|| (message.get_u32(), message))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use actix_web::rt;
    use futures_util::future::join_all;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;
    use usher_domain::ids::ChannelId;
    use usher_domain::time::Timestamp;

    use super::*;

    fn whole(number: u128) -> Whole {
        Whole {
            channel: ChannelId::from_number(number),
            received_at: Timestamp::from_millis(1_793_534_400_000),
            body: Bytes::from(format!("{{\"number\":{number}}}")),
        }
    }

    /// An owner that keeps what it has a permit for, those with even numbers durably.
    struct Owner {
        permits: Rc<Semaphore>,
        /// How many came together.
        came: Rc<RefCell<Vec<usize>>>,
        closing: watch::Sender<bool>,
        served: JoinHandle<anyhow::Result<()>>,
    }

    impl Owner {
        fn on(stream: DuplexStream) -> Self {
            let (permits, came) =
                (Rc::new(Semaphore::new(0)), Rc::<RefCell<Vec<usize>>>::default());
            let (closing, closes) = watch::channel(false);
            let kept = (Rc::clone(&permits), Rc::clone(&came));
            let keep = move |batch: Batch| {
                let (permits, came) = kept.clone();
                async move {
                    came.borrow_mut().push(batch.all.len());
                    permits.acquire().await.unwrap().forget();
                    Heard { inbox_was_emptied: true, kept: batch.all.iter().map(said).collect() }
                }
            };
            let served = rt::spawn(serve((stream, Vec::new()), 64 * 1024, keep, closes));
            Self { permits, came, closing, served }
        }
    }

    fn said(whole: &Whole) -> Kept {
        let is_even = whole.channel.uuid().as_u128().is_multiple_of(2);
        if is_even { Kept::Durably } else { Kept::NotNow }
    }

    fn pair() -> (Link, Owner) {
        let (door, owner) = duplex(64 * 1024);
        let (link, run) = Link::open(door, Histogram::noop());
        drop(rt::spawn(run));
        (link, Owner::on(owner))
    }

    fn asks(link: &Link, number: u128) -> JoinHandle<Option<Kept>> {
        let link = link.clone();
        rt::spawn(async move { link.keep(whole(number)).await })
    }

    /// All that can happen now has happened.
    async fn settled() {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    #[actix::test]
    async fn each_webhook_hears_what_became_of_it_whatever_comes_together() {
        let (link, owner) = pair();
        owner.permits.add_permits(10_000);
        for round in [1, 3, 700] {
            let all: Vec<Whole> = (0..round).map(whole).collect();
            let kept = join_all(all.iter().map(|one| link.keep(one.clone()))).await;
            let due: Vec<_> = all.iter().map(|one| Some(said(one))).collect();
            assert_eq!(kept, due);
        }
        let came = owner.came.borrow();
        assert_eq!(came.iter().sum::<usize>(), 704);
        assert!(came.len() < 10 && came.iter().all(|many| *many <= ITEMS_MAX), "{came:?}");
    }

    #[actix::test]
    async fn what_is_not_answered_yet_holds_up_only_what_is_over_the_limit() {
        let (link, owner) = pair();
        let mut asked = Vec::new();
        for number in 0..3 * AT_ONCE {
            asked.push(asks(&link, number as u128));
            settled().await;
        }
        assert_eq!(owner.came.borrow().len(), AT_ONCE, "each alone, and no more of them");
        owner.permits.add_permits(1);
        settled().await;
        assert_eq!(owner.came.borrow().last(), Some(&(2 * AT_ONCE)), "the rest together");
        owner.permits.add_permits(AT_ONCE);
        assert!(join_all(asked).await.into_iter().all(|kept| kept.unwrap().is_some()));
    }

    #[actix::test]
    async fn a_door_that_minds_no_limit_is_read_no_further() {
        let (door, end) = duplex(64 * 1024);
        let owner = Owner::on(end);
        let limits = Some(limits(1024));
        let mut wire = WebSocketStream::from_raw_socket(door, Role::Client, limits).await;
        for number in (0_u32..).take(2 * AT_ONCE) {
            let batch = Batch { after_inbox: false, all: vec![whole(number.into())] };
            wire.send(message(number, &batch.written())).await.unwrap();
        }
        settled().await;
        assert_eq!(owner.came.borrow().len(), AT_ONCE);
        owner.permits.add_permits(2 * AT_ONCE);
        for _ in 0..2 * AT_ONCE {
            wire.next().await.unwrap().unwrap();
        }
        assert_eq!(owner.came.borrow().len(), 2 * AT_ONCE, "and all are answered");
    }

    #[actix::test]
    async fn an_owner_that_ends_answers_what_it_has_and_takes_no_more() {
        let (link, owner) = pair();
        let asked = asks(&link, 2);
        settled().await;
        owner.closing.send_replace(true);
        settled().await;
        owner.permits.add_permits(1);
        assert_eq!(asked.await.unwrap(), Some(Kept::Durably));
        owner.served.await.unwrap().unwrap();
        settled().await;
        assert!(!link.is_open());
        assert_eq!(link.keep(whole(2)).await, None);
    }

    #[actix::test]
    async fn who_waits_hears_at_once_that_the_connection_broke() {
        let (link, owner) = pair();
        let asked = asks(&link, 2);
        settled().await;
        owner.served.abort();
        assert_eq!(asked.await.unwrap(), None);
    }

    #[actix::test]
    async fn what_is_no_batch_ends_the_connection() {
        for wrong in [&[][..], &[0, 0, 1], &[0, 0, 0, 1, 9, 0], &[0, 0, 0, 1, 1, 0, 7]] {
            let (door, end) = duplex(64 * 1024);
            let owner = Owner::on(end);
            let limits = Some(limits(1024));
            let mut wire = WebSocketStream::from_raw_socket(door, Role::Client, limits).await;
            wire.send(Message::binary(wrong.to_vec())).await.unwrap();
            assert!(owner.served.await.unwrap().is_err(), "{wrong:?}");
            assert_eq!(*owner.came.borrow(), Vec::<usize>::new());
        }
        let (mut door, end) = duplex(64 * 1024);
        let owner = Owner::on(end);
        door.write_all(&[b'P'; 256]).await.unwrap();
        assert!(owner.served.await.unwrap().is_err());
    }
}
