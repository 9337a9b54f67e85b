//! Enquiries: lists, one with its room and decisions, and what can be done with one.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use usher_domain::floor::event::Closer;
use usher_domain::ids::{BotId, ChannelId, EnquiryId, StaffId, VisitorId};
use usher_domain::settings::{Role, Settings};
use usher_domain::visitor::Visitor;
use usher_protocol::Time;
use usher_protocol::command::{Command, PageLimit, Unserved};
use usher_protocol::event::{Named, Person as Shown};
use usher_store::{ArchiveReader, DecisionRow, EnquiryFilter, EnquiryRow, StoreError};

use super::command::{Body, command};
use super::problem::Problem;
use super::signed::Signed;
use super::state::Doors;
use crate::accounts::Person;

/// What can be done with an enquiry by HTTP.
pub(super) const COMMANDS: [&str; 19] = [
    "pick_up",
    "decline",
    "send",
    "typing",
    "read",
    "note",
    "transfer",
    "cancel_transfer",
    "add_staff",
    "remove_staff",
    "leave",
    "monitor",
    "unmonitor",
    "join",
    "take_over",
    "assign",
    "hold",
    "close",
    "label",
];

const STATES: [&str; 5] = ["open", "ongoing", "missed", "followed_up", "closed"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    state: Option<String>,
    channel: Option<ChannelId>,
    owner: Option<StaffId>,
    visitor: Option<VisitorId>,
    /// Opened then or later.
    from: Option<Time>,
    /// Opened before then.
    until: Option<Time>,
    cursor: Option<u64>,
    limit: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    before: Option<u64>,
    limit: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnservedWanted {
    state: Unserved,
    before: Option<EnquiryId>,
    limit: Option<u64>,
}

/// An enquiry as the archive knows it.
#[derive(Serialize)]
pub(super) struct Listed {
    id: EnquiryId,
    state: String,
    channel: Named<ChannelId>,
    visitor: Shown,
    owner: Option<Named<StaffId>>,
    bot: Option<BotId>,
    opened_at: Time,
    picked_up_at: Option<Time>,
    missed_at: Option<Time>,
    hold_until: Option<Time>,
    window_until: Option<Time>,
    closed_at: Option<Time>,
    closer: Option<Closer>,
    silent: Option<bool>,
    reason: Option<String>,
    last_message_at: Option<Time>,
    messages: u64,
    labels: Vec<String>,
}

#[derive(Serialize)]
struct Decision {
    at: Time,
    steps: Vec<usher_domain::trace::Step>,
}

impl Listed {
    pub(super) fn of(row: EnquiryRow, visitor: Option<&Visitor>, settings: &Settings) -> Self {
        let channel = settings.channels.get(&row.channel).map(|channel| channel.name.clone());
        let name = |staff: StaffId| Named::new(staff, staff_name(settings, staff));
        Self {
            id: row.enquiry,
            state: row.state,
            channel: Named::new(row.channel, channel.unwrap_or_default()),
            visitor: shown_visitor(row.visitor, visitor),
            owner: row.owner.map(name),
            bot: row.bot,
            opened_at: row.opened_at.into(),
            picked_up_at: row.picked_up_at.map(Time::from),
            missed_at: row.missed_at.map(Time::from),
            hold_until: row.hold_until.map(Time::from),
            window_until: row.window_until.map(Time::from),
            closed_at: row.closed_at.map(Time::from),
            closer: row.closer,
            silent: row.silent,
            reason: row.reason,
            last_message_at: row.last_message_at.map(Time::from),
            messages: row.messages,
            labels: row.labels,
        }
    }
}

pub(super) fn staff_name(settings: &Settings, staff: StaffId) -> String {
    let name = settings.staff.get(&staff);
    name.map(|staff| format!("{} {}", staff.first_name, staff.last_name).trim().to_owned())
        .unwrap_or_default()
}

pub(super) fn shown_visitor(id: VisitorId, visitor: Option<&Visitor>) -> Shown {
    Shown {
        id,
        name: visitor.and_then(|visitor| visitor.name.as_deref().map(str::to_owned)),
        phone: visitor.and_then(|visitor| Some(format!("+{}", visitor.identities.wa_id.as_ref()?))),
        opted_out: visitor.is_some_and(|visitor| visitor.opted_out),
    }
}

pub(super) fn limit(asked: Option<u64>) -> Result<PageLimit, Problem> {
    let limit = asked.map_or(Ok(PageLimit::default()), PageLimit::try_from);
    limit.map_err(|error| Problem::malformed(error.to_string()))
}

pub(super) type WithVisitor = (EnquiryRow, Option<Visitor>);

pub(super) fn with_visitors(
    reader: &ArchiveReader,
    service: usher_domain::ids::ServiceId,
    rows: Vec<EnquiryRow>,
) -> Result<Vec<WithVisitor>, StoreError> {
    rows.into_iter()
        .map(|row| Ok((reader.visitor(service, row.visitor)?, row)))
        .map(|pair: Result<_, StoreError>| pair.map(|(visitor, row)| (row, visitor)))
        .collect()
}

pub(super) async fn list(
    doors: Data<Doors>,
    signed: Signed,
    wanted: Query<Wanted>,
) -> Result<HttpResponse, Problem> {
    let (person, wanted) = (signed.0, wanted.into_inner());
    let entries = usize::from(limit(wanted.limit)?.entries());
    let filter = filter(&person, wanted)?;
    let service = person.service;
    let rows = doors.read(service, move |reader| {
        with_visitors(reader, service, reader.enquiries(service, &filter, entries)?)
    });
    let rows = rows.await?;
    let next = rows.last().filter(|_| rows.len() == entries).map(|(row, _)| row.opened_seq);
    let settings = doors.settings(service)?;
    let mut listed = Vec::with_capacity(rows.len());
    for (row, visitor) in rows {
        if doors.may_see(&person, row.enquiry).await? {
            listed.push(Listed::of(row, visitor.as_ref(), settings));
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "enquiries": listed, "next": next })))
}

/// Agents list their own; whoever asks for others' gets an empty list, as if there were none.
fn filter(person: &Person, wanted: Wanted) -> Result<EnquiryFilter, Problem> {
    let Wanted { state, channel, owner, visitor, from, until, cursor, limit: _ } = wanted;
    if state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(Problem::malformed(format!("`state` is one of {}", STATES.join(", "))));
    }
    let owner = if person.role == Role::Agent { Some(person.staff) } else { owner };
    Ok(EnquiryFilter {
        state,
        channel,
        owner,
        visitor,
        opened_from: from.map(|time| time.0),
        opened_until: until.map(|time| time.0),
        before: cursor,
    })
}

/// What waits, or was missed, in the groups of whoever asks: what the socket's command answers.
pub(super) async fn unserved(
    doors: Data<Doors>,
    signed: Signed,
    wanted: Query<UnservedWanted>,
) -> Result<HttpResponse, Problem> {
    let UnservedWanted { state, before, limit: asked } = wanted.into_inner();
    let command = Command::Unserved { state, before, limit: limit(asked)? };
    Ok(HttpResponse::Ok().json(doors.command(&signed.0, command).await?))
}

/// The room is what `history` answers, so that it shows what the person may see and no more.
pub(super) async fn one(
    doors: Data<Doors>,
    signed: Signed,
    enquiry: Path<EnquiryId>,
    page: Query<Page>,
) -> Result<HttpResponse, Problem> {
    let (person, enquiry) = (signed.0, enquiry.into_inner());
    let history = Command::History { enquiry, before: page.before, limit: limit(page.limit)? };
    let room = doors.command(&person, history).await?;
    let service = person.service;
    let with_traces = person.role >= Role::Supervisor;
    let found = doors.read(service, move |reader| {
        let Some(row) = reader.enquiry(service, enquiry)? else { return Ok(None) };
        let visitor = reader.visitor(service, row.visitor)?;
        let traces = if with_traces { reader.decisions(service, enquiry)? } else { Vec::new() };
        Ok(Some((row, visitor, traces)))
    });
    let (row, visitor, traces) = found.await?.ok_or_else(Problem::not_found)?;
    let mut answer = json!({
        "enquiry": Listed::of(row, visitor.as_ref(), doors.settings(service)?),
        "room": room,
    });
    if with_traces {
        answer["decisions"] = traces.into_iter().map(decision).collect();
    }
    Ok(HttpResponse::Ok().json(answer))
}

fn decision(row: DecisionRow) -> Value {
    json!(Decision { at: row.at.into(), steps: row.steps })
}

pub(super) async fn act(
    doors: Data<Doors>,
    signed: Signed,
    path: Path<(EnquiryId, String)>,
    request: HttpRequest,
    Body(body): Body,
) -> Result<HttpResponse, Problem> {
    let (enquiry, name) = path.into_inner();
    if !COMMANDS.contains(&name.as_str()) {
        return Err(Problem::not_found());
    }
    let command = command(&request, &name, &body, Some(("enquiry", &enquiry)))?;
    Ok(HttpResponse::Ok().json(doors.command(&signed.0, command).await?))
}
