//! The status of a Service: its addresses.

use std::net::IpAddr;

use serde_json::Value;

use crate::apiserver::object::{as_map, default_to, list_at, map_mut, str_at};
use crate::apiserver::selectors::is_dns_subdomain;
use crate::apiserver::status::FieldError;

/// An address without a mode is a virtual one. The empty parts of a status are not written out, except for
/// the load balancer itself.
pub(super) fn default(service: &mut Value) {
    let status = map_mut(service, "status");
    status.retain(|_, part| !part.is_null() && part.as_array().is_none_or(|list| !list.is_empty()));
    let balancer = as_map(status.entry("loadBalancer").or_insert(Value::Null));
    balancer.retain(|_, list| list.as_array().is_some_and(|l| !l.is_empty()));
    for ingress in balancer.get_mut("ingress").and_then(Value::as_array_mut).into_iter().flatten() {
        let ingress = as_map(ingress);
        ingress.retain(|_, v| !v.is_null() && v.as_str() != Some(""));
        if ingress.contains_key("ip") {
            default_to(ingress, "ipMode", "VIP");
        }
    }
}

pub(super) fn validate(service: &Value) -> Vec<FieldError> {
    let all = list_at(service, &["status", "loadBalancer", "ingress"]);
    let field = "status.loadBalancer.ingress";
    if !all.is_empty() && service["spec"]["type"] != "LoadBalancer" {
        return vec![FieldError::forbidden(field, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    all.iter()
        .enumerate()
        .flat_map(|(i, ingress)| validate_ingress(&format!("{field}[{i}]"), ingress))
        .collect()
}

fn validate_ingress(field: &str, ingress: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let ip = str_at(ingress, &["ip"]);
    if let Some(ip) = ip
        && let Some(mistake) = mistake_in(ip)
    {
        errors.push(FieldError::invalid(format!("{field}.ip"), ip, mistake));
    }
    match (ip, str_at(ingress, &["ipMode"])) {
        (_, Some("VIP" | "Proxy")) if ip.is_some() => {}
        (Some(_), Some(mode)) => {
            errors.push(FieldError::unsupported(format!("{field}.ipMode"), mode, &["Proxy", "VIP"]));
        }
        (None, Some(_)) => {
            errors.push(FieldError::forbidden(
                format!("{field}.ipMode"),
                "may not be specified when `ip` is not set",
            ));
        }
        (_, None) => {}
    }
    if let Some(hostname) = str_at(ingress, &["hostname"]) {
        let field = format!("{field}.hostname");
        if hostname.parse::<IpAddr>().is_ok() {
            errors.push(FieldError::invalid(field, hostname, "must be a DNS name, not an IP address"));
        } else if !is_dns_subdomain(hostname) {
            errors.push(FieldError::invalid(field, hostname, "a lowercase RFC 1123 subdomain is wanted"));
        }
    }
    errors
}

/// Programs disagree about what an IPv4-mapped address is, so servers take none.
fn mistake_in(ip: &str) -> Option<&'static str> {
    match ip.parse() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Some("must not be an IPv4-mapped IPv6 address")
        }
        Ok(_) => None,
        Err(_) => Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
    }
}
