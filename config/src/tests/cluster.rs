//! What several nodes have to be told before they start.

use secrecy::ExposeSecret as _;

use super::Setup;

fn shared(more: &str) -> Setup {
    let store = "[store]\nurl = \"postgres://usher@db/usher\"\n";
    Setup::new().file(&format!("{store}[cluster]\nredis = \"redis://redis\"\n{more}"))
}

fn wrong(setup: &Setup) -> Vec<String> {
    setup.faults().into_iter().map(|fault| format!("{}: {}", fault.path, fault.what)).collect()
}

#[test]
fn nodes_know_where_they_reach_each_other_and_by_what() {
    let setup =
        shared("bind = \"10.0.0.1:8482\"\n").env("USHER_CLUSTER_SECRET", "0123456789abcdef");
    let cluster = setup.load().unwrap().config.cluster;
    let between = cluster.between.expect("not alone");
    assert_eq!(between.bind.to_string(), "10.0.0.1:8482");
    assert_eq!(between.secret.expose_secret(), "0123456789abcdef");
    assert!(between.advertise.is_none() && between.encrypted.is_none());
    let alone = Setup::new().load().unwrap().config.cluster;
    assert!(alone.between.is_none() && alone.redis.is_none());
}

#[test]
fn what_is_missing_or_of_no_use_is_named() {
    let secret = |setup: Setup| setup.env("USHER_CLUSTER_SECRET", "0123456789abcdef");
    for (setup, fault) in [
        (secret(shared("")), "cluster.bind: must say where the other nodes reach this one"),
        (shared("bind = \"10.0.0.1:8482\"\n"), "cluster.secret_file: must name the secret"),
        (secret(shared("bind = \"0.0.0.0:8482\"\n")), "cluster.advertise: must be set"),
        (
            secret(shared("bind = \"10.0.0.1:8482\"\nadvertise = \"north\"\n")),
            "cluster.advertise: must be host:port",
        ),
        (
            secret(shared("bind = \"10.0.0.1:8482\"\nnode = \"north@home\"\n")),
            "cluster.node: must have no `@`",
        ),
        (
            shared("bind = \"10.0.0.1:8482\"\n").env("USHER_CLUSTER_SECRET", "short"),
            "cluster.secret_file: must hold at least 16 characters",
        ),
        (
            Setup::new().file("[cluster]\nredis = \"redis://redis\"\n"),
            "cluster.redis: several nodes share a PostgreSQL",
        ),
        (
            secret(shared("bind = \"10.0.0.1:8482\"\ntls_certificate = \"north.pem\"\n")),
            "cluster.tls_certificate: is of no use without `tls_key_file`",
        ),
        (
            secret(shared("bind = \"10.0.0.1:8482\"\ntls_certificate = \"north.pem\"\n"))
                .env("USHER_CLUSTER_TLS_KEY", "key"),
            "cluster.certificates: must name what the other nodes are believed by",
        ),
        (
            secret(shared("bind = \"10.0.0.1:8482\"\ncertificates = \"ours.pem\"\n")),
            "cluster.certificates: is of no use without `tls_certificate`",
        ),
    ] {
        let told = wrong(&setup);
        assert!(told.iter().any(|told| told.starts_with(fault)), "{fault}: {told:?}");
    }
    for advertise in ["north:8482", "10.0.0.1:1", "[fd00::1]:8482"] {
        let bind = "bind = \"0.0.0.0:8482\"";
        let setup = secret(shared(&format!("{bind}\nadvertise = \"{advertise}\"\n")));
        assert!(setup.load().is_ok(), "{advertise}: {:?}", setup.faults());
    }
}
