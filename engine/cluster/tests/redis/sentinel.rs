//! A master, a replica, and a Sentinel that makes the one the other.

use std::process::{Child, Command, Stdio};

use usher_cluster::Leases;
use usher_domain::ids::ServiceId;
use usher_domain::ownership::Epoch;
use usher_domain::ownership::lease::Answer;

use usher_tests::ports;

use crate::server::{LEASE, Server, connect, eventually, name};

const SERVICE: ServiceId = ServiceId::from_number(7);

struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn watch(master: u16, port: u16, server: &Server) -> Sentinel {
    let file = server.path("sentinel.conf");
    let text = format!(
        "bind 127.0.0.1\nport {port}\ndir {}\nsentinel monitor main 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 1000\n",
        server.dir.path().display()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("redis-server");
    Sentinel(command.arg(&file).arg("--sentinel").stdout(Stdio::null()).spawn().unwrap())
}

#[tokio::test]
async fn the_new_master_is_found_and_the_lease_goes_on() {
    let ports = [ports::free(), ports::free(), ports::free()];
    let mut master = Server::on_port(ports[0], &[]).await;
    let of = ports[0].to_string();
    let replica = Server::on_port(ports[1], &["--replicaof", "127.0.0.1", &of]).await;
    eventually("the replica follows", async || {
        let told = replica.cli(&["INFO", "replication"]);
        if told.contains("master_link_status:up") { Ok(()) } else { Err(told) }
    })
    .await;
    let _sentinel = watch(ports[0], ports[2], &master);
    let redis = connect(&format!("redis+sentinel://127.0.0.1:{}/main", ports[2]));
    let a = Leases::new(redis, name("a"), LEASE);
    let heard =
        eventually("the Sentinel knows the master", async || a.acquire(SERVICE, Epoch(0)).await);
    assert_eq!(heard.await.answer, Answer::Acquired { epoch: Epoch(1), over: Epoch(0) });
    eventually("the replica has heard", async || {
        let told = replica.cli(&["GET", &format!("usher:{{{SERVICE}}}:epoch")]);
        if told.trim() == "1" { Ok(()) } else { Err(told) }
    })
    .await;
    // It knows its replicas by asking the master every ten seconds, and a killed master tells nothing.
    eventually("the Sentinel knows the replica", async || {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &ports[2].to_string(), "SENTINEL", "REPLICAS", "main"]);
        let told = command.output().unwrap().stdout;
        if told.len() > 10 { Ok(()) } else { Err(told) }
    })
    .await;
    master.kill();
    let heard = eventually("a new master", async || {
        let heard = a.renew(SERVICE, Epoch(1)).await.map_err(|error| error.to_string())?;
        if heard.answer == Answer::Missing {
            // The failover took longer than the lease.
            return a.reassert(SERVICE, Epoch(1)).await.map_err(|error| error.to_string());
        }
        Ok(heard)
    });
    assert_eq!(heard.await.answer, Answer::Renewed);
    assert_eq!(replica.cli(&["GET", &format!("usher:{{{SERVICE}}}:epoch")]).trim(), "1");
}
