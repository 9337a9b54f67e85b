//! What people are shown of a content that is too large for a frame: its beginning.
//!
//! The journal keeps it whole.

use usher_domain::message::{Content, Referral};
use usher_domain::template::{Header, Template, Variables};

/// Most bytes of one text; several of them and the frame around them stay under 64 KB.
const TEXT_MAX: usize = 12 * 1024;
const WORDS_MAX: usize = 1024;
const ITEMS_MAX: usize = 20;

pub(crate) fn content(mut content: Content) -> Content {
    match &mut content {
        Content::Text { body } => clip(body, TEXT_MAX),
        Content::Media(media) => {
            clip_some(&mut media.caption, TEXT_MAX);
            clip_some(&mut media.filename, WORDS_MAX);
            clip(&mut media.mime_type, WORDS_MAX);
        }
        Content::Location { name, address, .. } => {
            clip_some(name, WORDS_MAX);
            clip_some(address, WORDS_MAX);
        }
        Content::Contacts { cards } => {
            cards.truncate(ITEMS_MAX);
            for card in cards {
                clip(&mut card.name, WORDS_MAX);
                card.phones.truncate(ITEMS_MAX);
                for phone in &mut card.phones {
                    clip(phone, 64);
                }
            }
        }
        Content::Choice { id, title } => {
            clip(id, WORDS_MAX);
            clip(title, WORDS_MAX);
        }
        Content::Form { name, fields } => {
            clip_some(name, WORDS_MAX);
            clip(fields, TEXT_MAX);
        }
        Content::Order { items, text } => {
            items.truncate(ITEMS_MAX);
            for item in items {
                let words =
                    [&mut item.product, &mut item.quantity, &mut item.price, &mut item.currency];
                for word in words {
                    clip(word, 256);
                }
            }
            clip_some(text, TEXT_MAX);
        }
        Content::Template(template) => filled(template),
        Content::Unsupported { what, raw } => {
            clip_some(what, WORDS_MAX);
            clip_some(raw, TEXT_MAX);
        }
    }
    content
}

fn filled(template: &mut Template) {
    clip(&mut template.name, WORDS_MAX);
    clip(&mut template.language, WORDS_MAX);
    variables(&mut template.body);
    match &mut template.header {
        None => {}
        Some(Header::Text(line)) => variables(line),
        Some(Header::Media { filename, .. }) => clip_some(filename, WORDS_MAX),
        Some(Header::Location { name, address, .. }) => {
            clip(name, WORDS_MAX);
            clip(address, WORDS_MAX);
        }
    }
    template.buttons.truncate(ITEMS_MAX);
    for button in &mut template.buttons {
        clip(&mut button.value, WORDS_MAX);
    }
}

fn variables(variables: &mut Variables) {
    match variables {
        Variables::Numbered(all) => {
            all.truncate(ITEMS_MAX);
            for value in all {
                clip(value, WORDS_MAX);
            }
        }
        Variables::Named(all) => {
            while all.len() > ITEMS_MAX {
                all.pop_last();
            }
            for value in all.values_mut() {
                clip(value, WORDS_MAX);
            }
        }
    }
}

pub(crate) fn referral(referral: &Referral) -> Referral {
    let mut referral = referral.clone();
    clip(&mut referral.source, WORDS_MAX);
    for text in [&mut referral.url, &mut referral.headline, &mut referral.body] {
        clip_some(text, WORDS_MAX);
    }
    referral
}

/// At most `max` bytes, cut between characters, with a sign that it was cut.
pub(crate) fn clip(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.push('…');
    }
}

fn clip_some(text: &mut Option<String>, max: usize) {
    if let Some(text) = text {
        clip(text, max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_a_short_one_stays() {
        let long = Content::Text { body: "ä".repeat(100_000) };
        let Content::Text { body } = content(long) else { panic!("still a text") };
        assert!(body.len() <= TEXT_MAX + 3 && body.ends_with('…'));
        let short = Content::Text { body: "Hello".into() };
        assert_eq!(content(short.clone()), short);
    }
}
