//! Brings in what the peers need: their packages as locked, and a Redis server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Where the peers' sources are.
pub(super) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// The Python of the peer that needs one.
pub(super) fn python(peer: &Path) -> PathBuf {
    peer.join("venv/bin/python")
}

pub(super) fn redis() -> anyhow::Result<()> {
    if has("redis-server") {
        return Ok(());
    }
    println!("installing redis-server");
    let root = rustix::process::geteuid().is_root();
    for args in
        [&["update", "-q"][..], &["install", "-q", "-y", "--no-install-recommends", "redis-server"]]
    {
        let mut command = if root { Command::new("apt-get") } else { Command::new("sudo") };
        if !root {
            command.arg("apt-get");
        }
        run(command.args(args))?;
    }
    Ok(())
}

/// Packages of a Node peer, exactly as its lock file says.
pub(super) fn node(peer: &Path) -> anyhow::Result<()> {
    if is_newer(&peer.join("node_modules/.package-lock.json"), &peer.join("package-lock.json")) {
        return Ok(());
    }
    println!("installing the packages of {}", peer.display());
    // `npm ci` would insist on optional packages of other systems.
    let install = ["install", "--no-save", "--ignore-scripts", "--no-fund", "--no-audit"];
    run(Command::new("npm").args(install).current_dir(peer))
}

/// Packages of the Python peer, in an environment of its own.
pub(super) fn venv(peer: &Path) -> anyhow::Result<()> {
    let done = peer.join("venv/installed");
    if is_newer(&done, &peer.join("requirements.txt")) {
        return Ok(());
    }
    println!("installing the packages of {}", peer.display());
    run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(peer))?;
    let install = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"];
    run(Command::new(python(peer)).args(install).arg("requirements.txt").current_dir(peer))?;
    std::fs::write(&done, "").with_context(|| format!("cannot write {}", done.display()))
}

fn has(program: &str) -> bool {
    let looked =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    looked.is_ok_and(|status| status.success())
}

fn is_newer(made: &Path, from: &Path) -> bool {
    let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    changed(made).is_some_and(|made| changed(from).is_some_and(|from| made >= from))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let said = command.stdin(Stdio::null()).output();
    let said = said.with_context(|| format!("cannot run {command:?}"))?;
    if !said.status.success() {
        bail!("{command:?} failed:\n{}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(())
}
