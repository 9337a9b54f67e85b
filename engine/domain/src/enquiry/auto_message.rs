//! Decides which auto-messages are due, and what the texts that leave look like.

use std::time::Duration;

use unicode_segmentation::UnicodeSegmentation;

use super::command::Refusal;
use crate::message::{Content, Media, MediaKind};
use crate::settings::{Away, DisplayName, Staff, Welcome, WelcomeRepeat};
use crate::time::Timestamp;

/// Most characters of an auto-message's text, as people count them.
pub const AUTO_TEXT_MAX: usize = 500;
/// The provider's limit for a text, as the provider counts.
pub const TEXT_MAX: usize = 4096;
/// The provider's limit for a caption.
pub const CAPTION_MAX: usize = 1024;

/// What is due and does not leave within this time is not said any more.
pub const WITHDRAW_AFTER: Duration = Duration::from_mins(10);

pub const WELCOME_TEXT: &str = "Hello! Thank you for your message. We will be with you shortly.";
pub const AWAY_TEXT: &str =
    "Sorry, nobody can answer right now. We will get back to you as soon as we can.";
pub const NOTIFICATION_TEXT: &str = "Are you still there? This conversation will be closed in {minutes} min if we do not hear from you.";
pub const CLOSE_TEXT: &str = "This conversation has been closed. Write to us again at any time.";

/// What opened an enquiry, as far as Welcome is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OpenedBy {
    Message,
    /// A reply to a template or campaign of ours.
    Reply,
    /// A message older than the window, or written before the last closing.
    OldMessage,
}

/// The circumstances in which an enquiry was opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opening {
    pub by: OpenedBy,
    /// When this visitor was last welcomed on this channel.
    pub last_welcomed: Option<Timestamp>,
    /// The visitor never wrote on this channel before.
    pub first_contact: bool,
    /// Somebody who could be offered it is there.
    pub staffed: bool,
}

/// Whether Welcome goes out at the message that opens an enquiry.
pub fn welcome_due(welcome: &Welcome, opening: &Opening, now: Timestamp) -> bool {
    let by_message = match opening.by {
        OpenedBy::Message => true,
        OpenedBy::Reply | OpenedBy::OldMessage => false,
    };
    let not_lately = match welcome.repeat {
        WelcomeRepeat::After(time) => elapsed(opening.last_welcomed, time, now),
        WelcomeRepeat::FirstContactOnly => opening.first_contact && opening.last_welcomed.is_none(),
    };
    welcome.on && by_message && not_lately && (opening.staffed || !welcome.only_if_staffed)
}

/// Whether Away goes out now that a walk has ended with nobody.
pub fn away_due(
    away: &Away,
    last_away: Option<Timestamp>,
    after_transfer: bool,
    now: Timestamp,
) -> bool {
    away.on && !after_transfer && elapsed(last_away, away.repeat_after, now)
}

fn elapsed(last: Option<Timestamp>, time: Duration, now: Timestamp) -> bool {
    last.is_none_or(|last| now.since(last) >= time)
}

/// The notification's text, `{minutes}` filled in: whole minutes, never more than the grace has
/// (but at least one).
pub fn notification_text(own: Option<&str>, grace: Duration) -> String {
    let minutes = (grace.as_secs() / 60).max(1);
    own.unwrap_or(NOTIFICATION_TEXT).replace("{minutes}", &minutes.to_string())
}

/// Whether a text may be set as an auto-message's.
pub fn check_auto_text(text: &str) -> Result<(), Refusal> {
    if text.graphemes(true).count() > AUTO_TEXT_MAX {
        return Err(Refusal::TooLong { limit: AUTO_TEXT_MAX });
    }
    Ok(())
}

/// The name that stands before what a person writes.
pub fn display_name(setting: DisplayName, staff: &Staff) -> Option<String> {
    let name = match setting {
        DisplayName::None => return None,
        DisplayName::FirstName => staff.first_name.clone(),
        DisplayName::FullName => format!("{} {}", staff.first_name, staff.last_name),
    };
    // A star or a line break would end the bold type early.
    let plain: String = name.chars().filter(|c| *c != '*' && !c.is_control()).collect();
    let plain = plain.trim();
    (!plain.is_empty()).then(|| plain.to_owned())
}

/// A staff member's message as it leaves: with the name before texts and captions, never longer
/// than the provider takes.
pub fn as_sent(content: Content, name: Option<&str>) -> Result<Content, Refusal> {
    match content {
        Content::Text { body } => {
            Ok(Content::Text { body: within(TEXT_MAX, prefixed(name, body))? })
        }
        Content::Media(media) => as_captioned(media, name).map(Content::Media),
        Content::Location { .. }
        | Content::Contacts { .. }
        | Content::Choice { .. }
        | Content::Form { .. }
        | Content::Order { .. }
        | Content::Template(_)
        | Content::Unsupported { .. } => Ok(content),
    }
}

fn as_captioned(mut media: Media, name: Option<&str>) -> Result<Media, Refusal> {
    let name = match media.sort {
        MediaKind::Image | MediaKind::Video | MediaKind::Document => name,
        MediaKind::Audio | MediaKind::Voice | MediaKind::Sticker => None,
    };
    if let Some(caption) = media.caption.take() {
        media.caption = Some(within(CAPTION_MAX, prefixed(name, caption))?);
    }
    Ok(media)
}

fn prefixed(name: Option<&str>, text: String) -> String {
    match name {
        Some(name) => format!("*{name}*\n{text}"),
        None => text,
    }
}

fn within(limit: usize, text: String) -> Result<String, Refusal> {
    // No shorter text can be too long: spares counting nearly always.
    if text.len() > limit && text.chars().count() > limit {
        return Err(Refusal::TooLong { limit });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StaffId;
    use crate::settings::Role;
    use crate::template::Template;

    const DAY: Duration = Duration::from_hours(24);
    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

    fn welcome(repeat: WelcomeRepeat) -> Welcome {
        Welcome { on: true, text: WELCOME_TEXT.into(), repeat, only_if_staffed: false }
    }

    fn opening(last_welcomed: Option<Timestamp>) -> Opening {
        Opening { by: OpenedBy::Message, last_welcomed, first_contact: false, staffed: true }
    }

    #[test]
    fn welcome_is_repeated_after_its_time_only() {
        let after = welcome(WelcomeRepeat::After(DAY));
        assert!(welcome_due(&after, &opening(None), NOW));
        assert!(welcome_due(&after, &opening(Some(NOW - DAY)), NOW));
        let just_before = NOW - DAY + Duration::from_millis(1);
        assert!(!welcome_due(&after, &opening(Some(just_before)), NOW));
        let every = welcome(WelcomeRepeat::After(Duration::ZERO));
        assert!(welcome_due(&every, &opening(Some(NOW)), NOW));
    }

    #[test]
    fn welcome_can_be_for_first_contacts_only() {
        let first = welcome(WelcomeRepeat::FirstContactOnly);
        assert!(!welcome_due(&first, &opening(None), NOW));
        assert!(welcome_due(&first, &Opening { first_contact: true, ..opening(None) }, NOW));
    }

    #[test]
    fn welcome_is_not_for_replies_old_messages_or_empty_desks() {
        let on = welcome(WelcomeRepeat::After(DAY));
        for by in [OpenedBy::Reply, OpenedBy::OldMessage] {
            assert!(!welcome_due(&on, &Opening { by, ..opening(None) }, NOW));
        }
        let unstaffed = Opening { staffed: false, ..opening(None) };
        assert!(welcome_due(&on, &unstaffed, NOW));
        assert!(!welcome_due(&Welcome { only_if_staffed: true, ..on.clone() }, &unstaffed, NOW));
        assert!(!welcome_due(&Welcome { on: false, ..on }, &opening(None), NOW));
    }

    #[test]
    fn away_is_never_after_a_transfer_and_not_too_often() {
        let away = Away { on: true, text: AWAY_TEXT.into(), repeat_after: DAY };
        assert!(away_due(&away, None, false, NOW));
        assert!(!away_due(&away, None, true, NOW));
        assert!(!away_due(&away, Some(NOW - DAY / 2), false, NOW));
        assert!(away_due(&away, Some(NOW - DAY), false, NOW));
        assert!(!away_due(&Away { on: false, ..away }, None, false, NOW));
    }

    #[test]
    fn minutes_are_filled_in_and_promise_no_more_than_the_grace() {
        let text =
            |secs| notification_text(Some("{minutes}, I say {minutes}"), Duration::from_secs(secs));
        assert_eq!(text(60), "1, I say 1");
        assert_eq!(text(179), "2, I say 2");
        assert_eq!(text(5), "1, I say 1");
        assert!(notification_text(None, DAY).contains("1440 min"));
    }

    #[test]
    fn default_texts_fit_and_lengths_are_counted_as_people_do() {
        for text in [WELCOME_TEXT, AWAY_TEXT, NOTIFICATION_TEXT, CLOSE_TEXT] {
            assert_eq!(check_auto_text(text), Ok(()));
        }
        let family = "👩‍👩‍👧‍👦".repeat(500);
        assert_eq!(check_auto_text(&family), Ok(()));
        assert_eq!(check_auto_text(&(family + "x")), Err(Refusal::TooLong { limit: 500 }));
    }

    fn text(body: &str) -> Content {
        Content::Text { body: body.into() }
    }

    fn media(sort: MediaKind, caption: Option<&str>) -> Content {
        Content::Media(Media {
            sort,
            file: None,
            provider_id: None,
            mime_type: "x/y".into(),
            caption: caption.map(str::to_owned),
            filename: None,
            sha256: None,
        })
    }

    #[test]
    fn the_name_stands_before_texts_and_captions_alone() {
        let name = Some("Ann");
        assert_eq!(as_sent(text("Hi"), name), Ok(text("*Ann*\nHi")));
        assert_eq!(as_sent(text("Hi"), None), Ok(text("Hi")));
        for (sort, expected) in [
            (MediaKind::Image, "*Ann*\nHi"),
            (MediaKind::Document, "*Ann*\nHi"),
            (MediaKind::Audio, "Hi"),
            (MediaKind::Sticker, "Hi"),
        ] {
            assert_eq!(as_sent(media(sort, Some("Hi")), name), Ok(media(sort, Some(expected))));
        }
        assert_eq!(as_sent(media(MediaKind::Video, None), name), Ok(media(MediaKind::Video, None)));
        let template = Content::Template(Template::plain("t", "en", &["x"]));
        assert_eq!(as_sent(template.clone(), name), Ok(template));
    }

    #[test]
    fn the_name_counts_in_the_limits() {
        let fits = "ä".repeat(TEXT_MAX - 6);
        assert!(as_sent(text(&fits), Some("Ann")).is_ok());
        assert_eq!(
            as_sent(text(&(fits + "ä")), Some("Ann")),
            Err(Refusal::TooLong { limit: 4096 })
        );
        let caption = "x".repeat(CAPTION_MAX - 5);
        let long = media(MediaKind::Image, Some(&caption));
        assert!(as_sent(long.clone(), None).is_ok());
        assert_eq!(as_sent(long, Some("Ann")), Err(Refusal::TooLong { limit: 1024 }));
    }

    #[test]
    fn names_are_as_set_and_cannot_break_the_bold_type() {
        let staff = Staff {
            id: StaffId::from_number(1),
            first_name: "An*n".into(),
            last_name: "Lee\n".into(),
            role: Role::Agent,
            enabled: true,
            capacity: 5,
            supervises: Vec::new(),
        };
        assert_eq!(display_name(DisplayName::None, &staff), None);
        assert_eq!(display_name(DisplayName::FirstName, &staff).as_deref(), Some("Ann"));
        assert_eq!(display_name(DisplayName::FullName, &staff).as_deref(), Some("Ann Lee"));
    }
}
