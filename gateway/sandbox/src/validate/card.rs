//! Contact cards: their names, phones, addresses and the like.

use crate::errors::Check;

use super::Part;

const NAME: [&str; 6] =
    ["formatted_name", "first_name", "last_name", "middle_name", "prefix", "suffix"];

pub(crate) fn check(card: &Part<'_>) -> Check {
    card.only(&["name", "phones", "emails", "org", "addresses", "urls", "birthday"])?;
    let name = card.part("name")?;
    name.only(&NAME)?;
    name.text("formatted_name", 1000)?;
    for key in NAME {
        name.maybe_text(key, 1000)?;
    }
    // The formatted name alone is refused: one of its pieces has to be there too.
    if !NAME.iter().skip(1).any(|key| name.has(key)) {
        return Err(name.missing("first_name"));
    }
    strings(card, "phones", &["phone", "type", "wa_id"])?;
    strings(card, "emails", &["email", "type"])?;
    strings(card, "urls", &["url", "type"])?;
    strings(
        card,
        "addresses",
        &["street", "city", "state", "zip", "country", "country_code", "type"],
    )?;
    if let Some(org) = card.maybe_part("org")? {
        flat(&org, &["company", "department", "title"])?;
    }
    birthday(card)
}

fn strings(card: &Part<'_>, list: &str, keys: &[&str]) -> Check {
    if !card.has(list) {
        return Ok(());
    }
    card.parts(list, 0, 20)?.iter().try_for_each(|part| flat(part, keys))
}

fn flat(part: &Part<'_>, keys: &[&str]) -> Check {
    part.only(keys)?;
    for key in keys {
        part.maybe_text(key, 1000)?;
    }
    Ok(())
}

fn birthday(card: &Part<'_>) -> Check {
    let Some(day) = card.maybe_text("birthday", 10)? else { return Ok(()) };
    let shape: String = day.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    if shape == "9999-99-99" {
        return Ok(());
    }
    Err(card.wrong("birthday", "must be of the form YYYY-MM-DD."))
}
