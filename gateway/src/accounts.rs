//! Decides who somebody is: sign-ins, and the tokens that stand for them afterwards.

mod origins;
mod passwords;
mod services;
mod session;
mod wrong;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::web;
use metrics::{counter, gauge};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use usher_config::{Account, Config, Service};
use usher_domain::ids::{ServiceId, SessionId, StaffId};
use usher_domain::record::Event;
use usher_domain::settings::{Role, Settings};
use usher_domain::time::Timestamp;
use usher_engine::Engine;
use usher_store::{SessionRow, StoreError};
use uuid::Uuid;

use crate::metrics::{AUTH_FAILURES, SESSIONS};
use origins::Origins;
pub use passwords::hash;
use passwords::{BadHash, PasswordHash};
use session::{Held, Pace};
use wrong::{Locked, WrongPasswords};

/// Passwords checked at once; each check takes 19 MiB and some ten milliseconds of a core.
const CHECKS: usize = 2;
/// Sign-ins that may wait for a check; beyond it they are told to come back.
const CHECKS_WAITING: usize = 64;
/// Tokens looked up at once in the archive.
const LOOKS: usize = 2;
/// Sessions of one person; beyond it the one unused for longest ends.
const SESSIONS_PER_STAFF: usize = 64;

/// Somebody who has signed in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Person {
    pub service: ServiceId,
    pub staff: StaffId,
    pub session: SessionId,
    pub role: Role,
}

/// A sign-in that succeeded.
#[derive(Debug)]
pub struct SignedIn {
    pub person: Person,
    /// Shown once; only its digest is kept.
    pub token: String,
    /// It ends then at the latest.
    pub until: Timestamp,
}

/// Why somebody is not signed in.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NotSignedIn {
    #[error("e-mail or password is wrong")]
    Wrong,
    #[error("too many wrong passwords")]
    Locked { again_in: Duration },
    #[error("too many wrong passwords from one address")]
    Crowd { again_in: Duration },
    #[error("too many people are signing in")]
    Busy,
    #[error("it could not be stored")]
    Unavailable,
}

/// Whose a token is cannot be said now: what was kept cannot be read, or its service runs elsewhere.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("it cannot be said now whose token this is")]
pub struct NotNow;

/// Why the accounts cannot be read.
#[derive(Debug, Error)]
pub enum AccountsError {
    #[error("the password hash of {email} is not one")]
    Hash {
        email: String,
        #[source]
        source: BadHash,
    },
    #[error("the sessions cannot be read")]
    Store(#[from] StoreError),
}

/// Accounts and sessions; cheap to clone.
#[derive(Clone)]
pub struct People {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    /// By e-mail address in lower case.
    accounts: BTreeMap<String, Known>,
    settings: BTreeMap<ServiceId, Arc<Settings>>,
    sessions: RwLock<HashMap<Digest, Arc<Held>>>,
    /// Sessions of an earlier run whose tokens have not been seen in this one.
    asleep: RwLock<BTreeMap<SessionId, SessionRow>>,
    wrong: WrongPasswords,
    origins: Origins,
    checks: Semaphore,
    waiting: Semaphore,
    /// Checked where there is no account, so that this takes as long.
    nobody: PasswordHash,
    idle: Duration,
    longest: Duration,
    pace: Pace,
    looks: Semaphore,
}

type Digest = [u8; 32];

#[derive(Debug)]
struct Known {
    service: ServiceId,
    service_key: String,
    staff: StaffId,
    /// `None`: cannot sign in.
    password: Option<PasswordHash>,
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("People")
            .field("accounts", &self.inner.accounts.len())
            .finish_non_exhaustive()
    }
}

impl People {
    /// Reads the accounts of all services, and of those that run the sessions that outlived the last run.
    /// Passwords in plain text are hashed, which takes a while each.
    pub fn load(
        config: &Config,
        services: &[Service],
        engine: Engine,
        now: Timestamp,
    ) -> Result<Self, AccountsError> {
        let mut accounts = BTreeMap::new();
        let mut settings = BTreeMap::new();
        for service in services {
            let id = service.settings.service;
            settings.insert(id, Arc::new(service.settings.clone()));
            for (&staff, account) in &service.accounts {
                accounts.insert(account.email.clone(), known(service, staff, account)?);
            }
        }
        let run = engine.services();
        let limits = &config.sessions;
        let inner = Inner {
            engine,
            accounts,
            settings,
            sessions: RwLock::default(),
            asleep: RwLock::default(),
            wrong: WrongPasswords::new(limits.wrong_passwords_max, limits.locked_for),
            origins: Origins::new(limits.wrong_passwords_per_address, limits.locked_for),
            checks: Semaphore::new(CHECKS),
            waiting: Semaphore::new(CHECKS_WAITING),
            nobody: PasswordHash::of_nobody(),
            idle: limits.idle,
            longest: limits.longest,
            pace: Pace::new(config.limits.commands_per_second, config.limits.commands_burst),
            looks: Semaphore::new(LOOKS),
        };
        let people = Self { inner: Arc::new(inner) };
        for service in run {
            people.begin_service(service, now)?;
        }
        Ok(people)
    }

    /// Whose token this is, if anybody's; using it keeps the session from falling idle.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Option<Person>, NotNow> {
        Ok(self.held(token, now)?.map(|held| held.person))
    }

    /// As [`authenticate`](Self::authenticate), and takes one request from the session's allowance.
    /// The inner `Err`: how long to wait.
    pub(crate) fn admit(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Result<Person, Duration>>, NotNow> {
        let held = self.held(token, now)?;
        Ok(held.map(|held| held.admit(self.inner.pace, now).map(|()| held.person)))
    }

    /// `Ok(None)` is counted: a token that is nobody's.
    fn held(&self, token: &str, now: Timestamp) -> Result<Option<Arc<Held>>, NotNow> {
        let digest = digest(token);
        let found = read(&self.inner.sessions).get(&digest).map(Arc::clone);
        let held = match found {
            Some(held) => Some(held),
            None => self.wake(&digest, now)?,
        };
        let is_live = |held: &Arc<Held>| {
            held.is_live(now, self.inner.idle) && self.role_of(&held.person).is_some()
        };
        let held = held.filter(is_live).inspect(|held| held.used(now));
        if held.is_none() {
            if self.is_elsewhere(token) {
                return Err(NotNow);
            }
            counter!(AUTH_FAILURES, "door" => "token").increment(1);
        }
        Ok(held)
    }

    /// Finds a session of an earlier run; asks the archive only while there can be one.
    fn wake(&self, digest: &Digest, now: Timestamp) -> Result<Option<Arc<Held>>, NotNow> {
        if read(&self.inner.asleep).is_empty() {
            return Ok(None);
        }
        let archive = self.inner.engine.store().archive().reader();
        let row = archive.and_then(|archive| archive.session_by_token(&hex::encode(digest)));
        let row = row.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a session was not read");
            NotNow
        })?;
        let Some(row) = row else { return Ok(None) };
        // Several sockets may come with one token: it is awake before it is no more asleep.
        let Some(held) = self.awake(digest, &row, now) else { return Ok(None) };
        write(&self.inner.asleep).remove(&row.session);
        self.count();
        Ok(Some(held))
    }

    /// `None`: it has ended meanwhile, or is nobody's who may sign in.
    fn awake(&self, digest: &Digest, row: &SessionRow, now: Timestamp) -> Option<Arc<Held>> {
        let SessionRow { service, session, staff, until, .. } = *row;
        let role = self.role(service, staff)?;
        let mut sessions = write(&self.inner.sessions);
        if let Some(held) = sessions.get(digest) {
            return Some(Arc::clone(held));
        }
        if !read(&self.inner.asleep).contains_key(&session) {
            return None;
        }
        let held = Arc::new(Held::new(Person { service, staff, session, role }, until, now));
        sessions.insert(*digest, Arc::clone(&held));
        Some(held)
    }

    fn role_of(&self, person: &Person) -> Option<Role> {
        self.role(person.service, person.staff)
    }

    /// `None`: nobody who may sign in.
    fn role(&self, service: ServiceId, staff: StaffId) -> Option<Role> {
        let staff = self.inner.settings.get(&service)?.staff.get(&staff)?;
        staff.enabled.then_some(staff.role)
    }

    /// The settings a person works under.
    pub(crate) fn settings(&self, service: ServiceId) -> Option<&Arc<Settings>> {
        self.inner.settings.get(&service)
    }

    /// Signs somebody in who comes from `address`. `service` is needed by nobody, but has to be
    /// right where it is given.
    pub async fn open(
        &self,
        service: Option<&str>,
        email: &str,
        password: SecretString,
        (address, now): (Option<IpAddr>, Timestamp),
    ) -> Result<SignedIn, NotSignedIn> {
        if let Some(address) = address
            && let Err(again_in) = self.inner.origins.begin(address, now)
        {
            counter!(AUTH_FAILURES, "door" => "address").increment(1);
            return Err(NotSignedIn::Crowd { again_in });
        }
        let opened = self.open_here(service, email, password, now).await;
        // What was wrong stays counted; what was right, or was not looked at, does not.
        if let Some(address) = address.filter(|_| !matches!(opened, Err(NotSignedIn::Wrong))) {
            self.inner.origins.take_back(address);
        }
        opened
    }

    async fn open_here(
        &self,
        service: Option<&str>,
        email: &str,
        password: SecretString,
        now: Timestamp,
    ) -> Result<SignedIn, NotSignedIn> {
        let email = email.trim().to_lowercase();
        let attempt = self.inner.wrong.begin(&email, now);
        if let Err(Locked { again_in }) = attempt {
            counter!(AUTH_FAILURES, "door" => "locked").increment(1);
            return Err(NotSignedIn::Locked { again_in });
        }
        let known = self.inner.accounts.get(&email).filter(|known| known.is_of(service));
        let right = match self.check(known, password).await {
            Ok(right) => right,
            Err(refused) => {
                self.inner.wrong.take_back(&email);
                return Err(refused);
            }
        };
        let role = known.and_then(|known| self.role(known.service, known.staff));
        let (Some(known), Some(role), true) = (known, role, right) else {
            counter!(AUTH_FAILURES, "door" => "password").increment(1);
            return Err(NotSignedIn::Wrong);
        };
        self.inner.wrong.forget(&email);
        self.begin(known, role, now).await
    }

    async fn check(
        &self,
        known: Option<&Known>,
        password: SecretString,
    ) -> Result<bool, NotSignedIn> {
        let _waits = self.inner.waiting.try_acquire().map_err(|_| NotSignedIn::Busy)?;
        let _checks = self.inner.checks.acquire().await.map_err(|_| NotSignedIn::Busy)?;
        let hash = known.and_then(|known| known.password.clone());
        let has_one = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.inner.nobody.clone());
        let right = web::block(move || hash.fits(&password)).await;
        Ok(right.map_err(|_| NotSignedIn::Unavailable)? && has_one)
    }

    async fn begin(
        &self,
        known: &Known,
        role: Role,
        now: Timestamp,
    ) -> Result<SignedIn, NotSignedIn> {
        let token = services::token_for(known.service);
        let digest = digest(&token);
        let session = SessionId::new(Uuid::now_v7());
        let until = now + self.inner.longest;
        let (service, staff) = (known.service, known.staff);
        let opened =
            Event::SessionOpened { session, staff, token_sha256: hex::encode(digest), until };
        let recorded = self.inner.engine.record(service, opened).await;
        recorded.map_err(|_| NotSignedIn::Unavailable)?;
        let person = Person { service, staff, session, role };
        let held = Arc::new(Held::new(person, until, now));
        let over = {
            let mut sessions = write(&self.inner.sessions);
            sessions.insert(digest, held);
            longest_unused(&sessions, &person)
        };
        if let Some(over) = over {
            self.end(over).await;
        }
        self.count();
        Ok(SignedIn { person, token, until })
    }

    /// Ends a session: its token is nobody's from now on, and its sockets hear of it.
    pub async fn end(&self, session: SessionId) {
        let ended = {
            let mut sessions = write(&self.inner.sessions);
            let found = sessions.iter().find(|(_, held)| held.person.session == session);
            let digest = found.map(|(digest, _)| *digest);
            digest.and_then(|digest| sessions.remove(&digest))
        };
        self.count();
        let Some(held) = ended else { return };
        held.end();
        let Person { service, staff, .. } = held.person;
        self.inner.engine.end_session(service, staff, session);
        let event = Event::SessionEnded { session };
        if let Err(error) = self.inner.engine.record(service, event).await {
            tracing::error!(%session, %error, "the end of a session was not recorded");
        }
    }

    /// Ends the sessions that have lapsed.
    pub(crate) async fn sweep(&self, now: Timestamp) {
        let idle = self.inner.idle;
        let lapsed: Vec<SessionId> = {
            let sessions = read(&self.inner.sessions);
            let lapsed = sessions.values().filter(|held| !held.is_live(now, idle));
            lapsed.map(|held| held.person.session).collect()
        };
        for session in lapsed {
            self.end(session).await;
        }
    }

    /// Turns true when the session ends; `None`: it has ended.
    pub fn watch(&self, session: SessionId) -> Option<watch::Receiver<bool>> {
        let sessions = read(&self.inner.sessions);
        sessions.values().find(|held| held.person.session == session).map(|held| held.watch())
    }

    fn count(&self) {
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 sessions")]
        gauge!(SESSIONS).set(read(&self.inner.sessions).len() as f64);
    }
}

impl Known {
    fn is_of(&self, service: Option<&str>) -> bool {
        service.is_none_or(|service| {
            service == self.service_key || service.parse() == Ok(self.service)
        })
    }
}

fn known(service: &Service, staff: StaffId, account: &Account) -> Result<Known, AccountsError> {
    let password = account.password.as_ref().map(PasswordHash::of).transpose();
    let email = || account.email.clone();
    Ok(Known {
        service: service.settings.service,
        service_key: service.key.clone(),
        staff,
        password: password.map_err(|source| AccountsError::Hash { email: email(), source })?,
    })
}

/// The session to end where a person has too many.
fn longest_unused(sessions: &HashMap<Digest, Arc<Held>>, person: &Person) -> Option<SessionId> {
    let same = |held: &&Arc<Held>| {
        held.person.staff == person.staff && held.person.service == person.service
    };
    let theirs: Vec<_> = sessions.values().filter(same).collect();
    let over = theirs.len() > SESSIONS_PER_STAFF;
    over.then(|| theirs.iter().min_by_key(|held| held.last_used()))
        .flatten()
        .map(|held| held.person.session)
}

fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

/// A panic while it was held leaves a map as good as before.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
