//! How another node is asked: by one client, under its own name, with what nodes know each other by.

use anyhow::Context as _;
use reqwest::header::HeaderValue;
use reqwest::{Certificate, Client, Method, RequestBuilder};
use secrecy::ExposeSecret as _;
use usher_config::Between;

use super::{CONNECT_WITHIN, NODE, Owner, SECRET};

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Others {
    client: Client,
    scheme: &'static str,
    secret: HeaderValue,
}

impl Others {
    /// `believed`: whose certificates others have to show, in PEM; `None`: nothing is encrypted.
    pub(crate) fn new(between: &Between, believed: Option<&[u8]>) -> anyhow::Result<Self> {
        let mut secret = HeaderValue::from_str(between.secret.expose_secret().trim())
            .ok()
            .context("the secret of the cluster has characters that no header may have")?;
        secret.set_sensitive(true);
        let scheme = if believed.is_some() { "https" } else { "http" };
        let client = client(believed).context("no client for other nodes")?;
        Ok(Self { client, scheme, secret })
    }

    /// A question for one node, which nobody else answers.
    pub(super) fn ask(&self, owner: &Owner, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}://{}{path}", self.scheme, owner.address);
        let asked = self.client.request(method, url);
        asked.header(NODE, &*owner.node.0).header(SECRET, self.secret.clone())
    }
}

/// For other nodes alone; with `believed`, only for those whose certificate rests on one of these.
fn client(believed: Option<&[u8]>) -> reqwest::Result<Client> {
    let client = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_WITHIN);
    match believed {
        None => client.build(),
        Some(pem) => {
            let believed = Certificate::from_pem_bundle(pem)?;
            client.tls_certs_only(believed).https_only(true).build()
        }
    }
}
