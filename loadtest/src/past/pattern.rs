//! What one enquiry leaves in the journal: learned from a real one, told again of others.

use std::fmt::Write as _;

use usher_domain::ids::{EnquiryId, VisitorId};

use crate::drive::wire;

/// A real enquiry, by all the names it and its visitor go by in records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Real {
    pub(super) enquiry: EnquiryId,
    pub(super) visitor_id: VisitorId,
    /// As the load test counts them.
    pub(super) visitor: u64,
}

/// Who a story is told of; `number` is nobody else's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast {
    pub(super) visitor: u64,
    pub(super) number: u64,
    /// Ids are counted from here on: all are later than those of what is real.
    pub(super) first_id: u128,
}

/// Records, with holes where a name stood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pattern {
    records: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Hole(Hole),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hole {
    Enquiry,
    Visitor,
    /// The how manieth message of the enquiry.
    Message(u64),
    /// The provider's id of it.
    Wamid(u64),
    WaId,
    UserId,
    Name,
    /// Its place in line.
    Arrival,
}

/// Messages of one enquiry, at most.
const MESSAGES_MAX: u64 = 64;
const ARRIVAL: &str = "\"arrival\":";

impl Pattern {
    /// `bodies`: the records of this enquiry and of nobody else's.
    pub(super) fn learn<'a>(real: Real, bodies: impl Iterator<Item = &'a str>) -> Self {
        let mut names = vec![
            (real.enquiry.to_string(), Hole::Enquiry),
            (real.visitor_id.to_string(), Hole::Visitor),
            (wire::wa_id(real.visitor), Hole::WaId),
            (wire::user_id(real.visitor), Hole::UserId),
            (format!("\"{}\"", wire::name(real.visitor)), Hole::Name),
        ];
        let records = bodies.map(|body| learn(body, &mut names)).collect();
        Self { records }
    }

    pub(super) fn len(&self) -> u64 {
        self.records.len() as u64
    }

    /// The same once more, of others.
    pub(super) fn tell(&self, cast: Cast) -> impl Iterator<Item = String> {
        self.records.iter().map(move |pieces| {
            let mut body = String::with_capacity(1_024);
            for piece in pieces {
                match piece {
                    Piece::Text(text) => body.push_str(text),
                    Piece::Hole(hole) => hole.fill(cast, &mut body),
                }
            }
            body
        })
    }
}

/// Cuts a body at every name; what it names for the first time is a name from now on.
fn learn(body: &str, names: &mut Vec<(String, Hole)>) -> Vec<Piece> {
    for (prefix, hole) in [("msg_", Hole::Message as fn(u64) -> Hole), ("wamid.", Hole::Wamid)] {
        for found in body.split(prefix).skip(1) {
            let end = found.split('"').next().unwrap_or_default();
            let name = format!("{prefix}{end}");
            if names.iter().all(|(known, _)| *known != name) {
                let of_kind = |known: &&(String, Hole)| known.0.starts_with(prefix);
                let place = names.iter().filter(of_kind).count() as u64;
                names.push((name, hole(place)));
            }
        }
    }
    let (mut pieces, mut rest) = (Vec::new(), body);
    while let Some((before, hole, after)) = first(rest, names) {
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Hole(hole));
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}

/// The name that comes first, what stands before it, and what follows.
fn first<'a>(text: &'a str, names: &[(String, Hole)]) -> Option<(&'a str, Hole, &'a str)> {
    let named = names.iter().filter_map(|(name, hole)| {
        let (before, after) = text.split_once(name.as_str())?;
        Some((before, *hole, after))
    });
    let arrival = text.split_once(ARRIVAL).map(|(before, after)| {
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        (before, Hole::Arrival, after.split_at(end).1)
    });
    named.chain(arrival).min_by_key(|(before, ..)| before.len())
}

impl Hole {
    fn fill(self, cast: Cast, body: &mut String) {
        let Cast { visitor, number, first_id } = cast;
        let id = |of: u64| first_id + u128::from(of);
        // Writing into a text cannot fail.
        match self {
            Self::Enquiry => write!(body, "enq_{:032x}", id(number)),
            Self::Visitor => write!(body, "vis_{:032x}", id(number)),
            Self::Message(place) => write!(body, "msg_{:032x}", id(number * MESSAGES_MAX + place)),
            Self::Wamid(place) => write!(body, "wamid.PAST{number:016X}{place:02X}"),
            Self::WaId => write!(body, "{}", wire::wa_id(visitor)),
            Self::UserId => write!(body, "{}", wire::user_id(visitor)),
            Self::Name => write!(body, "\"{}\"", wire::name(visitor)),
            Self::Arrival => write!(body, "{ARRIVAL}{}", FIRST_ARRIVAL + number),
        }
        .ok();
    }
}

/// Behind all that are real.
const FIRST_ARRIVAL: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: Real = Real {
        enquiry: EnquiryId::from_number(0xabc),
        visitor_id: VisitorId::from_number(0xdef),
        visitor: 7,
    };

    fn bodies() -> Vec<String> {
        let (enquiry, visitor, phone) = (REAL.enquiry, REAL.visitor_id, wire::wa_id(7));
        vec![
            format!(
                r#"{{"visitor":"{visitor}","wa_id":"{phone}","user_id":"DE.0000000000000007","name":"Visitor 7"}}"#
            ),
            format!(
                r#"{{"enquiry":"{enquiry}","message":"msg_01","provider_id":"wamid.A","arrival":12,"capacity":12}}"#
            ),
            format!(
                r#"{{"message":"msg_02","reply_to":"wamid.A","enquiry":"{enquiry}","arrival":12}}"#
            ),
        ]
    }

    fn told(number: u64) -> Vec<String> {
        let bodies = bodies();
        let pattern = Pattern::learn(REAL, bodies.iter().map(String::as_str));
        assert_eq!(pattern.len(), 3);
        let cast = Cast { visitor: 4_000 + number, number, first_id: 1 << 100 };
        pattern.tell(cast).collect()
    }

    #[test]
    fn every_name_is_another_and_nothing_else_is() {
        let told = told(5);
        let real = [
            REAL.enquiry.to_string(),
            REAL.visitor_id.to_string(),
            wire::wa_id(7),
            "\"Visitor 7\"".into(),
            "0007\"".into(),
            "\"msg_01\"".into(),
            "\"msg_02\"".into(),
            "wamid.A".into(),
            "\"arrival\":12".into(),
        ];
        for (told, name) in told.iter().flat_map(|told| real.iter().map(move |name| (told, name))) {
            assert!(!told.contains(name), "{name}: {told}");
        }
        assert!(told[1].ends_with("\"capacity\":12}"), "{}", told[1]);
        assert!(told[0].contains("\"Visitor 4005\"") && told[0].contains(&wire::wa_id(4_005)));
    }

    #[test]
    fn what_was_one_name_stays_one_name() {
        let (others, told) = (told(10), told(9));
        let between = |text: &str, before: &str| {
            text.split_once(before).unwrap().1.split('"').next().unwrap().to_owned()
        };
        assert_eq!(between(&told[1], "provider_id\":\""), between(&told[2], "reply_to\":\""));
        assert_eq!(between(&told[1], "enquiry\":\""), between(&told[2], "enquiry\":\""));
        assert_ne!(between(&told[1], "message\":\""), between(&told[2], "message\":\""));
        assert_ne!(told, others);
    }
}
