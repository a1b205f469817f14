//! What the provider promises, one sentence per test.

mod announcing;
mod assignment;
mod bad_input;
mod events;
mod histories;
mod oracle;
mod pool_changes;
mod pools;
mod promises;
mod reservations;
mod rules;
mod samples;
mod services;
mod statements;
mod support;
mod telling;
mod waiting;
