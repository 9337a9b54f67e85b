//! Where each service runs, as far as this node knows: whoever is asked for one looks here, and waits here
//! while nobody has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::placement::NodeId;

/// A node, and where the others reach it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Owner {
    pub(crate) node: NodeId,
    /// Host and port of its listener between nodes.
    pub(crate) address: String,
}

impl Owner {
    /// `None`: it has no address.
    pub(crate) fn of(node: NodeId) -> Option<Self> {
        let address = node.address()?.to_owned();
        Some(Self { node, address })
    }
}

/// Where a service runs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Home {
    /// Nowhere, or nobody has said where.
    #[default]
    Unknown,
    /// On this node, once it has read what was kept.
    Coming,
    Here,
    There(Owner),
}

/// Of all services that are set; cheap to clone.
#[derive(Clone)]
pub(crate) struct Homes {
    me: Owner,
    each: Arc<BTreeMap<ServiceId, watch::Sender<Home>>>,
    /// Where somebody has found that what is known is not so, and nobody has looked since.
    doubted: Arc<watch::Sender<BTreeSet<ServiceId>>>,
}

impl Homes {
    pub(crate) fn new(me: Owner, services: impl Iterator<Item = ServiceId>) -> Self {
        let each = services.map(|service| (service, watch::Sender::default())).collect();
        Self { me, each: Arc::new(each), doubted: Arc::default() }
    }

    pub(crate) const fn me(&self) -> &Owner {
        &self.me
    }

    pub(crate) fn tell(&self, service: ServiceId, home: Home) {
        let Some(known) = self.each.get(&service) else { return };
        known.send_if_modified(|known| {
            let changes = *known != home;
            *known = home;
            changes
        });
    }

    /// Unless it is, or is about to be, this node's own.
    pub(crate) fn tell_of_another(&self, service: ServiceId, owner: Option<Owner>) {
        let home = owner.map_or(Home::Unknown, Home::There);
        let Some(known) = self.each.get(&service) else { return };
        known.send_if_modified(|known| {
            let changes = !matches!(known, Home::Coming | Home::Here) && *known != home;
            if changes {
                *known = home;
            }
            changes
        });
    }

    /// Who was taken for the owner did not answer, or is not; or nobody is known who could be asked.
    pub(crate) fn doubt(&self, service: ServiceId) {
        if self.each.contains_key(&service) {
            self.doubted.send_if_modified(|doubted| doubted.insert(service));
        }
    }

    /// Changes when there is a new doubt.
    pub(crate) fn doubts(&self) -> watch::Receiver<BTreeSet<ServiceId>> {
        self.doubted.subscribe()
    }

    /// To be looked at now: from here on it can be doubted again.
    pub(crate) fn doubted(&self) -> BTreeSet<ServiceId> {
        if self.doubted.borrow().is_empty() {
            return BTreeSet::new();
        }
        let mut doubted = BTreeSet::new();
        self.doubted.send_if_modified(|all| {
            doubted = std::mem::take(all);
            false
        });
        doubted
    }

    /// The other node that has it.
    pub(crate) fn elsewhere(&self, service: ServiceId) -> Option<Owner> {
        match self.of(service) {
            Home::There(owner) => Some(owner),
            Home::Unknown | Home::Coming | Home::Here => None,
        }
    }

    pub(crate) fn of(&self, service: ServiceId) -> Home {
        self.each.get(&service).map(|home| home.borrow().clone()).unwrap_or_default()
    }

    pub(crate) fn is_here(&self, service: ServiceId) -> bool {
        self.each.get(&service).is_some_and(|home| *home.borrow() == Home::Here)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (ServiceId, Home)> {
        self.each.iter().map(|(service, home)| (*service, home.borrow().clone()))
    }

    /// All other nodes that have a service.
    pub(crate) fn others(&self) -> BTreeSet<Owner> {
        let other = |(_, home)| if let Home::There(owner) = home { Some(owner) } else { None };
        self.all().filter_map(other).collect()
    }

    /// The node to ask, once there is one; this one too. `None`: not `until` then.
    pub(crate) async fn owner(&self, service: ServiceId, until: Instant) -> Option<Owner> {
        let mut home = self.each.get(&service)?.subscribe();
        let runs = |home: &Home| matches!(home, Home::Here | Home::There(_));
        let found = timeout_at(until, home.wait_for(runs)).await.ok()?.ok()?.clone();
        match found {
            Home::Here => Some(self.me.clone()),
            Home::There(owner) => Some(owner),
            Home::Unknown | Home::Coming => None,
        }
    }

    /// Whether it runs here; while it is about to, that is waited for, but not for longer than `until`.
    pub(crate) async fn comes_here(&self, service: ServiceId, until: Instant) -> bool {
        let Some(home) = self.each.get(&service) else { return false };
        let mut home = home.subscribe();
        let settled = timeout_at(until, home.wait_for(|home| *home != Home::Coming)).await;
        settled.is_ok_and(|home| home.is_ok_and(|home| *home == Home::Here))
    }

    /// Ends when a node other than `owner` has it.
    pub(crate) async fn replaced(&self, service: ServiceId, owner: &Owner) {
        let Some(home) = self.each.get(&service) else { return };
        let mut home = home.subscribe();
        let other = |home: &Home| match home {
            Home::Here => *owner != self.me,
            Home::There(now) => now != owner,
            Home::Unknown | Home::Coming => false,
        };
        // Nobody tells any more: this node ends.
        drop(home.wait_for(other).await);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SERVICE: ServiceId = ServiceId::from_number(1);

    fn node(name: &str) -> Owner {
        Owner::of(NodeId(format!("{name}/1@127.0.0.1:1").into())).unwrap()
    }

    fn homes() -> Homes {
        Homes::new(node("me"), [SERVICE].into_iter())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_waits_until_somebody_has_it_and_no_longer() {
        let homes = homes();
        assert_eq!(homes.owner(SERVICE, soon()).await, None);
        assert_eq!(homes.owner(ServiceId::from_number(2), soon()).await, None, "there is none");
        let asks = tokio::spawn({
            let homes = homes.clone();
            async move { homes.owner(SERVICE, soon()).await }
        });
        tokio::task::yield_now().await;
        homes.tell_of_another(SERVICE, Some(node("other")));
        assert_eq!(asks.await.unwrap(), Some(node("other")));
        homes.tell(SERVICE, Home::Here);
        assert_eq!(homes.owner(SERVICE, soon()).await, Some(node("me")));
    }

    #[tokio::test(start_paused = true)]
    async fn each_doubt_is_heard_once_and_none_is_lost() {
        let (homes, other) = (homes(), ServiceId::from_number(2));
        let mut doubts = homes.doubts();
        homes.doubt(SERVICE);
        homes.doubt(SERVICE);
        homes.doubt(other);
        assert!(timeout_at(soon(), doubts.changed()).await.is_ok());
        assert_eq!(homes.doubted(), [SERVICE].into(), "of services that there are");
        assert_eq!(homes.doubted(), [].into());
        assert!(timeout_at(soon(), doubts.changed()).await.is_err());
        homes.doubt(SERVICE);
        assert!(timeout_at(soon(), doubts.changed()).await.is_ok());
        assert_eq!(homes.doubted(), [SERVICE].into(), "and again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ones_own_is_nobody_elses_by_hearsay() {
        let homes = homes();
        for home in [Home::Coming, Home::Here] {
            homes.tell(SERVICE, home.clone());
            homes.tell_of_another(SERVICE, Some(node("other")));
            assert_eq!(homes.of(SERVICE), home);
        }
        homes.tell(SERVICE, Home::Unknown);
        homes.tell_of_another(SERVICE, Some(node("other")));
        assert_eq!(homes.others(), [node("other")].into());
        assert!(!homes.comes_here(SERVICE, soon()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_asked_for_what_is_about_to_run_waits_until_it_does_or_does_not() {
        let homes = homes();
        assert!(!homes.comes_here(SERVICE, soon()).await, "it is not about to");
        homes.tell(SERVICE, Home::Coming);
        assert!(!homes.comes_here(SERVICE, soon()).await, "nor has it come in time");
        for (home, here) in [(Home::Here, true), (Home::Unknown, false)] {
            homes.tell(SERVICE, Home::Coming);
            let (began, waits) = (Instant::now(), homes.comes_here(SERVICE, soon()));
            let tells = async {
                tokio::task::yield_now().await;
                homes.tell(SERVICE, home);
            };
            let (came, ()) = tokio::join!(waits, tells);
            assert_eq!((came, began.elapsed()), (here, Duration::ZERO));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_is_replaced_by_another_and_not_by_nobody() {
        let homes = homes();
        homes.tell_of_another(SERVICE, Some(node("other")));
        let other = node("other");
        let gone = |homes: &Homes| {
            let (homes, other) = (homes.clone(), other.clone());
            async move { timeout_at(soon(), homes.replaced(SERVICE, &other)).await.is_ok() }
        };
        assert!(!gone(&homes).await);
        for nobody in [Home::Unknown, Home::Coming] {
            homes.tell(SERVICE, nobody);
            assert!(!gone(&homes).await);
        }
        homes.tell(SERVICE, Home::Here);
        assert!(gone(&homes).await);
    }
}
