//! The connection: made when it is first needed, made again after it broke, and never waited for longer
//! than the caller has patience.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo as _,
    RedisConnectionInfo, ScriptInvocation, TlsCertificates, TlsMode,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::address::{Address, Place};
use crate::error::RedisFailed;
use crate::metrics::{COMMANDS, SECONDS};
use crate::scripts::Scripts;

/// Commands that wait to be written, and those that wait for an answer.
const UNDER_WAY_MAX: usize = 256;
/// Between two attempts to connect, at first and at most.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const AGAIN_AFTER_MAX: Duration = Duration::from_millis(800);

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    pub address: Address,
    pub password: Option<SecretString>,
    /// In PEM; `None`: what the system trusts.
    pub certificates: Option<Vec<u8>>,
    /// For one answer, connecting included.
    pub patience: Duration,
}

/// Redis; cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Link>);

struct Link {
    options: RedisOptions,
    scripts: Scripts,
    present: Mutex<Present>,
}

enum Present {
    Away { not_before: Instant, pause: Duration },
    There(Connection),
}

#[derive(Clone)]
enum Connection {
    One(ConnectionManager),
    Many(ClusterConnection),
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects when something is first asked.
    pub fn new(options: RedisOptions) -> Self {
        let present = Present::Away { not_before: Instant::now(), pause: AGAIN_AFTER };
        Self(Arc::new(Link { options, scripts: Scripts::new(), present: Mutex::new(present) }))
    }

    pub(crate) fn scripts(&self) -> &Scripts {
        &self.0.scripts
    }

    /// Runs one script whole; no answer in time is a failure, though it may have been run.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        name: &'static str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, RedisFailed> {
        let asked = Instant::now();
        let answer = tokio::time::timeout(self.0.options.patience, self.ask(script)).await;
        let answer = answer.unwrap_or(Err(RedisFailed::Silent));
        histogram!(SECONDS).record(asked.elapsed().as_secs_f64());
        let outcome = match &answer {
            Ok(_) => "answered",
            Err(error) => {
                tracing::debug!(%error, script = name, "Redis");
                self.give_up(error).await;
                "failed"
            }
        };
        counter!(COMMANDS, "script" => name, "outcome" => outcome).increment(1);
        answer
    }

    async fn ask<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, RedisFailed> {
        let answer = match self.connection().await? {
            Connection::One(mut one) => script.invoke_async(&mut one).await,
            Connection::Many(mut many) => script.invoke_async(&mut many).await,
        };
        Ok(answer?)
    }

    async fn connection(&self) -> Result<Connection, RedisFailed> {
        let mut present = self.0.present.lock().await;
        let pause = match &*present {
            Present::There(connection) => return Ok(connection.clone()),
            Present::Away { not_before, .. } if Instant::now() < *not_before => {
                return Err(RedisFailed::Away);
            }
            Present::Away { pause, .. } => *pause,
        };
        // Set before it is tried: the attempt may be given up from outside.
        *present = Present::Away {
            not_before: Instant::now() + pause,
            pause: (pause * 2).min(AGAIN_AFTER_MAX),
        };
        let connection = self.0.connect().await?;
        *present = Present::There(connection.clone());
        Ok(connection)
    }

    /// What failed may have been the wrong server by now; the next one to ask finds out.
    async fn give_up(&self, error: &RedisFailed) {
        if matches!(error, RedisFailed::Away) {
            return;
        }
        let mut present = self.0.present.lock().await;
        if let Present::There(_) = *present {
            *present = Present::Away { not_before: Instant::now(), pause: AGAIN_AFTER };
        }
    }
}

impl Link {
    async fn connect(&self) -> Result<Connection, RedisFailed> {
        let Address { encrypted, place, .. } = &self.options.address;
        Ok(match place {
            Place::Unix(path) => {
                self.manager(self.client(ConnectionAddr::Unix(path.clone()), 0)?).await?
            }
            Place::Server { host, port, database } => {
                let address = address(host, *port, *encrypted);
                self.manager(self.client(address, *database)?).await?
            }
            Place::Sentinels { of, master } => {
                let master = self.sentinels(of, master)?.async_get_client().await?;
                self.manager(master).await?
            }
            Place::Cluster { of } => Connection::Many(self.cluster(of).await?),
        })
    }

    fn client(&self, address: ConnectionAddr, database: i64) -> Result<Client, RedisFailed> {
        let info: ConnectionInfo = address.into_connection_info()?;
        let info =
            info.set_tcp_settings(tcp()).set_redis_settings(self.settings().set_db(database));
        Ok(if self.options.address.encrypted {
            Client::build_with_tls(info, self.certificates())?
        } else {
            Client::open(info)?
        })
    }

    fn settings(&self) -> RedisConnectionInfo {
        let mut settings = RedisConnectionInfo::default();
        if let Some(user) = &self.options.address.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.options.password {
            settings = settings.set_password(password.expose_secret());
        }
        settings
    }

    fn certificates(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: self.options.certificates.clone() }
    }

    async fn manager(&self, client: Client) -> Result<Connection, RedisFailed> {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(AGAIN_AFTER)
            .set_max_delay(AGAIN_AFTER_MAX)
            .set_response_timeout(Some(self.options.patience))
            .set_connection_timeout(Some(self.options.patience))
            .set_pipeline_buffer_size(UNDER_WAY_MAX)
            .set_concurrency_limit(UNDER_WAY_MAX);
        Ok(Connection::One(ConnectionManager::new_with_config(client, config).await?))
    }

    fn sentinels(&self, of: &[(String, u16)], master: &str) -> Result<SentinelClient, RedisFailed> {
        let encrypted = self.options.address.encrypted;
        let of = of.iter().map(|(host, port)| address(host, *port, encrypted));
        let mut builder = SentinelClientBuilder::new(of, master, SentinelServerType::Master)?
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp());
        if let Some(user) = &self.options.address.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &self.options.password {
            builder = builder.set_client_to_redis_password(password.expose_secret());
        }
        if encrypted {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(self.certificates())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(self.certificates());
        }
        Ok(builder.build()?)
    }

    async fn cluster(&self, of: &[(String, u16)]) -> Result<ClusterConnection, RedisFailed> {
        let Address { user, encrypted, .. } = &self.options.address;
        let of = of.iter().map(|(host, port)| address(host, *port, *encrypted));
        let mut builder = ClusterClientBuilder::new(of)
            .retries(2)
            .connection_timeout(self.options.patience)
            .response_timeout(self.options.patience)
            .connection_concurrency_limit(UNDER_WAY_MAX)
            .tcp_settings(tcp());
        if let Some(user) = user {
            builder = builder.username(user);
        }
        if let Some(password) = &self.options.password {
            builder = builder.password(password.expose_secret());
        }
        if *encrypted {
            builder = builder.tls(TlsMode::Secure).certs(self.certificates());
        }
        Ok(builder.build()?.get_async_connection().await?)
    }
}

/// A question is one small packet, and whoever asks waits for it.
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn address(host: &str, port: u16, encrypted: bool) -> ConnectionAddr {
    let host = host.to_owned();
    if encrypted {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}
