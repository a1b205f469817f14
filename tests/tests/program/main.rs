//! The program as operators run it: a process, its flags, its output, its exit code.

mod commands;
mod doctor;
mod embed;
mod logs;
mod mistakes;
mod observability;
mod operating;
mod recorded;
mod stopping;
mod traces;
mod user_agents;

use tests::process;
