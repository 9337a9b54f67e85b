//! What we say, in 360dialog's words, and what its refusals mean for what follows.

use std::time::Duration;

use dialog360::errors::{Class, Failure};
use dialog360::media::Kind;
use dialog360::outbound::{self as wire, Card, CardPhone, Invalid, Prepared, Recipient};
use usher_domain::message::{Content, Media, MediaKind};
use usher_engine::{About, Disposition, Outgoing, SendOutcome};

use super::template;

/// The first wait where the provider does not say how long; the outbox makes it longer each time.
const BACK_OFF: Duration = Duration::from_secs(2);
/// After a change of the number's throughput.
const MAINTENANCE: Duration = Duration::from_mins(1);
const HELD_BACK: Duration = Duration::from_hours(24);
/// Rate limits pass, if somebody waits.
const RATE_TRIES: u32 = 50;

/// Why a message cannot be put into the provider's words.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("there is no address to send it to")]
    NoAddress,
    #[error("WhatsApp has no such message")]
    Kind,
    #[error("{0}")]
    Limit(#[from] Invalid),
}

/// Checks a message and writes it down; `file` is the provider's id of the file in it.
pub(super) fn prepare(outgoing: &Outgoing, file: Option<&str>) -> Result<Prepared, Unsendable> {
    let content = match &outgoing.reacts_to {
        Some(message_id) => reaction(message_id.clone(), &outgoing.content)?,
        None => content(&outgoing.content, file)?,
    };
    let about = About { message: outgoing.message, enquiry: outgoing.enquiry };
    let mut message =
        wire::Message::new(recipient(outgoing)?, content).with_callback_data(about.encode());
    if let Some(quoted) = outgoing.reply_to.as_ref().filter(|_| outgoing.reacts_to.is_none()) {
        message = message.replying_to(quoted.clone());
    }
    Ok(message.prepare()?)
}

/// The phone where it is known: not every message may go to a user id.
fn recipient(outgoing: &Outgoing) -> Result<Recipient, Unsendable> {
    let phone = outgoing.to.wa_id.as_deref().map(|wa_id| Recipient::Phone(wa_id.to_owned()));
    let user_id = || outgoing.to.user_id.as_deref().map(|id| Recipient::UserId(id.to_owned()));
    phone.or_else(user_id).ok_or(Unsendable::NoAddress)
}

fn reaction(message_id: String, content: &Content) -> Result<wire::Content, Unsendable> {
    let Content::Text { body } = content else { return Err(Unsendable::Kind) };
    let emoji = Some(body.clone()).filter(|emoji| !emoji.is_empty());
    Ok(wire::Content::Reaction { message_id, emoji })
}

fn content(content: &Content, file: Option<&str>) -> Result<wire::Content, Unsendable> {
    Ok(match content {
        Content::Text { body } => wire::Content::Text {
            preview_url: body.contains("https://") || body.contains("http://"),
            body: body.clone(),
        },
        Content::Media(media) => with_file(media, file.ok_or(Unsendable::Kind)?),
        Content::Location { latitude, longitude, name, address } => wire::Content::Location {
            latitude: *latitude,
            longitude: *longitude,
            name: name.clone(),
            address: address.clone(),
        },
        Content::Contacts { cards } => wire::Content::Contacts(
            cards
                .iter()
                .map(|card| Card {
                    formatted_name: card.name.clone(),
                    phones: card.phones.iter().map(String::as_str).map(phone).collect(),
                    ..Card::default()
                })
                .collect(),
        ),
        Content::Template(template) => {
            wire::Content::Template(template::worded(template, file).ok_or(Unsendable::Kind)?)
        }
        Content::Choice { .. }
        | Content::Form { .. }
        | Content::Order { .. }
        | Content::Unsupported { .. } => return Err(Unsendable::Kind),
    })
}

fn phone(phone: &str) -> CardPhone {
    CardPhone { phone: phone.to_owned(), ..CardPhone::default() }
}

fn with_file(media: &Media, provider_id: &str) -> wire::Content {
    let mut file = wire::Media::id(provider_id);
    match media.sort {
        MediaKind::Image => {
            file.caption.clone_from(&media.caption);
            wire::Content::Image(file)
        }
        MediaKind::Video => {
            file.caption.clone_from(&media.caption);
            wire::Content::Video(file)
        }
        MediaKind::Document => {
            file.caption.clone_from(&media.caption);
            file.filename.clone_from(&media.filename);
            wire::Content::Document(file)
        }
        MediaKind::Audio => wire::Content::Audio(file),
        MediaKind::Voice => {
            file.voice = true;
            wire::Content::Audio(file)
        }
        MediaKind::Sticker => wire::Content::Sticker(file),
    }
}

/// What a file of ours is uploaded as.
pub(crate) fn upload_kind(sort: MediaKind, bytes: u64) -> Kind {
    match sort {
        MediaKind::Image => Kind::Image,
        MediaKind::Video => Kind::Video,
        MediaKind::Audio | MediaKind::Voice => Kind::Audio,
        MediaKind::Document => Kind::Document,
        // Only animated ones may be as large, and whether it is one shows nowhere else.
        MediaKind::Sticker if bytes > Kind::StaticSticker.size_max() => Kind::AnimatedSticker,
        MediaKind::Sticker => Kind::StaticSticker,
    }
}

/// A message that we would not even try to send.
pub(super) fn refused(why: &Unsendable) -> SendOutcome {
    // The provider's code for a bad parameter.
    const INVALID_PARAMETER: i64 = 100;
    SendOutcome::Refused { code: INVALID_PARAMETER, title: why.to_string(), then: FINAL }
}

pub(super) const FINAL: Disposition = Disposition::Final { window_lapsed: false, opted_out: false };

/// What a refusal of the provider's means.
pub(super) fn refusal(failure: &Failure) -> SendOutcome {
    let title = [&failure.details, &failure.title].into_iter().flatten().next();
    SendOutcome::Refused {
        code: failure.code.unwrap_or_else(|| i64::from(failure.http_status)),
        title: title.cloned().unwrap_or_else(|| failure.class.label().to_owned()),
        then: disposition(failure.class, failure.retry_after),
    }
}

fn disposition(class: Class, retry_after: Option<Duration>) -> Disposition {
    let again = |after: Duration, slow_number, tries_max| Disposition::Retry {
        after: retry_after.unwrap_or(after),
        named: retry_after.is_some(),
        slow_number,
        tries_max,
    };
    match class {
        Class::RateLimitedNumber | Class::RateLimitedWaba => again(BACK_OFF, true, RATE_TRIES),
        Class::PairRate => Disposition::PairRate,
        Class::Transient { max_tries } => again(BACK_OFF, false, u32::from(max_tries)),
        Class::Maintenance => again(MAINTENANCE, false, RATE_TRIES),
        Class::WindowLapsed => Disposition::Final { window_lapsed: true, opted_out: false },
        Class::OptedOut => Disposition::Final { window_lapsed: false, opted_out: true },
        // The outbox of a stopped channel keeps everything and probes slowly, which is also right
        // for a number that is held down for spam.
        Class::StopChannel | Class::SpamRestricted => Disposition::StopChannel,
        Class::HoldBack24h => Disposition::HoldBack(HELD_BACK),
        // The client tells of these as ambiguous itself; a refusal that is none is not repeated.
        Class::Ambiguous
        | Class::Undeliverable
        | Class::UsePhone
        | Class::TemplateUnusable
        | Class::Operator
        | Class::Permanent => FINAL,
    }
}

#[cfg(test)]
mod tests {
    use dialog360::errors::classify;
    use serde_json::{Value, json};
    use usher_domain::ids::{ChannelId, EnquiryId, MessageId, ServiceId};
    use usher_domain::template::Template;
    use usher_domain::visitor::Identities;

    use super::*;

    fn outgoing(content: Content) -> Outgoing {
        Outgoing {
            service: ServiceId::from_number(1),
            channel: ChannelId::from_number(2),
            message: MessageId::from_number(3),
            enquiry: Some(EnquiryId::from_number(4)),
            to: Identities { wa_id: Some("16505551234".into()), user_id: Some("US.1".into()) },
            content,
            reply_to: None,
            reacts_to: None,
        }
    }

    fn text(body: &str) -> Outgoing {
        outgoing(Content::Text { body: body.to_owned() })
    }

    fn wired(outgoing: &Outgoing, file: Option<&str>) -> Value {
        let mut body: Value =
            serde_json::from_slice(prepare(outgoing, file).unwrap().body()).unwrap();
        let about = body.as_object_mut().unwrap().remove("biz_opaque_callback_data").unwrap();
        let about = About::decode(about.as_str().unwrap()).unwrap();
        assert_eq!((about.message, about.enquiry), (outgoing.message, outgoing.enquiry));
        body
    }

    fn expected(kind: &str, content: Value) -> Value {
        let mut body = json!({"messaging_product": "whatsapp", "recipient_type": "individual",
            "to": "16505551234", "type": kind});
        body[kind] = content;
        body
    }

    #[test]
    fn a_text_goes_to_the_phone_and_may_quote() {
        let mut outgoing = text("*Anna*\nhi");
        outgoing.reply_to = Some("wamid.Q".into());
        let mut body = expected("text", json!({"body": "*Anna*\nhi", "preview_url": false}));
        body["context"] = json!({"message_id": "wamid.Q"});
        assert_eq!(wired(&outgoing, None), body);
        let link = wired(&text("see https://example.com"), None);
        assert_eq!(link["text"]["preview_url"], true);
    }

    #[test]
    fn without_a_phone_it_goes_to_the_user_id_and_without_both_nowhere() {
        let mut outgoing = text("hi");
        outgoing.to.wa_id = None;
        let body = wired(&outgoing, None);
        assert_eq!((&body["recipient"], &body["to"]), (&json!("US.1"), &Value::Null));
        outgoing.to.user_id = None;
        assert_eq!(prepare(&outgoing, None), Err(Unsendable::NoAddress));
    }

    #[test]
    fn reactions_quote_nothing_and_can_be_taken_back() {
        let mut outgoing = text("👍");
        outgoing.reacts_to = Some("wamid.T".into());
        outgoing.reply_to = Some("wamid.T".into());
        let content = json!({"message_id": "wamid.T", "emoji": "👍"});
        assert_eq!(wired(&outgoing, None), expected("reaction", content));
        outgoing.content = Content::Text { body: String::new() };
        assert_eq!(wired(&outgoing, None)["reaction"]["emoji"], "");
    }

    fn file(sort: MediaKind) -> Outgoing {
        outgoing(Content::Media(Media {
            sort,
            file: None,
            provider_id: None,
            mime_type: "a/b".into(),
            caption: Some("look".into()),
            filename: Some("a.pdf".into()),
            sha256: None,
        }))
    }

    #[test]
    fn files_have_what_their_kind_can_have() {
        let table = [
            (MediaKind::Image, "image", json!({"id": "9", "caption": "look"})),
            (MediaKind::Video, "video", json!({"id": "9", "caption": "look"})),
            (
                MediaKind::Document,
                "document",
                json!({"id": "9", "caption": "look", "filename": "a.pdf"}),
            ),
            (MediaKind::Audio, "audio", json!({"id": "9"})),
            (MediaKind::Voice, "audio", json!({"id": "9", "voice": true})),
            (MediaKind::Sticker, "sticker", json!({"id": "9"})),
        ];
        for (sort, kind, content) in table {
            assert_eq!(wired(&file(sort), Some("9")), expected(kind, content));
        }
        assert_eq!(prepare(&file(MediaKind::Image), None), Err(Unsendable::Kind));
        assert_eq!(upload_kind(MediaKind::Sticker, 200 * 1024), Kind::AnimatedSticker);
        assert_eq!(upload_kind(MediaKind::Sticker, 20 * 1024), Kind::StaticSticker);
    }

    #[test]
    fn templates_carry_their_variables() {
        let template = outgoing(Content::Template(Template::plain("hello", "en", &["Ann"])));
        let filled = json!({"name": "hello", "language": {"code": "en"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ann"}]}]});
        assert_eq!(wired(&template, None), expected("template", filled));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_for_good() {
        let choice = outgoing(Content::Choice { id: "1".into(), title: "x".into() });
        let why = prepare(&choice, None).unwrap_err();
        assert!(matches!(refused(&why), SendOutcome::Refused { code: 100, then: FINAL, .. }));
        let long = prepare(&text(&"x".repeat(4_097)), None).unwrap_err();
        assert!(matches!(long, Unsendable::Limit(Invalid::TooLong { limit: 4_096, .. })));
    }

    #[test]
    fn refusals_mean_what_the_table_of_codes_says() {
        let then = |code: i64| {
            let body = json!({"error": {"code": code, "message": "m",
                "error_data": {"details": "d"}}});
            match refusal(&classify(400, body.to_string().as_bytes())) {
                SendOutcome::Refused { code: given, title, then } => {
                    assert_eq!((given, title.as_str()), (code, "d"));
                    then
                }
                other => panic!("{other:?}"),
            }
        };
        let retry = |after, slow_number, tries_max| Disposition::Retry {
            after: Duration::from_secs(after),
            named: false,
            slow_number,
            tries_max,
        };
        let table = [
            (130_429, retry(2, true, 50)),
            (80_007, retry(2, true, 50)),
            (131_056, Disposition::PairRate),
            (131_016, retry(2, false, 5)),
            (131_057, retry(60, false, 50)),
            (131_047, Disposition::Final { window_lapsed: true, opted_out: false }),
            (131_050, Disposition::Final { window_lapsed: false, opted_out: true }),
            (190, Disposition::StopChannel),
            (131_048, Disposition::StopChannel),
            (131_049, Disposition::HoldBack(Duration::from_hours(24))),
            (131_026, FINAL),
            (132_001, FINAL),
            (131_037, FINAL),
            (424_242, FINAL),
        ];
        for (code, expected) in table {
            assert_eq!(then(code), expected, "{code}");
        }
    }

    #[test]
    fn the_provider_may_say_how_long_to_wait() {
        let waits = disposition(Class::RateLimitedNumber, Some(Duration::from_secs(17)));
        assert!(
            matches!(waits, Disposition::Retry { after, named: true, .. } if after == Duration::from_secs(17))
        );
    }
}
