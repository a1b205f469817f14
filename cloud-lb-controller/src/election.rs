//! The election that the flags describe.

use cloud_provider::Mistake;
use service_controller::leader::{InvalidConfig, LeaderConfig, Leadership};

use crate::connection;
use crate::error::CliError;
use crate::flags::ElectionFlags;

/// The fields of an election, and the flags that set them.
const FLAGS: &[(&str, &str)] = &[
    ("lease_duration", "--leader-elect-lease-duration"),
    ("renew_deadline", "--leader-elect-renew-deadline"),
    ("retry_period", "--leader-elect-retry-period"),
    ("lease_name", "--leader-elect-resource-name"),
    ("namespace", "--leader-elect-resource-namespace"),
];

/// A candidate that contends through `client`.
///
/// # Errors
/// What is wrong with the flags.
pub(crate) fn candidate(
    client: kube::Client,
    flags: &ElectionFlags,
    identity: &str,
) -> Result<Leadership, CliError> {
    let (namespace, name) = (&flags.leader_elect_resource_namespace, &flags.leader_elect_resource_name);
    let mut config = LeaderConfig::new(namespace, name).identified_by(identity);
    config.lease_duration = flags.leader_elect_lease_duration;
    config.renew_deadline = flags.leader_elect_renew_deadline;
    config.retry_period = flags.leader_elect_retry_period;
    config.user_agent = connection::user_agent()?;
    Leadership::new(client, config).map_err(|InvalidConfig(mistakes)| {
        let said: Vec<String> = mistakes.iter().map(|mistake| by_flag(mistake).to_string()).collect();
        CliError::Usage(said.join(" | "))
    })
}

/// The same mistake, in the words of the command line.
fn by_flag(mistake: &Mistake) -> Mistake {
    let mut mistake = mistake.clone();
    for (field, flag) in FLAGS {
        if mistake.field == *field {
            mistake.field = (*flag).to_owned();
        }
        mistake.allowed = mistake.allowed.replace(field, flag);
    }
    mistake
}
