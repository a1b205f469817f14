//! What the cluster gives a Service: addresses from its range, ports on its nodes.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::service::{is_headless, needs_health_check, needs_node_port};
use crate::apiserver::object::{self, as_map, list_at, map_mut, str_at, strings_at};
use crate::apiserver::status::FieldError;

const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;
/// What a dry run shows in place of a port.
const DRY_RUN_PORT: u16 = 32_769;

/// The address ranges of Services; the first is the default family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceNetwork {
    /// One range, or one of each family.
    pub ranges: Vec<IpNet>,
}

impl ServiceNetwork {
    /// IPv4 only.
    pub fn single_stack() -> Self {
        Self { ranges: vec![IpNet::new_assert([10, 96, 0, 0].into(), 16)] }
    }

    /// IPv4, and IPv6 for the Services that ask for both.
    pub fn dual_stack() -> Self {
        let six = [0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0];
        Self {
            ranges: vec![IpNet::new_assert([10, 96, 0, 0].into(), 16), IpNet::new_assert(six.into(), 112)],
        }
    }

    fn families(&self) -> impl Iterator<Item = &'static str> {
        self.ranges.iter().map(|range| if range.addr().is_ipv4() { "IPv4" } else { "IPv6" })
    }

    fn range(&self, family: &str) -> Option<IpNet> {
        self.families().position(|f| f == family).map(|i| self.ranges[i])
    }
}

/// Who holds which address and port. The holder is the key of the Service.
#[derive(Debug)]
pub(crate) struct Allocator {
    network: ServiceNetwork,
    addresses: HashMap<IpAddr, String>,
    ports: HashMap<u16, String>,
}

impl Allocator {
    pub(crate) fn new(network: ServiceNetwork) -> Self {
        Self { network, addresses: HashMap::new(), ports: HashMap::new() }
    }

    /// Gives the Service what it needs and does not have yet. On errors, nothing is taken. In a dry run the
    /// values are placeholders, and nothing is taken either.
    pub(crate) fn assign(
        &mut self,
        key: &str,
        old: Option<&Value>,
        service: &mut Value,
        dry_run: bool,
    ) -> Result<(), Vec<FieldError>> {
        let old_spec = old.map(|o| &o["spec"]);
        self.settle_families(old_spec, service).map_err(|e| vec![e])?;
        let mut taken = Taken::default();
        let errors: Vec<FieldError> = self
            .assign_addresses(key, service, dry_run, &mut taken)
            .err()
            .into_iter()
            .chain(self.assign_ports(key, service, dry_run, &mut taken))
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        if !dry_run {
            self.addresses.extend(taken.addresses.into_iter().map(|ip| (ip, key.to_owned())));
            self.ports.extend(taken.ports.into_iter().map(|port| (port, key.to_owned())));
        }
        Ok(())
    }

    /// Takes back what the Service held before and does not name any more.
    pub(crate) fn release(&mut self, key: &str, old: &Value, new: Option<&Value>) {
        let (kept_ips, kept_ports) = new.map(held).unwrap_or_default();
        let (ips, ports) = held(old);
        for ip in ips.into_iter().filter(|ip| !kept_ips.contains(ip)) {
            if self.addresses.get(&ip).is_some_and(|holder| holder == key) {
                self.addresses.remove(&ip);
            }
        }
        for port in ports.into_iter().filter(|port| !kept_ports.contains(port)) {
            if self.ports.get(&port).is_some_and(|holder| holder == key) {
                self.ports.remove(&port);
            }
        }
    }

    /// Fills in the policy and the families, from what is asked for and what the cluster has.
    fn settle_families(&self, old: Option<&Value>, service: &mut Value) -> Result<(), FieldError> {
        let spec = &service["spec"];
        if spec["type"] == "ExternalName" {
            return Ok(());
        }
        let default = self.network.families().next().unwrap_or("IPv4");
        let dual = self.network.ranges.len() > 1;
        let mut families: Vec<String> =
            strings_at(spec, &["ipFamilies"]).into_iter().map(str::to_owned).collect();
        let given = strings_at(spec, &["clusterIPs"]);
        for ip in given.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()).skip(families.len()) {
            families.push(if ip.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned());
        }
        // Nothing selects the pods of such a Service, so its endpoints may be of any family.
        let free = is_headless(spec) && spec.get("selector").is_none();
        let policy = match str_at(spec, &["ipFamilyPolicy"]) {
            Some(policy) => policy.to_owned(),
            None if free && families.is_empty() => "RequireDualStack".to_owned(),
            None if families.len() > 1 => "RequireDualStack".to_owned(),
            None => "SingleStack".to_owned(),
        };
        if policy == "RequireDualStack" && !dual && !free {
            let detail = "this cluster is not configured for dual-stack services";
            return Err(FieldError::invalid("spec.ipFamilyPolicy", policy, detail));
        }
        if families.is_empty() {
            families.push(default.to_owned());
        }
        let second = |first: &str| if first == "IPv4" { "IPv6" } else { "IPv4" }.to_owned();
        match policy.as_str() {
            "SingleStack" if families.len() > 1 => {
                let narrowed = old.is_some_and(|old| old["ipFamilies"] == spec["ipFamilies"]);
                if !narrowed {
                    let detail = "may only hold one family when `ipFamilyPolicy` is 'SingleStack'";
                    return Err(FieldError::invalid("spec.ipFamilies", families, detail));
                }
                families.truncate(1);
            }
            "PreferDualStack" | "RequireDualStack" if families.len() == 1 && (dual || free) => {
                families.push(second(&families[0]));
            }
            _ => {}
        }
        if !free && let Some(i) = families.iter().position(|family| self.network.range(family).is_none()) {
            let field = format!("spec.ipFamilies[{i}]");
            return Err(FieldError::invalid(field, families[i].clone(), "not configured on this cluster"));
        }
        let spec = map_mut(service, "spec");
        spec.insert("ipFamilyPolicy".into(), policy.into());
        if let Some(ips) = spec.get_mut("clusterIPs").and_then(Value::as_array_mut) {
            ips.truncate(families.len());
        }
        spec.insert("ipFamilies".into(), families.into());
        Ok(())
    }

    fn assign_addresses(
        &self,
        key: &str,
        service: &mut Value,
        dry_run: bool,
        taken: &mut Taken,
    ) -> Result<(), FieldError> {
        let spec = &service["spec"];
        if spec["type"] == "ExternalName" || is_headless(spec) {
            return Ok(());
        }
        let mut ips: Vec<IpAddr> = Vec::new();
        let given = strings_at(spec, &["clusterIPs"]);
        for (i, family) in strings_at(spec, &["ipFamilies"]).into_iter().enumerate() {
            let Some(range) = self.network.range(family) else { continue };
            let ip = match given.get(i).and_then(|ip| ip.parse::<IpAddr>().ok()) {
                Some(ip) => {
                    self.check_address(key, i, ip, range)?;
                    ip
                }
                None if dry_run => range.network(),
                None => self.free_address(range).ok_or_else(|| {
                    FieldError::invalid(
                        "spec.clusterIPs",
                        given.clone(),
                        "failed to allocate IP: range is full",
                    )
                })?,
            };
            ips.push(ip);
        }
        let texts: Vec<String> = ips.iter().map(IpAddr::to_string).collect();
        let spec = map_mut(service, "spec");
        spec.insert("clusterIP".into(), texts.first().cloned().into());
        spec.insert("clusterIPs".into(), texts.into());
        taken.addresses = ips;
        Ok(())
    }

    fn check_address(&self, key: &str, i: usize, ip: IpAddr, range: IpNet) -> Result<(), FieldError> {
        let field = format!("spec.clusterIPs[{i}]");
        if !range.contains(&ip) {
            let detail =
                format!("failed to allocate IP {ip}: the provided IP is not in the valid range {range}");
            return Err(FieldError::invalid(field, vec![ip.to_string()], detail));
        }
        match self.addresses.get(&ip) {
            Some(holder) if holder != key => {
                let detail = format!("failed to allocate IP {ip}: provided IP is already allocated");
                Err(FieldError::invalid(field, vec![ip.to_string()], detail))
            }
            _ => Ok(()),
        }
    }

    fn free_address(&self, range: IpNet) -> Option<IpAddr> {
        let at = |offset: u32| match range.network() {
            IpAddr::V4(base) => IpAddr::V4((u32::from(base) + offset).into()),
            IpAddr::V6(base) => IpAddr::V6((u128::from(base) + u128::from(offset)).into()),
        };
        let bits = u32::from(range.max_prefix_len() - range.prefix_len()).min(16);
        let count = (1u32 << bits) - 2;
        let start = fastrand::u32(0..count);
        (0..count).map(|i| at(1 + (start + i) % count)).find(|ip| !self.addresses.contains_key(ip))
    }

    fn assign_ports(
        &self,
        key: &str,
        service: &mut Value,
        dry_run: bool,
        taken: &mut Taken,
    ) -> Vec<FieldError> {
        let kind = service["spec"]["type"].as_str().unwrap_or_default().to_owned();
        if !needs_node_port(&kind) {
            return Vec::new();
        }
        let spec = map_mut(service, "spec");
        let allocate = kind == "NodePort" || spec.get("allocateLoadBalancerNodePorts") != Some(&json!(false));
        let mut errors = Vec::new();
        let mut by_number: HashMap<i64, u16> = HashMap::new();
        for (i, port) in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().enumerate()
        {
            let number = port["port"].as_i64().unwrap_or_default();
            let field = format!("spec.ports[{i}].nodePort");
            match port["nodePort"].as_i64().filter(|&p| p != 0) {
                Some(wanted) => match self.check_port(key, wanted) {
                    Ok(port) => {
                        by_number.insert(number, port);
                        taken.ports.push(port);
                    }
                    Err(detail) => errors.push(FieldError::invalid(field, wanted, detail)),
                },
                None if !allocate => {}
                None => match self.next_port(by_number.get(&number).copied(), dry_run, taken) {
                    Some(found) => {
                        by_number.insert(number, found);
                        as_map(port).insert("nodePort".into(), found.into());
                    }
                    None => errors.push(FieldError::invalid(field, 0, "range is full")),
                },
            }
        }
        errors.extend(self.assign_health_check(key, spec, dry_run, taken));
        errors
    }

    fn assign_health_check(
        &self,
        key: &str,
        spec: &mut Map<String, Value>,
        dry_run: bool,
        taken: &mut Taken,
    ) -> Option<FieldError> {
        if !needs_health_check(spec) {
            return None;
        }
        let field = "spec.healthCheckNodePort";
        match spec.get("healthCheckNodePort").and_then(Value::as_i64) {
            Some(wanted) => match self.check_port(key, wanted) {
                Ok(port) => taken.ports.push(port),
                Err(detail) => return Some(FieldError::invalid(field, wanted, detail)),
            },
            None => {
                let Some(port) = self.next_port(None, dry_run, taken) else {
                    return Some(FieldError::invalid(field, 0, "range is full"));
                };
                spec.insert("healthCheckNodePort".into(), port.into());
            }
        }
        None
    }

    fn check_port(&self, key: &str, wanted: i64) -> Result<u16, String> {
        let port = u16::try_from(wanted).ok().filter(|p| NODE_PORTS.contains(p));
        let port = port.ok_or_else(|| {
            let (low, high) = (NODE_PORTS.start(), NODE_PORTS.end());
            format!("provided port is not in the valid range. The range of valid ports is {low}-{high}")
        })?;
        match self.ports.get(&port) {
            Some(holder) if holder != key => Err("provided port is already allocated".to_owned()),
            _ => Ok(port),
        }
    }

    /// A free port, or the one that the same port number has already under another protocol.
    fn next_port(&self, shared: Option<u16>, dry_run: bool, taken: &mut Taken) -> Option<u16> {
        if shared.is_some() {
            return shared;
        }
        if dry_run {
            return Some(DRY_RUN_PORT);
        }
        let (low, count) = (*NODE_PORTS.start(), NODE_PORTS.end() - NODE_PORTS.start() + 1);
        let start = fastrand::u16(0..count);
        let free = |port: &u16| !self.ports.contains_key(port) && !taken.ports.contains(port);
        let found = (0..count).map(|i| low + (start + i) % count).find(free)?;
        taken.ports.push(found);
        Some(found)
    }
}

#[derive(Default)]
struct Taken {
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
}

/// The addresses and ports that an object names.
fn held(service: &Value) -> (Vec<IpAddr>, Vec<u16>) {
    let spec = &service["spec"];
    let ips = strings_at(spec, &["clusterIPs"]).into_iter().filter_map(|ip| ip.parse().ok()).collect();
    let node_ports = list_at(spec, &["ports"]).iter().map(|port| &port["nodePort"]);
    let ports = node_ports.chain(object::at(spec, &["healthCheckNodePort"]));
    (ips, ports.filter_map(Value::as_u64).filter_map(|p| u16::try_from(p).ok()).collect())
}
