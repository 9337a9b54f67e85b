//! Which services run in this process, each behind a door, and on which thread the next one starts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use actix::{Addr, Arbiter, ArbiterHandle};
use tokio::sync::Semaphore;
use usher_domain::ids::ServiceId;

use crate::service::Service;

/// The way to one service's actors.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) service: Addr<Service>,
    pub(crate) credits: Arc<Semaphore>,
    /// On which of the threads it runs.
    pub(crate) thread: usize,
    /// Nothing new comes in; what is under way may end.
    shut: AtomicBool,
}

impl Door {
    pub(crate) fn new(service: Addr<Service>, credits: Arc<Semaphore>, thread: usize) -> Self {
        Self { service, credits, thread, shut: AtomicBool::new(false) }
    }

    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::Release);
    }

    fn is_open(&self) -> bool {
        !self.shut.load(Ordering::Acquire)
    }
}

/// Asked for every update and every frame, changed when a service comes or goes.
pub(crate) struct Doors {
    doors: RwLock<BTreeMap<ServiceId, Arc<Door>>>,
    /// None: services run on the thread that adds them.
    threads: Vec<ArbiterHandle>,
}

impl Doors {
    pub(crate) fn new(threads: usize) -> Self {
        let threads = (0..threads).map(|_| Arbiter::new().handle()).collect();
        Self { doors: RwLock::default(), threads }
    }

    fn with<T>(&self, look: impl FnOnce(&BTreeMap<ServiceId, Arc<Door>>) -> T) -> T {
        look(&self.doors.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<ServiceId, Arc<Door>>) -> T) -> T {
        change(&mut self.doors.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// For what is new.
    pub(crate) fn open(&self, service: ServiceId) -> Option<Arc<Door>> {
        self.with(|doors| doors.get(&service).filter(|door| door.is_open()).cloned())
    }

    /// For what belongs to something that is under way.
    pub(crate) fn any(&self, service: ServiceId) -> Option<Arc<Door>> {
        self.with(|doors| doors.get(&service).cloned())
    }

    pub(crate) fn all(&self) -> Vec<Arc<Door>> {
        self.with(|doors| doors.values().cloned().collect())
    }

    pub(crate) fn services(&self) -> Vec<ServiceId> {
        self.with(|doors| {
            doors.iter().filter(|(_, door)| door.is_open()).map(|(service, _)| *service).collect()
        })
    }

    pub(crate) fn put(&self, service: ServiceId, door: Door) {
        self.change(|doors| doors.insert(service, Arc::new(door)));
    }

    pub(crate) fn take(&self, service: ServiceId) -> Option<Arc<Door>> {
        self.change(|doors| doors.remove(&service))
    }

    /// Takes away this very door, should it not be gone already.
    pub(crate) fn take_this(&self, service: ServiceId, door: &Arc<Door>) {
        self.change(|doors| {
            if doors.get(&service).is_some_and(|found| Arc::ptr_eq(found, door)) {
                doors.remove(&service);
            }
        });
    }

    /// The thread with the fewest services; `None`: the present one.
    pub(crate) fn thread(&self) -> Option<(usize, ArbiterHandle)> {
        let mut services = vec![0_usize; self.threads.len()];
        for door in self.all() {
            if let Some(services) = services.get_mut(door.thread) {
                *services += 1;
            }
        }
        let (thread, _) = services.into_iter().enumerate().min_by_key(|(_, services)| *services)?;
        Some((thread, self.threads.get(thread)?.clone()))
    }
}
