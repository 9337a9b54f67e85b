//! What operators and supervisors look through: what waits to be sent, what was set aside, how
//! much is live.

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use serde::Deserialize;
use serde_json::{Value, json};
use usher_domain::settings::Role;
use usher_protocol::Time;
use usher_protocol::event::shown;
use usher_store::{AsideKind, AsideRow, EnquiryFilter, Unsent};

use super::enquiries::limit;
use super::problem::Problem;
use super::signed::Signed;
use super::state::Doors;

/// Messages shown of the outbox, and enquiries counted per state.
const OUTBOX_MAX: usize = 1_000;
const COUNTED_MAX: usize = 10_000;

/// What stands in the outbox, oldest first.
pub(super) async fn outbox(doors: Data<Doors>, signed: Signed) -> Result<HttpResponse, Problem> {
    let service = signed.at_least(Role::Supervisor)?.service;
    let waiting = doors.read(service, move |reader| {
        let mut waiting = Vec::new();
        reader.unsent(service, |unsent| {
            if waiting.len() < OUTBOX_MAX {
                waiting.push(message(&unsent));
            }
        })?;
        Ok(waiting)
    });
    Ok(HttpResponse::Ok().json(json!({ "waiting": waiting.await? })))
}

fn message(unsent: &Unsent) -> Value {
    json!({
        "message": unsent.message,
        "queued_at": Time(unsent.queued_at),
        "channel": unsent.channel,
        "visitor": unsent.visitor,
        "enquiry": unsent.enquiry,
        "author": unsent.author,
        "content": shown(&unsent.content),
        "attempts": unsent.attempts,
        "sending": unsent.sending,
    })
}

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

pub(super) async fn stats(doors: Data<Doors>, signed: Signed) -> Result<HttpResponse, Problem> {
    let service = signed.at_least(Role::Supervisor)?.service;
    let live = doors.read(service, move |reader| {
        let mut live = json!({});
        for state in ["open", "ongoing", "missed", "followed_up"] {
            let filter =
                EnquiryFilter { state: Some(state.to_owned()), ..EnquiryFilter::default() };
            live[state] = reader.enquiries(service, &filter, COUNTED_MAX)?.len().into();
        }
        Ok(live)
    });
    let live = live.await?;
    let lag = doors.engine.store().archive().lag();
    Ok(HttpResponse::Ok().json(json!({
        "at": Time(doors.now()),
        "live": live,
        "archive_behind": { "records": lag.records, "seconds": lag.age.as_secs_f64() },
    })))
}
