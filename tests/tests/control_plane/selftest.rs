//! What `helm test` runs, against a real API server where nothing else is: no operator looks after the cluster, so it must fail in
//! time, say why, and leave nothing; and it must not touch what no selftest made.
//! Not here: a selftest that passes, which needs nodes (`make e2e`).

use std::time::{Duration, Instant};

use driftkv_operator::controller::args::Selftest;
use driftkv_operator::controller::selftest::{Failure, run};

use crate::plane::Plane;

const NAMESPACE: &str = "selftest";

/// Tries both.
pub async fn all(plane: &Plane) -> String {
    let created = plane.kubectl().args(["create", "namespace", NAMESPACE]).output().expect("kubectl");
    assert!(created.status.success(), "{created:?}");
    let args = Selftest {
        namespace: NAMESPACE.to_owned(),
        name: "selftest".to_owned(),
        image: None,
        storage_size: "64Mi".to_owned(),
        storage_class: None,
        timeout: Duration::from_secs(2),
    };
    let began = Instant::now();
    let failed = run(plane.client().await, &args, std::future::pending()).await;
    let Err(Failure::NotReady(why)) = failed else { panic!("nobody makes it Ready: {failed:?}") };
    assert!(why.contains("no operator") && why.contains("pods: none"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(clusters(plane), "", "it leaves nothing");

    let stopped = run(plane.client().await, &args, tokio::time::sleep(Duration::from_millis(200))).await;
    assert!(matches!(stopped, Err(Failure::Stopped)), "{stopped:?}");
    assert_eq!(clusters(plane), "", "nor when it is stopped");

    let foreign = "apiVersion: driftkv.io/v1alpha1\nkind: KVCluster\nmetadata: {name: selftest}\nspec: {replicas: 3}\n";
    let file = plane.write("foreign.yaml", foreign);
    let applied = plane.kubectl().args(["apply", "-n", NAMESPACE, "-f"]).arg(file).output().expect("kubectl");
    assert!(applied.status.success(), "{applied:?}");
    let refused = run(plane.client().await, &args, std::future::pending()).await;
    assert!(matches!(refused, Err(Failure::Foreign(_))), "{refused:?}");
    assert_eq!(clusters(plane), "kvcluster.driftkv.io/selftest\n", "somebody else's stays");
    spares_data(plane, &args).await;
    "a selftest without an operator fails in time, leaves nothing, and touches nobody else's cluster or data".to_owned()
}

/// A KVCluster that is deleted leaves its volumes, and they are no selftest's.
async fn spares_data(plane: &Plane, args: &Selftest) {
    let data = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data-shop-1}\n\
                spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n";
    let file = plane.write("data.yaml", data);
    let applied = plane.kubectl().args(["apply", "-n", NAMESPACE, "-f"]).arg(file).output().expect("kubectl");
    assert!(applied.status.success(), "{applied:?}");
    let args = Selftest { name: "shop".to_owned(), ..args.clone() };
    let refused = run(plane.client().await, &args, std::future::pending()).await;
    assert!(matches!(&refused, Err(Failure::ForeignVolume(name)) if name == "data-shop-1"), "{refused:?}");
    let left =
        ["get", "pvc", "data-shop-1", "-n", NAMESPACE, "-o", "jsonpath={.metadata.name}{.metadata.deletionTimestamp}"];
    let left = plane.kubectl().args(left).output().expect("kubectl");
    assert_eq!(String::from_utf8_lossy(&left.stdout), "data-shop-1", "it is there, and was not told to go");
}

fn clusters(plane: &Plane) -> String {
    let found = plane.kubectl().args(["get", "kvclusters", "-n", NAMESPACE, "-o", "name"]).output().expect("kubectl");
    assert!(found.status.success(), "{found:?}");
    String::from_utf8_lossy(&found.stdout).into_owned()
}
