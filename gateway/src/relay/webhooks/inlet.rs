//! Where an owner takes in what other nodes pass on, and its own door beside it.

use std::sync::Arc;
use std::time::Duration;

use actix_http::{RequestHead, ws};
use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, Data, Payload, ServiceConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::batch::{self, Batch, Heard};
use super::drain::Drain;
use super::shelf::{Marks, Shelf, Stood};
use super::{BYTES_MAX, ITEMS_MAX, PATH, link};
use crate::http::{Door, Gate, Hook, Kept, Outcome, Problem, Webhooks, Whole};
use crate::upgrade::{Opened, Upgrade};

/// Whoever passed them on then puts them into the inbox; less than it waits for us.
const DURABLE_WITHIN: Duration = Duration::from_millis(150);

/// The owner's side; cheap to clone.
#[derive(Clone)]
pub(crate) struct Inlet {
    webhooks: Data<Webhooks>,
    drain: Arc<Drain>,
    /// What this node has put into the inbox while others were to have it.
    marks: Arc<Marks>,
    /// Nothing more is taken in by standing connections.
    closing: Arc<watch::Sender<bool>>,
}

impl Inlet {
    pub(super) fn new(webhooks: Data<Webhooks>, shelf: Shelf, marks: Arc<Marks>) -> Self {
        let drain = Drain::new(webhooks.clone(), shelf);
        Self { webhooks, drain, marks, closing: Arc::default() }
    }

    /// To be awaited before a service that has begun is served: what has waited goes before what comes.
    pub(crate) async fn first(&self) {
        self.drain.first().await;
    }

    /// From now on nothing stands in the inbox for long.
    pub(crate) fn drain(&self) -> JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.drain).run())
    }

    pub(crate) fn routes(&self, config: &mut ServiceConfig) {
        let inlet = self.clone();
        let take = move |payload: Payload| take(inlet.clone(), payload);
        config.route(PATH, web::post().to(take));
    }

    /// Whether a connection that leaves HTTP is for this.
    pub(crate) fn is_for(head: &RequestHead) -> bool {
        head.uri.path() == PATH
    }

    /// A standing connection of another node: batches come by it for as long as it lasts.
    pub(crate) async fn upgraded(self, upgrade: Upgrade) {
        let mut answer = match ws::handshake(upgrade.head()) {
            Ok(answer) => answer,
            Err(error) => return upgrade.refuse(error).await,
        };
        let Ok((_, opened)) = upgrade.accept(answer.finish().drop_body()) else { return };
        let Opened { mut pipe, read, unwritten } = opened;
        // Whoever asked may have gone before.
        if pipe.write_all(&unwritten).await.is_err() {
            return;
        }
        let (most, closing) = (self.most(), self.closing.subscribe());
        let served = link::serve((pipe, read.to_vec()), most, |batch| self.heard(batch), closing);
        if let Err(cause) = served.await {
            tracing::debug!(?cause, "a connection for webhooks broke");
        }
    }

    /// Ends what others pass on by: they find who has the services now.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Bytes of the longest batch.
    fn most(&self) -> usize {
        batch::most(ITEMS_MAX, BYTES_MAX, self.webhooks.gate().body_max())
    }

    async fn heard(&self, Batch { after_inbox, all }: Batch) -> Heard {
        let sent = all.len();
        let kept = timeout(DURABLE_WITHIN, self.kept(after_inbox, all)).await;
        kept.unwrap_or_else(|_| Heard { inbox_was_emptied: false, kept: vec![Kept::NotNow; sent] })
    }

    async fn kept(&self, after_inbox: bool, all: Vec<Whole>) -> Heard {
        if !after_inbox {
            return Heard { inbox_was_emptied: true, kept: self.webhooks.keep_all(&all).await };
        }
        let Ok(left) = self.drain.empty().await else {
            return Heard { inbox_was_emptied: false, kept: vec![Kept::NotNow; all.len()] };
        };
        // Nobody's come in before what stands in the inbox.
        let service = |channel| self.webhooks.gate().hook(channel).map(|hook| hook.service);
        let waits =
            |one: &Whole| service(one.channel).is_some_and(|service| left.contains(&service));
        let now: Vec<Whole> = all.iter().filter(|one| !waits(one)).cloned().collect();
        let mut outcomes = self.webhooks.keep_all(&now).await.into_iter();
        let kept = all.iter().map(|one| {
            let outcome = if waits(one) { None } else { outcomes.next() };
            outcome.unwrap_or(Kept::NotNow)
        });
        Heard { inbox_was_emptied: left.is_empty(), kept: kept.collect() }
    }
}

async fn take(inlet: Inlet, payload: Payload) -> Result<HttpResponse, Problem> {
    let most = inlet.most();
    let body = payload.to_bytes_limited(most).await;
    let body = body.map_err(|_| Problem::too_large(most as u64))?;
    let body = body.map_err(|_| Problem::cut_off())?;
    let batch = Batch::read(body).ok_or_else(|| Problem::malformed("These are no webhooks."))?;
    Ok(HttpResponse::Ok().body(inlet.heard(batch).await.written()))
}

impl Inlet {
    pub(super) fn gate(&self) -> &Gate {
        self.webhooks.gate()
    }

    pub(super) async fn keep(&self, hook: &Hook, body: Bytes) -> Outcome {
        let stood = self.marks.stand([hook.service]);
        if !stood.is_empty() {
            // Rare, and large: it would be part of every webhook's way.
            Box::pin(self.catch_up(&stood)).await;
        }
        self.webhooks.keep(hook, body).await
    }

    /// What came to this node before goes first, unless that takes too long.
    async fn catch_up(&self, stood: &Stood) {
        let left = timeout(DURABLE_WITHIN, self.drain.empty()).await;
        if left.is_ok_and(|left| left.is_ok_and(|left| left.is_empty())) {
            self.marks.emptied(stood);
        }
    }
}
