//! What each figure may be at most, and what it would take where it is more.

/// The most that a figure may be.
#[derive(Debug, PartialEq)]
pub struct Budget {
    /// What is measured. No two are of one name.
    pub what: &'static str,
    /// The most that it may be, in `unit`.
    pub at_most: f64,
    /// What is counted: `MB` are millions of bytes, `x` is how many times what a bare client needs.
    pub unit: &'static str,
    /// How many digits behind the point are told.
    pub digits: usize,
    /// Where it is missed: why, and what it would take.
    pub if_missed: &'static str,
}

impl Budget {
    const fn of(what: &'static str, at_most: f64, unit: &'static str, digits: usize) -> Self {
        Budget { what, at_most, unit, digits, if_missed: "" }
    }

    const fn or(self, if_missed: &'static str) -> Self {
        Budget { if_missed, ..self }
    }

    /// An amount as the tables tell it.
    pub fn told(&self, amount: f64) -> String {
        format!("{amount:.digits$} {}", self.unit, digits = self.digits)
    }
}

const IS_SHARED: &str = "API server, program and whoever creates share the cores, so that a busy machine tells against the \
    program, which has more to do for each Service than the bare client: a decision, a record, an event.";

pub const BINARY: Budget = Budget::of("the controller's release binary", 17.0, "MB", 1).or(
    "Most of it is the AWS SDK and Kubernetes' types. What is not hot is compiled for size; beyond that it takes an SDK of \
     fewer operations, or a program without the provider that is not used (`--no-default-features --features bare`).",
);
pub const FIRST_LIST: Budget = Budget::of("the first list of Services is answered, after exec", 20.0, "ms", 0).or(
    "Most is spent in the handshake of TLS, half of it by the server; the list is sent on the first connection, and another \
     is opened for Nodes beside it. On a busy machine both wait for the cores.",
);
pub const READY: Budget = Budget::of("ready, after the first list is answered", 20.0, "ms", 0)
    .or("Once the lists are in, the Lease is read and written, which etcd stores. What a provider reads is listed beside that; \
         where such a list comes to the server after the write, it is answered when the caches have heard of it, up to \
         100 ms later.");
pub const IDLE_MEMORY: Budget = Budget::of("memory of one that has nothing to do", 11.0, "MB", 1)
    .or("Half of it is the code that it runs, which the linker puts side by side by a list: `tests/link-order` makes that anew, \
         which is due when much of the program or the compiler has changed.");

pub const CREATED_MEMORY: Budget = Budget::of(
    "500 Services created by 10 clients: memory at most",
    16.0,
    "MB",
    1,
)
.or("It is what the idle program holds, and 4 to 5 kB for each Service, of which 3 stay: see there, and below.");
pub const CREATED_CPU: Budget = Budget::of("500 Services created by 10 clients: CPU", 0.15, "s", 2).or(
    "A bare client that does nothing but the writes stands beside it: what it needs is TLS, HTTP, JSON and a runtime of tasks. By \
     callgrind a sixth each of the program's is for allocating memory and for JSON, a seventh for TLS, mostly the handshakes of \
     the connections that HTTP/1.1 takes for requests beside each other, an eighth for tasks and waking them, a fifteenth each \
     for HTTP and for kube's and tower's layers, a twentieth is ours. It would take one connection for all requests, as HTTP/2 \
     has, and with it a server that answers nothing would hold them all; and types that borrow from what was read.",
);
pub const CREATED_MEDIAN: Budget =
    Budget::of("500 Services created by 10 clients: create to status, median", 1.3, "x", 2).or(IS_SHARED);
pub const CREATED_WRITES: Budget = Budget::of("writes to Services, for each", 1.0, "", 2)
    .or("A conflict with somebody else's write is one write more.");
pub const HUNDRED: Budget =
    Budget::of("100 Services: all are served, of the time that creating them takes", 1.1, "x", 2)
        .or(IS_SHARED);
const IS_KEPT: &str = "What of a Service at rest is kept is listed by the bench `memory`, below; what was just read and what waits to \
    be sent come on top. It would take keeping no view of a Service at rest, and asking the server for it when something \
    happens.";
pub const ONE: Budget = Budget::of("one Service on a quiet server: create to status, median", 5.0, "ms", 1).or(
    "Two requests, one after the other, and two watches: what a bare client needs on the same server stands beside it, and \
     nobody can need less.",
);

pub const WAITING_TIME: Budget =
    Budget::of("5,000 wait at the start: all are served", 1.2, "x", 2).or(IS_SHARED);
pub const WAITING_CPU: Budget = Budget::of("5,000 wait at the start: CPU", 1.5, "s", 2)
    .or("As for 500, and a bare client stands beside it here too.");
pub const WAITING_MEMORY: Budget =
    Budget::of("5,000 wait at the start: memory at most", 45.0, "MB", 1).or(IS_KEPT);
pub const RESTART_WRITES: Budget = Budget::of("restart with 5,000 served: writes to Services", 0.0, "", 0)
    .or("A process that finds everything right has nothing to write: this would be a mistake.");
pub const RESTART_MEMORY: Budget =
    Budget::of("restart with 5,000 served: memory at most", 45.0, "MB", 1).or(IS_KEPT);
pub const MANY_MEMORY: Budget =
    Budget::of("50,000 wait at the start, on the double: memory at most", 250.0, "MB", 0).or(IS_KEPT);

const OUTAGE: &str = "The watches come back with the first request that the server answers; a server that has just started \
    refuses some of them for a moment more.";
pub const OUTAGE_2: Budget =
    Budget::of("the API server is away for 2 s: a new Service is served, after its return", 2.0, "s", 2)
        .or(OUTAGE);
pub const OUTAGE_8: Budget =
    Budget::of("the API server is away for 8 s: a new Service is served, after its return", 2.0, "s", 2)
        .or(OUTAGE);
pub const OUTAGE_30: Budget =
    Budget::of("the API server is away for 30 s: a new Service is served, after its return", 2.0, "s", 2)
        .or(OUTAGE);
pub const OUTAGE_60: Budget =
    Budget::of("the API server is away for 60 s: a new Service is served, after its return", 2.0, "s", 2)
        .or(OUTAGE);

/// All of them, in the order of the page.
pub const ALL: [&Budget; 20] = [
    &BINARY,
    &FIRST_LIST,
    &READY,
    &IDLE_MEMORY,
    &CREATED_MEMORY,
    &CREATED_CPU,
    &CREATED_MEDIAN,
    &CREATED_WRITES,
    &HUNDRED,
    &ONE,
    &WAITING_TIME,
    &WAITING_CPU,
    &WAITING_MEMORY,
    &RESTART_WRITES,
    &RESTART_MEMORY,
    &MANY_MEMORY,
    &OUTAGE_2,
    &OUTAGE_8,
    &OUTAGE_30,
    &OUTAGE_60,
];
