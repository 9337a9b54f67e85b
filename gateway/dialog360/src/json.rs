//! Reads JSON into a borrowed tree that keeps the source text of every object and list.
//!
//! Stricter readers fail a whole body over one number out of range (`1e999`) or one lone surrogate
//! (a name cut in the middle of an emoji), and with it lose the messages beside it. Here numbers
//! stay text and a lone surrogate becomes U+FFFD; the grammar is JSON's otherwise, except that
//! control characters inside strings are let through.

use std::borrow::Cow;

use thiserror::Error;

/// How deep values may nest.
pub(crate) const DEPTH_MAX: usize = 64;

/// How many values one body may hold. A full batch of 1,000 updates has about 40,000; the limit
/// keeps a hostile body of 3 MB from becoming a tree of hundreds.
const VALUES_MAX: usize = 1_000_000;

/// Why a text is not readable.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum Fault {
    #[error("not JSON at byte {at}")]
    Syntax { at: usize },
    #[error("nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("more than {VALUES_MAX} values")]
    TooMany,
}

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    /// As written.
    Number(&'a str),
    Text(Cow<'a, str>),
    List {
        items: Vec<Self>,
        raw: &'a str,
    },
    Object {
        members: Vec<(Cow<'a, str>, Self)>,
        raw: &'a str,
    },
}

static NULL: Node<'static> = Node::Null;

impl<'a> Node<'a> {
    /// The member of that name, the last one if it is repeated; `Null` if there is none.
    pub(crate) fn get(&self, key: &str) -> &Self {
        if let Self::Object { members, .. } = self
            && let Some((_, value)) = members.iter().rev().find(|(name, _)| name == key)
        {
            return value;
        }
        &NULL
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Self::Object { .. })
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The elements of a list; anything else but `null` counts as a list of one.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List { items, .. } => items,
            Self::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// A string as it is, empty or not; a number as written.
    pub(crate) fn str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// A string or number with something in it, trimmed.
    pub(crate) fn filled(&self) -> Option<&str> {
        self.str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// [`filled`](Self::filled), owned.
    pub(crate) fn text(&self) -> Option<String> {
        self.filled().map(str::to_owned)
    }

    /// [`filled`](Self::filled), borrowed from the source where nothing in it was escaped.
    pub(crate) fn slice(&self) -> Option<Cow<'a, str>> {
        let slice = match self {
            Self::Text(Cow::Borrowed(text)) | Self::Number(text) => Cow::Borrowed(text.trim()),
            Self::Text(Cow::Owned(text)) => Cow::Owned(text.trim().to_owned()),
            _ => return None,
        };
        Some(slice).filter(|text| !text.is_empty())
    }

    /// A whole number, also when it is written as a string, with a fraction of zero or an exponent.
    pub(crate) fn whole(&self) -> Option<i64> {
        let text = self.filled()?;
        text.parse().ok().or_else(|| {
            let number: f64 = text.parse().ok()?;
            let exact = number.is_finite() && number.fract() == 0.0 && number.abs() < 9e15;
            // Formatting avoids a cast; this path is for oddities only.
            exact.then(|| format!("{number:.0}").parse().ok()).flatten()
        })
    }

    /// A finite number, also when it is written as a string.
    pub(crate) fn decimal(&self) -> Option<f64> {
        self.filled()?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    pub(crate) fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => match self.filled()? {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
        }
    }

    /// The source text of this value; a string is written anew.
    pub(crate) fn raw(&self) -> Cow<'a, str> {
        Cow::Borrowed(match self {
            Self::Null => "null",
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Number(raw) | Self::List { raw, .. } | Self::Object { raw, .. } => raw,
            Self::Text(text) => {
                return Cow::Owned(serde_json::Value::from(text.as_ref()).to_string());
            }
        })
    }
}

/// Reads one JSON value with nothing but white space around it.
pub(crate) fn read(text: &str) -> Result<Node<'_>, Fault> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, values: 0 };
    let node = reader.value(0)?;
    reader.skip_space();
    if reader.at == reader.bytes.len() { Ok(node) } else { Err(reader.syntax()) }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn syntax(&self) -> Fault {
        Fault::Syntax { at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).expect("tokens begin and end at ASCII characters")
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, Fault> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            Ok(node)
        } else {
            Err(self.syntax())
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Fault::TooMany);
        }
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Node::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => Err(self.syntax()),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node<'a>, Fault> {
        let start = self.at;
        self.at += 1;
        let mut members = Vec::new();
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Node::Object { members, raw: self.since(start) });
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return Err(self.syntax());
            }
            members.push((name, self.value(depth + 1)?));
            self.skip_space();
            if self.eat(b'}') {
                return Ok(Node::Object { members, raw: self.since(start) });
            }
            if !self.eat(b',') {
                return Err(self.syntax());
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node<'a>, Fault> {
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.eat(b']') {
            return Ok(Node::List { items, raw: self.since(start) });
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.eat(b']') {
                return Ok(Node::List { items, raw: self.since(start) });
            }
            if !self.eat(b',') {
                return Err(self.syntax());
            }
        }
    }

    fn number(&mut self) -> Result<Node<'a>, Fault> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.run_of_digits()?;
        }
        if self.eat(b'.') {
            self.run_of_digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            if !self.eat(b'+') {
                self.eat(b'-');
            }
            self.run_of_digits()?;
        }
        Ok(Node::Number(self.since(start)))
    }

    fn run_of_digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.syntax()) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        if !self.eat(b'"') {
            return Err(self.syntax());
        }
        let plain = self.plain();
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        while !self.eat(b'"') {
            if self.eat(b'\\') {
                text.push(self.escape()?);
            } else if self.at == self.bytes.len() {
                return Err(self.syntax());
            }
            text.push_str(self.plain());
        }
        Ok(Cow::Owned(text))
    }

    /// The characters up to the next quote, backslash or the end.
    fn plain(&mut self) -> &'a str {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        self.at += rest.iter().position(|&b| b == b'"' || b == b'\\').unwrap_or(rest.len());
        self.since(start)
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let byte = self.peek().ok_or_else(|| self.syntax())?;
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.syntax()),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, Fault> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        // A high surrogate: it counts only together with the low one that must follow.
        let mark = self.at;
        if self.eat(b'\\') && self.eat(b'u') {
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.at = mark;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            value = value * 16 + digit.ok_or_else(|| self.syntax())?;
            self.at += 1;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_refuse_is_kept() {
        let node = read(r#"{"a":1e999,"b":"x\ud83dy","c":"\ud83d\ude00","a":-0.5e-7}"#).unwrap();
        assert_eq!(node.get("a"), &Node::Number("-0.5e-7"));
        assert_eq!(node.get("b").str(), Some("x\u{fffd}y"));
        assert_eq!(node.get("c").str(), Some("😀"));
        assert_eq!(read("1e999").unwrap().decimal(), None);
        // What follows half a pair is not lost with it.
        let node = read(r#"["\ud83d\u0041", "\ud83d\n", "\udc00\ud83d"]"#).unwrap();
        let texts: Vec<_> = node.items().iter().filter_map(Node::str).collect();
        assert_eq!(texts, ["\u{fffd}A", "\u{fffd}\n", "\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1.",
            "-",
            "1e",
            "tru",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"",
            "[1 2]",
            "{\"a\" 1}",
            "{1:2}",
            "nullnull",
            "\"\\ud800\\u12\"",
            "\"\\",
        ] {
            assert!(matches!(read(text), Err(Fault::Syntax { .. })), "{text}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(DEPTH_MAX + 1)).is_ok());
        assert_eq!(read(&nested(DEPTH_MAX + 2)), Err(Fault::TooDeep));
        assert_eq!(read(&"[".repeat(1_000_000)), Err(Fault::TooDeep));
    }

    #[test]
    fn values_are_counted() {
        let many = format!("[{}0]", "0,".repeat(VALUES_MAX));
        assert_eq!(read(&many), Err(Fault::TooMany));
    }

    #[test]
    fn numbers_may_be_strings_and_the_reverse() {
        let node = read(r#"["7", 7.0, "1.5e3", 12345678901234567890, " x "]"#).unwrap();
        let whole: Vec<_> = node.items().iter().map(Node::whole).collect();
        assert_eq!(whole, [Some(7), Some(7), Some(1500), None, None]);
        assert_eq!(node.items()[3].text().as_deref(), Some("12345678901234567890"));
        assert_eq!(node.items()[4].text().as_deref(), Some("x"));
    }

    /// The same tree as a stricter reader makes it.
    fn strict(node: &Node<'_>) -> serde_json::Value {
        match node {
            Node::Null => serde_json::Value::Null,
            Node::Bool(value) => (*value).into(),
            Node::Number(raw) => serde_json::from_str(raw).unwrap(),
            Node::Text(text) => text.as_ref().into(),
            Node::List { items, .. } => items.iter().map(strict).collect(),
            Node::Object { members, .. } => {
                members.iter().map(|(name, node)| (name.to_string(), strict(node))).collect()
            }
        }
    }

    #[test]
    fn what_a_strict_reader_takes_is_read_alike() {
        let texts = [
            include_str!("../tests/fixtures/notices.json"),
            include_str!("../tests/fixtures/odd_forms.json"),
            include_str!("../tests/fixtures/taps.json"),
            r#"{"a":[1,-2.5e3,0,-0,1E+2,true,false,null,"","\u00e4\n\/\"\\",{"a":1,"a":2}]}"#,
        ];
        for text in texts {
            let expected: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(strict(&read(text).unwrap()), expected);
        }
    }

    #[test]
    fn sources_are_kept() {
        let node = read(r#" { "m" : [ {"a": 1} , "q\"" ] } "#).unwrap();
        let raw: Vec<_> = node.get("m").items().iter().map(Node::raw).collect();
        assert_eq!(raw, [r#"{"a": 1}"#, r#""q\"""#]);
    }
}
