//! The local 360dialog with the numbers of all channels that live there.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use tokio::sync::oneshot;
use tokio::time::sleep;
use usher_config::{Config, Http, SandboxNumber, Service, sandbox_numbers};
use usher_sandbox::{NumberOptions, Sandbox, SandboxError, SandboxHandle, SandboxOptions};

use crate::provider::{hook_headers, hook_url};

/// Between two looks whether the node that had it is gone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A sandbox that runs here, or on another node of this machine.
pub(super) struct Local {
    base_url: String,
    end: oneshot::Sender<oneshot::Sender<()>>,
}

impl Local {
    /// `None`: there is none. Of several nodes on one machine one has it, and another once that has gone.
    pub(super) fn start(
        config: &Config,
        services: &[Service],
        gateway: SocketAddr,
    ) -> anyhow::Result<Option<Self>> {
        if !config.sandbox.on {
            return Ok(None);
        }
        let bind = config.sandbox.bind;
        let options = options(config, services, gateway);
        let (end, mut ends) = oneshot::channel::<oneshot::Sender<()>>();
        let may_be_anothers = config.cluster.redis.is_some() && bind.port() > 0;
        let running = match Sandbox::start(options.clone()) {
            Err(SandboxError::Listen(_)) if may_be_anothers => None,
            started => {
                Some(started.with_context(|| format!("the sandbox did not start on {bind}"))?)
            }
        };
        let base_url = running.as_ref().map(SandboxHandle::base_url);
        let base_url = base_url.unwrap_or_else(|| format!("http://{bind}"));
        drop(actix_rt::spawn(async move {
            let mut running = running;
            let done = loop {
                tokio::select! {
                    done = &mut ends => break done,
                    () = sleep(AGAIN_AFTER), if running.is_none() => {
                        running = Sandbox::start(options.clone()).ok();
                    }
                }
            };
            if let Some(sandbox) = running {
                sandbox.stop().await;
            }
            // Nobody waits for it where the program ends without a word.
            drop(done.map(|done| done.send(())));
        }));
        Ok(Some(Self { base_url, end }))
    }

    pub(super) fn base_url(&self) -> String {
        self.base_url.clone()
    }

    pub(super) async fn stop(self) {
        let (done, hears) = oneshot::channel();
        if self.end.send(done).is_ok() {
            hears.await.ok();
        }
    }
}

fn options(config: &Config, services: &[Service], gateway: SocketAddr) -> SandboxOptions {
    // It delivers to us directly, whatever name the outside knows us by.
    let local = Http { public_url: None, ..config.http.clone() }.public_url(gateway);
    let numbers = sandbox_numbers(services);
    SandboxOptions {
        bind: config.sandbox.bind,
        numbers: numbers.iter().map(|number| sandbox_number(number, &local)).collect(),
        ..SandboxOptions::default()
    }
}
fn sandbox_number(number: &SandboxNumber, gateway: &str) -> NumberOptions {
    let headers = hook_headers(&number.webhook).into_iter();
    NumberOptions {
        webhook_url: Some(hook_url(gateway, number.channel)),
        webhook_headers: headers
            .map(|(name, value)| (name, value.expose_secret().into()))
            .collect(),
        signing_secret: number.signing_secret.as_ref().map(|secret| secret.expose_secret().into()),
        ..NumberOptions::new(
            &number.phone_number_id,
            &number.display_number,
            &number.waba_id,
            number.api_key.expose_secret(),
        )
    }
}
