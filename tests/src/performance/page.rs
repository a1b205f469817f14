//! The page that tells the figures.

use super::budgets::ALL;
use super::figures::{Comparison, Figure, Figures, Growth};
use super::{Budget, Machine, WRITTEN_BY};

/// What another bench has printed.
#[derive(Debug)]
pub struct Shown {
    /// The bench.
    pub bench: &'static str,
    /// What it measures, as a heading.
    pub title: &'static str,
    /// What it said.
    pub text: String,
}

impl Shown {
    fn section(&self) -> String {
        let Shown { bench, title, text } = self;
        format!(
            "\n## {title}\n\nAs `cargo bench --workspace --bench {bench}` prints it:\n\n```text\n{}\n```\n",
            text.trim()
        )
    }

    /// A page with this in place of what it says under the same heading.
    ///
    /// # Panics
    /// When the page has no such heading.
    pub fn on(&self, page: &str) -> String {
        let heading = format!("\n## {}\n", self.title);
        let (before, after) = page.split_once(&heading).expect("a page that has the heading");
        let rest = after.find("\n## ").map(|at| &after[at..]).unwrap_or_default();
        format!("{before}{}{rest}", self.section())
    }
}

/// Everything that the page tells.
#[derive(Debug)]
pub struct Page<'a> {
    /// What was measured for the budgets.
    pub figures: &'a Figures,
    /// On what.
    pub machine: &'a Machine,
    /// The API server that judged, in words.
    pub server: &'a str,
    /// What other benches have printed.
    pub shown: &'a [Shown],
}

impl Page<'_> {
    /// The page in Markdown.
    pub fn text(&self) -> String {
        let mut text = self.head();
        text += &self.budgets();
        text += &self.missed();
        text += &self.side_by_side();
        text += &self.growth();
        for shown in self.shown {
            text += &shown.section();
        }
        text
    }

    fn head(&self) -> String {
        let Machine { cores, model, gigabytes, date } = self.machine;
        format!(
            "# What it costs\n\n\
             Written by a bench, which measures all of it anew:\n\n\
             ```sh\n\
             {WRITTEN_BY}\n\
             ```\n\n\
             Measured on {date}, version {}, {}. {cores} cores ({model}), {gigabytes:.0} GB of memory; API server, program, \
             clients and bench share them. The program is the release build, as a process of its own. A bare client is the \
             least that does the same work: it watches Services and writes an address into the status of each that has none, \
             on a server of the same kind, and decides, records and tells nothing.\n\n",
            env!("CARGO_PKG_VERSION"),
            self.server,
        )
    }

    fn budgets(&self) -> String {
        let mut text = table(["figure", "measured", "budget", "", "beside it"]);
        for budget in ALL {
            let most = budget.told(budget.at_most);
            text += &match self.figures.of(budget) {
                Some(figure) => {
                    let kept = if figure.is_missed() { "missed" } else { "kept" };
                    row([budget.what, &budget.told(figure.amount), &most, kept, &figure.beside])
                }
                None => row([budget.what, "not measured", &most, "", ""]),
            };
        }
        text
    }

    fn missed(&self) -> String {
        let missed: Vec<&Figure> =
            ALL.iter().filter_map(|budget| self.figures.of(budget)).filter(|it| it.is_missed()).collect();
        if missed.is_empty() {
            return "\nEvery figure keeps its budget.\n".to_owned();
        }
        let said = |figure: &Figure| {
            let Budget { what, if_missed, .. } = figure.budget;
            format!("- **{what}**: {if_missed}\n")
        };
        let all: String = missed.into_iter().map(said).collect();
        format!("\n## What misses its budget, and what it would take\n\n{all}")
    }

    fn side_by_side(&self) -> String {
        let rows: String =
            self.figures.comparisons.iter().map(|comparison| row(comparison.cells())).collect();
        let head = table(Comparison::HEAD);
        format!(
            "\n## Side by side\n\n\
             In one run, each on a fresh API server of the same kind, with the same Services. Kubernetes' own service \
             controller, {}, is as a cloud-controller-manager has it, over a cloud that has a load balancer at once; it has as \
             many workers as the program and sends as many requests as it likes, where it has one and sends 20 a second \
             unless told otherwise. MetalLB's controller, {}, is as it is delivered, but for its webhook, which is off: its client \
             sends 20 requests a second, which later versions are not held to, so that its times tell of that, and its CPU and \
             memory of what it does. Both are built of the modules that their authors publish.\n\n\
             {head}{rows}",
            required(include_str!("../../kubernetes/go.mod"), "k8s.io/cloud-provider"),
            required(include_str!("../../kubernetes/metallb/go.mod"), "go.universe.tf/metallb"),
        )
    }

    fn growth(&self) -> String {
        let rows: String = self.figures.growth.iter().map(|growth| row(growth.cells())).collect();
        let head = table(Growth::HEAD);
        format!("\n## How it grows\n\nServices that wait when the program starts.\n\n{head}{rows}")
    }
}

/// The version of another module that a Go module requires.
fn required<'a>(module: &'a str, other: &str) -> &'a str {
    let mut lines = module.lines().map(|line| line.trim_start().trim_start_matches("require "));
    let version = lines.find_map(|line| line.strip_prefix(other)?.strip_prefix(' '));
    version.expect("what is built is required")
}

fn table<const N: usize>(head: [&str; N]) -> String {
    row(head) + &row(["---"; N])
}

fn row<const N: usize>(cells: [impl AsRef<str>; N]) -> String {
    let cells: String = cells.iter().map(|cell| format!(" {} |", cell.as_ref().trim())).collect();
    format!("|{cells}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::performance::budgets::{CREATED_CPU, IDLE_MEMORY};

    fn page(figures: &Figures) -> String {
        let machine = Machine::this();
        Page { figures, machine: &machine, server: "no server", shown: &[] }.text()
    }

    #[test]
    fn what_misses_its_budget_is_told_with_the_reason_and_nothing_else_is() {
        let mut figures = Figures::default();
        figures.note(&IDLE_MEMORY, IDLE_MEMORY.at_most + 1.0, "");
        figures.note(&CREATED_CPU, CREATED_CPU.at_most, "");

        let page = page(&figures);

        let told = |budget: &Budget| page.contains(&format!("- **{}**: {}", budget.what, budget.if_missed));
        assert!(told(&IDLE_MEMORY), "{page}");
        assert!(!told(&CREATED_CPU), "{page}");
    }

    #[test]
    fn what_was_not_measured_of_one_of_them_is_left_open_beside_the_others() {
        let mut figures = Figures::default();
        figures.compare("CPU", [Some("1 s"), None, Some("3 s"), Some("4 s")].map(|it| it.map(str::to_owned)));
        let page = page(&figures);
        let head = "|  | the program | a bare client | Kubernetes' own | MetalLB's controller |\n";
        assert!(
            page.contains(&format!("{head}| --- | --- | --- | --- | --- |\n| CPU | 1 s | – | 3 s | 4 s |\n")),
            "{page}"
        );
    }

    #[test]
    fn whose_figures_are_told_is_told_with_the_version_that_is_built() {
        let module = "require (\n\tk8s.io/api v0.1.0\n\tk8s.io/apimachinery v0.2.0\n)\nrequire other v3\n";
        assert_eq!(
            ["k8s.io/api", "k8s.io/apimachinery", "other"].map(|it| required(module, it)),
            ["v0.1.0", "v0.2.0", "v3"]
        );
        let page = page(&Figures::default());
        assert!(
            page.contains("service controller, v0.") && page.contains("MetalLB's controller, v0."),
            "{page}"
        );
    }

    #[test]
    fn what_one_bench_has_printed_anew_takes_the_place_of_what_it_printed_before() {
        let shown = |bench, title, text: &str| Shown { bench, title, text: text.to_owned() };
        let (machine, figures) = (Machine::this(), Figures::default());
        let page = |shown: &[Shown]| {
            Page { figures: &figures, machine: &machine, server: "no server", shown }.text()
        };
        let (one, two) = (shown("one", "The one", "1"), shown("two", "The other", "2"));
        let before = page(&[one, two]);
        let one = shown("one", "The one", "1, anew");
        let after = one.on(&before);
        assert_eq!(after, page(&[one, shown("two", "The other", "2")]));
        let two = shown("two", "The other", "2, anew");
        assert_eq!(two.on(&after), page(&[shown("one", "The one", "1, anew"), two]));
    }

    #[test]
    fn every_budget_says_what_it_would_take_and_what_was_not_measured_is_said() {
        let page = page(&Figures::default());
        for budget in ALL {
            assert!(!budget.if_missed.is_empty(), "{budget:?}");
            assert!(page.contains(&format!("| {} | not measured |", budget.what)), "{page}");
        }
    }
}
