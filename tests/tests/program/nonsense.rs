//! Input that nobody meant, to the program itself: files of flags, and bytes on its port. The readers that need no process
//! have the suite `fuzz`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use tests::cluster::Cluster;
use tests::fuzz::mutate;
use tests::process::{Access, Program, command, finish};
use tests::programs::http;

/// A process each.
const FILE_COUNT: usize = 150;
const FLAGS: [&str; 4] = [
    "leader-elect: true\nverify-interval: 10m\nlog-level: info\n",
    "bare-class: [a.example/b, \"\"]\naws-rate-elb-read: 8:30\n",
    "cluster-name: prod\nkube-api-qps: 20.5\naws-default-tags: [a=b, c=d]\n",
    "# nothing\n---\nbare-pool-grace: 1m30s\n",
];

/// A connection each.
const CONNECTION_COUNT: usize = 500;
const REQUESTS: [&str; 5] = [
    "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /metrics HTTP/1.0\r\n\r\n",
    "PUT /loglevel HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\ndebug",
    "PUT /loglevel HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ninfo\r\n0\r\n\r\n",
    "POST /readyz?a=b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
];

#[tokio::test]
async fn a_file_of_flags_that_nobody_meant_ends_in_one_line() {
    let access = Access::with("");
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..FILE_COUNT {
        let text = mutate::text(&FLAGS, &mut rng);
        let file = access.file("flags.yaml", &text);
        let mut command = command("cloud-lb-controller");
        // It ends here at the latest: there is no such kubeconfig.
        command.args(["run", "--cloud-provider=bare", "--kubeconfig=/none", "--config"]).arg(&file);
        let said = finish(command).await;
        assert_eq!(said.code, Some(64), "{text:?}: {said:?}");
        let last = said.errors.lines().last().unwrap_or_default();
        assert!(last.starts_with("cloud-lb-controller: "), "{text:?}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_nobody_meant_do_not_keep_the_port_from_answering() {
    let cluster = Cluster::start().await;
    let access = Access::to(&cluster.plane);
    let program = Program::start(&access, &[]);
    let address = program.address().await;
    let to = address.clone();
    let talk = move || {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..CONNECTION_COUNT {
            let text = mutate::text(&REQUESTS, &mut rng);
            let mut connection = TcpStream::connect(&to).expect("it listens");
            connection.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
            // The other side may be gone before all of it is sent.
            let _ = connection.write_all(text.as_bytes()).and_then(|()| connection.shutdown(Shutdown::Write));
            let mut answer = Vec::new();
            let read = connection.read_to_end(&mut answer);
            let waited = read.err().filter(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(waited.is_none(), "{text:?} is neither answered nor given up");
        }
    };
    tokio::task::spawn_blocking(talk).await.expect("no panic");

    assert_eq!(http(&address, "GET", "/healthz", "").await.expect("an answer").0, 200);
    assert!(!program.log().contains("panicked"), "{}", program.log());
}
