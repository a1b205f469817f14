//! One replica for the leadership suite: contends for a Lease and, while it leads, acts.
//!
//! An act is a ConfigMap that names who made it; its resourceVersion puts it in one order with all others and
//! with the records of the Lease. Commands come in on standard input, one a line: `act` tries once. What
//! happens goes out on standard output: `leading`, `acted`, `refused`, `failed`, `lost`, `released`. The end of
//! standard input ends the process, SIGTERM does so gracefully.

use std::io::BufRead as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use service_controller::leader::{Fence, LeaderConfig, Leadership};
use service_controller::user_agent::{InvalidUserAgent, UserAgent};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Less than what the lease outlives the renew deadline by, so that an act in flight ends while nobody else can
/// lead.
const ACT_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Parser)]
struct Args {
    #[arg(long)]
    server: http::Uri,
    #[arg(long)]
    token: String,
    #[arg(long)]
    namespace: String,
    #[arg(long)]
    lease: String,
    #[arg(long)]
    identity: String,
    /// Act all the time, not only on command.
    #[arg(long)]
    steady: bool,
}

impl Args {
    fn client(&self) -> Result<Client, kube::Error> {
        let mut config = Config::new(self.server.clone());
        config.accept_invalid_certs = true;
        config.auth_info = AuthInfo { token: Some(self.token.clone().into()), ..AuthInfo::default() };
        Client::try_from(config)
    }

    fn election(&self) -> Result<LeaderConfig, InvalidUserAgent> {
        let mut config = LeaderConfig::new(&self.namespace, &self.lease).identified_by(&self.identity);
        config.lease_duration = Duration::from_secs(3);
        config.renew_deadline = Duration::from_secs(2);
        config.retry_period = Duration::from_millis(500);
        // So that the server's log of requests tells the replicas apart.
        config.user_agent = UserAgent::new("elector", &self.identity)?;
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let args = Args::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut commands = commands();
    let leadership = Leadership::new(args.client()?, args.election()?)?;
    let held = tokio::select! {
        held = leadership.acquire() => held,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
    };
    println!("leading");

    let actor = Actor {
        fence: held.fence(),
        acts: Api::namespaced(args.client()?, &args.namespace),
        identity: args.identity,
    };
    let mut steady = interval(Duration::from_millis(50));
    steady.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lost = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            command = commands.recv() => match command.as_deref() {
                Some("act") => println!("{}", actor.act().await),
                Some(unknown) => return Err(format!("unknown command {unknown:?}").into()),
                None => return Ok(ExitCode::FAILURE),
            },
            () = held.lost().cancelled(), if !lost => {
                lost = true;
                println!("lost");
            }
            _ = steady.tick(), if args.steady => {
                actor.act().await;
            }
        }
    }
    held.release().await?;
    println!("released");
    Ok(ExitCode::SUCCESS)
}

struct Actor {
    fence: Fence,
    acts: Api<ConfigMap>,
    identity: String,
}

impl Actor {
    async fn act(&self) -> &'static str {
        let act = ConfigMap {
            metadata: ObjectMeta { generate_name: Some("act-".to_owned()), ..ObjectMeta::default() },
            data: Some([("by".to_owned(), self.identity.clone())].into()),
            ..ConfigMap::default()
        };
        if !self.fence.is_leader() {
            return "refused";
        }
        match timeout(ACT_TIMEOUT, self.acts.create(&PostParams::default(), &act)).await {
            Ok(Ok(_)) => "acted",
            _ => "failed",
        }
    }
}

/// Standard input by lines, read in a thread because a blocked read must not keep the process from its end.
fn commands() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
