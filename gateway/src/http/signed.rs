//! Who asks: the person behind a request's bearer token, within what their session may ask for.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use usher_domain::settings::Role;

use super::problem::Problem;
use super::state::Doors;
use crate::accounts::Person;

/// Somebody who has signed in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed(pub(super) Person);

impl FromRequest for Signed {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(signed(request))
    }
}

fn signed(request: &HttpRequest) -> Result<Signed, Problem> {
    let doors = request.app_data::<Data<Doors>>().ok_or_else(Problem::unavailable)?;
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|given| {
        let (scheme, token) = given.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = token.ok_or_else(|| Problem::unauthorized("A bearer token is needed; sign in."))?;
    let admitted = doors.people.admit(token, doors.now()).map_err(|_| Problem::unavailable())?;
    let admitted =
        admitted.ok_or_else(|| Problem::unauthorized("The token is not (any more) good."))?;
    admitted.map(Signed).map_err(Problem::rate_limited)
}

impl Signed {
    /// Passes those who are at least this; others hear that their role does not allow it.
    pub(super) fn at_least(self, role: Role) -> Result<Person, Problem> {
        if self.0.role >= role { Ok(self.0) } else { Err(Problem::forbidden()) }
    }
}
