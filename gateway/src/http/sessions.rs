//! Signing in and out.

use std::net::IpAddr;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use usher_domain::ids::{ServiceId, SessionId, StaffId};
use usher_domain::settings::Role;
use usher_protocol::Time;
use usher_protocol::command::{Command, Held};
use usher_protocol::refusal::Code;

use super::command::Body;
use super::problem::Problem;
use super::signed::Signed;
use super::state::Doors;
use crate::accounts::{NotSignedIn, Person};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    /// Key or id; needed by nobody, since an e-mail address is unique in an installation.
    service: Option<String>,
    email: String,
    password: SecretString,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignOut {
    #[serde(default)]
    held: Option<Held>,
}

#[derive(Serialize)]
struct Shown<'a> {
    session: SessionId,
    service: ServiceId,
    staff: StaffId,
    name: String,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Time>,
}

impl Shown<'_> {
    fn of(doors: &Doors, person: Person) -> Result<Self, Problem> {
        let settings = doors.settings(person.service)?;
        let staff = settings.staff.get(&person.staff).ok_or_else(Problem::not_found)?;
        let Person { service, staff: id, session, role } = person;
        let name = format!("{} {}", staff.first_name, staff.last_name).trim().to_owned();
        Ok(Self { session, service, staff: id, name, role, token: None, until: None })
    }
}

pub(super) async fn open(
    doors: Data<Doors>,
    request: HttpRequest,
    body: Json<SignIn>,
) -> Result<HttpResponse, Problem> {
    let SignIn { service, email, password } = body.into_inner();
    let now = doors.now();
    let from = (doors.proxies.client_of(&request), now);
    let opened = doors.people.open(service.as_deref(), &email, password, from).await;
    let opened = opened.inspect_err(|refused| log(*refused, from.0))?;
    let mut shown = Shown::of(&doors, opened.person)?;
    shown.token = Some(&opened.token);
    shown.until = Some(opened.until.into());
    Ok(HttpResponse::Created().json(shown))
}

/// Who guesses is to be found, by whoever blocks addresses.
fn log(refused: NotSignedIn, address: Option<IpAddr>) {
    let address = address.map(tracing::field::display);
    match refused {
        // As many as passwords can be checked, and no more.
        NotSignedIn::Wrong => tracing::info!(address, %refused, "nobody was signed in"),
        NotSignedIn::Locked { .. }
        | NotSignedIn::Crowd { .. }
        | NotSignedIn::Busy
        | NotSignedIn::Unavailable => tracing::debug!(address, %refused, "nobody was signed in"),
    }
}

impl From<NotSignedIn> for Problem {
    fn from(refused: NotSignedIn) -> Self {
        match refused {
            NotSignedIn::Wrong => Self::new(
                StatusCode::UNAUTHORIZED,
                "wrong_password",
                "E-mail or password is wrong.",
            ),
            NotSignedIn::Locked { again_in } => {
                let detail = "Too many wrong passwords; try again later.";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "locked", detail).after(again_in)
            }
            NotSignedIn::Crowd { again_in } => {
                let detail = "Too many wrong passwords from this address; try again later.";
                Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited.name(), detail)
                    .after(again_in)
            }
            NotSignedIn::Busy | NotSignedIn::Unavailable => Self::unavailable(),
        }
    }
}

pub(super) async fn current(doors: Data<Doors>, signed: Signed) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(Shown::of(&doors, signed.0)?))
}

/// Signs out; who holds live enquiries has to say what becomes of them.
pub(super) async fn end(
    doors: Data<Doors>,
    signed: Signed,
    Body(body): Body,
) -> Result<HttpResponse, Problem> {
    let SignOut { held } = if body.is_empty() {
        SignOut::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Problem::malformed(format!("the body was not understood: {error}")))?
    };
    let person = signed.0;
    let answer = doors.command(&person, Command::SignOut { held }).await?;
    doors.people.end(person.session).await;
    let answer = if answer.is_null() { json!({}) } else { answer };
    Ok(HttpResponse::Ok().json(answer))
}
