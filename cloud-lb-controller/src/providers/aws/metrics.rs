//! Requests to AWS.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;
use provider_aws::client::{Call, Meter, RequestOutcome};
use service_controller::Metrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AwsRequestLabels {
    rate_bucket: &'static str,
    operation: &'static str,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RateBucketLabel {
    rate_bucket: &'static str,
}

/// Counts requests by operation and outcome, and times them by the bucket of AWS's that they take a token from.
#[derive(Debug)]
pub(super) struct Requests {
    ended: Family<AwsRequestLabels, Counter>,
    seconds: Family<RateBucketLabel, Histogram, fn() -> Histogram>,
}

/// 5 ms to about 40 s.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 14))
}

impl Default for Requests {
    fn default() -> Self {
        Requests { ended: Family::default(), seconds: Family::new_with_constructor(buckets) }
    }
}

impl Requests {
    /// Shows what is counted.
    pub(super) fn show_in(&self, metrics: &Metrics) {
        metrics.extend(|registry| {
            registry.register(
                "cloud_lb_aws_requests",
                "Requests to AWS, by outcome; each repetition is a request",
                self.ended.clone(),
            );
            registry.register_with_unit(
                "cloud_lb_aws_request_duration",
                "How long requests to AWS took, without the wait for their turn",
                Unit::Seconds,
                self.seconds.clone(),
            );
        });
    }
}

impl Meter for Requests {
    fn request_ended(&self, call: Call, outcome: RequestOutcome, took: Duration) {
        let rate_bucket = call.rate_bucket().name();
        let outcome = match outcome {
            RequestOutcome::Done => "Done".to_owned(),
            RequestOutcome::Failed(kind) => format!("{kind:?}"),
        };
        self.ended.get_or_create(&AwsRequestLabels { rate_bucket, operation: call.name(), outcome }).inc();
        self.seconds.get_or_create(&RateBucketLabel { rate_bucket }).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use provider_aws::error::ErrorKind;

    use super::*;

    #[test]
    fn requests_are_counted_by_operation_and_outcome() {
        let metrics = Metrics::default();
        let requests = Requests::default();
        requests.show_in(&metrics);
        let took = Duration::from_millis(20);
        requests.request_ended(Call::CreateLoadBalancer, RequestOutcome::Done, took);
        requests.request_ended(Call::CreateLoadBalancer, RequestOutcome::Failed(ErrorKind::Throttled), took);
        let text = metrics.encode();
        let labels = "rate_bucket=\"elb_write\",operation=\"CreateLoadBalancer\"";
        for line in [
            format!("cloud_lb_aws_requests_total{{{labels},outcome=\"Done\"}} 1"),
            format!("cloud_lb_aws_requests_total{{{labels},outcome=\"Throttled\"}} 1"),
            "cloud_lb_aws_request_duration_seconds_count{rate_bucket=\"elb_write\"} 2".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
    }
}
