//! Encrypted connections to a real server, with certificates of a test's own authority.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::LazyLock;

use tempfile::TempDir;
use usher_tests::certificates::Authority;
use usher_tests::postgres::Server;

use super::{Connection, Postgres, Purpose, WhyNot};
use crate::error::StoreError;
use crate::{Store, StoreOptions};

const IN_USE: &str =
    "SELECT CASE WHEN ssl THEN 1 ELSE 0 END FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

static OURS: LazyLock<Authority> = LazyLock::new(|| Authority::new("ours"));
static STRANGE: LazyLock<Authority> = LazyLock::new(|| Authority::new("strange"));

/// A server known as `localhost`, with an empty database: what stands before `?` of its address.
fn server(who: &str) -> (Server, String) {
    let mut server = Server::start();
    drop(server.database());
    let port = server.listen(&OURS.issue("DNS:localhost"), who);
    (server, format!("postgres://usher@localhost:{port}/postgres"))
}

/// Whether the connection that was made is encrypted, or why there is none.
fn tried(url: &str, password: Option<&str>, roots: Option<&Authority>) -> Result<bool, String> {
    let roots = roots.map(|roots| roots.certificate.as_bytes());
    let postgres = Postgres::trusting(url, password, roots).map_err(|error| whole(&error))?;
    let server = super::Server::new(postgres).unwrap();
    let connection: Connection = server.connect(Purpose::Journal).map_err(|error| whole(&error))?;
    let encrypted = connection.one(IN_USE, (), |row| row.get::<_, i64>(0)).unwrap();
    Ok(encrypted == Some(1))
}

/// As the program tells it.
fn whole(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        write!(text, ": {error}").unwrap();
        source = error.source();
    }
    text
}

#[test]
fn each_mode_means_what_it_means_to_others() {
    let (_server, url) = server("host all all 127.0.0.1/32 trust");
    let by_number = url.replace("localhost", "127.0.0.1");
    for (parameters, roots, encrypted) in [
        ("", None, true),
        ("?sslmode=prefer", None, true),
        ("?sslmode=disable", None, false),
        ("?sslmode=require", None, true),
        ("?sslmode=require", Some(&*OURS), true),
        ("?sslmode=verify-ca", Some(&*OURS), true),
        ("?sslmode=verify-full", Some(&*OURS), true),
    ] {
        assert_eq!(
            tried(&format!("{url}{parameters}"), None, roots),
            Ok(encrypted),
            "{parameters}"
        );
    }
    // Only the strictest minds the name.
    assert_eq!(tried(&format!("{by_number}?sslmode=verify-ca"), None, Some(&OURS)), Ok(true));
    let other = tried(&format!("{by_number}?sslmode=verify-full"), None, Some(&OURS)).unwrap_err();
    assert!(other.contains("not valid for name \"127.0.0.1\""), "{other}");
    assert!(other.contains("localhost"), "it says for which it is: {other}");
    for mode in ["require", "verify-ca", "verify-full"] {
        let strange = tried(&format!("{url}?sslmode={mode}"), None, Some(&STRANGE)).unwrap_err();
        assert!(strange.contains("no connection to the database could be made"), "{strange}");
        assert!(strange.contains("UnknownIssuer"), "{mode}: {strange}");
    }
    // The system knows nothing of a test's authority.
    assert!(tried(&format!("{url}?sslmode=verify-full"), None, None).is_err());
}

#[test]
fn a_server_for_encrypted_or_for_plain_connections_alone_says_so() {
    let (_server, url) = server("hostssl all all 127.0.0.1/32 trust");
    assert_eq!(tried(&url, None, None), Ok(true));
    let plain = tried(&format!("{url}?sslmode=disable"), None, None).unwrap_err();
    assert!(plain.contains("no pg_hba.conf entry") && plain.contains("no encryption"), "{plain}");

    let (_server, url) = server("hostnossl all all 127.0.0.1/32 trust");
    assert_eq!(tried(&url, None, None), Ok(false), "as it is preferred, not required");
    let refused = tried(&format!("{url}?sslmode=require"), None, None).unwrap_err();
    assert!(refused.contains("no pg_hba.conf entry"), "{refused}");
}

#[test]
fn a_server_without_tls_is_refused_only_where_it_has_to_have_it() {
    let (mut server, url) = server("host all all 127.0.0.1/32 trust");
    server.say("postgres", "ALTER SYSTEM SET ssl = off");
    server.stop();
    server.start_again();
    assert_eq!(tried(&url, None, None), Ok(false));
    let refused = tried(&format!("{url}?sslmode=require"), None, None).unwrap_err();
    assert!(refused.contains("server does not support TLS"), "{refused}");
    // The socket of this machine is not encrypted, whatever is asked for.
    let local = server.database();
    assert_eq!(tried(&format!("{local}?sslmode=verify-full"), None, Some(&OURS)), Ok(false));
}

#[test]
fn a_password_is_bound_to_the_channel_that_it_is_said_on() {
    let (server, url) = server("hostssl all all 127.0.0.1/32 scram-sha-256");
    server.say("postgres", "ALTER USER usher PASSWORD 'open sesame'");
    let bound = format!("{url}?sslmode=require&channel_binding=require");
    assert_eq!(tried(&bound, Some("open sesame"), None), Ok(true));
    assert!(tried(&bound, Some("open barley"), None).unwrap_err().contains("password"));
}

#[test]
fn a_store_is_kept_behind_tls() {
    let (server, url) = server("hostssl all all 127.0.0.1/32 trust");
    let dir = TempDir::new().unwrap();
    let url = format!("{url}?sslmode=verify-full");
    let roots = Some(OURS.certificate.as_bytes());
    let postgres = Postgres::trusting(&url, None, roots).unwrap();
    let options = StoreOptions { postgres: Some(postgres), ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).unwrap();
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                 WHERE application_name = 'usher' AND NOT ssl";
    assert_eq!(server.say("postgres", plain), "0");
    let all = "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
               WHERE application_name = 'usher' AND ssl";
    assert_eq!(server.say("postgres", all), "t");
    store.close();
}

#[test]
fn an_address_that_cannot_be_meant_is_refused_with_what_would_be_right() {
    let pem = OURS.certificate.as_bytes();
    for (parameters, roots, why) in [
        ("?sslmode=allow", None, WhyNot::Mode),
        ("?sslmode=", None, WhyNot::Mode),
        ("?sslmode=verify-ca", None, WhyNot::NoCertificates),
        ("?sslrootcert=system", None, WhyNot::Certificate),
        ("?colour=blue", None, WhyNot::Parameter),
        ("", Some(pem), WhyNot::Unchecked),
        ("?sslmode=prefer", Some(pem), WhyNot::Unchecked),
        ("?sslmode=verify-full", Some(b"no certificate".as_slice()), WhyNot::NotPem),
    ] {
        let refused =
            Postgres::trusting(&format!("postgres://me@db/usher{parameters}"), None, roots);
        let is_right = matches!(refused, Err(StoreError::Url(found)) if found == why);
        assert!(is_right, "{parameters}: {refused:?}");
    }
}
