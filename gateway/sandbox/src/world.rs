//! Everything the provider knows, and the one door to it.

// One short critical section per request, never across an await; an actor would only add a hop.
#![expect(
    clippy::disallowed_types,
    reason = "a stand-in for a remote system, outside the engine's rules"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::{Chance, Clock};
use crate::faults::Faults;
use crate::ledger::{Ledger, Stats};
use crate::media::MediaStore;
use crate::numbers::Number;
use crate::options::SandboxOptions;
use crate::phones::{Entry, Phone, Thread};
use crate::templates::Templates;

const PHONES: usize = 500_000;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) numbers: Vec<Number>,
    pub(crate) templates: Templates,
    pub(crate) media: MediaStore,
    pub(crate) faults: Faults,
    pub(crate) ledger: Ledger,
    pub(crate) stats: Stats,
    pub(crate) chance: Chance,
    phones: BTreeMap<String, Phone>,
    by_user_id: BTreeMap<String, String>,
    /// Old number → new number, so that old messages still find their phone.
    moved: BTreeMap<String, String>,
    /// Sets this run's message ids apart from every other run's.
    run: String,
    minted: u64,
    changes: u64,
}

impl World {
    pub(crate) fn number(&self, id: &str) -> Option<usize> {
        self.numbers.iter().position(|number| number.id == id)
    }

    pub(crate) fn number_of_key(&self, key: &str) -> Option<usize> {
        self.numbers.iter().position(|number| number.api_key == key)
    }

    pub(crate) fn next_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// The phone of that number, switched on the first time it is spoken of.
    pub(crate) fn phone(&mut self, wa_id: &str) -> Option<&mut Phone> {
        if !self.phones.contains_key(wa_id) {
            if self.phones.len() == PHONES {
                return None;
            }
            let phone = Phone::new(wa_id);
            self.by_user_id.insert(phone.user_id.clone(), wa_id.to_owned());
            self.phones.insert(wa_id.to_owned(), phone);
        }
        self.phones.get_mut(wa_id)
    }

    pub(crate) fn known_phone(&mut self, wa_id: &str) -> Option<&mut Phone> {
        let key = self.where_now(wa_id);
        self.phones.get_mut(&key)
    }

    pub(crate) fn phones(&self) -> impl Iterator<Item = &Phone> {
        self.phones.values()
    }

    pub(crate) fn wa_id_of(&self, user_id: &str) -> Option<String> {
        self.by_user_id.get(user_id).cloned()
    }

    pub(crate) fn rename_user(&mut self, wa_id: &str, user_id: &str) {
        let Some(phone) = self.phones.get_mut(wa_id) else { return };
        let old = std::mem::replace(&mut phone.user_id, user_id.to_owned());
        self.by_user_id.remove(&old);
        self.by_user_id.insert(user_id.to_owned(), wa_id.to_owned());
    }

    /// The person keeps the phone and its conversations under a new number and a new user id.
    pub(crate) fn move_phone(&mut self, old: &str, new: &str) {
        let Some(mut phone) = self.phones.remove(old) else { return };
        self.by_user_id.remove(&phone.user_id);
        let fresh = Phone::new(new);
        phone.wa_id = fresh.wa_id;
        phone.user_id = fresh.user_id;
        self.by_user_id.insert(phone.user_id.clone(), new.to_owned());
        self.moved.remove(new);
        self.moved.insert(old.to_owned(), new.to_owned());
        self.phones.insert(new.to_owned(), phone);
    }

    fn where_now(&self, wa_id: &str) -> String {
        let mut key = wa_id;
        while let (false, Some(next)) = (self.phones.contains_key(key), self.moved.get(key)) {
            key = next;
        }
        key.to_owned()
    }

    /// A new message id. Opaque to everybody else; to us it names the phone.
    pub(crate) fn mint(&mut self, wa_id: &str) -> String {
        self.minted += 1;
        let mut raw = vec![0x1c, 0x18, u8::try_from(wa_id.len()).unwrap_or(u8::MAX)];
        raw.extend(wa_id.as_bytes());
        raw.extend([0x15, 0x02]);
        raw.extend(format!("{}{:06X}", self.run, self.minted).as_bytes());
        format!("wamid.{}", STANDARD.encode(raw))
    }

    /// The phone a message id belongs to.
    pub(crate) fn phone_of(&mut self, wamid: &str) -> Option<&mut Phone> {
        let raw = STANDARD.decode(wamid.strip_prefix("wamid.")?).ok()?;
        let length = usize::from(*raw.get(2)?);
        let wa_id = String::from_utf8(raw.get(3..3 + length)?.to_vec()).ok()?;
        self.known_phone(&wa_id)
    }

    pub(crate) fn thread_of(&mut self, wamid: &str, number: usize) -> Option<&mut Thread> {
        self.phone_of(wamid)?.threads.get_mut(&number)
    }

    pub(crate) fn entry(&mut self, wamid: &str, number: usize) -> Option<&mut Entry> {
        self.thread_of(wamid, number)?.find(wamid)
    }

    pub(crate) fn show_stats(&self) -> Value {
        let mut shown = self.stats.show();
        shown["phones"] = json!(self.phones.len());
        shown["numbers"] = self.numbers.iter().map(Number::show).collect();
        shown
    }
}

/// The running provider: the world, its clock, and the means to reach out.
#[derive(Debug)]
pub(crate) struct Provider {
    world: Mutex<World>,
    pub(crate) clock: Clock,
    pub(crate) options: SandboxOptions,
    pub(crate) client: reqwest::Client,
    runtime: Handle,
    closed: watch::Receiver<bool>,
}

impl Provider {
    pub(crate) fn new(
        options: SandboxOptions,
        client: reqwest::Client,
        closed: watch::Receiver<bool>,
    ) -> Self {
        let clock = Clock::start();
        let mut chance = Chance::new(options.seed);
        let run = format!("{:X}{:04X}", clock.started_ms(), std::process::id() & 0xffff);
        let world = World {
            numbers: options.numbers.iter().map(Number::new).collect(),
            templates: Templates::default(),
            media: MediaStore::new(
                options.media_dir.clone(),
                options.media_url_ttl_s,
                clock.started_ms(),
            ),
            faults: Faults::new(chance.next()),
            ledger: Ledger::default(),
            stats: Stats::default(),
            chance,
            phones: BTreeMap::new(),
            by_user_id: BTreeMap::new(),
            moved: BTreeMap::new(),
            run,
            minted: 0,
            changes: 0,
        };
        let runtime = Handle::current();
        Self { world: Mutex::new(world), clock, options, client, runtime, closed }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Runs until it is done or the sandbox stops, whatever becomes of the request that started it.
    pub(crate) fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let mut closed = self.closed.clone();
        let task = self.runtime.spawn(async move {
            tokio::select! {
                // A dropped sender is an end as well.
                _ended = closed.wait_for(|closed| *closed) => {}
                () = work => {}
            }
        });
        drop(task);
    }
}
