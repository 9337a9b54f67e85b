//! What a node does that is asked for a service another one runs: it asks that one, and gives back what it
//! answers.
//!
//! Nodes speak HTTP with each other ([`others`]), on a listener that only they come in by ([`between`]). A question names
//! the node that it is for, so that nobody answers for services it has lost.

mod addressed;
pub(crate) mod between;
mod dispatch;
mod frames;
mod homes;
mod others;
mod request;
mod socket;
mod wanted;
pub(crate) mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use actix_http::RequestHead;
use tokio::sync::watch;
use usher_config::Config;

pub(crate) use addressed::Addressed;
pub(crate) use homes::{Home, Homes, Owner};
pub(crate) use others::Others;
use wanted::Wanted;

use crate::http::{Problem, Proxies};

/// A request waits so long for an owner: what is handed over in order is not felt.
const PATIENCE: Duration = Duration::from_secs(2);
/// For a connection to another node.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Whom a question is for.
const NODE: &str = "usher-node";
/// What nodes know each other by.
const SECRET: &str = "usher-secret";

/// Passes on what is asked of this node; cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    others: Others,
    homes: Homes,
    addressed: Addressed,
    proxies: Proxies,
    /// This node ends.
    closing: Arc<watch::Sender<bool>>,
}

impl Relay {
    pub(crate) fn new(config: &Config, others: Others, homes: Homes, addressed: Addressed) -> Self {
        let proxies = Proxies::new(config.http.trusted_proxies.clone());
        Self { others, homes, addressed, proxies, closing: Arc::default() }
    }

    /// Tells every client whose socket is passed on to come back, by another node.
    pub(crate) fn stop(&self) {
        self.closing.send_replace(true);
    }

    async fn stopped(&self) {
        // The sender is held here.
        drop(self.closing.subscribe().wait_for(|closing| *closing).await);
    }

    /// A question for one node, as a client put it to this one.
    fn ask(&self, owner: &Owner, head: &RequestHead) -> reqwest::RequestBuilder {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let method = reqwest::Method::from_bytes(head.method.as_str().as_bytes());
        let mut asked = self.others.ask(owner, method.unwrap_or_default(), path);
        for (name, value) in head.headers() {
            if request::passes(name.as_str()) {
                asked = asked.header(name.as_str(), value.as_bytes());
            }
        }
        if let Some(client) = self.proxies.client_behind(head.peer_addr, head.headers()) {
            asked = asked.header("x-forwarded-for", client.to_string());
        }
        asked
    }
}

/// Nobody runs the service now, or who does cannot be reached.
fn nobody() -> Problem {
    Problem::unavailable().after(Duration::from_secs(1))
}
