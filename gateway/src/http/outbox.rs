//! What waits to be sent, what failed, what nobody knows; and whether it may be sent again.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};
use usher_domain::ids::{GroupId, MessageId, StaffId};
use usher_domain::message::{Author, Content, Delivery};
use usher_domain::settings::{Role, Settings};
use usher_domain::visitor::Visitor;
use usher_protocol::Time;
use usher_protocol::command::{Command, Key, Outgoing, Recipient};
use usher_protocol::event::{Named, shown};
use usher_protocol::refusal::{Code, Refusal};
use usher_store::{
    ArchiveReader, MessageRow, OutboxFilter, OutboxRow, OutboxState, StoreError, resend_key,
};

use super::command::Body;
use super::enquiries::{limit, shown_visitor, staff_name};
use super::problem::Problem;
use super::signed::Signed;
use super::state::Doors;
use crate::accounts::Person;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Left out: all of them.
    state: Option<OutboxState>,
    cursor: Option<u64>,
    limit: Option<u64>,
}

/// The newest first. Agents see what they wrote and what was said in their enquiries, supervisors
/// what their groups did, administrators everything.
pub(super) async fn list(
    doors: Data<Doors>,
    signed: Signed,
    wanted: Query<Wanted>,
) -> Result<HttpResponse, Problem> {
    let (person, Wanted { state, cursor, limit: asked }) = (signed.0, wanted.into_inner());
    let entries = usize::from(limit(asked)?.entries());
    let of = (person.role == Role::Agent).then_some(person.staff);
    let filter = OutboxFilter { state, of, before: cursor };
    let service = person.service;
    let rows = doors.read(service, move |reader| {
        let with_visitor =
            |row: OutboxRow| Ok((reader.visitor(service, row.message.visitor)?, row));
        reader.outbox(service, filter, entries)?.into_iter().map(with_visitor).collect()
    });
    let rows: Vec<(Option<Visitor>, OutboxRow)> = rows.await?;
    let next = rows.last().filter(|_| rows.len() == entries).map(|(_, row)| row.message.id);
    let settings = doors.settings(service)?;
    let mut messages = Vec::with_capacity(rows.len());
    for (visitor, row) in rows {
        if may_see(&doors, &person, &row.message).await? {
            messages.push(listed(&row, visitor.as_ref(), settings));
        }
    }
    Ok(HttpResponse::Ok().json(json!({ "messages": messages, "next": next })))
}

/// Outside enquiries, what people have written first: theirs, and their supervisors'.
async fn may_see(doors: &Doors, person: &Person, row: &MessageRow) -> Result<bool, Problem> {
    if let Some(enquiry) = row.enquiry {
        return doors.may_see(person, enquiry).await;
    }
    let writer = match row.author {
        Some(Author::Staff { staff }) => Some(staff),
        Some(Author::Bot { .. } | Author::Auto { .. } | Author::Phone) | None => None,
    };
    if writer == Some(person.staff) {
        return Ok(true);
    }
    Ok(match person.role {
        Role::Agent => false,
        Role::Supervisor => is_set_over(doors.settings(person.service)?, person.staff, writer),
        Role::Administrator => true,
    })
}

fn is_set_over(settings: &Settings, supervisor: StaffId, writer: Option<StaffId>) -> bool {
    let Some(supervisor) = settings.staff.get(&supervisor) else { return false };
    let Some(writer) = writer else { return supervisor.supervises.is_empty() };
    let is_theirs = |group: &GroupId| {
        settings.groups.get(group).is_some_and(|group| group.members.contains(&writer))
    };
    supervisor.supervises.is_empty() || supervisor.supervises.iter().any(is_theirs)
}

fn listed(row: &OutboxRow, visitor: Option<&Visitor>, settings: &Settings) -> Value {
    let message = &row.message;
    let channel = settings.channels.get(&message.channel);
    let channel = channel.map(|channel| channel.name.clone()).unwrap_or_default();
    json!({
        "message": message.message,
        "state": row.state,
        "queued_at": Time(message.at),
        "channel": Named::new(message.channel, channel),
        "visitor": shown_visitor(message.visitor, visitor),
        "enquiry": message.enquiry,
        "author": message.author,
        "content": shown(&message.content),
        "attempts": row.attempts,
        "sending": row.sending,
        "failure": message.code.map(|code| json!({ "code": code, "title": message.title })),
        "resent": row.resent.as_ref().map(|again| json!({
            "message": again.message,
            "by": by(again.by, settings),
            "at": Time(again.at),
            "delivery": again.delivery,
        })),
    })
}

fn by(author: Author, settings: &Settings) -> Value {
    match author {
        Author::Staff { staff } => json!(Named::new(staff, staff_name(settings, staff))),
        Author::Bot { .. } | Author::Auto { .. } | Author::Phone => Value::Null,
    }
}

/// Says once more what a person has said, in the name of whoever asks: all that holds for a `send`
/// holds for it. However often and by whomever it is asked for, it is sent again once; the record
/// of the new message says who did it.
pub(super) async fn resend(
    doors: Data<Doors>,
    signed: Signed,
    message: Path<MessageId>,
    Body(body): Body,
) -> Result<HttpResponse, Problem> {
    if !matches!(body.trim_ascii(), b"" | b"{}") {
        return Err(Problem::malformed("nothing is said about how; leave the body out"));
    }
    let (person, id) = (signed.0, message.into_inner());
    // One after the other, so that two people do not send the same twice.
    let _one = doors.resends.lock().await;
    doors.level(person.service).await?;
    let service = person.service;
    let found = doors.read(service, move |reader| {
        let Some(row) = reader.message(service, id)? else { return Ok(None) };
        let quoted = quoted(reader, service, &row)?;
        let enquiry = row.enquiry.map(|enquiry| reader.enquiry(service, enquiry)).transpose()?;
        let is_closed = enquiry.flatten().is_some_and(|enquiry| enquiry.closed_at.is_some());
        Ok(Some((reader.resent(service, id)?, row, (quoted, is_closed))))
    });
    let (resent, row, (quoted, is_closed)) = found.await?.ok_or_else(Problem::not_found)?;
    if !may_see(&doors, &person, &row).await? {
        return Err(Problem::not_found());
    }
    if let Some(resent) = resent {
        return Ok(HttpResponse::Ok().json(json!({ "message": resent.message })));
    }
    let command = again(row, quoted)?;
    if is_closed {
        return Err(Refusal::from(Code::Closed).into());
    }
    Ok(HttpResponse::Ok().json(doors.command(&person, command).await?))
}

fn quoted(
    reader: &ArchiveReader,
    service: usher_domain::ids::ServiceId,
    row: &MessageRow,
) -> Result<Option<MessageId>, StoreError> {
    let Some(provider_id) = &row.reply_to else { return Ok(None) };
    Ok(reader.message_by_provider_id(service, provider_id)?.map(|quoted| quoted.message))
}

/// The command that says the same again.
fn again(row: MessageRow, reply_to: Option<MessageId>) -> Result<Command, Problem> {
    let conflict = |code, detail: &'static str| Problem::new(StatusCode::CONFLICT, code, detail);
    match row.delivery {
        Some(Delivery::Failed | Delivery::Unknown) if !row.withdrawn => {}
        _ => {
            let detail = "Only what failed, or what nobody knows of, is sent again.";
            return Err(conflict("not_failed", detail));
        }
    }
    if !matches!(row.author, Some(Author::Staff { .. })) || row.reacts_to.is_some() {
        let detail = "Only messages that staff wrote are sent again.";
        return Err(conflict("not_resendable", detail));
    }
    let key = Key::try_from(resend_key(row.message)).map_err(|_| Problem::unavailable())?;
    let unlike = || conflict("not_resendable", "What is in this message cannot be sent again.");
    match (row.enquiry, said(row.content).ok_or_else(unlike)?) {
        (Some(enquiry), content) => Ok(Command::Send { enquiry, key, content, reply_to }),
        (None, Outgoing::Template(template)) => Ok(Command::Start {
            channel: row.channel,
            to: Recipient::Visitor(row.visitor),
            template,
            key,
        }),
        (None, _) => Err(unlike()),
    }
}

/// As staff would send it; `None`: staff send no such thing.
fn said(content: Content) -> Option<Outgoing> {
    match content {
        Content::Text { body } => Some(Outgoing::Text { body }),
        Content::Media(media) => Some(Outgoing::Media {
            file: media.file?,
            sort: media.sort,
            caption: media.caption,
            filename: media.filename,
        }),
        Content::Location { latitude, longitude, name, address } => {
            Some(Outgoing::Location { latitude, longitude, name, address })
        }
        Content::Template(template) => Some(Outgoing::Template(template)),
        Content::Contacts { .. }
        | Content::Choice { .. }
        | Content::Form { .. }
        | Content::Order { .. }
        | Content::Unsupported { .. } => None,
    }
}
