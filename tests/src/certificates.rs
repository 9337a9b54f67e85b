//! Certificates for servers of tests, made by Debian's openssl.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// Who vouches for others; everything of it goes when this is dropped.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
    /// Its own certificate, in PEM.
    pub certificate: String,
}

/// A certificate with its key, both in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        let subject = format!("/CN={name}");
        let constraint = "basicConstraints=critical,CA:TRUE";
        openssl(new_key(&path("ca.key")).args(["-x509", "-days", "2", "-subj", &subject]).args([
            "-addext",
            constraint,
            "-out",
            &path("ca.pem").display().to_string(),
        ]));
        let certificate = fs::read_to_string(path("ca.pem")).expect("openssl wrote it");
        Self { dir, certificate }
    }

    /// For a server that is reached as this, as `DNS:localhost` or `IP:127.0.0.1`.
    pub fn issue(&self, reached_as: &str) -> Issued {
        let place = tempfile::tempdir_in(self.dir.path()).expect("a temporary directory");
        let [key, request, certificate, extensions] =
            ["key", "request", "certificate", "extensions"].map(|name| place.path().join(name));
        openssl(new_key(&key).args(["-subj", "/CN=server"]).arg("-out").arg(&request));
        let said = format!("subjectAltName={reached_as}\nbasicConstraints=critical,CA:FALSE\n");
        fs::write(&extensions, said).expect("a file of its own");
        let mut sign = Command::new("openssl");
        sign.args(["x509", "-req", "-days", "2", "-CAcreateserial"]);
        sign.arg("-in").arg(&request).arg("-extfile").arg(&extensions);
        sign.arg("-CA").arg(self.dir.path().join("ca.pem"));
        sign.arg("-CAkey").arg(self.dir.path().join("ca.key"));
        openssl(sign.arg("-out").arg(&certificate));
        let read = |path: &PathBuf| fs::read_to_string(path).expect("openssl wrote it");
        Issued { certificate: read(&certificate), key: read(&key) }
    }
}

/// The beginning of a request with a key of its own.
fn new_key(key: &std::path::Path) -> Command {
    let mut command = Command::new("openssl");
    command.args(["req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    command.arg("-keyout").arg(key);
    command
}

fn openssl(command: &mut Command) {
    let said = command.output().expect("openssl is needed: `make tools` installs it");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
