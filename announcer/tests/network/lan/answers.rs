//! Who asks an address without a pause, and what it hears.

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::network::Machine;

const ECHO_PORT: u16 = 7;
/// Between two questions.
const QUESTION_INTERVAL: Duration = Duration::from_millis(10);

/// Has a machine answer at an address: it has it on `lo`, where nobody on the network can find it by themselves, as it is
/// with what kube-proxy serves. The answer is the machine's name.
pub(crate) fn serve(machine: &Machine, ip: IpAddr, name: &'static str) {
    match ip {
        IpAddr::V4(ip) => machine.ip(&format!("address add {ip}/32 dev lo")),
        IpAddr::V6(ip) => machine.ip(&format!("address add {ip}/128 dev lo nodad")),
    };
    machine.run("sh", &["-c", "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore"]);
    let socket = machine.inside(|| UdpSocket::bind((ip, ECHO_PORT)).expect("a socket at the address"));
    thread::spawn(move || {
        let mut room = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut room) {
            let _gone = socket.send_to(name.as_bytes(), from);
        }
    });
}

/// Finds out who has an address on the network, as every packet to it does first.
pub(crate) fn resolve(machine: &Machine, ip: IpAddr) {
    let at = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = machine.inside(|| UdpSocket::bind(at).expect("a socket"));
    socket.connect((ip, ECHO_PORT)).expect("a way to the address");
    socket.send(b"?").expect("to send");
    // Nobody listens there: that is refused, by a message that only comes once the address was found.
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let refused = socket.recv(&mut [0; 1]).expect_err("nobody answers");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

/// A client that never stops asking.
pub(crate) struct Client {
    ends: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<(Instant, String)>>>,
    thread: JoinHandle<()>,
}

impl Client {
    pub(crate) fn asks(machine: &Machine, ip: IpAddr) -> Self {
        let here = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = machine.inside(|| UdpSocket::bind(here).expect("a socket"));
        let (ends, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (told, hears) = (ends.clone(), heard.clone());
        let thread = thread::spawn(move || {
            let mut room = [0; 64];
            let mut next = Instant::now();
            while !told.load(Ordering::Relaxed) {
                // That nobody answers for the address is an error after a while.
                let _unreachable = socket.send_to(b"?", (ip, ECHO_PORT));
                next += QUESTION_INTERVAL;
                while let Some(left) =
                    next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
                {
                    socket.set_read_timeout(Some(left)).expect("a limit");
                    if let Ok((length, _)) = socket.recv_from(&mut room) {
                        let by = String::from_utf8_lossy(&room[..length]).into_owned();
                        hears.lock().expect("no panic").push((Instant::now(), by));
                    }
                }
            }
        });
        Client { ends, heard, thread }
    }

    /// Whether a machine of this name was the last to answer.
    pub(crate) fn is_answered_by(&self, name: &str) -> bool {
        self.heard.lock().expect("no panic").last().is_some_and(|(_, by)| by == name)
    }

    /// Ends it; what it heard.
    pub(crate) fn ends(self) -> Heard {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic");
        let heard = std::mem::take(&mut *self.heard.lock().expect("no panic"));
        let silence = heard.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(Duration::MAX);
        let mut by: Vec<String> = heard.into_iter().map(|(_, by)| by).collect();
        by.dedup();
        Heard { silence, by }
    }
}

/// What a client heard.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The longest time between two answers.
    pub silence: Duration,
    /// Who answered, in order.
    pub by: Vec<String>,
}
