//! Reads and sets what belongs to a number: its webhook, templates and health.

use std::collections::BTreeMap;

use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::wants::Wants;
use super::{Answer, CallError, Client, unexpected, with_json};
use crate::errors::ProviderError;
use crate::json::Node;

const TEMPLATES_PER_PAGE: usize = 100;

/// A WABA has at most 250 names, each in several languages.
const PAGES_MAX: usize = 100;

/// Where the provider delivers, and the headers it adds.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    pub url: String,
    pub headers: BTreeMap<String, SecretString>,
}

/// A template as the provider keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTemplate {
    pub id: Option<String>,
    pub name: String,
    pub language: String,
    pub namespace: Option<String>,
    /// Upper case.
    pub category: Option<String>,
    pub state: TemplateState,
    pub rejected_reason: Option<String>,
    /// As given; `null` when unreadable.
    pub components: Value,
}

impl StoredTemplate {
    /// What has to be filled in; `None`: the components could not be read.
    pub fn wants(&self) -> Option<Wants> {
        Wants::of(&self.components)
    }
}

/// Only an approved template can be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TemplateState {
    Approved,
    Pending,
    Rejected,
    Paused,
    Disabled,
    /// In upper case.
    Other(String),
}

/// Ordered from best to worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Sendability {
    Unknown,
    Available,
    Limited,
    Blocked,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Health {
    pub overall: Sendability,
    pub entities: Vec<Entity>,
}

/// One part of what sending depends on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entity {
    /// `PHONE_NUMBER`, `WABA`, `BUSINESS` or `APP`.
    pub kind: Option<String>,
    pub id: Option<String>,
    pub can_send: Sendability,
    pub errors: Vec<ProviderError>,
}

/// Whether the provider would take this address for a webhook: `https`, no port and no `_` in the
/// host.
pub fn webhook_url_fits(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    !authority.contains(['_', ':', '@']) && Url::parse(url).is_ok()
}

impl Client {
    /// Sets the webhook of this number.
    pub async fn set_webhook(&self, config: &WebhookConfig) -> Result<WebhookConfig, CallError> {
        let mut body = json!({ "url": config.url });
        if !config.headers.is_empty() {
            let headers = config
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), Value::from(value.expose_secret())));
            body["headers"] = Value::Object(headers.collect());
        }
        let request = self.post_json("/v1/configs/webhook", body.to_string().into());
        let answer = self.call(request).await?;
        // What is not repeated in the answer was taken as given.
        Ok(webhook(&answer).unwrap_or_else(|| config.clone()))
    }

    pub async fn webhook(&self) -> Result<WebhookConfig, CallError> {
        let answer = self.call(self.request(Method::GET, "/v1/configs/webhook")).await?;
        webhook(&answer).ok_or_else(|| unexpected(&answer))
    }

    /// All templates, page after page.
    pub async fn templates(&self) -> Result<Vec<StoredTemplate>, CallError> {
        let mut all = Vec::new();
        let mut next = format!("offset=0&limit={TEMPLATES_PER_PAGE}");
        for _ in 0..PAGES_MAX {
            let path = format!("/v1/configs/templates?{next}");
            let answer = self.call(self.request(Method::GET, &path)).await?;
            let page = with_json(&answer, |node| page(node, all.len()));
            let page = page.ok_or_else(|| unexpected(&answer))?;
            all.extend(page.templates);
            match page.following {
                Some(query) => next = query,
                None => break,
            }
        }
        Ok(all)
    }

    pub async fn health(&self) -> Result<Health, CallError> {
        let answer = self.call(self.request(Method::GET, "/health_status")).await?;
        with_json(&answer, health).ok_or_else(|| unexpected(&answer))
    }
}

/// Some templates, and the query of the next page if there is one.
struct Page {
    templates: Vec<StoredTemplate>,
    following: Option<String>,
}

fn webhook(answer: &Answer) -> Option<WebhookConfig> {
    with_json(answer, |node| {
        let mut headers = BTreeMap::new();
        if let Node::Object { members, .. } = node.get("headers") {
            let read = |(name, value): &(std::borrow::Cow<'_, str>, Node<'_>)| {
                Some((name.clone().into_owned(), SecretString::from(value.str()?)))
            };
            headers.extend(members.iter().filter_map(read));
        }
        Some(WebhookConfig { url: node.get("url").text()?, headers })
    })
}

/// One page, in the shape of 360dialog or of Meta.
fn page(node: &Node<'_>, before: usize) -> Option<Page> {
    let ours = node.get("waba_templates");
    let list = if ours.is_null() { node.get("data") } else { ours };
    if !matches!(list, Node::List { .. }) {
        return None;
    }
    let count = list.items().len();
    let templates = list.items().iter().filter_map(template).collect();
    if count == 0 {
        return Some(Page { templates, following: None });
    }
    let paging = node.get("paging");
    let after = paging.get("cursors").get("after").filled();
    let has_next = !paging.get("next").is_null() || count >= TEMPLATES_PER_PAGE;
    let following = match (node.get("total").whole(), after) {
        (Some(total), _) => {
            let offset = node.get("offset").whole().and_then(|at| usize::try_from(at).ok());
            let seen = offset.unwrap_or(before) + count;
            let more = usize::try_from(total).is_ok_and(|total| seen < total);
            more.then(|| format!("offset={seen}&limit={TEMPLATES_PER_PAGE}"))
        }
        (None, Some(after)) => {
            let after: String = after.bytes().map(query_byte).collect();
            has_next.then(|| format!("after={after}&limit={TEMPLATES_PER_PAGE}"))
        }
        (None, None) => None,
    };
    Some(Page { templates, following })
}

fn query_byte(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn template(node: &Node<'_>) -> Option<StoredTemplate> {
    let status = node.get("status").filled().unwrap_or_default().to_ascii_uppercase();
    Some(StoredTemplate {
        id: node.get("id").text(),
        name: node.get("name").text()?,
        language: node.get("language").text()?,
        namespace: node.get("namespace").text(),
        category: node.get("category").filled().map(str::to_ascii_uppercase),
        state: match status.as_str() {
            "APPROVED" => TemplateState::Approved,
            "PENDING" | "SUBMITTED" | "CREATED" => TemplateState::Pending,
            "REJECTED" => TemplateState::Rejected,
            "PAUSED" => TemplateState::Paused,
            "DISABLED" => TemplateState::Disabled,
            _ => TemplateState::Other(status),
        },
        rejected_reason: node.get("rejected_reason").text().filter(|reason| reason != "NONE"),
        components: serde_json::from_str(&node.get("components").raw()).unwrap_or(Value::Null),
    })
}

fn sendability(node: &Node<'_>) -> Sendability {
    match node.get("can_send_message").filled().map(str::to_ascii_uppercase).as_deref() {
        Some("AVAILABLE") => Sendability::Available,
        Some("LIMITED") => Sendability::Limited,
        Some("BLOCKED") => Sendability::Blocked,
        _ => Sendability::Unknown,
    }
}

fn health(node: &Node<'_>) -> Option<Health> {
    let node = node.get("health_status");
    let error = |node: &Node<'_>| ProviderError {
        code: node.get("error_code").whole(),
        title: node.get("error_description").text(),
        details: node.get("possible_solution").text(),
    };
    let entity = |node: &Node<'_>| Entity {
        kind: node.get("entity_type").text(),
        id: node.get("id").text(),
        can_send: sendability(node),
        errors: node.get("errors").items().iter().map(error).collect(),
    };
    node.is_object().then(|| {
        let entities: Vec<_> = node.get("entities").items().iter().map(entity).collect();
        let worst = entities.iter().map(|entity| entity.can_send).max();
        let overall = sendability(node).max(worst.unwrap_or(Sendability::Unknown));
        Health { overall, entities }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhook_addresses_follow_the_rules_of_the_provider() {
        assert!(webhook_url_fits("https://hooks.example.com/wa/7_f3c?a=b:c"));
        for url in [
            "http://hooks.example.com/",
            "https://my_hooks.example.com/",
            "https://hooks.example.com:8443/",
            "https://user@hooks.example.com/",
            "https://",
        ] {
            assert!(!webhook_url_fits(url), "{url}");
        }
    }
}
