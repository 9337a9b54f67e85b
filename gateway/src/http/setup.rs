//! Channels and their templates, what is set at the provider, and what a rule would do.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Json, Path};
use dialog360::client::CallError;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use usher_domain::ids::{ChannelId, VisitorId};
use usher_domain::settings::{Role, Settings};
use usher_engine::Explain;
use usher_protocol::Time;

use super::problem::Problem;
use super::signed::Signed;
use super::state::Doors;
use crate::provider::SetupFailed;

pub(super) async fn channels(doors: Data<Doors>, signed: Signed) -> Result<HttpResponse, Problem> {
    let service = signed.0.service;
    let numbers = doors.services.iter().find(|known| known.settings.service == service);
    let channels = doors.settings(service)?.channels.values().map(|channel| {
        let number = numbers.and_then(|known| known.numbers.get(&channel.id));
        json!({
            "id": channel.id,
            "name": channel.name,
            "state": channel.state,
            "display": number.and_then(|number| number.display.as_deref()),
            "phone_number_id": number.and_then(|number| number.phone_number_id.as_deref()),
            "restart_templates": channel.restart_templates,
        })
    });
    Ok(HttpResponse::Ok().json(json!({ "channels": channels.collect::<Value>() })))
}

pub(super) async fn sync_templates(
    doors: Data<Doors>,
    signed: Signed,
    channel: Path<ChannelId>,
) -> Result<HttpResponse, Problem> {
    let person = signed.at_least(Role::Administrator)?;
    let templates = doors.provider.sync_templates(person.service, *channel).await?;
    Ok(HttpResponse::Ok().json(json!({ "templates": templates })))
}

pub(super) async fn register_webhook(
    doors: Data<Doors>,
    signed: Signed,
    channel: Path<ChannelId>,
) -> Result<HttpResponse, Problem> {
    let person = signed.at_least(Role::Administrator)?;
    let (service, channel) = (person.service, *channel);
    let url = doors.provider.register_webhook(service, channel, &doors.public_url).await?;
    Ok(HttpResponse::Ok().json(json!({ "url": url })))
}

impl From<SetupFailed> for Problem {
    fn from(failed: SetupFailed) -> Self {
        match failed {
            SetupFailed::NoChannel => Self::not_found(),
            SetupFailed::Unavailable(unavailable) => unavailable.into(),
            SetupFailed::Address { .. } => Self::new(
                StatusCode::CONFLICT,
                "address_unfit",
                format!("{failed}; see `http.public_url`."),
            ),
            SetupFailed::Call(CallError::Refused(refused)) => Self::new(
                StatusCode::BAD_GATEWAY,
                "provider_refused",
                format!("360dialog refused: {refused}"),
            ),
            SetupFailed::Call(error) => Self::new(
                StatusCode::BAD_GATEWAY,
                "provider_unreachable",
                format!("360dialog did not answer as it should: {error}"),
            ),
        }
    }
}

pub(super) async fn templates(doors: Data<Doors>, signed: Signed) -> Result<HttpResponse, Problem> {
    let service = signed.0.service;
    let rows = doors.read(service, move |reader| reader.templates(service)).await?;
    let channels = rows.into_iter().filter_map(|row| {
        let templates = RawValue::from_string(row.templates).ok()?;
        Some(json!({
            "channel": row.channel,
            "synced_at": Time(row.at),
            "templates": templates,
        }))
    });
    Ok(HttpResponse::Ok().json(json!({ "channels": channels.collect::<Value>() })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Its id, or its name.
    channel: String,
    /// Left out: a visitor nobody knows.
    visitor: Option<VisitorId>,
    /// Left out: now.
    at: Option<Time>,
    #[serde(default)]
    presence: Presence,
}

/// Who counts as being there.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Presence {
    #[default]
    Now,
    Everyone,
}

pub(super) async fn explain(
    doors: Data<Doors>,
    signed: Signed,
    asked: Json<Asked>,
) -> Result<HttpResponse, Problem> {
    let person = signed.at_least(Role::Supervisor)?;
    let Asked { channel, visitor, at, presence } = asked.into_inner();
    let settings = doors.settings(person.service)?;
    let mut channels = settings.channels.values();
    let channel = channels
        .find(|known| known.id.to_string() == channel || known.name == channel)
        .map(|known| known.id)
        .ok_or_else(Problem::not_found)?;
    let everyone = presence == Presence::Everyone;
    let explain = Explain { channel, visitor, at: at.map(|time| time.0), everyone };
    let explained = doors.engine.explain(person.service, explain).await?;
    Ok(HttpResponse::Ok().json(json!({
        "at": Time(explained.at),
        "stage": explained.stage,
        "steps": explained.steps,
        "names": names(settings),
    })))
}

/// What the ids in a trace are called.
fn names(settings: &Settings) -> Map<String, Value> {
    let staff = settings.staff.values().map(|staff| {
        let name = format!("{} {}", staff.first_name, staff.last_name);
        (staff.id.to_string(), Value::from(name.trim()))
    });
    let groups =
        settings.groups.values().map(|group| (group.id.to_string(), group.name.as_str().into()));
    let queues =
        settings.queues.values().map(|queue| (queue.id.to_string(), queue.name.as_str().into()));
    let bots = settings.bots.values().map(|bot| (bot.id.to_string(), bot.name.as_str().into()));
    staff.chain(groups).chain(queues).chain(bots).collect()
}
