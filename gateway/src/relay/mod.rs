//! What a node does that is asked for services another one runs: it asks that one, and gives back what it
//! answers.
//!
//! Nodes speak HTTP with each other, on a listener that only they come in by ([`between`]). A question names
//! the node that it is for, so that nobody answers for services it has lost.

pub(crate) mod between;
mod frames;
mod request;
mod socket;
pub(crate) mod webhooks;

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use anyhow::Context as _;
use metrics::counter;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use usher_config::Config;
use usher_domain::ownership::placement::NodeId;

use crate::http::{Problem, Proxies};
use crate::metrics::RELAYED;

/// A request waits so long for an owner: what is handed over in order is not felt.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts at that.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// For a connection to another node.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Whom a question is for.
const NODE: &str = "usher-node";
/// What nodes know each other by.
const SECRET: &str = "usher-secret";

/// The node that runs the services.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Owner {
    pub(crate) node: NodeId,
    /// Host and port of its listener between nodes.
    pub(crate) address: String,
}

/// `None`: nobody is known to run them.
pub(crate) type Owners = watch::Receiver<Option<Owner>>;

impl Owner {
    /// `None`: it has no address.
    pub(crate) fn of(node: NodeId) -> Option<Self> {
        let address = node.address()?.to_owned();
        Some(Self { node, address })
    }
}

/// Passes on what is asked of this node; cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    client: reqwest::Client,
    owners: Owners,
    secret: HeaderValue,
    proxies: Proxies,
}

impl Relay {
    pub(crate) fn new(config: &Config, owners: Owners) -> anyhow::Result<Self> {
        let between = config.cluster.between.as_ref().context("`cluster.bind` is not set")?;
        let mut secret = HeaderValue::from_str(between.secret.expose_secret().trim())
            .ok()
            .context("the secret of the cluster has characters that no header may have")?;
        secret.set_sensitive(true);
        let client = client()?;
        let proxies = Proxies::new(config.http.trusted_proxies.clone());
        Ok(Self { client, owners, secret, proxies })
    }

    /// Everything that nothing else answers.
    pub(crate) fn routes(&self, config: &mut ServiceConfig) {
        config.app_data(Data::new(self.clone())).default_service(web::to(pass_on));
    }

    /// Once there is one.
    async fn owner(&self, until: Instant) -> Result<Owner, Problem> {
        let mut owners = self.owners.clone();
        let found = timeout_at(until, owners.wait_for(Option::is_some)).await;
        found.ok().and_then(Result::ok).and_then(|owner| owner.clone()).ok_or_else(nobody)
    }

    /// Who did not take a question may be about to: it has the services, and is starting them.
    async fn breathe(&self, until: Instant) -> Result<(), Problem> {
        let again = Instant::now() + AGAIN_AFTER;
        if again > until {
            return Err(nobody());
        }
        sleep_until(again).await;
        Ok(())
    }

    /// Ends when `owner` is not the one any more.
    async fn replaced(&self, owner: &Owner) {
        let mut owners = self.owners.clone();
        // Nobody tells any more: this node ends, or begins to run them itself.
        drop(owners.wait_for(|now| now.as_ref().is_some_and(|now| now != owner)).await);
    }

    /// A question for one node, as a client put it to this one.
    fn ask(&self, owner: &Owner, request: &HttpRequest) -> reqwest::RequestBuilder {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let url = format!("http://{}{path}", owner.address);
        let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes());
        let mut asked = self.client.request(method.unwrap_or_default(), url);
        for (name, value) in request.headers() {
            if request::passes(name.as_str()) {
                asked = asked.header(name.as_str(), value.as_bytes());
            }
        }
        if let Some(client) = self.proxies.client_of(request) {
            asked = asked.header("x-forwarded-for", client.to_string());
        }
        asked.header(NODE, &*owner.node.0).header(SECRET, self.secret.clone())
    }
}

/// For other nodes alone.
fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_WITHIN)
        .build()
        .context("no client for other nodes")
}

async fn pass_on(
    relay: Data<Relay>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let (what, answer) = if request.headers().contains_key(header::UPGRADE) {
        ("socket", socket::pipe(&relay, &request, payload).await)
    } else {
        ("request", request::pass_on(&relay, &request, payload).await)
    };
    let outcome = if answer.is_ok() { "answered" } else { "refused" };
    counter!(RELAYED, "what" => what, "outcome" => outcome).increment(1);
    answer
}

/// Nobody runs the services now, or who does cannot be reached.
fn nobody() -> Problem {
    Problem::unavailable().after(Duration::from_secs(1))
}
