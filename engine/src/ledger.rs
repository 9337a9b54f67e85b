//! A service's way to the journal: records in, and what waits for them released once durable.
//!
//! Everything on a service's arbiter appends here in the order in which it happens. While a commit
//! runs the next one gathers; when it is durable its releases are performed in order.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::Addr;
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, mpsc, oneshot};
use usher_domain::ids::{ServiceId, StaffId};
use usher_domain::record::Record;
use usher_domain::wall::Ahead;
use usher_store::{Commit, CommitFailed, Entry, Journal, encode};

use crate::clock::Wall;
use crate::handle::{Answer, ConnectionId};
use crate::outgoing::{BotSaid, BotWord, ProviderCall, SendOutcome};
use crate::service::{BotSpeaks, Broken, Outcome, Service};
use crate::staff::{AnswerIs, Greet, Mark, Push, Staff, StaffAddrs, State};

/// Something that leaves the service, and only after what it rests on is durable.
#[derive(Debug)]
pub(crate) enum Release {
    /// A numbered event for these people's feeds.
    Feed {
        to: Vec<StaffId>,
        tail: Arc<str>,
        /// Until what else comes in a moment.
        may_wait: bool,
    },
    /// A statement of how things are for one person's screens.
    State {
        to: StaffId,
        state: State,
    },
    /// The answer to a command.
    Answer {
        to: oneshot::Sender<Answer>,
        answer: Answer,
        credit: Credit,
    },
    Provider(ProviderCall),
    /// The answer to a command that came by a connection.
    AnswerBy {
        staff: Addr<Staff>,
        answer: AnswerIs,
        credit: Credit,
    },
    /// From here on a person who connects is told of everything.
    Mark {
        staff: Addr<Staff>,
        connection: ConnectionId,
    },
    /// A person who has connected is shown what is theirs.
    Greet {
        staff: Addr<Staff>,
        greet: Box<Greet>,
    },
    /// Whoever waits for everything so far to be durable.
    Durable {
        to: oneshot::Sender<u64>,
        seq: u64,
    },
    /// What was lent is given back.
    Credit(OwnedSemaphorePermit),
    /// Nobody is left to tell.
    Nothing,
    /// One update of a webhook is safe.
    Ack(Arc<Ack>),
}

/// What the door lent for a command: given back when its answer is released.
pub(crate) type Credit = Option<OwnedSemaphorePermit>;

/// Tells the door when all updates of a webhook are durable; dropped before that, it tells failure.
#[derive(Debug)]
pub(crate) struct Ack {
    left: AtomicUsize,
    /// Taken once; nobody else is ever on its thread.
    to: Mutex<Option<oneshot::Sender<()>>>,
    /// The door's credit, given back when everything is released.
    _credit: OwnedSemaphorePermit,
}

impl Ack {
    pub(crate) fn new(
        updates: usize,
        to: oneshot::Sender<()>,
        credit: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(updates),
            to: Mutex::new(Some(to)),
            _credit: credit,
        })
    }

    fn one_is_safe(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        if let Some(to) = self.to.try_lock().ok().and_then(|mut to| to.take()) {
            // Nobody waits any more when the provider hung up; the update is safe all the same.
            to.send(()).ok();
        }
    }
}

/// A service's handle to its journal; cheap to clone within its arbiter.
#[derive(Clone)]
pub(crate) struct Ledger(Rc<Inner>);

struct Inner {
    service: ServiceId,
    /// Which building of the service this is.
    build: u64,
    /// Records stand on it.
    wall: Wall,
    journal: Journal,
    provider: mpsc::Sender<ProviderCall>,
    staff: RefCell<StaffAddrs>,
    /// Looked up once: there are more events than webhooks.
    events: metrics::Counter,
    gathering: RefCell<Gathering>,
    /// The last sequence given out.
    last: Cell<u64>,
    /// Something from outside was done and is durable.
    worked: Cell<bool>,
    wake: Notify,
}

#[derive(Default)]
struct Gathering {
    records: Vec<Entry>,
    releases: Vec<Release>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("last", &self.0.last.get()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// `last`: the service's last durable sequence.
    pub(crate) fn new(
        (service, build): (ServiceId, u64),
        wall: &Wall,
        (journal, provider): (Journal, mpsc::Sender<ProviderCall>),
        last: u64,
    ) -> Self {
        Self(Rc::new(Inner {
            service,
            build,
            wall: wall.clone(),
            journal,
            provider,
            staff: RefCell::default(),
            events: metrics::counter!(crate::metrics::EVENTS),
            gathering: RefCell::default(),
            last: Cell::new(last),
            worked: Cell::new(false),
            wake: Notify::new(),
        }))
    }

    pub(crate) fn wire(&self, staff: StaffAddrs) {
        *self.0.staff.borrow_mut() = staff;
    }

    /// One record group, and what waits for it. Returns the sequence of its last record.
    pub(crate) fn append(
        &self,
        records: impl IntoIterator<Item = Record>,
        releases: impl IntoIterator<Item = Release>,
    ) -> u64 {
        let mut gathering = self.0.gathering.borrow_mut();
        let ahead = self.0.wall.ahead();
        for mut record in records {
            let seq = self.0.last.get() + 1;
            self.0.last.set(seq);
            if ahead != Ahead::default() {
                record.put_on_the_wall(ahead);
            }
            gathering.records.push(Entry { seq, body: encode(&record) });
        }
        gathering.releases.extend(releases);
        self.0.wake.notify_one();
        self.0.last.get()
    }

    pub(crate) fn release(&self, release: Release) {
        self.append([], [release]);
    }

    /// Whether anything from outside was done since this was built.
    pub(crate) fn has_worked(&self) -> bool {
        self.0.worked.get()
    }

    /// The sequence of the newest record, durable or not.
    pub(crate) fn last(&self) -> u64 {
        self.0.last.get()
    }

    /// Commits what gathers until a commit fails; then the service is told, and nothing is released.
    pub(crate) async fn run(self, service: Addr<Service>) {
        loop {
            let taken = std::mem::take(&mut *self.0.gathering.borrow_mut());
            if taken.records.is_empty() {
                self.perform(taken.releases, &service);
                self.0.wake.notified().await;
                continue;
            }
            match self.commit(taken.records).await {
                Ok(()) => self.perform(taken.releases, &service),
                Err(failed) => {
                    tracing::error!(error = %failed, "a commit failed; the service is rebuilt");
                    service.do_send(Broken { actor: "journal", build: self.0.build });
                    return;
                }
            }
        }
    }

    async fn commit(&self, records: Vec<Entry>) -> Result<(), CommitFailed> {
        let (told, hears) = oneshot::channel();
        let done = Box::new(move |outcome| {
            // The service was dropped meanwhile: nobody is left to tell.
            told.send(outcome).ok();
        });
        let commit = Commit { service: self.0.service, records, done };
        if self.0.journal.submit(commit).is_err() {
            return Err(CommitFailed::Refused);
        }
        hears.await.unwrap_or(Err(CommitFailed::Closed))
    }

    fn perform(&self, releases: Vec<Release>, service: &Addr<Service>) {
        for release in releases {
            match release {
                Release::Feed { to, tail, may_wait } => {
                    self.0.events.increment(1);
                    let staff = self.0.staff.borrow();
                    for addr in to.iter().filter_map(|id| staff.get(id)) {
                        addr.do_send(Push { tail: Arc::clone(&tail), may_wait });
                    }
                }
                Release::State { to, state } => {
                    if let Some(addr) = self.0.staff.borrow().get(&to) {
                        addr.do_send(state);
                    }
                }
                Release::Answer { to, answer, credit } => {
                    self.0.worked.set(true);
                    // The connection may be gone; the command was carried out all the same.
                    to.send(answer).ok();
                    drop(credit);
                }
                Release::Provider(call) => self.call(call, service),
                Release::AnswerBy { staff, answer, credit } => {
                    self.0.worked.set(true);
                    staff.do_send(answer);
                    drop(credit);
                }
                Release::Mark { staff, connection } => staff.do_send(Mark(connection)),
                Release::Greet { staff, greet } => staff.do_send(*greet),
                Release::Durable { to, seq } => {
                    // Whoever asked may have gone.
                    to.send(seq).ok();
                }
                Release::Ack(ack) => {
                    self.0.worked.set(true);
                    ack.one_is_safe();
                }
                Release::Credit(credit) => drop(credit),
                Release::Nothing => {}
            }
        }
    }

    fn call(&self, call: ProviderCall, service: &Addr<Service>) {
        let Err(refused) = self.0.provider.try_send(call) else { return };
        metrics::counter!(crate::metrics::MAILBOX_FULL, "actor" => "provider").increment(1);
        match refused.into_inner() {
            // It certainly never left: the outbox tries again.
            ProviderCall::Send(outgoing) => service.do_send(Outcome {
                channel: outgoing.channel,
                message: outgoing.message,
                became: SendOutcome::NotSent,
            }),
            // Nobody asks for the file again: it waits for the door.
            call @ ProviderCall::Fetch { .. } => {
                let provider = self.0.provider.clone();
                actix::spawn(async move {
                    // The door is gone: so is the program.
                    provider.send(call).await.ok();
                });
            }
            // Somebody else is to serve the visitor, rather than nobody.
            ProviderCall::Bot(call) => {
                let (answer, _) = oneshot::channel();
                let word = BotWord {
                    bot: call.bot,
                    call: Some(call.id),
                    key: None,
                    said: BotSaid::Failed,
                };
                service.do_send(BotSpeaks { enquiry: call.enquiry, word, answer, credit: None });
            }
            call @ ProviderCall::Read { .. } => {
                tracing::warn!(kind = call.kind(), "the provider's door is full");
            }
        }
    }
}
