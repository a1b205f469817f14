//! Pacing and counting around any implementation of the seam. Time is paused: what passes is what was waited.

use std::{sync::Arc, time::Duration};

use provider_aws::{
    client::{
        Aws, Call, Counted, Ec2, Elbv2, Family, Outcome, Rate, RateLimited, Rates, Select, SharingOptions,
        Tally,
        fake::{FakeAws, Fault},
    },
    error::ErrorKind,
};
use tokio::time::Instant;

use super::account::Refused;

fn slow_reads(aws: &FakeAws) -> Arc<RateLimited<FakeAws>> {
    let rates = Rates { elb_read: Rate { burst: 2, per_second: 1.0 }, ..Rates::default() };
    Arc::new(RateLimited::rate_limited(aws.clone(), &rates))
}

async fn read(api: &impl Elbv2) -> provider_aws::client::Result<()> {
    api.describe_load_balancers(&Select::All, None).await.map(drop)
}

fn seconds(since: Instant) -> u64 {
    since.elapsed().as_millis().div_ceil(1000).try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_at_once_and_the_rest_one_by_one() {
    let api = slow_reads(&FakeAws::new());
    let began = Instant::now();
    let mut ends = Vec::new();
    for _ in 0..5 {
        read(&*api).await.unwrap();
        ends.push(seconds(began));
    }
    assert_eq!(ends, [0, 0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn families_do_not_wait_for_each_other() {
    let api = slow_reads(&FakeAws::new());
    for _ in 0..2 {
        read(&*api).await.unwrap();
    }
    let began = Instant::now();
    api.describe_availability_zones().await.unwrap();
    assert_eq!(seconds(began), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_leaves_its_turn_to_the_next() {
    let api = slow_reads(&FakeAws::new());
    for _ in 0..2 {
        read(&*api).await.unwrap();
    }
    let given_up = tokio::time::timeout(Duration::from_millis(1), read(&*api)).await;
    assert!(given_up.is_err());

    let began = Instant::now();
    read(&*api).await.unwrap();
    assert_eq!(seconds(began), 1);
}

#[tokio::test(start_paused = true)]
async fn one_refusal_pauses_the_family_for_all_callers_and_each_further_one_for_longer() {
    let aws = FakeAws::new();
    let api = slow_reads(&aws);
    aws.fail_always(Call::DescribeLoadBalancers, Fault::before("Throttling"));
    let began = Instant::now();
    let mut ends = Vec::new();
    for _ in 0..4 {
        assert_eq!(read(&*api).await.code(), "Throttling");
        ends.push(seconds(began));
    }
    // Pauses of 1, 2 and 4 seconds, each with the wait for one token after it.
    assert_eq!(ends, [0, 2, 5, 10]);

    aws.heal();
    let (one, two) = tokio::join!(read(&*api), read(&*api));
    one.unwrap();
    two.unwrap();
    assert_eq!(seconds(began), 20);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_when_a_pause_begins_go_one_by_one_after_it() {
    let aws = FakeAws::new();
    let api = slow_reads(&aws);
    aws.set_latency(Duration::from_millis(10));
    aws.fail_nth(Call::DescribeLoadBalancers, 1, Fault::before("Throttling"));
    let began = Instant::now();
    let callers = (0..6).map(|_| async {
        let _ = read(&*api).await;
        began.elapsed().as_millis()
    });
    let mut ends = futures::future::join_all(callers).await;
    ends.sort_unstable();

    // Two go at once and one of them is refused; the pause lasts a second, then a token comes each second.
    let gaps: Vec<u128> = ends[2..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(ends[2] >= 2000, "{ends:?}");
    assert_eq!(gaps, [1000, 1000, 1000], "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn the_default_rates_stay_inside_the_buckets_that_aws_publishes() {
    let aws = FakeAws::new();
    aws.throttle(Family::ElbRead, Rate { burst: 40, per_second: 10.0 });
    aws.throttle(Family::Ec2Read, Rate { burst: 100, per_second: 20.0 });
    aws.throttle(Family::Ec2Write, Rate { burst: 50, per_second: 5.0 });
    let api = RateLimited::rate_limited(aws, &Rates::default());

    for _ in 0..300 {
        read(&api).await.unwrap();
        api.describe_availability_zones().await.unwrap();
        assert_eq!(api.delete_security_group("sg-absent").await.code(), "InvalidGroup.NotFound");
    }
}

#[tokio::test(start_paused = true)]
async fn reading_a_large_account_holds_nobody_back_for_more_than_two_turns() {
    let account = super::account::Account::new().await;
    for n in 0..400 {
        let name = format!("service-{n}");
        account.target_group(&name, provider_aws::client::Protocol::Tcp).await;
    }
    let lb = account.load_balancer("web").await;
    let rates = Rates { elb_read: Rate { burst: 1, per_second: 1.0 }, ..Rates::default() };
    let aws = Aws::new(RateLimited::rate_limited(account.aws, &rates), SharingOptions::default());
    let reading = tokio::spawn({
        let aws = aws.clone();
        async move { aws.snapshot(Duration::ZERO).await }
    });
    tokio::time::sleep(Duration::from_millis(5500)).await;

    let began = Instant::now();
    aws.listeners(&lb.arn).await.unwrap();
    assert_eq!(seconds(began), 3);
    assert!(!reading.is_finished());
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_call_and_outcome_with_the_time_aws_took() {
    let aws = FakeAws::new();
    aws.set_latency(Duration::from_millis(200));
    aws.fail_nth(Call::DescribeLoadBalancers, 2, Fault::before("Throttling"));
    let tally = Arc::new(Tally::default());
    let api = Counted::counted(aws, tally.clone());
    for _ in 0..3 {
        let _ = read(&api).await;
    }

    let sums = tally.sums();
    let done = sums[&(Call::DescribeLoadBalancers, Outcome::Done)];
    let throttled = sums[&(Call::DescribeLoadBalancers, Outcome::Failed(ErrorKind::Throttled))];
    assert_eq!((done.count, done.took), (2, Duration::from_millis(400)));
    assert_eq!(throttled.count, 1);
    assert_eq!((tally.count(Call::DescribeLoadBalancers), tally.total()), (3, 3));
}
