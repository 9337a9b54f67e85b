//! What a single value may be: durations, sizes, addresses, texts with their limits.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use unicode_segmentation::UnicodeSegmentation as _;

use crate::fault::Origin;
use crate::nearest::suggestion;
use crate::node::{Node, Value};

type Parsed<T> = Result<T, String>;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);
/// Longer waits than this are a slip, not a wish.
pub(crate) const YEARS: Duration = Duration::from_hours(10 * 366 * 24);

fn wanted<T>(what: &str, node: &Node) -> Parsed<T> {
    Err(format!("must be {what}, not {}", node.kind()))
}

pub(crate) fn text(node: &Node) -> Parsed<String> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        _ => wanted("a text", node),
    }
}

/// A text that says something, at most `max` characters as people count them.
pub(crate) fn words_up_to(max: usize) -> impl Fn(&Node) -> Parsed<String> {
    move |node| {
        let text = text(node)?;
        if text.trim().is_empty() {
            return Err("must not be empty".to_owned());
        }
        let length = text.graphemes(true).count();
        if length > max {
            return Err(format!("is {length} characters long; at most {max} are allowed"));
        }
        Ok(text)
    }
}

pub(crate) fn switch(node: &Node) -> Parsed<bool> {
    match node.value {
        Value::Switch(on) => Ok(on),
        _ => wanted("true or false", node),
    }
}

pub(crate) fn whole(range: RangeInclusive<u32>) -> impl Fn(&Node) -> Parsed<u32> {
    move |node| {
        let Value::Whole(whole) = node.value else { return wanted("a whole number", node) };
        u32::try_from(whole)
            .ok()
            .filter(|whole| range.contains(whole))
            .ok_or_else(|| format!("is {whole}; must be {} to {}", range.start(), range.end()))
    }
}

pub(crate) fn small(range: RangeInclusive<u8>) -> impl Fn(&Node) -> Parsed<u8> {
    let wide = whole(u32::from(*range.start())..=u32::from(*range.end()));
    move |node| wide(node)?.try_into().map_err(|_| "is too large".to_owned())
}

pub(crate) fn medium(range: RangeInclusive<u16>) -> impl Fn(&Node) -> Parsed<u16> {
    let wide = whole(u32::from(*range.start())..=u32::from(*range.end()));
    move |node| wide(node)?.try_into().map_err(|_| "is too large".to_owned())
}

/// A list, each item by `parse`; the first faulty one is named.
pub(crate) fn list<T>(parse: impl Fn(&Node) -> Parsed<T>) -> impl Fn(&Node) -> Parsed<Vec<T>> {
    move |node| {
        let Value::List(items) = &node.value else { return wanted("a list", node) };
        let parsed = items.iter().enumerate();
        parsed.map(|(n, item)| parse(item).map_err(|what| format!("[{n}]: {what}"))).collect()
    }
}

pub(crate) fn one_of<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&Node) -> Parsed<T> {
    move |node| {
        let written = text(node)?;
        let found = choices.iter().find(|(name, _)| *name == written);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names = choices.iter().map(|(name, _)| *name);
            format!("`{written}` is not a choice; {}", suggestion(&written, names))
        })
    }
}

/// A name that other settings refer to.
pub(crate) fn key(text: &str) -> Parsed<()> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 40 || !text.chars().all(fits) {
        return Err("a key is 1 to 40 of a-z, 0-9, - and _".to_owned());
    }
    Ok(())
}

pub(crate) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&Node) -> Parsed<Duration> {
    move |node| {
        let Value::Text(text) = &node.value else {
            return Err("must be a duration with its unit, as \"20s\" or \"2m\"".to_owned());
        };
        let duration = duration_of(text).ok_or_else(|| {
            format!("`{text}` is not a duration; write \"500ms\", \"20s\", \"2m\", \"24h\", \"7d\"")
        })?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        let (least, most) = (shown(*range.start()), shown(*range.end()));
        Err(format!("is {text}; must be {least} to {most}"))
    }
}

/// `20s`, `1h30m`, `0`.
fn duration_of(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    loop {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(millis)?;
        total = total.checked_add(Duration::from_millis(part))?;
        if next.is_empty() {
            return Some(total);
        }
        rest = next;
    }
}

/// A duration as it would be written.
pub(crate) fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    if millis == 0 { "0".to_owned() } else { format!("{millis}ms") }
}

pub(crate) fn size(range: RangeInclusive<usize>) -> impl Fn(&Node) -> Parsed<usize> {
    move |node| {
        let written = text(node)?;
        let bytes = size_of(&written).ok_or_else(|| {
            format!("`{written}` is not a size; write \"512B\", \"64KiB\" or \"4MiB\"")
        })?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        Err(format!("is {written}; must be {}B to {}B", range.start(), range.end()))
    }
}

fn size_of(text: &str) -> Option<usize> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
    let (number, unit) =
        units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)))?;
    number.trim_end().parse::<usize>().ok()?.checked_mul(unit)
}

pub(crate) fn address(node: &Node) -> Parsed<SocketAddr> {
    let written = text(node)?;
    written
        .parse()
        .map_err(|_| format!("`{written}` is not an address with a port, as 127.0.0.1:8480"))
}

/// `None` for an empty text.
pub(crate) fn address_unless_empty(node: &Node) -> Parsed<Option<SocketAddr>> {
    if text(node)?.is_empty() { Ok(None) } else { address(node).map(Some) }
}

/// A path; a relative one in a file is taken from that file's directory.
pub(crate) fn path(node: &Node) -> Parsed<PathBuf> {
    path_unless_empty(node)?.ok_or_else(|| "must not be empty".to_owned())
}

pub(crate) fn path_unless_empty(node: &Node) -> Parsed<Option<PathBuf>> {
    let written = text(node)?;
    if written.is_empty() {
        return Ok(None);
    }
    Ok(Some(match &node.origin {
        Origin::File { file, .. } => {
            file.parent().map_or_else(|| PathBuf::from(&written), |parent| parent.join(&written))
        }
        Origin::Default | Origin::Environment(_) | Origin::Flag => PathBuf::from(&written),
    }))
}

/// An address `http(s)://host[:port][/path]`, without a slash at its end.
pub(crate) fn url(node: &Node) -> Parsed<String> {
    let written = text(node)?;
    let bad = || format!("`{written}` is not an address of the form https://host[:port][/path]");
    let rest = written
        .strip_prefix("https://")
        .or_else(|| written.strip_prefix("http://"))
        .ok_or_else(bad)?;
    let host = rest.split('/').next().unwrap_or("");
    let unfit = |c: char| c.is_whitespace() || c.is_control() || "@?#\\\"<>".contains(c);
    if host.is_empty() || host.starts_with(':') || written.contains(unfit) {
        return Err(bad());
    }
    Ok(written.trim_end_matches('/').to_owned())
}

pub(crate) fn url_unless_empty(node: &Node) -> Parsed<Option<String>> {
    if text(node)?.is_empty() { Ok(None) } else { url(node).map(Some) }
}

/// What a browser sends as `Origin`: scheme, host and port, nothing more.
pub(crate) fn origin(node: &Node) -> Parsed<String> {
    let url = url(node)?;
    if url.matches('/').count() > 2 {
        return Err(format!("`{url}` has a path; an origin is scheme, host and port only"));
    }
    Ok(url.to_ascii_lowercase())
}

/// A block of addresses, as `10.0.0.0/8` or a single address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// IPv4 addresses written as IPv6 (`::ffff:10.0.0.1`) count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (one, other) = (self.address.to_canonical(), address.to_canonical());
        match (one, other) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                let apart = u32::from(one) ^ u32::from(other);
                apart.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                let apart = u128::from(one) ^ u128::from(other);
                apart.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

pub(crate) fn network(node: &Node) -> Parsed<Network> {
    let written = text(node)?;
    let (address, prefix) = written.split_once('/').unwrap_or((&written, ""));
    let parsed = address.parse::<IpAddr>().ok().and_then(|address| {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = if prefix.is_empty() { most } else { prefix.parse().ok()? };
        (prefix <= most).then_some(Network { address, prefix })
    });
    parsed.ok_or_else(|| {
        format!("`{written}` is not an address or block, as 127.0.0.1 or 10.0.0.0/8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration_of("2m"), Some(Duration::from_mins(2)));
        assert_eq!(duration_of("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration_of("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration_of("30d"), Some(Duration::from_hours(720)));
        assert_eq!(duration_of("0"), Some(Duration::ZERO));
        for bad in ["", "5", "m", "2 m", "-2m", "2.5m", "2x", "1h30", "99999999999999999999s"] {
            assert_eq!(duration_of(bad), None, "{bad}");
        }
        for text in ["2m", "90s", "24h", "500ms", "0", "7d"] {
            assert_eq!(duration_of(&shown(duration_of(text).unwrap())), duration_of(text));
        }
        assert_eq!(shown(Duration::from_hours(24)), "1d");
    }

    #[test]
    fn sizes_carry_their_unit() {
        assert_eq!(size_of("64KiB"), Some(65_536));
        assert_eq!(size_of("4 MiB"), Some(4_194_304));
        assert_eq!(size_of("12B"), Some(12));
        for bad in ["", "12", "KiB", "64KB", "-1B"] {
            assert_eq!(size_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        let node = |text: &str| Node { value: Value::Text(text.to_owned()), origin: Origin::Flag };
        let ten = network(&node("10.0.0.0/8")).unwrap();
        assert!(ten.contains("10.200.3.4".parse().unwrap()));
        assert!(ten.contains("::ffff:10.200.3.4".parse().unwrap()));
        assert!(!ten.contains("11.0.0.1".parse().unwrap()));
        assert!(!ten.contains("::1".parse().unwrap()));
        assert!(network(&node("0.0.0.0/0")).unwrap().contains("1.2.3.4".parse().unwrap()));
        assert!(network(&node("10.0.0.0/33")).is_err());
        assert!(origin(&node("https://desk.example.com/x")).is_err());
        assert_eq!(origin(&node("https://Desk.example.com/")).unwrap(), "https://desk.example.com");
    }
}
