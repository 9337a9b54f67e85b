//! What a supervisor wants to know of a span of time: what came, who took it, how long it waited.

mod figures;
mod shares;

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Query};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_domain::ids::GroupId;
use usher_domain::settings::Role;
use usher_domain::time::Timestamp;
use usher_protocol::Time;
use usher_protocol::refusal::Code;
use usher_store::Span;

use super::problem::Problem;
use super::signed::Signed;
use super::state::Doors;
use figures::Stats;

/// Enquiries looked at for one answer.
const ENQUIRIES_MAX: u64 = 100_000;
const DAY_MILLIS: u64 = 24 * 3_600 * 1_000;
const SPAN_MAX: Duration = Duration::from_hours(366 * 24);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Opened then or later; left out: a day before `until`.
    from: Option<Time>,
    /// Opened before then; left out: now.
    until: Option<Time>,
}

/// Figures of the enquiries opened in a span of time, whatever became of them since. Supervisors
/// see those that their groups had to do with.
pub(super) async fn stats(
    doors: Data<Doors>,
    signed: Signed,
    wanted: Query<Wanted>,
) -> Result<HttpResponse, Problem> {
    let person = signed.at_least(Role::Supervisor)?;
    let (service, now) = (person.service, doors.now());
    let until = wanted.until.map_or(now, |until| until.0);
    let day_before = Timestamp::from_millis(until.millis().saturating_sub(DAY_MILLIS));
    let from = wanted.from.map_or(day_before, |from| from.0);
    if from >= until || until.since(from) > SPAN_MAX {
        return Err(Problem::malformed("`from` is before `until`, by 366 days at most"));
    }
    let span = Span { from, until };
    let settings = doors.settings(service)?.clone();
    let supervises: Vec<GroupId> = match person.role {
        Role::Agent | Role::Administrator => Vec::new(),
        Role::Supervisor => settings
            .staff
            .get(&person.staff)
            .map(|staff| staff.supervises.clone())
            .unwrap_or_default(),
    };
    let shown = settings.clone();
    let read = doors.read(service, move |reader| {
        let live = reader.live_by_state(service)?;
        if reader.opened_in(service, span)? > ENQUIRIES_MAX {
            return Ok((live, None));
        }
        let mut stats = Stats::new(&settings, supervises);
        reader.each_opened_in(service, span, |row| stats.take(&row))?;
        stats.picked_up_by(reader.pick_ups_in(service, span)?);
        Ok((live, Some(stats.shown())))
    });
    let (live, figures) = read.await?;
    let Some(Value::Object(figures)) = figures else {
        let detail = "Too many enquiries for one answer; ask for a shorter span of time.";
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge.name(), detail));
    };
    let live: Map<String, Value> = live.into_iter().map(|(state, n)| (state, n.into())).collect();
    let lag = doors.engine.store().archive().lag();
    let mut answer = json!({
        "at": Time(now),
        "from": Time(from),
        "until": Time(until),
        "live": live,
        "archive_behind": { "records": lag.records, "seconds": lag.age.as_secs_f64() },
        "service_level_within_seconds": shown.service_level.as_secs(),
    });
    if let Value::Object(answer) = &mut answer {
        answer.extend(figures);
    }
    Ok(HttpResponse::Ok().json(answer))
}
