//! The table of Services, as `kubectl get svc` shows it.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::cluster::addresses;

/// Lines of equal columns: name, type, external addresses, ports.
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
    columns(&rows)
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
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "bbb".into()], ["cc".into(), "d".into()]];
        assert_eq!(columns(&rows), "a    bbb\ncc   d");
    }
}
