//! The port for health and metrics, which is open to the network.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use tests::cluster::Cluster;
use tests::process::{Access, Program};
use tests::programs::http;

async fn program() -> (Cluster, Access, Program, String) {
    let cluster = Cluster::start().await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &[]);
    let address = program.address().await;
    (cluster, access, program, address)
}

/// Sends this and waits for the other side to close; how long that took, and what was said.
async fn until_closed(address: &str, text: &'static str) -> (Duration, String) {
    let mut connection = TcpStream::connect(address).expect("a connection");
    let wait = move || {
        connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        connection.write_all(text.as_bytes()).expect("it is sent");
        let (began, mut said) = (Instant::now(), String::new());
        connection.read_to_string(&mut said).expect("the other side closes");
        (began.elapsed(), said)
    };
    tokio::task::spawn_blocking(wait).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_comes_to_its_end_is_given_up() {
    let (_cluster, _access, _program, address) = program().await;
    let (nothing, head, body, unread) = tokio::join!(
        until_closed(&address, ""),
        until_closed(&address, "GET /healthz HTTP/1.1\r\nHost: a\r\n"),
        until_closed(&address, "PUT /loglevel HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\ninf"),
        until_closed(&address, "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"),
    );
    for (took, _) in [&nothing, &head, &body, &unread] {
        assert!(*took < Duration::from_secs(20), "{took:?}");
    }
    assert!(body.1.starts_with("HTTP/1.1 408 "), "{}", body.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_connections_open_keeps_nobody_out() {
    let (_cluster, _access, program, address) = program().await;
    let held: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(&address).ok()).collect();
    assert_eq!(held.len(), 200);

    assert_eq!(http(&address, "GET", "/healthz", "").await.expect("an answer").0, 200);

    let metrics = http(&address, "GET", "/metrics", "").await.expect("an answer").1;
    let open = metrics.lines().find_map(|line| line.strip_prefix("process_open_fds "));
    let open: f64 = open.expect("a number of files").parse().expect("a number");
    // Some of those that made room may not be closed yet.
    assert!(open < 180.0, "{open} files are open; {}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn from_another_machine_the_log_level_is_read_and_not_changed() {
    let cluster = Cluster::start().await;
    let access = Access::to(&cluster.plane);
    let everywhere = "run --cloud-provider=bare --http-address=0.0.0.0:0";
    let start = |more: &[&str]| {
        let arguments: Vec<&str> = everywhere.split(' ').chain(more.iter().copied()).collect();
        Program::spawn(access.command(&arguments))
    };
    let (careful, open) = (start(&[]), start(&["--loglevel-from=any"]));
    // This machine, by the address that others know it by. No packet is sent.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let outside = match socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) {
        Ok(address) if !address.ip().is_loopback() => address.ip(),
        _ => {
            eprintln!("this machine has the loopback address only: nobody asks from outside");
            return;
        }
    };
    let at = |address: String| format!("{outside}:{}", address.rsplit(':').next().expect("a port"));
    let (careful, open) = (at(careful.address().await), at(open.address().await));

    let (code, why) = http(&careful, "PUT", "/loglevel", "trace").await.expect("an answer");
    assert_eq!(code, 403);
    assert!(why.contains("--loglevel-from=any"), "{why}");
    assert_eq!(http(&careful, "GET", "/loglevel", "").await, Some((200, "info\n".into())));

    assert_eq!(http(&open, "PUT", "/loglevel", "warn").await, Some((200, "warn\n".into())));
}
