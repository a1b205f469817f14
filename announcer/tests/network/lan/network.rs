//! A local network of network namespaces: a switch, and machines on it. It takes no right that its user does not have.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

use crate::namespaces::{DEADLINE, is_inside};

/// How long a look at a condition is apart from the next. It is looked at again and again because nobody could tell: a
/// condition is about several nodes' threads, what a kernel has sent and what machines without a process of ours got, and the
/// word of a change in one of them says nothing of the others. What is waited for has the processor meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What is run, and the Debian package that has it.
const NEEDED: [(&str, &str); 3] = [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")];

/// Plays a scene in a network of its own. `name` is the path of the test that calls it.
#[track_caller]
pub(crate) fn scene(name: &str, play: impl FnOnce(&Lan)) {
    if is_inside(name, &NEEDED) {
        play(&Lan::new());
    }
}

/// Waits for something that is a matter of moments.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "it did not come to be: {what}");
        thread::park_timeout(LOOK_INTERVAL);
    }
}

/// The network. Machine `N` has 10.9.0.N and fd00:9::N.
pub(crate) struct Lan {
    /// Here is the switch.
    switch: Machine,
    /// How many cables there are.
    cables: AtomicU8,
}

/// A machine of the network: a network namespace.
pub(crate) struct Machine {
    /// The number of its first cable.
    pub(crate) number: u8,
    namespace: File,
}

impl Lan {
    pub(crate) fn new() -> Self {
        let switch = Machine::new(0);
        // What listens to who is in which group, as bought ones do.
        switch.ip("link add lan type bridge mcast_querier 1");
        switch.ip("link set lan up");
        Lan { switch, cables: AtomicU8::new(1) }
    }

    /// Another machine, with a cable to `eth0`.
    pub(crate) fn machine(&self) -> Machine {
        let mut machine = Machine::new(0);
        let number = self.cable(&machine, "eth0");
        machine.number = number;
        machine.ip(&format!("address add 10.9.0.{number}/24 dev eth0"));
        machine.ip(&format!("address add fd00:9::{number}/64 dev eth0 nodad"));
        machine
    }

    /// Another cable from the switch to a machine; its number.
    pub(crate) fn cable(&self, machine: &Machine, link: &str) -> u8 {
        let (number, there) = (self.cables.fetch_add(1, Ordering::Relaxed), machine.path());
        self.switch.ip(&format!("link add port{number} type veth peer name {link} netns {there}"));
        self.switch.ip(&format!("link set port{number} master lan"));
        self.switch.ip(&format!("link set port{number} up"));
        machine.ip(&format!("link set {link} up"));
        number
    }

    /// Pulls a machine's cable, at the switch: its link has no carrier.
    pub(crate) fn pull(&self, machine: &Machine) {
        self.switch.ip(&format!("link set port{} down", machine.number));
    }

    /// Puts a cable back in.
    pub(crate) fn plug(&self, machine: &Machine) {
        self.switch.ip(&format!("link set port{} up", machine.number));
    }

    /// Takes a machine's port out of the switch: what it sends arrives nowhere, though its link has a carrier.
    pub(crate) fn cut(&self, machine: &Machine) {
        self.switch.ip(&format!("link set port{} nomaster", machine.number));
    }

    /// Puts the port back into the switch.
    pub(crate) fn mend(&self, machine: &Machine) {
        self.switch.ip(&format!("link set port{} master lan", machine.number));
    }
}

impl Machine {
    fn new(number: u8) -> Self {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            File::open("/proc/thread-self/ns/net").expect("the namespace of this thread")
        });
        let machine = Machine { number, namespace: made.join().expect("a namespace") };
        machine.ip("link set lo up");
        machine
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Does something on this machine. Threads that it starts are on this machine, too.
    pub(crate) fn inside<R: Send>(&self, act: impl FnOnce() -> R + Send) -> R {
        let namespace = &self.namespace;
        thread::scope(|scope| {
            let acting = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).expect("to enter the namespace");
                act()
            });
            acting.join().expect("it does not panic")
        })
    }

    /// `ip …` on this machine.
    #[track_caller]
    pub(crate) fn ip(&self, arguments: &str) -> String {
        self.run("ip", &arguments.split(' ').collect::<Vec<_>>())
    }

    /// Runs a program on this machine to its end.
    #[track_caller]
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program).args(arguments);
        let output = command.output().unwrap_or_else(|error| panic!("nsenter: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
