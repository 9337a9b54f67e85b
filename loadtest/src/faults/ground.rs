//! Where processes stand: all on loopback, or each in a network of its own with lines that can be
//! cut, one way or both.
//!
//! The load test itself is the router then: it runs in a network of its own too, so that nothing of
//! the machine's is touched, and all of it goes when the processes do.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::house::free_port;

/// Their second and third numbers; a place has `10.83.<number>.2`.
const NETWORK: (u8, u8) = (10, 83);
/// The only port a place of its own needs to know; nobody else is there.
const FIRST_PORT: u16 = 7_000;
/// Where a rule is put: before those of the machine.
const PREFERENCE: &str = "10";

/// What can be done on this machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Kind {
    Loopback,
    /// Inside a network of its own.
    Apart,
}

/// One process's place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) ip: Ipv4Addr,
    /// Keeps the network there.
    holder: Option<Child>,
    next_port: u16,
}

/// What is lost on the way between two places.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lost {
    Both,
    /// What the first says.
    There,
    /// What the other says.
    Back,
}

impl Kind {
    /// The address under which the load test itself is reached.
    pub(super) const fn mine(self) -> Ipv4Addr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST,
            Self::Apart => Ipv4Addr::new(NETWORK.0, NETWORK.1, 0, 1),
        }
    }

    /// Makes this process the router of the places to come.
    pub(super) fn prepare(self) -> anyhow::Result<()> {
        if self == Self::Loopback {
            return Ok(());
        }
        ip(&["link", "set", "lo", "up"])?;
        ip(&["addr", "add", &format!("{}/32", self.mine()), "dev", "lo"])?;
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("nothing is passed on")
    }

    /// All lines are whole, also where a row before has left one cut.
    pub(super) fn mend(self) {
        if self == Self::Apart {
            mend();
        }
    }

    /// A place of its own, where places are; each number once.
    pub(super) fn place(self, number: u8) -> anyhow::Result<Place> {
        if self == Self::Loopback {
            return Ok(Place { ip: Ipv4Addr::LOCALHOST, holder: None, next_port: 0 });
        }
        let mut holder = mortal("unshare");
        holder.args(["--net", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let holder = holder.spawn().context("unshare")?;
        let inside = format!("/proc/{}/ns/net", holder.id());
        until_apart(&inside)?;
        let (line, far) =
            (format!("usher{number}"), Ipv4Addr::new(NETWORK.0, NETWORK.1, number, 2));
        let near = Ipv4Addr::new(NETWORK.0, NETWORK.1, number, 1);
        let place = Place { ip: far, holder: Some(holder), next_port: FIRST_PORT };
        // That of the row before may not have been cleared away yet.
        Command::new("ip").args(["link", "delete", &line]).stderr(Stdio::null()).status()?;
        ip(&["link", "add", &line, "type", "veth", "peer", "name", "out", "netns", &inside])?;
        ip(&["addr", "add", &format!("{near}/24"), "dev", &line])?;
        ip(&["link", "set", &line, "up"])?;
        let there = [
            vec!["link", "set", "lo", "up"],
            vec!["addr", "add", &format!("{far}/24"), "dev", "out"],
            vec!["link", "set", "out", "up"],
            vec!["route", "add", "default", "via", &near.to_string()],
        ]
        .map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
        for words in there {
            let mut command = place.command("ip");
            let done = command.args(&words).status()?;
            ensure!(done.success(), "ip {} failed", words.join(" "));
        }
        Ok(place)
    }
}

/// A new network has nothing but a loopback that is down; `unshare` may not be there yet.
fn until_apart(inside: &str) -> anyhow::Result<()> {
    let mine = std::fs::read_link("/proc/self/ns/net")?;
    for _ in 0..500 {
        if std::fs::read_link(inside).is_ok_and(|theirs| theirs != mine) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    anyhow::bail!("no network of its own")
}

impl Place {
    pub(super) fn free_port(&mut self) -> anyhow::Result<u16> {
        if self.holder.is_none() {
            return free_port();
        }
        self.next_port += 1;
        Ok(self.next_port)
    }

    /// A program run there, which ends when the load test does, in whatever way.
    pub(super) fn command(&self, program: &str) -> Command {
        let Some(holder) = &self.holder else { return mortal(program) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", holder.id()));
        command.args(["setpriv", "--pdeathsig", "KILL", program]);
        command
    }

    /// Loses what is said between two places, until [`mend`].
    pub(super) fn cut(&self, other: &Self, lost: Lost) -> anyhow::Result<()> {
        if lost != Lost::Back {
            drop_between(self.ip, other.ip)?;
        }
        if lost != Lost::There {
            drop_between(other.ip, self.ip)?;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(holder) = &mut self.holder {
            holder.kill().ok();
            holder.wait().ok();
        }
    }
}

/// Without a word: who sends is not told.
fn drop_between(from: Ipv4Addr, to: Ipv4Addr) -> anyhow::Result<()> {
    let (from, to) = (from.to_string(), to.to_string());
    ip(&["rule", "add", "pref", PREFERENCE, "from", &from, "to", &to, "blackhole"])
}

/// All lines are whole again.
pub(super) fn mend() {
    while ip(&["rule", "del", "pref", PREFERENCE]).is_ok() {}
}

fn ip(words: &[&str]) -> anyhow::Result<()> {
    let done = Command::new("ip").args(words).stderr(Stdio::null()).status().context("ip")?;
    ensure!(done.success(), "ip {} failed", words.join(" "));
    Ok(())
}

/// A program that ends when the load test does, in whatever way.
pub(super) fn mortal(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// Whether networks and mounts of its own can be had here; if not, why.
pub(super) fn apart_is_possible() -> Result<(), String> {
    let words = ["--net", "--mount", "ip", "link", "set", "lo", "up"];
    match Command::new("unshare").args(words).output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
        Err(error) => Err(format!("unshare: {error}")),
    }
}
