//! What is asked, used and held for a hundred Services, for thousands, and for as many as no cluster has.

use tests::performance::{Figures, budgets};

use crate::contender::Contender;
use crate::stage::{Body, a_cluster};
use crate::waiting::serve;

/// On the real server; 5,000 are served elsewhere.
const REAL: [usize; 2] = [100, 1_000];
const DOUBLE: [usize; 4] = [100, 1_000, 10_000, 50_000];

pub(crate) async fn from_a_hundred(figures: &mut Figures) {
    for count in REAL {
        let (_, growth) = serve(&a_cluster(Body::AsAsked).await, count, Contender::Program).await;
        figures.grow(growth);
    }
    for count in DOUBLE {
        let (_, growth) = serve(&a_cluster(Body::Double).await, count, Contender::Program).await;
        figures.grow(growth.clone());
        if count == 50_000 {
            figures.note(&budgets::MANY_MEMORY, growth.megabytes, "");
        }
    }
}
