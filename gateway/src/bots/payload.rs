//! What a bot is asked: the body of `bot.message`.

use serde::Serialize;
use usher_domain::ids::{BotId, ChannelId, EnquiryId, MessageId};
use usher_domain::message::Content;
use usher_engine::BotCall;
use usher_protocol::Time;
use usher_protocol::event::{Direction, Message, Named, Person, Writer, shown};

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Time,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    bot: BotId,
    enquiry: Enquiry<'a>,
    visitor: Visitor<'a>,
    message: Said<'a>,
    last: Vec<Said<'a>>,
}

#[derive(Serialize)]
struct Enquiry<'a> {
    id: EnquiryId,
    channel: &'a Named<ChannelId>,
    opened_at: Time,
}

#[derive(Serialize)]
struct Visitor<'a> {
    #[serde(flatten)]
    person: &'a Person,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
}

#[derive(Serialize)]
struct Said<'a> {
    id: MessageId,
    direction: Direction,
    /// `visitor`, `staff`, `bot`, `auto` or `phone`; people's names are not a bot's business.
    by: &'static str,
    time: Time,
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a MessageId>,
}

impl<'a> Said<'a> {
    fn of(message: &'a Message) -> Self {
        Self {
            id: message.id,
            direction: message.direction,
            by: match message.writer {
                Writer::Visitor => "visitor",
                Writer::Staff { .. } => "staff",
                Writer::Bot { .. } => "bot",
                Writer::Auto { .. } | Writer::CustomInfo => "auto",
                Writer::Phone => "phone",
            },
            time: message.time,
            content: shown(&message.content),
            reply_to: message.reply_to.as_ref(),
        }
    }
}

pub(super) fn body(call: &BotCall) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Body {
        kind: "bot.message",
        timestamp: call.at.into(),
        data: Data {
            bot: call.bot,
            enquiry: Enquiry {
                id: call.enquiry,
                channel: &call.channel,
                opened_at: call.opened_at.into(),
            },
            visitor: Visitor {
                person: &call.visitor,
                language: call.language.as_deref(),
                country: call.country.as_deref(),
            },
            message: Said::of(&call.message),
            last: call.last.iter().map(Said::of).collect(),
        },
    })
}
