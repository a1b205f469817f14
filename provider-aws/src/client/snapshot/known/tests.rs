//! What cannot be brought about from outside: an answer that was out of date before it came.

use super::*;
use crate::client::{HealthCheck, HealthCheckPort, HealthCheckProtocol, Protocol, TargetFamily, TargetType};

const ARN: &str = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/1";

fn a_target_group() -> TargetGroup {
    TargetGroup {
        arn: ARN.to_owned(),
        name: "web".to_owned(),
        protocol: Protocol::Tcp,
        port: 30080,
        vpc_id: "vpc-1".to_owned(),
        target_type: TargetType::Instance,
        family: TargetFamily::Ipv4,
        health_check: HealthCheck {
            protocol: HealthCheckProtocol::Tcp,
            port: HealthCheckPort::TrafficPort,
            path: None,
            matcher: None,
            interval_seconds: 10,
            timeout_seconds: 10,
            healthy_threshold: 3,
            unhealthy_threshold: 3,
        },
        load_balancer_arns: Vec::new(),
    }
}

#[test]
fn tags_that_were_changed_while_they_were_read_are_read_again() {
    let mut known = KnownResources::default();
    let began = Instant::now();
    let later = began + Duration::from_secs(1);
    let tags = Tags::from([("stage".to_owned(), "live".to_owned())]);
    known.apply(Patch::TargetGroup(a_target_group()), began);
    known.apply(Patch::AddTags(ARN.to_owned(), tags.clone()), later);

    let answer = |tags: &Tags| BTreeMap::from([(ARN.to_owned(), tags.clone())]);
    known.tags_were_read(vec![ARN.to_owned()], answer(&Tags::new()), began);
    assert!(known.matching(&[]).target_groups.is_empty(), "the answer is from before");
    assert_eq!(known.unread()[1], [ARN]);

    known.tags_were_read(vec![ARN.to_owned()], answer(&tags), later);
    assert_eq!(*known.matching(&[]).target_groups[ARN].tags, tags);
    assert_eq!(known.unread(), [Vec::<String>::new(), Vec::new()]);
}
