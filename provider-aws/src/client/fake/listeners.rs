//! Listeners.

use std::collections::BTreeSet;

use super::{
    super::{
        CreateListener, Forward, IpAddressType, Listener, LoadBalancer, ModifyListener, Page, Protocol,
        TargetFamily,
    },
    account::{AccountState, ListenerRecord},
    attributes,
    lags::Countdown,
    refusal::{Answered, refuse},
    rules::{self, IMPOSSIBLE, MALFORMED},
};

/// The security policies known here; AWS has more.
const SSL_POLICIES: &[&str] = &[
    "ELBSecurityPolicy-2016-08",
    "ELBSecurityPolicy-TLS-1-1-2017-01",
    "ELBSecurityPolicy-TLS-1-2-2017-01",
    "ELBSecurityPolicy-TLS-1-2-Ext-2018-06",
    "ELBSecurityPolicy-FS-1-2-2019-08",
    "ELBSecurityPolicy-FS-1-2-Res-2020-10",
    "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-TLS13-1-1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
];

/// The policy of a TLS listener that names none, through the API.
const DEFAULT_SSL_POLICY: &str = "ELBSecurityPolicy-2016-08";

impl AccountState {
    pub(super) fn describe_listeners(&self, arn: &str, page: Option<&str>) -> Answered<Page<Listener>> {
        self.load_balancer(arn)?;
        self.page(self.listeners_of(arn).map(|record| record.listener.clone()).collect(), page)
    }

    pub(super) fn create_listener(&mut self, request: &CreateListener) -> Answered<Listener> {
        let lb_arn = &request.load_balancer_arn;
        self.load_balancer(lb_arn)?;
        rules::elb_tags(&request.tags, self.quotas.tags)?;
        let mut wanted = Listener {
            arn: String::new(),
            load_balancer_arn: lb_arn.clone(),
            port: request.port,
            protocol: request.protocol,
            default_certificate: request.default_certificate.clone(),
            ssl_policy: request.ssl_policy.clone(),
            alpn_policy: request.alpn_policy,
            forward: request.forward.clone(),
        };
        self.check_listener(&wanted)?;
        if wanted.protocol == Protocol::Tls && wanted.ssl_policy.is_none() {
            wanted.ssl_policy = Some(DEFAULT_SSL_POLICY.to_owned());
        }
        if let Some(record) = self.listeners_of(lb_arn).find(|record| record.listener.port == request.port) {
            wanted.arn.clone_from(&record.listener.arn);
            return match record.listener == wanted {
                true => Ok(wanted),
                false => duplicate(request.port),
            };
        }
        if self.listeners_of(lb_arn).count() >= self.quotas.listeners {
            let message = format!("At most {} listeners a load balancer", self.quotas.listeners);
            return refuse("TooManyListeners", message);
        }
        self.targets_fit(lb_arn, &wanted.forward, None)?;
        let number = self.next_number();
        wanted.arn = format!("{}/{number:016x}", lb_arn.replacen(":loadbalancer/", ":listener/", 1));
        let record = ListenerRecord {
            hidden: Countdown::start(self.lags.new_listener, self.now),
            attributes: attributes::listener_defaults(wanted.protocol),
            certificates: BTreeSet::new(),
            tags: request.tags.clone(),
            listener: wanted.clone(),
        };
        self.listeners.insert(wanted.arn.clone(), record);
        self.begin_checks(&wanted.forward);
        Ok(wanted)
    }

    pub(super) fn modify_listener(&mut self, request: &ModifyListener) -> Answered<Listener> {
        let before = self.listener(&request.listener_arn)?.listener.clone();
        let mut wanted = before.clone();
        wanted.port = request.port.unwrap_or(wanted.port);
        wanted.protocol = request.protocol.unwrap_or(wanted.protocol);
        if before.protocol == Protocol::Tls && wanted.protocol != Protocol::Tls {
            wanted.default_certificate = None;
            wanted.ssl_policy = None;
            wanted.alpn_policy = None;
        }
        wanted.default_certificate = request.default_certificate.clone().or(wanted.default_certificate);
        wanted.ssl_policy = request.ssl_policy.clone().or(wanted.ssl_policy);
        wanted.alpn_policy = request.alpn_policy.or(wanted.alpn_policy);
        wanted.forward = request.forward.clone().unwrap_or(wanted.forward);
        self.check_listener(&wanted)?;
        if wanted.protocol == Protocol::Tls && wanted.ssl_policy.is_none() {
            wanted.ssl_policy = Some(DEFAULT_SSL_POLICY.to_owned());
        }
        let mut others = self.listeners_of(&wanted.load_balancer_arn);
        if others.any(|other| other.listener.arn != wanted.arn && other.listener.port == wanted.port) {
            return duplicate(wanted.port);
        }
        drop(others);
        self.targets_fit(&wanted.load_balancer_arn, &wanted.forward, Some(&wanted.arn))?;
        let record = self.listeners.get_mut(&wanted.arn).expect("checked");
        if wanted.protocol != before.protocol {
            record.attributes = attributes::listener_defaults(wanted.protocol);
            record.certificates.clear();
        }
        record.listener = wanted.clone();
        self.begin_checks(&wanted.forward);
        self.release(&before.forward);
        Ok(wanted)
    }

    pub(super) fn delete_listener(&mut self, arn: &str) -> Answered<()> {
        self.listener(arn)?;
        self.remove_listener(arn);
        Ok(())
    }

    pub(super) fn remove_listener(&mut self, arn: &str) {
        if let Some(record) = self.listeners.remove(arn) {
            self.release(&record.listener.forward);
        }
    }

    pub(super) fn listener(&self, arn: &str) -> Answered<&ListenerRecord> {
        match self.listeners.get(arn) {
            Some(record) => Ok(record),
            None => not_found(arn),
        }
    }

    pub(super) fn listeners_of<'a>(&'a self, lb_arn: &'a str) -> impl Iterator<Item = &'a ListenerRecord> {
        self.listeners.values().filter(move |record| record.listener.load_balancer_arn == lb_arn)
    }

    /// The load balancers whose listeners forward to this target group.
    pub(super) fn users_of(&self, target_group: &str) -> BTreeSet<String> {
        let uses = |forward: &Forward| forward.target_groups.iter().any(|tg| tg.arn == target_group);
        self.listeners
            .values()
            .filter(|record| uses(&record.listener.forward))
            .map(|record| record.listener.load_balancer_arn.clone())
            .collect()
    }

    /// Target groups that no listener uses any more count as used for a while.
    fn release(&mut self, forward: &Forward) {
        for tg in &forward.target_groups {
            if self.users_of(&tg.arn).is_empty()
                && let Some(record) = self.target_groups.get_mut(&tg.arn)
            {
                record.released = Countdown::start(self.lags.released_target_group, self.now);
            }
        }
    }

    /// All that does not depend on the other listeners' ports.
    fn check_listener(&self, wanted: &Listener) -> Answered<()> {
        let lb = &self.load_balancer(&wanted.load_balancer_arn)?.lb;
        if wanted.port == 0 {
            return refuse(MALFORMED, "The port must be from 1 to 65535");
        }
        if matches!(wanted.protocol, Protocol::Http | Protocol::Https) {
            let message = format!("Network load balancers have no {} listeners", wanted.protocol);
            return refuse("UnsupportedProtocol", message);
        }
        self.check_tls(wanted)?;
        self.check_forward(wanted, lb)?;
        self.check_udp_and_quic(wanted, lb)
    }

    fn check_tls(&self, wanted: &Listener) -> Answered<()> {
        let is_tls = wanted.protocol == Protocol::Tls;
        if is_tls != wanted.default_certificate.is_some() {
            return refuse(MALFORMED, "A TLS listener needs a certificate, and no other may have one");
        }
        if !is_tls && (wanted.ssl_policy.is_some() || wanted.alpn_policy.is_some()) {
            return refuse(MALFORMED, "Only TLS listeners have a security or ALPN policy");
        }
        if let Some(policy) = &wanted.ssl_policy
            && !SSL_POLICIES.contains(&policy.as_str())
        {
            return refuse("SSLPolicyNotFound", format!("SSL policy '{policy}' not found"));
        }
        match &wanted.default_certificate {
            Some(arn) => self.certificate_exists(arn),
            None => Ok(()),
        }
    }

    fn check_forward(&self, wanted: &Listener, lb: &LoadBalancer) -> Answered<()> {
        let targets = &wanted.forward.target_groups;
        if targets.is_empty() {
            return refuse("InvalidLoadBalancerAction", "A forward needs a target group");
        }
        if targets.len() > self.quotas.target_groups_per_action {
            let most = self.quotas.target_groups_per_action;
            return refuse("TooManyActions", format!("A forward has at most {most} target groups"));
        }
        if targets.iter().map(|tg| &tg.arn).collect::<BTreeSet<_>>().len() < targets.len() {
            return refuse(MALFORMED, "A forward names a target group twice");
        }
        for target in targets {
            if target.weight > 999 {
                return refuse(MALFORMED, format!("The weight {} is not from 0 to 999", target.weight));
            }
            let tg = &self.target_group(&target.arn)?.tg;
            if tg.vpc_id != lb.vpc_id {
                return refuse(IMPOSSIBLE, "Target group and load balancer are in different VPCs");
            }
            if tg.family == TargetFamily::Ipv6 && lb.ip_address_type == IpAddressType::Ipv4 {
                return refuse(
                    IMPOSSIBLE,
                    "A target group with IPv6 targets needs a dualstack load balancer",
                );
            }
            if self.users_of(&tg.arn).iter().any(|user| *user != lb.arn) {
                let message = format!("Target group '{}' is used by another load balancer", tg.arn);
                return refuse("TargetGroupAssociationLimit", message);
            }
            if !wanted.protocol.allowed_targets().contains(&tg.protocol) {
                let message =
                    format!("A {} listener cannot forward to {} targets", wanted.protocol, tg.protocol);
                return refuse("IncompatibleProtocols", message);
            }
        }
        Ok(())
    }

    fn check_udp_and_quic(&self, wanted: &Listener, lb: &LoadBalancer) -> Answered<()> {
        let is_quic = |protocol| matches!(protocol, Protocol::Quic | Protocol::TcpQuic);
        let dualstack = lb.ip_address_type == IpAddressType::DualStack;
        let others = || {
            self.listeners_of(&lb.arn)
                .filter(|other| other.listener.arn != wanted.arn && other.listener.port != wanted.port)
                .map(|other| other.listener.protocol)
        };
        if is_quic(wanted.protocol) {
            if dualstack || !lb.security_groups.is_empty() {
                return refuse(IMPOSSIBLE, "QUIC needs a load balancer without IPv6 and security groups");
            }
            if others().any(Protocol::carries_udp) {
                return refuse(IMPOSSIBLE, "QUIC cannot be beside another QUIC or UDP listener");
            }
        } else if wanted.protocol.carries_udp() {
            if dualstack && !lb.ipv6_source_nat {
                return refuse(IMPOSSIBLE, "UDP on a dualstack load balancer needs IPv6 source NAT");
            }
            if others().any(is_quic) {
                return refuse(IMPOSSIBLE, "UDP cannot be beside a QUIC listener");
            }
        }
        Ok(())
    }
}

pub(super) fn not_found<T>(arn: &str) -> Answered<T> {
    refuse("ListenerNotFound", format!("Listener '{arn}' not found"))
}

fn duplicate<T>(port: u16) -> Answered<T> {
    refuse("DuplicateListener", format!("A listener already exists on port {port} for this load balancer"))
}
