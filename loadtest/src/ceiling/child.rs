//! A ceiling as a child process.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use clap::ValueEnum as _;

use super::Kind;
use crate::measure::Process;

/// It is killed with this.
#[derive(Debug)]
pub struct Ceiling {
    child: Child,
    pub port: u16,
}

impl Ceiling {
    pub fn start(kind: Kind) -> anyhow::Result<Self> {
        let value = kind.to_possible_value().context("every ceiling has a name")?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["ceiling", value.get_name()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the ceiling could not be started")?;
        let mut line = String::new();
        let out = child.stdout.take().context("its output is piped")?;
        BufReader::new(out).read_line(&mut line)?;
        let port = line.trim().parse().context("the ceiling did not say its port");
        let mut ceiling = Self { child, port: 0 };
        ceiling.port = port?;
        Ok(ceiling)
    }

    pub fn process(&self) -> Process {
        Process::of(self.child.id())
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
