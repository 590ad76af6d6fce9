//! Sources that fail, end, panic and stop, with connectors that do what a test says.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::ingest::testing::Rig;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn source(name: &str) -> SourceConfig {
    SourceConfig {
        name: name.to_owned(),
        url: format!("{name}://somewhere"),
        ..SourceConfig::default()
    }
}

fn start(rig: &Rig, names: &[&str], connect: &Connect) -> Replication {
    let mapping = Mapping {
        sources: names.iter().map(|name| source(name)).collect(),
        ..Mapping::default()
    };
    let store = Arc::clone(&rig.store) as _;
    let (writer, clock) = (rig.writer.clone(), rig.clock.clone());
    Replication::start_with(mapping, store, writer, clock, connect).unwrap()
}

async fn until(replication: &Replication, what: impl Fn(&[SourceStatus]) -> bool) {
    let wait = async {
        while !what(&replication.status()) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("{:#?}", replication.status());
    }
}

/// Streams until it is told to stop.
async fn stream(mut context: SourceContext) -> Result<(), SourceError> {
    context.metrics.connected(true);
    context.status.phase(Phase::Streaming);
    let _ = context.stop.wait_for(|stop| *stop).await;
    Ok(())
}

#[tokio::test]
async fn a_source_that_fails_for_good_stops_alone_and_names_the_remedy() {
    let rig = Rig::new();
    let connect: Connect = Arc::new(|context: SourceContext| {
        Box::pin(async move {
            if context.config.name == "good" {
                return stream(context).await;
            }
            Err(SourceError::fatal(
                "the slot edgewise_bad is lost",
                "edgewise replicate resync",
            ))
        })
    });
    let replication = start(&rig, &["bad", "good"], &connect);
    until(&replication, |all| {
        all[0].phase == Phase::Failed && all[1].phase == Phase::Streaming
    })
    .await;
    let bad = &replication.status()[0];
    assert_eq!(bad.error.as_deref(), Some("the slot edgewise_bad is lost"));
    assert_eq!(bad.remedy.as_deref(), Some("edgewise replicate resync"));
    assert!(!replication.is_over());
    replication.stop().await;
}

#[tokio::test]
async fn a_source_that_fails_ends_or_panics_is_connected_again_until_it_works() {
    let rig = Rig::new();
    let lives = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&lives);
    let connect: Connect = Arc::new(move |context| {
        let life = counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match life {
                0 => Err(SourceError::retryable("the server is starting up", "")),
                1 => Ok(()),
                2 => panic!("a defect"),
                _ => stream(context).await,
            }
        })
    });
    let replication = start(&rig, &["main"], &connect);
    until(&replication, |all| all[0].phase == Phase::Waiting).await;
    assert_eq!(
        replication.status()[0].error.as_deref(),
        Some("the server is starting up")
    );
    until(&replication, |all| all[0].phase == Phase::Streaming).await;
    assert_eq!(lives.load(Ordering::Relaxed), 4);
    assert_eq!(replication.status()[0].error, None);
    replication.stop().await;
    assert_eq!(lives.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_stopped_writer_ends_every_source_with_what_to_do() {
    let rig = Rig::new();
    let writer = rig.writer.clone();
    let connect: Connect = Arc::new(move |_| {
        writer.stop();
        Box::pin(async { Err(SourceError::retryable("the store took no changes", "")) })
    });
    let replication = start(&rig, &["main"], &connect);
    until(&replication, |all| all[0].phase == Phase::Failed).await;
    let remedy = replication.status()[0].remedy.clone().unwrap();
    assert!(remedy.contains("takes no more writes"), "{remedy}");
    while !replication.is_over() {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_scheme_that_nobody_follows_is_named() {
    let rig = Rig::new();
    let mapping = Mapping {
        sources: vec![source("oracle")],
        ..Mapping::default()
    };
    let store = Arc::clone(&rig.store) as _;
    let (writer, clock) = (rig.writer.clone(), rig.clock.clone());
    let replication = Replication::start(mapping, store, writer, clock).unwrap();
    until(&replication, |all| all[0].phase == Phase::Failed).await;
    let error = replication.status()[0].error.clone().unwrap();
    assert!(error.contains("oracle://"), "{error}");
}
