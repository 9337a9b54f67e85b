//! A Redis that is reached encrypted, with a certificate of a test's own authority.

use std::fs;
use std::time::Duration;

use usher_cluster::{Leases, Redis, RedisOptions};
use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::Answer;
use usher_tests::certificates::Authority;
use usher_tests::ports;

use crate::server::{LEASE, Server, eventually, name};

const SERVICE: ServiceId = ServiceId::from_number(7);

/// One that is known as `localhost`; the port at which it speaks nothing but TLS.
async fn server(ours: &Authority) -> (Server, tempfile::TempDir, u16) {
    let dir = tempfile::tempdir().unwrap();
    let issued = ours.issue("DNS:localhost");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (file("crt", &issued.certificate), file("key", &issued.key));
    let port = ports::free();
    let said = [
        ["--tls-port", &port.to_string()],
        ["--tls-cert-file", &certificate],
        ["--tls-key-file", &key],
        ["--tls-auth-clients", "no"],
    ];
    (Server::on_port(ports::free(), said.as_flattened()).await, dir, port)
}

fn leases(address: &str, certificates: Option<&Authority>) -> Leases {
    // As the program does before it reaches anybody.
    drop(rustls::crypto::ring::default_provider().install_default());
    let redis = Redis::new(RedisOptions {
        address: address.parse().unwrap(),
        password: None,
        certificates: certificates.map(|of| of.certificate.clone().into_bytes()),
        patience: Duration::from_secs(2),
    });
    Leases::new(redis, name("a"), LEASE)
}

#[tokio::test]
async fn a_lease_is_granted_by_a_redis_that_is_believed_and_by_no_other() {
    let (ours, strange) = (Authority::new("ours"), Authority::new("strange"));
    let (server, _files, port) = server(&ours).await;
    let url = format!("rediss://localhost:{port}");
    let believed = leases(&url, Some(&ours));
    let granted =
        eventually("it is granted", async || believed.acquire(SERVICE, Epoch(0)).await).await;
    assert_eq!(granted.answer, Answer::Acquired { epoch: Epoch(1), over: Epoch(0) });
    assert!(server.cli(&["CLIENT", "LIST"]).contains(&format!("laddr=127.0.0.1:{port}")));

    let by_number = format!("rediss://127.0.0.1:{port}");
    let plain = format!("redis://localhost:{port}");
    for (address, certificates, why) in [
        (&url, Some(&strange), "UnknownIssuer"),
        (&url, None, "UnknownIssuer"),
        (&by_number, Some(&ours), "not valid for name"),
        (&plain, None, ""),
    ] {
        let refused = leases(address, certificates).renew(SERVICE, Epoch(1)).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{address}: {refused}");
    }
}
