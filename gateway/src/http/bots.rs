//! What bots say without being asked: taken only when it is signed with the bot's own secret.

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use metrics::counter;
use usher_domain::ids::{BotId, EnquiryId};
use usher_engine::{BotSaid, BotWord};

use super::problem::Problem;
use crate::bots::{BODY_MAX, Door, ID, SIGNATURE, Signed, TIMESTAMP, Unfit};
use crate::metrics::AUTH_FAILURES;

/// The header with the bot's id; the signature by that bot's secret proves it.
pub(crate) const BOT: &str = "usher-bot";
/// Characters of a `webhook-id`, which is also the key that makes a repeat harmless.
const KEY_MAX: usize = 128;

pub(crate) async fn said(
    door: Data<Door>,
    request: HttpRequest,
    enquiry: Path<EnquiryId>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    if body.len() > BODY_MAX {
        return Err(Problem::too_large(BODY_MAX as u64));
    }
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let bot = header(BOT).and_then(|id| id.parse::<BotId>().ok());
    let signed = || {
        let (id, timestamp, signatures) = (header(ID)?, header(TIMESTAMP)?, header(SIGNATURE)?);
        (1..=KEY_MAX).contains(&id.len()).then_some(Signed {
            id,
            timestamp,
            signatures,
            body: &body,
        })
    };
    let known = bot
        .zip(signed())
        .and_then(|(bot, signed)| door.knows(bot, signed).map(|service| (bot, service, signed.id)));
    let Some((bot, service, key)) = known else {
        counter!(AUTH_FAILURES, "door" => "bot").increment(1);
        return Err(Problem::unauthorized("The request is not signed as this bot signs."));
    };
    let actions = Door::read(&body).map_err(|unfit| match unfit {
        Unfit::TooLarge => Problem::too_large(BODY_MAX as u64),
        Unfit::Malformed(_) | Unfit::TooMany | Unfit::AfterTheEnd | Unfit::Language(_) => {
            Problem::malformed(unfit.to_string())
        }
    })?;
    let (key, said) = (Some(key.to_owned()), BotSaid::Actions(actions));
    let word = BotWord { bot, call: None, key, said };
    let done = door.engine().bot_said(service, enquiry.into_inner(), word).await?;
    Ok(HttpResponse::Ok().json(done))
}
