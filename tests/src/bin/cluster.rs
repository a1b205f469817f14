//! A real cluster for people; `tests/kubernetes/cluster` builds what it needs and starts it. See `tests/README.md`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand, ValueEnum};
use tests::real_cluster::{ClusterError, ProxyMode, RealCluster, cleanup};

/// A Kubernetes cluster on this host: two nodes and a client on a LAN of network namespaces
#[derive(Parser)]
#[command(name = "cluster")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// How kube-proxy translates on the nodes
    #[arg(long, value_enum, default_value = "nftables")]
    proxy: Mode,
}

#[derive(Subcommand)]
enum Command {
    /// Start one and stay until Ctrl-C (the default)
    Up,
    /// Remove what clusters left behind whose programs were killed
    Down,
    /// Remove a cluster when standard input ends; how a cluster watches over itself
    #[command(name = cleanup::SUPERVISE, hide = true)]
    Supervise { folder: PathBuf },
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Nftables,
    Iptables,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None | Some(Command::Up) => up(arguments.proxy).await,
        Some(Command::Down) => down(),
        Some(Command::Supervise { folder }) => cleanup::supervise(&folder),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn up(mode: Mode) -> Result<(), ClusterError> {
    let mode = match mode {
        Mode::Nftables => ProxyMode::Nftables,
        Mode::Iptables => ProxyMode::Iptables,
    };
    let file = |source| ClusterError::File { path: "this program".into(), source };
    let program = std::env::current_exe().map_err(file)?;
    let start = Instant::now();
    let stop = tokio::signal::ctrl_c();
    let cluster = tokio::select! {
        cluster = RealCluster::start(mode, &program) => cluster?,
        _ = stop => return Ok(()),
    };
    println!("Two nodes are ready after {:.1} s. In another terminal:", start.elapsed().as_secs_f64());
    println!();
    println!("  export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("  {} get nodes --output wide", cluster.program("kubectl").display());
    println!();
    println!("The client's machine, {}:", tests::real_cluster::addresses("client").join(" and "));
    println!();
    println!("  nsenter --net={} bash", cluster.client_machine().namespace().display());
    println!();
    println!("Addresses for a pool: {}", tests::real_cluster::POOL.join(", "));
    println!("Logs: {}/*.log", cluster.folder().display());
    println!();
    println!("Ctrl-C ends it all.");
    tokio::signal::ctrl_c().await.map_err(file)?;
    println!("Stopping.");
    cluster.stop()
}

fn down() -> Result<(), ClusterError> {
    for folder in cleanup::clean_up_the_dead()? {
        println!("Removed what was left of {}.", folder.display());
    }
    for found in cleanup::all() {
        if let Some(owner) = found.owner {
            println!("{} is up: end process {} to end it.", found.folder.display(), owner.id);
        }
    }
    Ok(())
}
