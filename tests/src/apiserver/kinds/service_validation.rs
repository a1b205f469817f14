//! What a Service may say.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::service::{is_headless, needs_health_check, needs_node_port};
use super::service_status;
use crate::apiserver::object::{self, list_at, str_at, strings_at};
use crate::apiserver::selectors::{is_dns_label, is_dns_subdomain, is_label_key};
use crate::apiserver::status::FieldError;

const ONLY_BALANCERS: &str = "may only be used when `type` is 'LoadBalancer'";
const FIXED: &str = "may not change once set";

pub(super) fn validate(service: &Value) -> Vec<FieldError> {
    let spec = &service["spec"];
    let kind = spec["type"].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    let name = object::name(service);
    if !is_dns_label(name) || name.len() > 63 {
        let detail = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'";
        errors.push(FieldError::invalid("metadata.name", name, detail));
    }
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !kinds.contains(&kind) {
        errors.push(FieldError::unsupported("spec.type", kind, &kinds));
    }
    validate_ports(spec, kind, &mut errors);
    validate_affinity(spec, &mut errors);
    validate_addresses(spec, kind, &mut errors);
    validate_policies(spec, kind, &mut errors);
    validate_balancer(service, kind, &mut errors);
    errors.extend(service_status::validate(service));
    errors
}

pub(super) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = validate(new);
    let (before, after) = (&old["spec"], &new["spec"]);
    let both = |kind: &str| before["type"] == kind && after["type"] == kind;
    if before["type"] != "ExternalName" && after["type"] != "ExternalName" {
        let first = |spec: &Value, field: &str| list_at(spec, &[field]).first().cloned();
        if let Some(ip) = first(before, "clusterIPs")
            && first(after, "clusterIPs").is_some_and(|new| new != ip)
        {
            errors.push(FieldError::invalid("spec.clusterIPs[0]", after["clusterIPs"].clone(), FIXED));
        }
        if let Some(family) = first(before, "ipFamilies")
            && first(after, "ipFamilies").is_some_and(|new| new != family)
        {
            errors.push(FieldError::invalid("spec.ipFamilies[0]", after["ipFamilies"].clone(), FIXED));
        }
    }
    if both("LoadBalancer") && before.get("loadBalancerClass") != after.get("loadBalancerClass") {
        let value = after.get("loadBalancerClass").cloned().unwrap_or_default();
        errors.push(FieldError::invalid("spec.loadBalancerClass", value, FIXED));
    }
    let checked = |spec: &Value| spec.as_object().is_some_and(needs_health_check);
    if checked(before)
        && checked(after)
        && before.get("healthCheckNodePort") != after.get("healthCheckNodePort")
    {
        let value = after.get("healthCheckNodePort").cloned().unwrap_or_default();
        errors.push(FieldError::invalid("spec.healthCheckNodePort", value, "field is immutable"));
    }
    errors
}

fn validate_ports(spec: &Value, kind: &str, errors: &mut Vec<FieldError>) {
    let ports = list_at(spec, &["ports"]);
    if ports.is_empty() && kind != "ExternalName" && !is_headless(spec) {
        errors.push(FieldError::required("spec.ports", ""));
    }
    let (mut names, mut numbers, mut node_ports) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (i, port) in ports.iter().enumerate() {
        let field = |name: &str| format!("spec.ports[{i}].{name}");
        match str_at(port, &["name"]) {
            None if ports.len() > 1 => errors.push(FieldError::required(field("name"), "")),
            None => {}
            Some(name) if !is_dns_label(name) || name.len() > 63 => errors.push(FieldError::invalid(
                field("name"),
                name,
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'",
            )),
            Some(name) if !names.insert(name) => errors.push(FieldError::duplicate(field("name"), name)),
            Some(_) => {}
        }
        let number = port["port"].as_i64().unwrap_or(0);
        if !(1..=65_535).contains(&number) {
            errors.push(FieldError::invalid(field("port"), number, "must be between 1 and 65535, inclusive"));
        }
        let protocol = port["protocol"].as_str().unwrap_or_default();
        let protocols = ["SCTP", "TCP", "UDP"];
        if !protocols.contains(&protocol) {
            errors.push(FieldError::unsupported(field("protocol"), protocol, &protocols));
        }
        validate_target_port(&field("targetPort"), &port["targetPort"], errors);
        if !numbers.insert((number, protocol)) {
            errors.push(FieldError::duplicate(format!("spec.ports[{i}]"), port.clone()));
        }
        if let Some(node_port) = port["nodePort"].as_i64().filter(|&p| p != 0) {
            if !needs_node_port(kind) {
                let why = format!("may not be used when `type` is '{kind}'");
                errors.push(FieldError::forbidden(field("nodePort"), why));
            } else if !node_ports.insert((node_port, protocol)) {
                errors.push(FieldError::duplicate(field("nodePort"), node_port));
            }
        }
    }
}

fn validate_target_port(field: &str, target: &Value, errors: &mut Vec<FieldError>) {
    match target {
        Value::Number(n) if n.as_i64().is_none_or(|n| !(1..=65_535).contains(&n)) => {
            errors.push(FieldError::invalid(field, n.clone(), "must be between 1 and 65535, inclusive"));
        }
        Value::String(name) => {
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.len() > 15 {
                errors.push(FieldError::invalid(field, name.clone(), "must be no more than 15 characters"));
            } else if !name.chars().all(known) || !name.chars().any(|c| c.is_ascii_lowercase()) {
                let detail = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
                errors.push(FieldError::invalid(field, name.clone(), detail));
            }
        }
        _ => {}
    }
}

fn validate_affinity(spec: &Value, errors: &mut Vec<FieldError>) {
    let affinity = spec["sessionAffinity"].as_str().unwrap_or_default();
    if !["ClientIP", "None"].contains(&affinity) {
        errors.push(FieldError::unsupported("spec.sessionAffinity", affinity, &["ClientIP", "None"]));
    }
    let path = ["sessionAffinityConfig", "clientIP", "timeoutSeconds"];
    if let Some(seconds) = object::at(spec, &path).and_then(Value::as_i64)
        && !(1..=86_400).contains(&seconds)
    {
        let field = format!("spec.{}", path.join("."));
        errors.push(FieldError::invalid(field, seconds, "must be greater than 0 and less than 86400"));
    }
}

fn validate_addresses(spec: &Value, kind: &str, errors: &mut Vec<FieldError>) {
    let ips = strings_at(spec, &["clusterIPs"]);
    if kind == "ExternalName" {
        if !ips.is_empty() {
            let why = "may not be set when `type` is 'ExternalName'";
            errors.push(FieldError::forbidden("spec.clusterIPs", why));
        }
        match str_at(spec, &["externalName"]).map(|name| name.trim_end_matches('.')) {
            None => errors.push(FieldError::required("spec.externalName", "")),
            Some(name) if !is_dns_subdomain(name) => {
                errors.push(FieldError::invalid(
                    "spec.externalName",
                    name,
                    "a lowercase RFC 1123 subdomain is wanted",
                ));
            }
            Some(_) => {}
        }
    }
    for (i, ip) in ips.iter().enumerate() {
        if *ip != "None" && ip.parse::<IpAddr>().is_err() {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(FieldError::invalid(format!("spec.clusterIPs[{i}]"), *ip, detail));
        } else if *ip == "None" && needs_node_port(kind) {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid(format!("spec.clusterIPs[{i}]"), *ip, detail));
        }
    }
    for (i, ip) in strings_at(spec, &["externalIPs"]).iter().enumerate() {
        let field = format!("spec.externalIPs[{i}]");
        match ip.parse::<IpAddr>() {
            Err(_) => errors.push(FieldError::invalid(field, *ip, "must be a valid IP address")),
            Ok(ip) if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() => {
                let detail = "may not be in the loopback, unspecified or multicast range";
                errors.push(FieldError::invalid(field, ip.to_string(), detail));
            }
            Ok(_) => {}
        }
    }
}

fn validate_policies(spec: &Value, kind: &str, errors: &mut Vec<FieldError>) {
    let policies = ["Cluster", "Local"];
    let external = needs_node_port(kind) || (kind == "ClusterIP" && spec.get("externalIPs").is_some());
    if let Some(policy) = str_at(spec, &["externalTrafficPolicy"]) {
        let field = "spec.externalTrafficPolicy";
        if !external {
            let detail = "may only be set for externally-accessible services";
            errors.push(FieldError::invalid(field, policy, detail));
        } else if !policies.contains(&policy) {
            errors.push(FieldError::unsupported(field, policy, &policies));
        }
    }
    if let Some(port) = spec["healthCheckNodePort"].as_i64().filter(|&p| p != 0)
        && !spec.as_object().is_some_and(needs_health_check)
    {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid("spec.healthCheckNodePort", port, detail));
    }
    let supported = [
        ("internalTrafficPolicy", &policies[..]),
        ("ipFamilyPolicy", &["PreferDualStack", "RequireDualStack", "SingleStack"]),
        ("trafficDistribution", &["PreferClose", "PreferSameNode", "PreferSameZone"]),
    ];
    for (field, values) in supported {
        if let Some(value) = str_at(spec, &[field]).filter(|value| !values.contains(value)) {
            errors.push(FieldError::unsupported(format!("spec.{field}"), value, values));
        }
    }
    for (i, family) in strings_at(spec, &["ipFamilies"]).iter().enumerate() {
        if !["IPv4", "IPv6"].contains(family) {
            errors.push(FieldError::unsupported(format!("spec.ipFamilies[{i}]"), *family, &["IPv4", "IPv6"]));
        }
    }
}

const SOURCE_RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

fn validate_balancer(service: &Value, kind: &str, errors: &mut Vec<FieldError>) {
    let spec = &service["spec"];
    let balancer = kind == "LoadBalancer";
    // The capital L is the server's.
    let field = "spec.LoadBalancerSourceRanges";
    let ranges = strings_at(spec, &["loadBalancerSourceRanges"]);
    if !ranges.is_empty() && !balancer {
        errors.push(FieldError::forbidden(field, ONLY_BALANCERS));
    }
    for (i, range) in ranges.iter().enumerate() {
        if range.trim().parse::<IpNet>().is_err() {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(FieldError::invalid(format!("{field}[{i}]"), *range, detail));
        }
    }
    // Only where the field does not say it.
    let annotation = service["metadata"]["annotations"][SOURCE_RANGES_ANNOTATION].as_str().map(str::trim);
    if let Some(text) = annotation.filter(|text| balancer && ranges.is_empty() && !text.is_empty())
        && text.split(',').any(|range| range.trim().parse::<IpNet>().is_err())
    {
        let field = format!("metadata.annotations[{SOURCE_RANGES_ANNOTATION}]");
        let detail = "must be a comma separated list of CIDRs e.g. 192.168.0.0/16,10.0.0.0/8";
        errors.push(FieldError::invalid(field, text, detail));
    }
    if let Some(class) = spec.get("loadBalancerClass") {
        let name = class.as_str().unwrap_or_default();
        if !balancer {
            errors.push(FieldError::forbidden("spec.loadBalancerClass", ONLY_BALANCERS));
        } else if !is_label_key(name) {
            errors.push(FieldError::invalid("spec.loadBalancerClass", name, "a qualified name is wanted"));
        }
    }
    if spec.get("allocateLoadBalancerNodePorts").is_some() && !balancer {
        errors.push(FieldError::forbidden("spec.allocateLoadBalancerNodePorts", ONLY_BALANCERS));
    }
}
