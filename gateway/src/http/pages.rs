//! What operators look through: what was set aside.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use serde::Deserialize;
use serde_json::{Value, json};
use usher_domain::settings::Role;
use usher_protocol::Time;
use usher_store::{AsideKind, AsideRow};

use super::enquiries::limit;
use super::problem::Problem;
use super::signed::Signed;
use super::state::Doors;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Aside {
    kind: Option<AsideKind>,
    cursor: Option<u64>,
    limit: Option<u64>,
}

/// What was kept as it came, newest first.
pub(super) async fn quarantine(
    doors: Data<Doors>,
    signed: Signed,
    wanted: Query<Aside>,
) -> Result<HttpResponse, Problem> {
    let service = signed.at_least(Role::Administrator)?.service;
    let Aside { kind, cursor, limit: asked } = wanted.into_inner();
    let entries = usize::from(limit(asked)?.entries());
    let kind = kind.unwrap_or(AsideKind::Quarantined);
    let rows = doors.read(service, move |reader| reader.aside(service, kind, cursor, entries));
    let rows = rows.await?;
    let next = rows.last().filter(|_| rows.len() == entries).map(|row| row.seq);
    let rows = rows.iter().map(aside).collect::<Value>();
    Ok(HttpResponse::Ok().json(json!({ "kind": kind, "entries": rows, "next": next })))
}

fn aside(row: &AsideRow) -> Value {
    json!({
        "seq": row.seq,
        "at": Time(row.at),
        "channel": row.channel,
        "subject": row.subject,
        "raw": row.raw,
    })
}
