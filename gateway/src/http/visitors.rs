//! Visitors, and the commands that are about no enquiry.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use usher_domain::ids::VisitorId;
use usher_domain::settings::Role;

use super::command::{Body, command};
use super::enquiries::{Listed, shown_visitor, with_visitors};
use super::problem::Problem;
use super::signed::Signed;
use super::state::Doors;

/// What can be done with a visitor by HTTP.
pub(super) const COMMANDS: [&str; 3] = ["block", "language", "opt_out"];

/// Enquiries shown with a visitor, and looked through for one that whoever asks may see.
const ENQUIRIES: usize = 20;

/// Shown to whoever may see one of the visitor's enquiries.
pub(super) async fn one(
    doors: Data<Doors>,
    signed: Signed,
    visitor: Path<VisitorId>,
) -> Result<HttpResponse, Problem> {
    let (person, id) = (signed.0, visitor.into_inner());
    let service = person.service;
    let found = doors.read(service, move |reader| {
        let Some(visitor) = reader.visitor(service, id)? else { return Ok(None) };
        let rows = reader.earlier(service, visitor.id, None, ENQUIRIES)?;
        Ok(Some((visitor, with_visitors(reader, service, rows)?)))
    });
    let (visitor, rows) = found.await?.ok_or_else(Problem::not_found)?;
    let settings = doors.settings(service)?;
    let mut enquiries = Vec::new();
    for (row, whose) in rows {
        if doors.may_see(&person, row.enquiry).await? {
            enquiries.push(Listed::of(row, whose.as_ref(), settings));
        }
    }
    if enquiries.is_empty() && person.role != Role::Administrator {
        return Err(Problem::not_found());
    }
    Ok(HttpResponse::Ok().json(json!({
        "visitor": shown_visitor(visitor.id, Some(&visitor)),
        "user_id": visitor.identities.user_id,
        "username": visitor.username,
        "language": visitor.language,
        "country": visitor.country(),
        "blocked": visitor.blocked,
        "enquiries": enquiries,
    })))
}

pub(super) async fn act(
    doors: Data<Doors>,
    signed: Signed,
    path: Path<(VisitorId, String)>,
    request: HttpRequest,
    Body(body): Body,
) -> Result<HttpResponse, Problem> {
    let (visitor, name) = path.into_inner();
    if !COMMANDS.contains(&name.as_str()) {
        return Err(Problem::not_found());
    }
    let command = command(&request, &name, &body, Some(("visitor", &visitor)))?;
    Ok(HttpResponse::Ok().json(doors.command(&signed.0, command).await?))
}

/// One's own presence, or (supervisors) somebody else's.
pub(super) async fn presence(
    doors: Data<Doors>,
    signed: Signed,
    request: HttpRequest,
    Body(body): Body,
) -> Result<HttpResponse, Problem> {
    let command = command(&request, "presence.set", &body, None)?;
    Ok(HttpResponse::Ok().json(doors.command(&signed.0, command).await?))
}

/// Writes first, with a template.
pub(super) async fn start(
    doors: Data<Doors>,
    signed: Signed,
    request: HttpRequest,
    Body(body): Body,
) -> Result<HttpResponse, Problem> {
    let command = command(&request, "start", &body, None)?;
    Ok(HttpResponse::Ok().json(doors.command(&signed.0, command).await?))
}
