//! Pacing and counting around any implementation of the seam. Time is paused: what passes is what was waited.

use std::{sync::Arc, time::Duration};

use provider_aws::{
    client::{
        Aws, Call, Counted, Ec2, Elbv2, Protocol, Rate, RateBucket, RateLimited, Rates, RequestOutcome,
        Select, SharingOptions, Tally, Ticket,
        fake::{FakeAws, Fault},
        in_turn,
    },
    error::ErrorKind,
};
use tokio::time::Instant;

use super::account::Refused;

fn slow_reads(aws: &FakeAws) -> Arc<RateLimited<FakeAws>> {
    let rates = Rates::with(|rates| rates.elb_read = Rate { burst: 2, per_second: 1.0 });
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
async fn buckets_do_not_wait_for_each_other() {
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
async fn a_throttled_request_is_sent_again_after_a_second() {
    for code in ["Throttling", "RequestLimitExceeded"] {
        let aws = FakeAws::new();
        let api = RateLimited::rate_limited(aws.clone(), &Rates::default());
        aws.fail_nth(Call::DescribeLoadBalancers, 1, Fault::before(code));
        let began = Instant::now();
        read(&api).await.unwrap();
        assert_eq!((seconds(began), aws.count(Call::DescribeLoadBalancers)), (1, 2), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn four_calls_throttled_once_each_are_done_within_six_seconds() {
    let account = super::account::Account::new().await;
    let api = RateLimited::rate_limited(account.aws.clone(), &Rates::default());
    let throttled = || Fault::before("Throttling");
    for call in [Call::CreateTargetGroup, Call::CreateLoadBalancer, Call::CreateListener, Call::AddTags] {
        account.aws.fail_nth(call, 1, throttled());
    }
    let began = Instant::now();
    let tg = api.create_target_group(&account.a_target_group("web", Protocol::Tcp)).await.unwrap();
    let lb = api.create_load_balancer(&account.a_load_balancer("web")).await.unwrap();
    api.create_listener(&super::account::a_listener(&lb, &tg, 80)).await.unwrap();
    api.add_tags(&lb.arn, &super::account::tags(&[("k", "v")])).await.unwrap();
    assert!(seconds(began) <= 6, "{}", seconds(began));
}

#[tokio::test(start_paused = true)]
async fn throttled_writes_hold_no_reads_back() {
    let aws = FakeAws::new();
    let api = Arc::new(RateLimited::rate_limited(aws.clone(), &Rates::default()));
    aws.fail_always(Call::DeleteTargetGroup, Fault::before("Throttling"));
    let writing = tokio::spawn({
        let api = api.clone();
        async move { api.delete_target_group("absent").await }
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    read(&*api).await.unwrap();
    api.delete_security_group("sg-absent").await.unwrap_err();
    assert_eq!(seconds(began), 0);
    assert!(!writing.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_throttled_for_two_minutes_is_given_up() {
    let aws = FakeAws::new();
    let api = slow_reads(&aws);
    aws.fail_always(Call::DescribeLoadBalancers, Fault::before("Throttling"));
    let began = Instant::now();
    assert_eq!(read(&*api).await.code(), "Throttling");
    assert!((120..130).contains(&seconds(began)), "{}", seconds(began));
    // Each pause is twice as long as the one before, up to eight seconds.
    assert!(aws.count(Call::DescribeLoadBalancers) < 22);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_repeated_twice_and_one_that_was_refused_never() {
    for (code, sent, took) in [("NoReply", 3, 1500), ("ServiceUnavailable", 3, 1500), ("AccessDenied", 1, 0)]
    {
        let aws = FakeAws::new();
        let api = RateLimited::rate_limited(aws.clone(), &Rates::default());
        aws.fail_always(Call::DescribeLoadBalancers, Fault::before(code));
        let began = Instant::now();
        assert_eq!(read(&api).await.code(), code);
        assert_eq!(aws.count(Call::DescribeLoadBalancers), sent, "{code}");
        assert_eq!(began.elapsed().as_millis(), took, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_when_a_pause_begins_go_one_by_one_after_it() {
    let aws = FakeAws::new();
    let api = slow_reads(&aws);
    aws.set_latency(Duration::from_millis(10));
    aws.fail_nth(Call::DescribeLoadBalancers, 1, Fault::before("Throttling"));
    let began = Instant::now();
    let callers = (0..6).map(|_| async {
        read(&*api).await.unwrap();
        began.elapsed().as_millis()
    });
    let mut ends = futures::future::join_all(callers).await;
    ends.sort_unstable();

    // Two go at once and one of them is refused; it goes again after a second, the others at half the rate.
    assert!(ends[0] < 100 && (1000..1100).contains(&ends[1]), "{ends:?}");
    assert!(ends[1..].windows(2).all(|pair| pair[1] - pair[0] > 1800), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_waited_longest_goes_first() {
    let api = slow_reads(&FakeAws::new());
    let tickets: Vec<Ticket> = (0..3).map(|_| Ticket::draw()).collect();
    for _ in 0..2 {
        read(&*api).await.unwrap();
    }
    let began = Instant::now();
    // The youngest asks first, and each asks for two things.
    let callers = tickets.into_iter().rev().map(|ticket| {
        in_turn(ticket, async {
            for _ in 0..2 {
                read(&*api).await.unwrap();
            }
            seconds(began)
        })
    });
    assert_eq!(futures::future::join_all(callers).await, [6, 4, 2]);
}

/// How many of so many reads at once are answered at once.
async fn at_once(api: &RateLimited<FakeAws>, reads: usize) -> usize {
    let began = Instant::now();
    let all = (0..reads).map(|_| async {
        read(api).await.unwrap();
        began.elapsed().is_zero()
    });
    futures::future::join_all(all).await.into_iter().filter(|at_once| *at_once).count()
}

#[tokio::test(start_paused = true)]
async fn what_throttling_taught_is_remembered_for_ten_minutes() {
    let aws = FakeAws::new();
    let rates = Rates::with(|rates| rates.elb_read = Rate { burst: 8, per_second: 1.0 });
    let api = RateLimited::rate_limited(aws.clone(), &rates);
    assert_eq!(at_once(&api, 8).await, 8);
    tokio::time::sleep(Duration::from_secs(60)).await;
    aws.fail_nth(Call::DescribeLoadBalancers, 1, Fault::before("Throttling"));
    read(&api).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5 * 60)).await;
    assert_eq!(at_once(&api, 8).await, 4);
    tokio::time::sleep(Duration::from_secs(10 * 60)).await;
    assert_eq!(at_once(&api, 8).await, 8);
}

#[tokio::test(start_paused = true)]
async fn the_rate_of_writes_follows_what_aws_takes() {
    // Small buckets and large ones: requests a second, and those at once.
    for (per_second, burst) in [(1.0, 5), (3.0, 20), (15.0, 30)] {
        let aws = FakeAws::new();
        aws.throttle(RateBucket::ElbWrite, Rate { burst, per_second });
        let api = RateLimited::rate_limited(aws.clone(), &Rates::default());
        let began = Instant::now();
        let writes = (0..300).map(|_| api.delete_target_group("absent"));
        for result in futures::future::join_all(writes).await {
            result.unwrap();
        }
        let at_best = (300.0 - f64::from(burst)) / per_second;
        assert!(
            began.elapsed().as_secs_f64() < 2.0 * at_best,
            "{per_second}: {:?} of {at_best}",
            began.elapsed()
        );
        let refused = aws.requests().len() - 300;
        assert!(refused < 75, "{per_second}: {refused} were refused");
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_rates_stay_inside_the_buckets_that_aws_publishes() {
    let aws = FakeAws::new();
    aws.throttle(RateBucket::ElbRead, Rate { burst: 40, per_second: 10.0 });
    aws.throttle(RateBucket::Ec2Read, Rate { burst: 100, per_second: 20.0 });
    aws.throttle(RateBucket::Ec2Write, Rate { burst: 50, per_second: 5.0 });
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
    let rates = Rates::with(|rates| rates.elb_read = Rate { burst: 1, per_second: 1.0 });
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
    let done = sums[&(Call::DescribeLoadBalancers, RequestOutcome::Done)];
    let throttled = sums[&(Call::DescribeLoadBalancers, RequestOutcome::Failed(ErrorKind::Throttled))];
    assert_eq!((done.count, done.took), (2, Duration::from_millis(400)));
    assert_eq!(throttled.count, 1);
    assert_eq!((tally.count(Call::DescribeLoadBalancers), tally.total()), (3, 3));
}
