//! What is left besides what was seeded.

use super::account::AccountState;

impl AccountState {
    pub(super) fn remaining(&self) -> Vec<String> {
        let seeded = |arn: &str| self.seeded.contains_key(arn);
        let mut left = Vec::new();
        for arn in self.load_balancers.keys().filter(|arn| !seeded(arn)) {
            left.push(format!("load balancer {arn}"));
        }
        for arn in self.listeners.keys().filter(|arn| !seeded(arn)) {
            left.push(format!("listener {arn}"));
        }
        for arn in self.target_groups.keys().filter(|arn| !seeded(arn)) {
            left.push(format!("target group {arn}"));
        }
        for (id, record) in &self.security_groups {
            match self.seeded.get(id) {
                None => left.push(format!("security group {id} ({})", record.group.name)),
                Some(before) => {
                    let new = |rule: &&super::super::IngressRule| !before.iter().any(|b| b.same_rule(rule));
                    let added = record.group.ingress.iter().filter(new);
                    left.extend(added.map(|rule| format!("rule of security group {id}: {rule}")));
                }
            }
        }
        left
    }
}
