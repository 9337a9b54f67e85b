//! What is set at 360dialog for a number, and what is read from there besides messages.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dialog360::client::{
    ButtonWanted, CallError, HeaderWants, StoredTemplate, TemplateState, Wants, WebhookConfig,
    webhook_url_fits,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use thiserror::Error;
use usher_config::WebhookAuth;
use usher_domain::ids::{ChannelId, ServiceId};
use usher_domain::record::Event;
use usher_domain::template;
use usher_engine::Unavailable;

use super::Provider;

/// Why nothing was set or read.
#[derive(Debug, Error)]
pub(crate) enum SetupFailed {
    #[error("there is no such channel with a number")]
    NoChannel,
    #[error("360dialog takes only https addresses without port and underscore, not {url}")]
    Address { url: String },
    #[error("360dialog did not do it")]
    Call(#[from] CallError),
    #[error("it could not be stored")]
    Unavailable(#[from] Unavailable),
}

impl Provider {
    /// Reads the templates of a channel and writes them down where they have changed; how many.
    pub(crate) async fn sync_templates(
        &self,
        service: ServiceId,
        channel: ChannelId,
    ) -> Result<usize, SetupFailed> {
        let line = self.line(service, channel)?;
        let all = line.client.templates().await.inspect_err(|e| super::count_error(e.class()))?;
        let templates = all.iter().map(shown).collect::<Value>().to_string();
        if self.templates_kept(service, channel).await.as_deref() != Some(templates.as_str()) {
            let synced = Event::TemplatesSynced { channel, templates };
            let seq = self.engine.record(service, synced).await?;
            // What is sent next is judged by what the archive shows; where that stands still, by less.
            self.engine.store().archive().wait(service, seq).await.ok();
        }
        Ok(all.len())
    }

    async fn templates_kept(&self, service: ServiceId, channel: ChannelId) -> Option<String> {
        let archive = self.engine.store().archive().clone();
        let read = move || archive.reader()?.templates(service);
        let rows = tokio::task::spawn_blocking(read).await.ok()?.ok()?;
        rows.into_iter().find(|row| row.channel == channel).map(|row| row.templates)
    }

    /// Makes 360dialog deliver a channel's webhooks to our door; answers the address.
    pub(crate) async fn register_webhook(
        &self,
        service: ServiceId,
        channel: ChannelId,
        public_url: &str,
    ) -> Result<String, SetupFailed> {
        let line = self.line(service, channel)?;
        let url = hook_url(public_url, channel);
        if !line.is_sandbox && !webhook_url_fits(&url) {
            return Err(SetupFailed::Address { url });
        }
        let config = WebhookConfig { url, headers: hook_headers(&line.webhook) };
        let set = line.client.set_webhook(&config).await;
        Ok(set.inspect_err(|error| super::count_error(error.class()))?.url)
    }

    fn line(&self, service: ServiceId, channel: ChannelId) -> Result<&super::Line, SetupFailed> {
        let line = self.lines.get(&channel).filter(|line| line.service == service);
        line.map(AsRef::as_ref).ok_or(SetupFailed::NoChannel)
    }
}

/// Where a channel's webhooks come in.
pub(crate) fn hook_url(public_url: &str, channel: ChannelId) -> String {
    format!("{public_url}/hooks/360dialog/{channel}")
}

/// What its webhooks carry, so that the door lets them in.
pub(crate) fn hook_headers(webhook: &WebhookAuth) -> BTreeMap<String, SecretString> {
    let (name, value) = match webhook {
        WebhookAuth::Header { name, secret } => (name.clone(), secret.clone()),
        WebhookAuth::Basic { user, password } => {
            let pair = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
            ("Authorization".to_owned(), SecretString::from(format!("Basic {pair}")))
        }
    };
    BTreeMap::from([(name, value)])
}

fn shown(template: &StoredTemplate) -> Value {
    let status = match &template.state {
        TemplateState::Approved => "approved",
        TemplateState::Pending => "pending",
        TemplateState::Rejected => "rejected",
        TemplateState::Paused => "paused",
        TemplateState::Disabled => "disabled",
        TemplateState::Other(other) => other,
    };
    let wants = template.wants().map(wanted);
    json!({
        "name": template.name,
        "language": template.language,
        "category": template.category,
        "status": status,
        "components": template.components,
        "wants": wants,
    })
}

fn wanted(wants: Wants) -> template::Wants {
    let kind = |kind| match kind {
        ButtonWanted::Url => template::ButtonKind::Url,
        ButtonWanted::Code => template::ButtonKind::Code,
        ButtonWanted::Reply => template::ButtonKind::Reply,
    };
    let buttons = wants.buttons.into_iter();
    template::Wants {
        body: wants.body,
        named: wants.named,
        header: match wants.header {
            HeaderWants::Nothing => template::HeaderWants::Nothing,
            HeaderWants::Text(line) => template::HeaderWants::Text(line),
            HeaderWants::Image => template::HeaderWants::Image,
            HeaderWants::Video => template::HeaderWants::Video,
            HeaderWants::Document => template::HeaderWants::Document,
            HeaderWants::Location => template::HeaderWants::Location,
        },
        buttons: buttons
            .map(|open| template::ButtonWants { index: open.index, kind: kind(open.kind) })
            .collect(),
        other: wants.other,
    }
}
