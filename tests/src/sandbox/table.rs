//! The table of Services, as `kubectl get svc` shows it.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::cluster::addresses;

/// What fits on a line, with room in front.
const COLUMNS: usize = 76;

/// Lines of equal columns: name, type, external addresses, ports. Where addresses are host names, which are too long for
/// that, each stands on a line of its own.
pub fn services(services: &[Service]) -> String {
    let mut rows = vec![["NAME".to_owned(), "TYPE".into(), "EXTERNAL-IP".into(), "PORT(S)".into()]];
    for service in services.iter().filter(|service| type_of(service) == "LoadBalancer") {
        let addresses = addresses(service).join(",");
        rows.push([
            service.name_any(),
            type_of(service).to_owned(),
            if addresses.is_empty() { "<pending>".into() } else { addresses },
            ports(service),
        ]);
    }
    let table = columns(&rows);
    if table.lines().all(|line| line.chars().count() <= COLUMNS) {
        return table;
    }
    let short: Vec<_> =
        rows.iter().map(|[name, kind, _, ports]| [name, kind, ports].map(Clone::clone)).collect();
    let short = columns(&short);
    let addresses = rows.iter().flat_map(|row| row[2].split(',').map(move |it| (row[0].as_str(), it)));
    let below = |line: &str| {
        let of_it = addresses.clone().filter(|(name, _)| line.split_whitespace().next() == Some(name));
        of_it.map(|(_, address)| format!("\n  {address}")).collect::<String>()
    };
    short.lines().map(|line| line.to_owned() + &below(line)).collect::<Vec<_>>().join("\n")
}

fn type_of(service: &Service) -> &str {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()).unwrap_or_default()
}

fn ports(service: &Service) -> String {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let shown = ports.iter().map(|port| {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        match port.node_port {
            Some(node_port) => format!("{}:{node_port}/{protocol}", port.port),
            None => format!("{}/{protocol}", port.port),
        }
    });
    shown.collect::<Vec<_>>().join(",")
}

fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_stands_on_a_line_of_its_own() {
        let host = "k8s-default-web-0123456789-0123456789abcdef.elb.us-east-1.amazonaws.com";
        let service = |name: &str, ingress| -> Service {
            let service = serde_json::json!({
                "metadata": { "name": name },
                "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] },
                "status": { "loadBalancer": { "ingress": ingress } },
            });
            serde_json::from_value(service).unwrap()
        };
        let short = services(&[service("web", serde_json::json!([{ "ip": "192.0.2.10" }]))]);
        assert_eq!(short.lines().count(), 2, "{short}");
        let long = services(&[service("web", serde_json::json!([{ "hostname": host }]))]);
        let lines: Vec<&str> = long.lines().collect();
        assert_eq!(lines[2], "web    LoadBalancer   80/TCP");
        assert_eq!(lines[3], format!("  {host}"));
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "bbb".into()], ["cc".into(), "d".into()]];
        assert_eq!(columns(&rows), "a    bbb\ncc   d");
    }
}
