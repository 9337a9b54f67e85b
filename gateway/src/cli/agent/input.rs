//! What a typed line asks for.

use usher_protocol::command::Unserved;

/// What is done in the room that is open, or that is named by its number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Input {
    PickUp(Option<u32>),
    Decline(Option<u32>),
    /// Opens the room with this number.
    Room(u32),
    Say(String),
    Note(String),
    Close {
        silent: bool,
        reason: Option<String>,
    },
    Transfer {
        to: String,
        blind: bool,
    },
    CancelTransfer,
    /// What failed, or nobody knows of.
    Failed,
    Resend(Option<u32>),
    Busy,
    Active,
    List,
    /// What nobody serves: more of it each time.
    Unserved(Unserved),
    Help,
    Quit,
    Nothing,
}

/// What can be typed.
pub(super) const HELP: &str = "\
Text is sent to the visitor of the open room. And:
  p, /pick [n]              picks up the oldest offer, or number n
  /decline [n]              declines it
  /room n                   opens room n (/n is the same)
  /list                     what there is
  /waiting, /missed         what nobody serves, twenty more each time
  /note text                a note that only staff see
  /transfer [--blind] who   hands it on to a colleague or group, by name or id
  /cancel                   takes the transfer back
  /close [--silent] [why]   closes the enquiry
  /failed                   what was not sent, or nobody knows of
  /resend [n]               sends it again: the last one, or number n
  /busy, /active            your presence
  /help, /quit";

/// Reads a line; `Err` is for the person who typed it.
pub(super) fn parse(line: &str) -> Result<Input, String> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(Input::Nothing);
    }
    if line == "p" {
        return Ok(Input::PickUp(None));
    }
    let Some(command) = line.strip_prefix('/') else { return Ok(Input::Say(line.to_owned())) };
    // For texts that begin with a slash.
    if command.starts_with('/') {
        return Ok(Input::Say(command.to_owned()));
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    named(name, rest.trim())
}

fn named(name: &str, rest: &str) -> Result<Input, String> {
    if let Ok(room) = name.parse() {
        return Ok(Input::Room(room));
    }
    let plain = |input: Input| {
        if rest.is_empty() { Ok(input) } else { Err(format!("/{name} takes nothing more")) }
    };
    match name {
        "pick" | "p" => number(name, rest).map(Input::PickUp),
        "decline" => number(name, rest).map(Input::Decline),
        "room" => match number(name, rest)? {
            Some(room) => Ok(Input::Room(room)),
            None => Err("/room needs the number of a room".to_owned()),
        },
        "note" if rest.is_empty() => Err("/note needs a text".to_owned()),
        "note" => Ok(Input::Note(rest.to_owned())),
        "close" => {
            let (silent, reason) = flag(rest, "--silent");
            Ok(Input::Close { silent, reason: Some(reason).filter(|reason| !reason.is_empty()) })
        }
        "transfer" => match flag(rest, "--blind") {
            (_, to) if to.is_empty() => Err("/transfer needs a colleague or a group".to_owned()),
            (blind, to) => Ok(Input::Transfer { to, blind }),
        },
        "cancel" => plain(Input::CancelTransfer),
        "failed" => plain(Input::Failed),
        "resend" => number(name, rest).map(Input::Resend),
        "busy" => plain(Input::Busy),
        "active" => plain(Input::Active),
        "list" => plain(Input::List),
        "waiting" => plain(Input::Unserved(Unserved::Waiting)),
        "missed" => plain(Input::Unserved(Unserved::Missed)),
        "help" => plain(Input::Help),
        "quit" => plain(Input::Quit),
        _ => Err(format!("there is no /{name}; /help says what there is")),
    }
}

fn number(name: &str, rest: &str) -> Result<Option<u32>, String> {
    if rest.is_empty() {
        return Ok(None);
    }
    rest.parse().map(Some).map_err(|_| format!("/{name} takes a number, not `{rest}`"))
}

/// Whether `rest` begins with the flag, and what else it says.
fn flag(rest: &str, flag: &str) -> (bool, String) {
    match rest.strip_prefix(flag) {
        Some(more) if more.is_empty() || more.starts_with(char::is_whitespace) => {
            (true, more.trim().to_owned())
        }
        _ => (false, rest.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_the_help_says() {
        let say = |text: &str| Input::Say(text.to_owned());
        for (line, expected) in [
            ("  ", Input::Nothing),
            ("Hello there", say("Hello there")),
            ("//etc is a folder", say("/etc is a folder")),
            ("p", Input::PickUp(None)),
            ("please wait", say("please wait")),
            ("/pick 2", Input::PickUp(Some(2))),
            ("/decline", Input::Decline(None)),
            ("/3", Input::Room(3)),
            ("/room 3", Input::Room(3)),
            ("/note call back", Input::Note("call back".to_owned())),
            ("/close", Input::Close { silent: false, reason: None }),
            (
                "/close --silent spam",
                Input::Close { silent: true, reason: Some("spam".to_owned()) },
            ),
            ("/transfer ben", Input::Transfer { to: "ben".to_owned(), blind: false }),
            ("/transfer --blind Sales", Input::Transfer { to: "Sales".to_owned(), blind: true }),
            ("/resend", Input::Resend(None)),
            ("/resend 2", Input::Resend(Some(2))),
            ("/failed", Input::Failed),
            ("/missed", Input::Unserved(Unserved::Missed)),
            ("/quit", Input::Quit),
        ] {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said_and_not_sent_to_the_visitor() {
        for line in ["/pick one", "/transfer", "/room", "/note", "/nonsense", "/quit now"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
