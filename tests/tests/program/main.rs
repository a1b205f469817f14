//! The program as operators run it: a process, its flags, its output, its exit code.

mod commands;
mod doctor;
mod embed;
mod logs;
mod mistakes;
mod nonsense;
mod observability;
mod operating;
mod readiness;
mod recorded;
mod serving;
mod stopping;
mod traces;
mod user_agents;

use tests::process;
