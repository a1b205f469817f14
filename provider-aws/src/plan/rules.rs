//! Who may connect, exchanged within the quota of rules: what is wanted is let in before what is not is shut out,
//! as far as there is room. Pure.

use std::collections::BTreeSet;

use crate::client::{IngressRule, RuleSource, Traffic};
use crate::model::RuleFamily;

/// One request on the way from the rules there are to those there should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    /// Adds rules.
    Grant(Vec<IngressRule>),
    /// Takes rules out to make room.
    Revoke(Vec<IngressRule>),
}

/// Lets in what is wanted. Rules that are wanted and there are never touched. With room for all, old rules stay
/// until later; without, those go first that share no client with a rule that is still to come, and those that do
/// only where nothing else makes room.
pub(super) fn exchange(
    found: &[IngressRule],
    wanted: &BTreeSet<IngressRule>,
    at_most: usize,
) -> Vec<Exchange> {
    let mut there: Vec<IngressRule> = found.to_vec();
    let mut stale: Vec<IngressRule> = stale(found, wanted).cloned().collect();
    let mut missing: Vec<IngressRule> =
        wanted.iter().filter(|rule| !contains(found, rule)).cloned().collect();
    let mut steps = Vec::new();
    while !missing.is_empty() {
        let mut granted = Vec::new();
        missing.retain(|rule| {
            let fits = RuleFamily::ALL.iter().all(|f| f.weight(rule) == 0 || f.count(&there) < at_most);
            if fits {
                there.push(rule.clone());
                granted.push(rule.clone());
            }
            !fits
        });
        if !granted.is_empty() {
            steps.push(Exchange::Grant(granted));
        }
        if missing.is_empty() {
            break;
        }
        let (needed, free): (Vec<IngressRule>, Vec<IngressRule>) =
            stale.into_iter().partition(|old| missing.iter().any(|new| share_clients(old, new)));
        let makes_room = |rule: &IngressRule| {
            RuleFamily::ALL.iter().any(|f| f.weight(rule) > 0 && missing.iter().any(|new| f.weight(new) > 0))
        };
        let mut revoked = free;
        stale = needed;
        if !revoked.iter().any(makes_room)
            && let Some(i) = stale.iter().position(makes_room)
        {
            revoked.push(stale.remove(i));
        }
        if revoked.is_empty() {
            // More is wanted than the quota allows: AWS has the last word.
            steps.push(Exchange::Grant(missing));
            break;
        }
        there.retain(|rule| !contains(&revoked, rule));
        steps.push(Exchange::Revoke(revoked));
    }
    steps
}

/// Rules that are there and not wanted.
pub(super) fn stale<'a>(
    found: &'a [IngressRule],
    wanted: &'a BTreeSet<IngressRule>,
) -> impl Iterator<Item = &'a IngressRule> {
    found.iter().filter(|rule| !wanted.iter().any(|other| other.same_rule(rule)))
}

/// Whether a rule lets clients in to this port.
pub(super) fn is_of(rule: &IngressRule, port: u16) -> bool {
    matches!(rule.traffic, Traffic::Tcp { from, to } | Traffic::Udp { from, to } if from <= port && port <= to)
}

fn contains(rules: &[IngressRule], rule: &IngressRule) -> bool {
    rules.iter().any(|other| other.same_rule(rule))
}

/// Whether a client may be let in by either rule.
fn share_clients(one: &IngressRule, other: &IngressRule) -> bool {
    let ports = match (&one.traffic, &other.traffic) {
        (Traffic::All, _) | (_, Traffic::All) => true,
        (Traffic::Tcp { from, to }, Traffic::Tcp { from: first, to: last })
        | (Traffic::Udp { from, to }, Traffic::Udp { from: first, to: last }) => from <= last && first <= to,
        (one, other) => one == other,
    };
    let sources = match (&one.source, &other.source) {
        (RuleSource::Ipv4(one), RuleSource::Ipv4(other)) => one.contains(other) || other.contains(one),
        (RuleSource::Ipv6(one), RuleSource::Ipv6(other)) => one.contains(other) || other.contains(one),
        (RuleSource::Ipv4(_), RuleSource::Ipv6(_)) | (RuleSource::Ipv6(_), RuleSource::Ipv4(_)) => false,
        // Who is in a prefix list or carries a group is not known here.
        _ => true,
    };
    ports && sources
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::rules_weight;

    fn rule(port: u16, source: &str) -> IngressRule {
        let source = match source.parse().expect("a network") {
            ipnet::IpNet::V4(net) => RuleSource::Ipv4(net),
            ipnet::IpNet::V6(net) => RuleSource::Ipv6(net),
        };
        IngressRule { traffic: Traffic::Tcp { from: port, to: port }, source, description: None }
    }

    fn set(rules: &[(u16, &str)]) -> BTreeSet<IngressRule> {
        rules.iter().map(|(port, source)| rule(*port, source)).collect()
    }

    fn list(rules: &[(u16, &str)]) -> Vec<IngressRule> {
        set(rules).into_iter().collect()
    }

    #[test]
    fn with_room_for_all_nothing_is_taken_out() {
        let steps =
            exchange(&list(&[(80, "10.0.0.0/8")]), &set(&[(80, "10.0.0.0/9"), (80, "10.128.0.0/9")]), 3);
        assert_eq!(steps, [Exchange::Grant(list(&[(80, "10.0.0.0/9"), (80, "10.128.0.0/9")]))]);
    }

    #[test]
    fn without_room_those_go_first_whose_clients_no_rule_to_come_lets_in() {
        let found = list(&[(80, "10.0.0.0/8"), (80, "192.168.0.0/16")]);
        let wanted = set(&[(80, "10.0.0.0/9"), (80, "10.128.0.0/9")]);
        let steps = exchange(&found, &wanted, 3);
        let expected = [
            Exchange::Grant(list(&[(80, "10.0.0.0/9")])),
            Exchange::Revoke(list(&[(80, "192.168.0.0/16")])),
            Exchange::Grant(list(&[(80, "10.128.0.0/9")])),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn address_families_have_room_of_their_own() {
        let steps = exchange(&list(&[(80, "10.0.0.0/8")]), &set(&[(80, "2001:db8::/32")]), 1);
        assert_eq!(steps, [Exchange::Grant(list(&[(80, "2001:db8::/32")]))]);
    }

    fn some_rules() -> impl Strategy<Value = BTreeSet<IngressRule>> {
        let source = prop_oneof![
            (0_u8..16, 8_u8..=11).prop_map(|(n, bits)| format!("{}.0.0.0/{bits}", n * 16)),
            (0_u8..4).prop_map(|n| format!("2001:db8:{n}::/48")),
        ];
        let rule = (80_u16..82, source).prop_map(|(port, source)| rule(port, &source));
        proptest::collection::btree_set(rule, 0..=8)
    }

    proptest! {
        #[test]
        fn at_every_step_the_quota_holds_and_what_stays_is_there(found in some_rules(), wanted in some_rules()) {
            let quota = 8;
            let found: Vec<IngressRule> = found.into_iter().collect();
            let mut there = found.clone();
            for step in exchange(&found, &wanted, quota) {
                match step {
                    Exchange::Grant(rules) => {
                        prop_assert!(rules.iter().all(|rule| wanted.contains(rule)), "nothing else is opened");
                        there.extend(rules);
                    }
                    Exchange::Revoke(rules) => {
                        prop_assert!(rules.iter().all(|rule| !wanted.contains(rule)), "what stays is not closed");
                        there.retain(|rule| !rules.contains(rule));
                    }
                }
                prop_assert!(rules_weight(&there) <= quota);
            }
            prop_assert!(wanted.iter().all(|rule| there.contains(rule)));
        }
    }
}
