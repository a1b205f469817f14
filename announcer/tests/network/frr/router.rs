//! The LAN of a scene: two nodes, which are where the scene runs, and a router with FRR, which has a cable to each.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use announcer::bgp::dial::{BGP_PORT, Dial};
use announcer::bgp::family::Family;
use announcer::bgp::peer::{BgpPeer, HoldTime, RemoteAs};
use announcer::bgp::route::{PathAttributes, WantedRoutes};
use announcer::bgp::update::NextHops;
use announcer::distance::Distance;
use serde_json::Value;

use super::scene::until;
use crate::namespaces::{output, run};

/// The router's autonomous system, and ours.
pub(crate) const ROUTER_AS: u32 = 64_600;
pub(crate) const OUR_AS: u32 = 4_200_000_001;

/// A node: a number, by which its addresses and its cable are named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node(pub(crate) u8);

impl Node {
    pub(crate) fn v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.0, 0, 1)
    }

    pub(crate) fn v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, self.0.into(), 0, 0, 0, 0, 0, 1)
    }

    /// The router's addresses on this node's cable.
    pub(crate) fn router_v4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, self.0, 0, 254)
    }

    pub(crate) fn router_v6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, self.0.into(), 0, 0, 0, 0, 0, 0xfe)
    }

    /// How the router is connected to, from one of this node's addresses.
    pub(crate) fn dial(self, from: IpAddr) -> Dial {
        let to: IpAddr = if from.is_ipv4() { self.router_v4().into() } else { self.router_v6().into() };
        Dial { to: SocketAddr::new(to, BGP_PORT), from: Some(from), distance: Distance::Link }
    }

    /// The router as a peer of this node.
    pub(crate) fn peer(self) -> BgpPeer {
        BgpPeer {
            asn: OUR_AS,
            remote_as: RemoteAs::Number(ROUTER_AS),
            router_id: self.v4(),
            hold_time: HoldTime::DEFAULT,
            keepalive: None,
            connect_time: Duration::from_secs(1),
            families: Family::ALL.into(),
            graceful_restart: None,
            next_hops: NextHops { v4: Some(self.v4()), v6: Some(self.v6()) },
        }
    }
}

/// These prefixes, with nothing said of them.
pub(crate) fn routes(prefixes: &[&str]) -> Arc<WantedRoutes> {
    let mut wanted = WantedRoutes::default();
    for prefix in prefixes {
        let prefix: ipnet::IpNet = prefix.parse().expect("a prefix");
        wanted.add(prefix.addr(), prefix.prefix_len(), PathAttributes::default()).expect("it can be told");
    }
    Arc::new(wanted)
}

/// The router: a network namespace with FRR in it.
pub(crate) struct Router {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Router {
    /// Lays the cables to two nodes and starts FRR with these lines in its configuration of BGP, and waits until it can be
    /// asked.
    pub(crate) async fn start(bgp: &str) -> Self {
        let mut router = Router { folder: tempfile::tempdir().expect("a folder"), daemons: Vec::new() };
        router.lay_cables();
        router.be_of_the_group();
        let profile =
            "bfd\n profile fast\n  transmit-interval 100\n  receive-interval 100\n  detect-multiplier 3\n";
        for (daemon, configuration) in [("zebra", "hostname router\n"), ("bfdd", profile), ("bgpd", bgp)] {
            router.daemon(daemon, configuration);
            until(daemon, true, || router.file(&format!("{daemon}.vty")).exists()).await;
        }
        until("the routes' way to the kernel", true, || {
            router.asks("show zebra client summary").contains("bgp")
        })
        .await;
        router
    }

    /// What the router's configuration has of nodes as peers that speak both families over IPv4, one line or more for each.
    pub(crate) fn peers_over_v4(lines: &str, nodes: &[Node]) -> String {
        let each = |line: &str| -> String {
            nodes.iter().map(|node| format!("{}\n", line.replace("NODE", &node.v4().to_string()))).collect()
        };
        let [session, activate] = [lines.lines().map(each).collect(), each(" neighbor NODE activate")];
        configuration(ROUTER_AS, &session, &activate)
    }

    /// A file of the router's own.
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program on the router.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.file("router.net").display())).arg(program);
        command
    }

    fn lay_cables(&self) {
        let namespace = self.file("router.net");
        std::fs::write(&namespace, "").expect("a file");
        let namespace = namespace.display().to_string();
        run(&format!("unshare --net={namespace} ip link set lo up"));
        run("ip link set lo up");
        let zero = self.file("zero");
        std::fs::write(&zero, "0").expect("a file");
        // Links look for duplicates of their own addresses for a second or two after they came up, and when that is over
        // FRR works its routes out anew: nothing is to change in a scene but what the scene changes.
        for place in ["", &format!("nsenter --net={namespace} ")] {
            for which in ["all", "default"] {
                run(&format!("{place}cp {} /proc/sys/net/ipv6/conf/{which}/accept_dad", zero.display()));
            }
        }
        for node in [Node(1), Node(2)] {
            let number = node.0;
            run(&format!("ip link add node{number} type veth peer name cable{number} netns {namespace}"));
            run(&format!("ip address add {}/24 dev node{number}", node.v4()));
            run(&format!("ip address add {}/64 dev node{number} nodad", node.v6()));
            run(&format!("ip link set node{number} up"));
            let cable = format!("nsenter --net={namespace} ip");
            run(&format!("{cable} address add {}/24 dev cable{number}", node.router_v4()));
            run(&format!("{cable} address add {}/64 dev cable{number} nodad", node.router_v6()));
            run(&format!("{cable} link set cable{number} up"));
        }
    }

    /// FRR's programs want to be of the group that its installation made. In these namespaces there is one user, who is of it.
    fn be_of_the_group(&self) {
        let groups = std::fs::read_to_string("/etc/group").expect("the list of groups");
        let others = groups.lines().filter(|line| !line.starts_with("frrvty:"));
        let groups: String = others.chain(["frrvty:x:0:root"]).map(|line| format!("{line}\n")).collect();
        let file = self.file("group");
        std::fs::write(&file, groups).expect("a file");
        run(&format!("mount --bind {} /etc/group", file.display()));
    }

    fn daemon(&mut self, name: &str, configuration: &str) {
        let file = |ending: &str| self.file(&format!("{name}.{ending}")).display().to_string();
        std::fs::write(self.file(&format!("{name}.conf")), configuration).expect("a file");
        let mut daemon = self.command(&format!("/usr/lib/frr/{name}"));
        daemon.args(["-u", "root", "-g", "root", "-f", &file("conf"), "-i", &file("pid")]);
        daemon.args(["--log", &format!("file:{}", file("log"))]);
        daemon.arg("--vty_socket").arg(self.folder.path()).arg("-z").arg(self.file("zserv.api"));
        if name == "bfdd" {
            daemon.arg("--bfdctl").arg(self.file("bfdd.sock"));
        }
        let said = std::fs::File::create(self.file(&format!("{name}.out"))).expect("a file");
        daemon.stdin(Stdio::null()).stdout(said.try_clone().expect("a file")).stderr(said);
        self.daemons.push(daemon.spawn().expect("it starts"));
    }

    /// What the router answers to a question of its operator.
    pub(crate) fn asks(&self, question: &str) -> String {
        let mut shell = self.command("/usr/bin/vtysh");
        shell.arg("--vty_socket").arg(self.folder.path()).args(["-c", question]);
        output(shell)
    }

    /// The same, as JSON.
    pub(crate) fn shows(&self, question: &str) -> Value {
        let said = self.asks(&format!("show {question} json"));
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{question}: {error}: {said}"))
    }

    /// Changes the router's configuration.
    pub(crate) fn configure(&self, lines: &[&str]) {
        let mut shell = self.command("/usr/bin/vtysh");
        shell.arg("--vty_socket").arg(self.folder.path()).args(["-c", "configure terminal"]);
        shell.args(lines.iter().flat_map(|line| ["-c", line]));
        output(shell);
    }

    /// Where the router's kernel sends packets for a prefix: the gateways.
    pub(crate) fn ways(&self, prefix: &str) -> BTreeSet<String> {
        let mut ip = self.command("ip");
        ip.args(["-json", if prefix.contains(':') { "-6" } else { "-4" }, "route", "show", prefix]);
        let said = output(ip);
        let routes: Value = serde_json::from_str(said.trim()).unwrap_or(Value::Null);
        let routes = routes.as_array().cloned().unwrap_or_default();
        let hops = routes.iter().flat_map(|route| match route["nexthops"].as_array() {
            Some(hops) => hops.clone(),
            None => vec![route.clone()],
        });
        hops.filter_map(|hop| hop["gateway"].as_str().map(str::to_owned)).collect()
    }

    /// Watches the kernel's routes on the router from now on.
    pub(crate) async fn watch_routes(&self) -> RouteWatch {
        let file = self.file("routes.changes");
        let mut monitor = self.command("ip");
        monitor.args(["monitor", "route"]).stdout(std::fs::File::create(&file).expect("a file"));
        let watch = RouteWatch { monitor: monitor.spawn().expect("it starts"), file };
        // It listens when it tells of a route that is there for nothing else.
        until("the watch of the routes", true, || {
            for what in ["add", "del"] {
                let mut ip = self.command("ip");
                ip.args(["route", what, "blackhole", "192.0.2.255"]);
                output(ip);
            }
            !watch.changes("192.0.2.255").is_empty()
        })
        .await;
        watch
    }

    /// What FRR has written, for whoever has to find out why a scene failed.
    fn logs(&self) -> String {
        ["zebra.out", "bfdd.out", "bgpd.out", "bgpd.log"]
            .map(|name| format!("{name}:\n{}", std::fs::read_to_string(self.file(name)).unwrap_or_default()))
            .concat()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nobody is left to be told if that fails.
            let _ = writeln!(std::io::stderr(), "{}", self.logs());
        }
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// What has happened to the router's routes since it began.
pub(crate) struct RouteWatch {
    monitor: Child,
    file: PathBuf,
}

impl RouteWatch {
    /// What has happened to this one.
    pub(crate) fn changes(&self, prefix: &str) -> Vec<String> {
        let all = std::fs::read_to_string(&self.file).expect("the file that it writes");
        all.lines().filter(|line| line.contains(prefix)).map(str::to_owned).collect()
    }
}

impl Drop for RouteWatch {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

/// The configuration of a router of this autonomous system, with these lines of sessions, and these in each family.
pub(crate) fn configuration(asn: u32, session: &String, in_family: &str) -> String {
    let families: String = ["ipv4", "ipv6"]
        .map(|family| {
            format!("address-family {family} unicast\n{in_family} maximum-paths 8\nexit-address-family\n")
        })
        .concat();
    format!(
        "router bgp {asn}\nbgp router-id 10.0.0.254\nno bgp ebgp-requires-policy\nno bgp default ipv4-unicast\n\
         bgp log-neighbor-changes\n{session}{families}"
    )
}
