//! The service over a real socket, with an engine that the test plays and faults that are real.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use driftkv_core::effect::{AdminReply, AdminRequest, PartitionDigest, Peeked, Status as CoreStatus};
use driftkv_core::id::{CommitNo, Incarnation, Key, PartitionId};
use driftkv_proto::client::Caller;
use driftkv_proto::v1::admin_client::AdminClient;
use driftkv_proto::v1::{self, ApplyFaultsRequest, ClearFaultsRequest, GetFaultsRequest};
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::Channel;

use super::{AdminApi, Gate, Guarded};
use crate::api::loopback::{connect, next, serve, soon};
use crate::config::Config;
use crate::driver::{Handle, Inbox, Job};
use crate::faults::{Faults, Membership};

const EXPERIMENT: &str = "{id: slow, for: 60s, faults: [{kind: delay, from: demo-1, to: demo-2, mean: 5ms}]}";

fn config(flags: &[&str]) -> Config {
    let needed = ["driftkv-node", "--name", "demo-1", "--data", "d", "--partitions", "8"];
    Config::from_args(needed.iter().chain(flags).map(Into::into)).unwrap()
}

async fn start(flags: &[&str]) -> (AdminClient<Channel>, Inbox, Faults) {
    let config = config(flags);
    let (handle, inbox) = Handle::new();
    let faults = Faults::new(&config.name, config.allow_faults);
    let admin = AdminApi::new(handle, faults.clone(), &config, Incarnation(1));
    let address = serve(admin.into_service()).await;
    (AdminClient::new(connect(&address).await), inbox, faults)
}

async fn asked(inbox: &mut Inbox) -> (AdminRequest, oneshot::Sender<AdminReply>) {
    match next(inbox).await {
        Job::Admin { request, to } => (request, to),
        other => panic!("{other:?}"),
    }
}

fn bootstrap() -> v1::BootstrapRequest {
    let member = |n: u64| v1::Member {
        incarnation: n,
        name: format!("demo-{n}"),
        zone: "z".to_owned(),
        capacity: 1,
        client_address: format!("127.0.0.1:{}", 7000 + 10 * n),
        peer_address: format!("127.0.0.1:{}", 7001 + 10 * n),
        admin_address: format!("127.0.0.1:{}", 7002 + 10 * n),
    };
    let members = (1..=3).map(member).collect();
    v1::BootstrapRequest { cluster_id: vec![7; 16].into(), partitions: 8, replication_factor: 3, members }
}

#[tokio::test]
async fn only_who_shows_a_token_reaches_the_service() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "right\n").unwrap();
    let (handle, _inbox) = Handle::new();
    let config = config(&["--allow-faults", "--admin-token-file", file.path().to_str().unwrap()]);
    let admin = AdminApi::new(handle, Faults::new("demo-1", true), &config, Incarnation(1)).into_service();
    let address = serve(Guarded::new(admin, Gate::new(config.admin_token_file))).await;
    let channel = connect(&address).await;
    for (token, expected) in [(None, false), (Some("wrong"), false), (Some("righ"), false), (Some("right"), true)] {
        let caller = token.map(|token| Caller::with_token(token).unwrap()).unwrap_or_default();
        let mut admin = AdminClient::with_interceptor(channel.clone(), caller);
        let answer = soon(admin.get_faults(GetFaultsRequest {})).await;
        assert_eq!(answer.is_ok(), expected, "{token:?}");
        if let Err(refused) = answer {
            assert_eq!(refused.code(), Code::Unauthenticated);
            assert!(refused.message().contains("--admin-token-file"), "{}", refused.message());
        }
    }
}

#[tokio::test]
async fn an_operator_that_lost_its_lease_changes_nothing() {
    let (handle, _inbox) = Handle::new();
    let faults = Faults::new("demo-1", true);
    let api = AdminApi::new(handle, faults.clone(), &config(&["--allow-faults"]), Incarnation(1));
    let channel = connect(&serve(api.into_service()).await).await;
    faults.set_members(Membership { names: (1..=3).map(|n| format!("demo-{n}")).collect(), n: 3, r: 2, w: 2 });
    let of = |term: u64| AdminClient::with_interceptor(channel.clone(), Caller::default().in_term(Some(term)));
    let request = || ApplyFaultsRequest { experiment: EXPERIMENT.to_owned(), left_ms: 9_000 };
    let applied = soon(of(7).apply_faults(request())).await.unwrap().into_inner();
    assert!(applied.experiments[0].remaining_ms <= 9_000, "only what is left");
    let refusals = [
        soon(of(6).clear_faults(ClearFaultsRequest::default())).await.unwrap_err(),
        soon(of(6).apply_faults(request())).await.unwrap_err(),
        soon(of(6).bootstrap(bootstrap())).await.unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("its lease is lost"), "{}", refused.message());
    }
    assert_eq!(faults.active_count(), 1);
    soon(of(6).get_faults(GetFaultsRequest {})).await.unwrap();
    soon(of(7).clear_faults(ClearFaultsRequest::default())).await.unwrap();
}

#[tokio::test]
async fn a_bootstrap_reaches_the_engine_as_a_layout() {
    let (mut admin, mut inbox, _) = start(&["--zone", "z", "--advertise-peer", "127.0.0.1:7011"]).await;
    let call = tokio::spawn(async move { admin.bootstrap(bootstrap()).await });
    let (request, to) = asked(&mut inbox).await;
    let AdminRequest::Bootstrap(layout) = request else { panic!("{request:?}") };
    assert_eq!((layout.version, layout.members.len()), (1, 3));
    to.send(AdminReply::Bootstrapped { version: 1, hash: layout.hash(), was_adopted: true }).unwrap();
    let reply = soon(call).await.unwrap().unwrap().into_inner();
    assert_eq!((reply.version, reply.was_adopted), (1, true));
    assert_eq!(reply.layout_hash, layout.hash().to_be_bytes().to_vec());
}

#[tokio::test]
async fn a_bootstrap_that_contradicts_the_flags_is_refused_with_every_contradiction() {
    let flags = ["--capacity", "2", "--advertise-admin", "demo-1.demo:7402", "--zone", "y", "--partitions", "16"];
    let flags = [&flags[..6], &["--replication-factor", "2"]].concat();
    let (mut admin, _inbox, _) = start(&flags).await;
    let mut request = bootstrap();
    request.members[0].name = "demo-9".to_owned();
    let status = soon(admin.bootstrap(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        "the bootstrap contradicts what this node was started with: --replication-factor is 2, the bootstrap says 3; \
         --name is demo-1, the bootstrap says demo-9; --capacity is 2, the bootstrap says 1; --zone is y, the bootstrap \
         says z; --advertise-admin is demo-1.demo:7402, the bootstrap says 127.0.0.1:7012"
    );
}

#[tokio::test]
async fn refusals_say_why_and_under_which_code() {
    let (mut admin, mut inbox, _) = start(&[]).await;
    let short = v1::BootstrapRequest { cluster_id: "short".into(), ..bootstrap() };
    let status = soon(admin.bootstrap(short)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("cluster_id has 5 bytes"), "{}", status.message());
    let mut other = admin.clone();
    let call = tokio::spawn(async move { other.digest(v1::DigestRequest { partition: 9 }).await });
    let (_, to) = asked(&mut inbox).await;
    to.send(AdminReply::Refused("this node does not own partition 9".to_owned())).unwrap();
    let status = soon(call).await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "this node does not own partition 9"));
    drop(inbox);
    let status = soon(admin.status(v1::StatusRequest {})).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "this node is stopping"));
}

#[tokio::test]
async fn status_layout_and_digest_come_from_the_engine() {
    let (mut admin, mut inbox, _) = start(&["--zone", "z"]).await;
    let engine = tokio::spawn(async move {
        let (request, to) = asked(&mut inbox).await;
        assert!(matches!(request, AdminRequest::Status));
        let status = CoreStatus {
            boot: 3,
            synced: CommitNo(4),
            cluster: None,
            layout_version: 0,
            state: "empty",
            peers: vec![],
            hints: vec![],
            partitions_owned: 0,
            partitions_built: 0,
            partitions_dirty: 0,
            keys: 0,
            in_flight: 0,
            counters: vec![],
        };
        to.send(AdminReply::Status(Box::new(status))).unwrap();
        let (request, to) = asked(&mut inbox).await;
        assert!(matches!(request, AdminRequest::GetLayout));
        to.send(AdminReply::Layout(None)).unwrap();
        let (request, to) = asked(&mut inbox).await;
        assert!(matches!(request, AdminRequest::Digest(PartitionId(2))));
        to.send(AdminReply::Digest { root: 258, keys: 6, is_built: true }).unwrap();
        let (request, to) = asked(&mut inbox).await;
        assert!(matches!(request, AdminRequest::Digests));
        let digest = PartitionDigest { partition: PartitionId(2), root: 258, keys: 6, is_built: true };
        to.send(AdminReply::Digests(vec![digest])).unwrap();
    });
    let status = soon(admin.status(v1::StatusRequest {})).await.unwrap().into_inner();
    assert_eq!((status.name.as_str(), status.zone.as_str(), status.state.as_str()), ("demo-1", "z", "empty"));
    assert_eq!((status.incarnation, status.boot), (1, 3));
    assert_eq!(status.faults.map(|faults| faults.is_allowed), Some(false));
    let layout = soon(admin.get_layout(v1::GetLayoutRequest {})).await.unwrap().into_inner();
    assert_eq!(layout.version, 0, "there is none yet");
    let digest = soon(admin.digest(v1::DigestRequest { partition: 2 })).await.unwrap().into_inner();
    assert_eq!((digest.root.to_vec(), digest.keys, digest.is_built), (vec![0, 0, 0, 0, 0, 0, 1, 2], 6, true));
    let digests = soon(admin.digests(v1::DigestsRequest {})).await.unwrap().into_inner().partitions;
    assert_eq!(digests, [v1::PartitionDigest { partition: 2, root: 258, keys: 6, is_built: true }]);
    soon(engine).await.unwrap();
}

#[tokio::test]
async fn what_a_node_stores_is_shown_only_where_it_may_be_disturbed_and_only_so_much() {
    let (mut closed, _inbox, _) = start(&[]).await;
    let request = |keys: usize| v1::PeekRequest { bucket: String::new(), keys: vec!["k".into(); keys] };
    let refused = soon(closed.peek(request(1))).await.unwrap_err();
    assert!(refused.code() == Code::FailedPrecondition && refused.message().contains("--allow-faults"), "{refused}");
    let (mut admin, mut inbox, _) = start(&["--allow-faults"]).await;
    let engine = tokio::spawn(async move {
        for bytes in [1, 4 << 20] {
            let (request, to) = asked(&mut inbox).await;
            assert!(matches!(request, AdminRequest::Peek(keys) if keys == [Key::new("default", "k")]));
            let values = vec![vec![7; bytes].into()];
            to.send(AdminReply::Peeked(vec![Peeked { is_owned: true, is_known: true, values }])).unwrap();
        }
    });
    let shown = soon(admin.peek(request(1))).await.unwrap().into_inner().keys;
    assert_eq!(shown, [v1::PeekedKey { is_owned: true, is_known: true, values: vec![vec![7].into()] }]);
    assert_eq!(soon(admin.peek(request(1))).await.unwrap_err().code(), Code::OutOfRange);
    soon(engine).await.unwrap();
    let long = v1::PeekRequest { bucket: String::new(), keys: vec![vec![0; 1 << 20].into()] };
    for (request, words) in [(request(1_001), "allowed are 1000"), (long, "has 1048576 bytes")] {
        let refused = soon(admin.peek(request)).await.unwrap_err();
        assert!(refused.code() == Code::InvalidArgument && refused.message().contains(words), "{refused}");
    }
}

#[tokio::test]
async fn faults_are_applied_shown_and_cleared_without_the_engine() {
    let (mut admin, inbox, faults) = start(&["--allow-faults"]).await;
    drop(inbox);
    let names = (1..=3).map(|n| format!("demo-{n}")).collect();
    faults.set_members(Membership { names, n: 3, r: 2, w: 2 });
    let applied =
        soon(admin.apply_faults(ApplyFaultsRequest { experiment: EXPERIMENT.to_owned(), ..Default::default() })).await;
    let applied = applied.unwrap().into_inner();
    assert_eq!((applied.experiments[0].id.as_str(), applied.experiments[0].state.as_str()), ("slow", "active"));
    let seen = soon(admin.get_faults(GetFaultsRequest {})).await.unwrap().into_inner();
    assert!(seen.is_allowed && seen.experiments.len() == 1);
    let cleared = soon(admin.clear_faults(ClearFaultsRequest { id: "slow".to_owned() })).await.unwrap().into_inner();
    assert_eq!(cleared.experiments[0].state, "cleared");
}

#[tokio::test]
async fn faults_that_cannot_be_say_why_under_the_fitting_code() {
    let (mut admin, _inbox, faults) = start(&["--allow-faults"]).await;
    let mut refusal = async |experiment: &str| {
        let request = ApplyFaultsRequest { experiment: experiment.to_owned(), ..Default::default() };
        let status = soon(admin.apply_faults(request)).await.unwrap_err();
        (status.code(), status.message().to_owned())
    };
    assert_eq!(refusal(EXPERIMENT).await.0, Code::FailedPrecondition, "no members are known yet");
    let names = (1..=3).map(|n| format!("demo-{n}")).collect();
    faults.set_members(Membership { names, n: 3, r: 2, w: 2 });
    let (code, words) = refusal("{for: 60s, faults: [{kind: delay, from: demo-1}]}").await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(words.contains("line 1, column"), "{words}");
    let cut = "{for: 60s, faults: [{kind: partition, groups: [[demo-1], [demo-2], [demo-3]]}]}";
    assert_eq!(refusal(cut).await.0, Code::FailedPrecondition);
    let unknown = soon(admin.clear_faults(ClearFaultsRequest { id: "nobody".to_owned() })).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.message()), (Code::NotFound, "no experiment `nobody` is known here"));
    let (mut admin, _inbox, _) = start(&[]).await;
    let refused =
        soon(admin.apply_faults(ApplyFaultsRequest { experiment: EXPERIMENT.to_owned(), ..Default::default() }))
            .await
            .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("--allow-faults"), "{}", refused.message());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stands_still_does_not_keep_an_operator_waiting() {
    let (handle, _inbox) = Handle::new();
    let config = config(&[]);
    let admin = AdminApi::new(handle, Faults::new("demo-1", false), &config, Incarnation(1));
    let status = admin.ask(AdminRequest::Status).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().starts_with("the engine did not answer in 4 s"), "{}", status.message());
}
