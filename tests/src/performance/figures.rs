//! What was measured: printed as it comes, and kept for the page.

use super::Budget;

/// A figure beside its budget.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) budget: &'static Budget,
    pub(super) amount: f64,
    /// What it is to be compared with.
    pub(super) beside: String,
}

impl Figure {
    /// Whether it is more than it may be, as precisely as it is told.
    pub(super) fn is_missed(&self) -> bool {
        let precision = 10_f64.powi(i32::try_from(self.budget.digits).expect("few digits"));
        (self.amount * precision).round() > (self.budget.at_most * precision).round()
    }
}

/// What so many Services cost that waited when the program started.
#[derive(Clone, Debug)]
pub struct Growth {
    /// Which server: the real one, or the double.
    pub server: &'static str,
    /// How many Services.
    pub services: usize,
    /// Until the last of them was served, in seconds after exec.
    pub seconds: f64,
    /// Seconds of CPU of the program.
    pub cpu_seconds: f64,
    /// The most memory that the program ever held.
    pub megabytes: f64,
    /// What the program asked of the server.
    pub requests: usize,
}

impl Growth {
    /// The names of [`cells`](Growth::cells).
    pub(super) const HEAD: [&'static str; 7] = [
        "Services that wait",
        "server",
        "served in",
        "CPU",
        "CPU for each",
        "memory at most",
        "requests for each",
    ];

    pub(super) fn cells(&self) -> [String; 7] {
        let each = |amount: f64| amount / self.services as f64;
        [
            self.services.to_string(),
            self.server.to_owned(),
            format!("{:.2} s", self.seconds),
            format!("{:.2} s", self.cpu_seconds),
            format!("{:.0} µs", each(self.cpu_seconds * 1e6)),
            format!("{:.1} MB", self.megabytes),
            format!("{:.2}", each(self.requests as f64)),
        ]
    }
}

/// What was measured of each: the program, a bare client, Kubernetes' own service controller and MetalLB's controller.
#[derive(Debug)]
pub(super) struct Comparison {
    what: String,
    /// As it is told; none where it was not measured.
    told: [Option<String>; 4],
}

impl Comparison {
    /// The names of [`cells`](Comparison::cells).
    pub(super) const HEAD: [&'static str; 5] =
        ["", "the program", "a bare client", "Kubernetes' own", "MetalLB's controller"];

    pub(super) fn cells(&self) -> [&str; 5] {
        let [ours, bare, kubernetes, metallb] = self.told.each_ref().map(|it| it.as_deref().unwrap_or("–"));
        [&self.what, ours, bare, kubernetes, metallb]
    }
}

/// All figures of one run.
#[derive(Debug, Default)]
pub struct Figures {
    pub(super) figures: Vec<Figure>,
    pub(super) comparisons: Vec<Comparison>,
    pub(super) growth: Vec<Growth>,
}

impl Figures {
    /// Prints a figure and keeps it.
    pub fn note(&mut self, budget: &'static Budget, amount: f64, beside: impl Into<String>) {
        let figure = Figure { budget, amount, beside: beside.into() };
        let said = if figure.is_missed() { "MISSED" } else { "kept" };
        println!(
            "{:<76} {:>10} {:>10} {said:<7} {}",
            budget.what,
            budget.told(amount),
            budget.told(budget.at_most),
            figure.beside
        );
        self.figures.push(figure);
    }

    /// Prints what was measured side by side, of the program, of a bare client, of Kubernetes' own service controller and
    /// of MetalLB's controller, and keeps it. None: it was not measured.
    pub fn compare(&mut self, what: impl Into<String>, told: [Option<String>; 4]) {
        let comparison = Comparison { what: what.into(), told };
        let cells = comparison.cells();
        let said = Comparison::HEAD.iter().zip(cells).skip(1).map(|(head, cell)| format!("{head} {cell}"));
        println!("{}: {}", cells[0], said.collect::<Vec<_>>().join("; "));
        self.comparisons.push(comparison);
    }

    /// Prints what so many Services cost, and keeps it.
    pub fn grow(&mut self, growth: Growth) {
        let cells = growth.cells();
        let said = Growth::HEAD.iter().zip(&cells).map(|(head, cell)| format!("{head}: {cell}"));
        println!("{}", said.collect::<Vec<_>>().join("; "));
        self.growth.push(growth);
    }

    pub(super) fn of(&self, budget: &Budget) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.budget == budget)
    }
}
