//! Small libraries put before the C library, compiled when they are needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Compiles `shim/{name}.c` into a directory; the library's path.
pub fn compile(name: &str, into: &Path) -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim").join(format!("{name}.c"));
    let library = into.join(format!("{name}.so"));
    let done = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .context("a C compiler is needed")?;
    ensure!(done.success(), "{} could not be compiled", source.display());
    Ok(library)
}
