//! Decides whether a template can be sent as somebody has filled it in.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::ids::MediaId;
use crate::message::MediaKind;

/// An approved template as somebody has filled it in: in records, frames and the API alike.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    pub name: String,
    /// Such as `en_US`.
    pub language: String,
    /// The variables of its text.
    #[serde(default)]
    pub body: Variables,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// Buttons with something to be filled in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
}

/// `["Ann", "7"]` in their order, or `{"first_name": "Ann"}` by name: as the template has them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Variables {
    Numbered(Vec<String>),
    Named(BTreeMap<String, String>),
}

/// What stands above the text.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Header {
    /// The variable of its line.
    Text(Variables),
    Media {
        /// A file uploaded before; `None` once it is kept no longer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<MediaId>,
        sort: MediaKind,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filename: Option<String>,
    },
    Location {
        latitude: f64,
        longitude: f64,
        name: String,
        address: String,
    },
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Button {
    /// From 0, over all buttons of the template.
    pub index: u8,
    pub kind: ButtonKind,
    pub value: String,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ButtonKind {
    /// The end of the address that it opens, or a one-time code.
    Url,
    /// A code that it copies.
    Code,
    /// What its tap comes back with; may be left out.
    Reply,
}

impl Template {
    /// One with nothing but text.
    pub fn plain(name: &str, language: &str, body: &[&str]) -> Self {
        let body = body.iter().map(|&value| value.to_owned()).collect();
        Self {
            name: name.to_owned(),
            language: language.to_owned(),
            body: Variables::Numbered(body),
            header: None,
            buttons: Vec::new(),
        }
    }

    /// What was filled in, to be read and to be found.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let head: Vec<&str> = match &self.header {
            None => Vec::new(),
            Some(Header::Text(variables)) => variables.values().collect(),
            Some(Header::Media { filename, .. }) => filename.as_deref().into_iter().collect(),
            Some(Header::Location { name, address, .. }) => vec![name, address],
        };
        head.into_iter().chain(self.body.values())
    }

    pub const fn file(&self) -> Option<MediaId> {
        match &self.header {
            Some(Header::Media { file, .. }) => *file,
            _ => None,
        }
    }

    pub const fn forget_file(&mut self) {
        if let Some(Header::Media { file, .. }) = &mut self.header {
            *file = None;
        }
    }
}

impl Variables {
    pub fn values(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Numbered(all) => Box::new(all.iter().map(String::as_str)),
            Self::Named(all) => Box::new(all.values().map(String::as_str)),
        }
    }
}

impl Default for Variables {
    fn default() -> Self {
        Self::Numbered(Vec::new())
    }
}

/// One of a channel's templates, as the provider last listed it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Listed {
    pub name: String,
    pub language: String,
    /// `approved`, or what else the provider calls it.
    pub status: String,
    /// `None`: from a list that did not say.
    #[serde(default, deserialize_with = "known", skip_serializing_if = "Option::is_none")]
    pub wants: Option<Wants>,
}

/// A list in a form of another time says nothing.
fn known<'de, D: Deserializer<'de>>(wants: D) -> Result<Option<Wants>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Read {
        Known(Wants),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Read::deserialize(wants)? {
        Read::Known(wants) => Some(wants),
        Read::Other(_) => None,
    })
}

/// What has to be filled in.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Wants {
    /// The variables of its text: names, or `1`, `2` and so on.
    pub body: Vec<String>,
    /// The variables have names instead of numbers.
    pub named: bool,
    pub header: HeaderWants,
    pub buttons: Vec<ButtonWants>,
    /// A part that cannot be filled in here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderWants {
    #[default]
    Nothing,
    /// Its line's variables.
    Text(Vec<String>),
    Image,
    Video,
    Document,
    Location,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ButtonWants {
    pub index: u8,
    pub kind: ButtonKind,
}

/// Why it cannot be sent.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Unfit {
    #[error("This channel has no template {name}.")]
    NoSuch { name: String },
    #[error("The template {name} does not exist in {language}; there is {there}.")]
    Language { name: String, language: String, there: String },
    #[error("The template {name} is {status}; only approved ones can be sent.")]
    NotApproved { name: String, status: String },
    #[error("The template {name} has {wanted} variables in its {place}; {given} were filled in.")]
    Variables { name: String, place: &'static str, wanted: usize, given: usize },
    #[error("The template {name} numbers the variables of its {place}: give a list, not names.")]
    Numbered { name: String, place: &'static str },
    #[error("The template {name} names the variables of its {place}: give {wanted} by name.")]
    Named { name: String, place: &'static str, wanted: String },
    #[error("Variable {variable} in the {place} of the template {name} is empty.")]
    Empty { name: String, place: &'static str, variable: String },
    #[error("The template {name} wants {wanted} in its header.")]
    Header { name: String, wanted: &'static str },
    #[error("Button {index} of the template {name} wants {wanted}.")]
    Button { name: String, index: u8, wanted: &'static str },
    #[error("The template {name} has a part, {part}, that cannot be filled in here.")]
    Part { name: String, part: String },
}

/// `all`: the channel's templates.
pub fn fits(all: &[Listed], template: &Template) -> Result<(), Unfit> {
    let called: Vec<&Listed> = all.iter().filter(|listed| listed.name == template.name).collect();
    let name = || template.name.clone();
    if called.is_empty() {
        return Err(Unfit::NoSuch { name: name() });
    }
    let Some(listed) = called.iter().find(|listed| listed.language == template.language) else {
        let there: Vec<&str> = called.iter().map(|listed| listed.language.as_str()).collect();
        let (language, there) = (template.language.clone(), there.join(", "));
        return Err(Unfit::Language { name: name(), language, there });
    };
    if listed.status != "approved" {
        return Err(Unfit::NotApproved { name: name(), status: listed.status.clone() });
    }
    let Some(wants) = &listed.wants else { return Ok(()) };
    if let Some(part) = &wants.other {
        return Err(Unfit::Part { name: name(), part: part.clone() });
    }
    let filled = Place { template: &template.name, what: "text", named: wants.named };
    filled.fits(&wants.body, &template.body)?;
    header_fits(template, wants)?;
    buttons_fit(template, &wants.buttons)
}

/// Where variables stand.
struct Place<'a> {
    template: &'a str,
    what: &'static str,
    named: bool,
}

impl Place<'_> {
    fn fits(&self, wanted: &[String], given: &Variables) -> Result<(), Unfit> {
        let (name, place) = (|| self.template.to_owned(), self.what);
        let count = given.values().count();
        match given {
            Variables::Named(_) if !self.named && count > 0 => {
                return Err(Unfit::Numbered { name: name(), place });
            }
            Variables::Named(all) if self.named && !all.keys().eq(sorted(wanted)) => {
                return Err(Unfit::Named { name: name(), place, wanted: wanted.join(", ") });
            }
            Variables::Numbered(_) if self.named && !(wanted.is_empty() && count == 0) => {
                return Err(Unfit::Named { name: name(), place, wanted: wanted.join(", ") });
            }
            _ if count != wanted.len() => {
                return Err(Unfit::Variables {
                    name: name(),
                    place,
                    wanted: wanted.len(),
                    given: count,
                });
            }
            _ => {}
        }
        let empty = match given {
            Variables::Numbered(all) => {
                let at = all.iter().position(|value| value.trim().is_empty());
                at.map(|at| (at + 1).to_string())
            }
            Variables::Named(all) => {
                let empty = all.iter().find(|(_, value)| value.trim().is_empty());
                empty.map(|(variable, _)| variable.clone())
            }
        };
        empty.map_or(Ok(()), |variable| Err(Unfit::Empty { name: name(), place, variable }))
    }
}

fn sorted(names: &[String]) -> impl Iterator<Item = &String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names.into_iter()
}

fn header_fits(template: &Template, wants: &Wants) -> Result<(), Unfit> {
    let wanted = match (&wants.header, &template.header) {
        (HeaderWants::Nothing, None)
        | (HeaderWants::Image, Some(Header::Media { sort: MediaKind::Image, file: Some(_), .. }))
        | (HeaderWants::Video, Some(Header::Media { sort: MediaKind::Video, file: Some(_), .. }))
        | (
            HeaderWants::Document,
            Some(Header::Media { sort: MediaKind::Document, file: Some(_), .. }),
        )
        | (HeaderWants::Location, Some(Header::Location { .. })) => return Ok(()),
        (HeaderWants::Text(wanted), Some(Header::Text(given))) => {
            let place = Place { template: &template.name, what: "header", named: wants.named };
            return place.fits(wanted, given);
        }
        (HeaderWants::Nothing, Some(_)) => "nothing",
        (HeaderWants::Text(_), _) => "a text",
        (HeaderWants::Image, _) => "an image",
        (HeaderWants::Video, _) => "a video",
        (HeaderWants::Document, _) => "a document",
        (HeaderWants::Location, _) => "a location",
    };
    Err(Unfit::Header { name: template.name.clone(), wanted })
}

fn buttons_fit(template: &Template, wanted: &[ButtonWants]) -> Result<(), Unfit> {
    let unfit = |index, wanted| Err(Unfit::Button { name: template.name.clone(), index, wanted });
    for (at, button) in template.buttons.iter().enumerate() {
        let index = button.index;
        if template.buttons[..at].iter().any(|other| other.index == index) {
            return unfit(index, "to be filled in once");
        }
        match wanted.iter().find(|wanted| wanted.index == index) {
            None => return unfit(index, "nothing"),
            Some(wanted) if wanted.kind != button.kind => return unfit(index, wanted.kind.what()),
            Some(_) if button.value.trim().is_empty() => return unfit(index, button.kind.what()),
            Some(_) => {}
        }
    }
    let given = |index| template.buttons.iter().any(|button| button.index == index);
    let open = |want: &&ButtonWants| want.kind != ButtonKind::Reply && !given(want.index);
    match wanted.iter().find(open) {
        Some(missing) => unfit(missing.index, missing.kind.what()),
        None => Ok(()),
    }
}

impl ButtonKind {
    const fn what(self) -> &'static str {
        match self {
            Self::Url => "the end of its address (`url`)",
            Self::Code => "the code that it copies (`code`)",
            Self::Reply => "what its tap comes back with (`reply`)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, language: &str, status: &str, wants: Option<Wants>) -> Listed {
        let [name, language, status] = [name, language, status].map(str::to_owned);
        Listed { name, language, status, wants }
    }

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    fn named(all: &[(&str, &str)]) -> Variables {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Variables::Named(all.iter().map(owned).collect())
    }

    #[test]
    fn a_template_fits_as_the_provider_lists_it() {
        let two = Wants { body: names(&["1", "2"]), ..Wants::default() };
        let all = [
            listed("order", "en_US", "approved", Some(two.clone())),
            listed("order", "de", "paused", Some(two.clone())),
            listed("old", "en", "approved", None),
            listed(
                "cards",
                "en",
                "approved",
                Some(Wants { other: Some("carousel".into()), ..two }),
            ),
        ];
        let judged = |name: &str, language: &str, body: &[&str]| {
            fits(&all, &Template::plain(name, language, body)).map_err(|unfit| unfit.to_string())
        };
        assert_eq!(judged("order", "en_US", &["Ann", "7"]), Ok(()));
        assert_eq!(judged("old", "en", &["whatever"]), Ok(()), "its list did not say");
        for (name, language, body, says) in [
            ("orders", "en_US", &["Ann", "7"][..], "no template orders"),
            ("order", "en", &["Ann", "7"], "there is en_US, de"),
            ("order", "de", &["Ann", "7"], "is paused"),
            ("order", "en_US", &["Ann"], "2 variables in its text; 1 were"),
            ("order", "en_US", &["Ann", " "], "Variable 2"),
            ("cards", "en", &["Ann", "7"], "carousel"),
        ] {
            let said = judged(name, language, body).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }

    /// One template with every part, and what of it can be wrong.
    #[test]
    fn every_part_is_judged() {
        let wants = Wants {
            body: names(&["first_name", "amount"]),
            named: true,
            header: HeaderWants::Text(names(&["season"])),
            buttons: vec![
                ButtonWants { index: 0, kind: ButtonKind::Reply },
                ButtonWants { index: 1, kind: ButtonKind::Url },
            ],
            other: None,
        };
        let all = [listed("sale", "en", "approved", Some(wants))];
        let url = Button { index: 1, kind: ButtonKind::Url, value: "x7".into() };
        let good = Template {
            body: named(&[("first_name", "Ann"), ("amount", "7")]),
            header: Some(Header::Text(named(&[("season", "summer")]))),
            buttons: vec![url.clone()],
            ..Template::plain("sale", "en", &[])
        };
        assert_eq!(fits(&all, &good), Ok(()));
        let reply = Button { index: 0, kind: ButtonKind::Reply, value: "yes".into() };
        let buttons = vec![reply.clone(), url.clone()];
        assert_eq!(fits(&all, &Template { buttons, ..good.clone() }), Ok(()));

        let file = Header::Media { file: None, sort: MediaKind::Image, filename: None };
        let header = |header| Template { header, ..good.clone() };
        let body = |body| Template { body, ..good.clone() };
        let buttons = |buttons: &[&Button]| Template {
            buttons: buttons.iter().map(|&button| button.clone()).collect(),
            ..good.clone()
        };
        let elsewhere = Button { index: 4, ..url.clone() };
        let mistaken = Button { kind: ButtonKind::Code, ..url.clone() };
        let empty = Button { value: " ".into(), ..url.clone() };
        for (template, says) in [
            (header(None), "wants a text in its header"),
            (header(Some(file)), "wants a text in its header"),
            (header(Some(Header::Text(named(&[("season", "")])))), "Variable season in the header"),
            (body(Variables::Numbered(names(&["Ann", "7"]))), "give first_name, amount by name"),
            (body(named(&[("first_name", "Ann")])), "give first_name, amount by name"),
            (body(named(&[("first_name", "Ann"), ("sum", "7")])), "give first_name, amount"),
            (buttons(&[]), "Button 1 of the template sale wants the end of its address"),
            (buttons(&[&url, &url]), "once"),
            (buttons(&[&url, &elsewhere]), "Button 4 of the template sale wants nothing"),
            (buttons(&[&mistaken]), "wants the end of its address"),
            (buttons(&[&empty]), "wants the end of its address"),
        ] {
            let said = fits(&all, &template).map_err(|unfit| unfit.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(says)), "{says}: {said:?}");
        }
    }

    #[test]
    fn a_picture_is_no_film_and_numbers_are_no_names() {
        let photo = Wants { header: HeaderWants::Image, ..Wants::default() };
        let plain = Wants { body: names(&["1"]), ..Wants::default() };
        let all = [
            listed("photo", "en", "approved", Some(photo)),
            listed("plain", "en", "approved", Some(plain)),
        ];
        let with = |sort, file| Template {
            header: Some(Header::Media { file, sort, filename: None }),
            ..Template::plain("photo", "en", &[])
        };
        let file = Some(MediaId::from_number(7));
        assert_eq!(fits(&all, &with(MediaKind::Image, file)), Ok(()));
        assert!(fits(&all, &with(MediaKind::Video, file)).is_err());
        assert!(fits(&all, &with(MediaKind::Image, None)).is_err(), "which one?");
        let by_name =
            Template { body: named(&[("1", "Ann")]), ..Template::plain("plain", "en", &[]) };
        assert!(matches!(fits(&all, &by_name), Err(Unfit::Numbered { .. })));
        let header = Some(Header::Text(Variables::default()));
        let more = Template { header, ..Template::plain("plain", "en", &["Ann"]) };
        assert!(matches!(fits(&all, &more), Err(Unfit::Header { wanted: "nothing", .. })));
    }
}
