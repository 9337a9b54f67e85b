//! What somebody who has just started the program wants to know: where to look.

use std::io::{self, Write};

use secrecy::{ExposeSecret as _, SecretString};
use usher_config::{Password, Service};
use usher_domain::settings::Role;

use super::App;

/// The sign-ins of demo services, which everybody knows anyway.
#[derive(Debug, Default)]
pub(super) struct Demo {
    accounts: Vec<(String, Role)>,
    password: Option<SecretString>,
}

impl Demo {
    pub(super) fn of(services: &[Service]) -> Self {
        let mut demo = Self::default();
        for service in services.iter().filter(|service| service.demo) {
            for (staff, account) in &service.accounts {
                let Some(Password::Plain(password)) = &account.password else { continue };
                let role = service.settings.staff.get(staff).map_or(Role::Agent, |s| s.role);
                demo.accounts.push((account.email.clone(), role));
                demo.password.get_or_insert_with(|| password.clone());
            }
        }
        demo.accounts.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        demo
    }
}

pub(super) fn show(app: &App, demo: &Demo) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let url = &app.public_url;
    let socket = url.replacen("http", "ws", 1);
    writeln!(out, "\n  Usher {} is running.\n", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  Usher           {url}")?;
    writeln!(out, "  agent socket    {socket}/v1/agent/socket")?;
    if let Some(sandbox) = app.sandbox_url() {
        writeln!(out, "  pretend phones  {sandbox}/sandbox")?;
    }
    if let Some(metrics) = app.metrics_address() {
        writeln!(out, "  metrics         http://{metrics}/metrics")?;
    }
    writeln!(out, "  HTTP API        {url}/v1/docs")?;
    sign_ins(&mut out, demo)?;
    writeln!(out, "  Stop with Ctrl-C.\n")?;
    out.flush()
}

fn sign_ins(out: &mut impl Write, demo: &Demo) -> io::Result<()> {
    let Some(password) = &demo.password else { return writeln!(out) };
    writeln!(out, "\n  Sign in with password {}:", password.expose_secret())?;
    for (email, role) in &demo.accounts {
        let role = match role {
            Role::Agent => "agent",
            Role::Supervisor => "supervisor",
            Role::Administrator => "administrator",
        };
        writeln!(out, "    {email:<20} {role}")?;
    }
    writeln!(out, "\n  In two more terminals:  usher agent   and   usher visit\n")
}
