//! Where the lines of one node come from: its pod's log, again and again if it is followed.
//! A followed log ends when its container does, or with the connection; it is asked for again from the last line on, until Ctrl-C.
//! Invariants: no line is shown twice; whoever does not take lines is waited for, and nothing more is read meanwhile.

use std::time::Duration;

use futures_util::AsyncBufRead;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::LogParams;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, timeout};

use super::lines::{self, Line};
use super::merge::Arrival;
use crate::error::{Exit, Failure};
use crate::kubectl::site::{self, CALL_MAX, Site, call};

/// The container of a node.
pub const CONTAINER: &str = "node";
/// Before a followed log is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// What is wanted of one pod.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name.
    pub pod: String,
    /// Whose of its containers.
    pub container: &'static str,
    /// So many lines at the beginning; `None`: all.
    pub tail: Option<i64>,
    /// Not older than this.
    pub since: Option<Duration>,
    /// Of the container before.
    pub previous: bool,
    /// Also what comes.
    pub follow: bool,
}

/// A log as the kubelet gives it. `follow`: whose first line may be long in coming.
pub async fn open(site: &Site, pod: &str, params: &LogParams) -> Result<impl AsyncBufRead + Unpin + use<>, Failure> {
    let api: Api<Pod> = Api::namespaced(site.client.clone(), &site.namespace);
    let what = format!("read the log of {pod}");
    if params.follow {
        // The API server may say nothing before the first line, so there is no deadline.
        return api.log_stream(pod, params).await.map(Box::pin).map_err(|error| site::failure(&what, &error));
    }
    call(&what, api.log_stream(pod, params)).await.map(Box::pin)
}

impl Source {
    /// Reads until the end, or, if it is followed, until nobody takes lines any more.
    pub async fn read(self, site: Site, lines: Sender<Arrival>, troubles: Sender<Failure>) {
        let mut last = None;
        let mut told = String::new();
        loop {
            let outcome = self.once(&site, &lines, &mut last).await;
            if let Err(failure) = outcome {
                let is_new = told != failure.message;
                told.clone_from(&failure.message);
                if is_new {
                    let _ = troubles.send(failure).await;
                }
            } else if self.follow && !lines.is_closed() && told != self.pod {
                told.clone_from(&self.pod);
                let ended = Failure::unavailable(format!("{}: its log ended; it is followed again", self.pod));
                let _ = troubles.send(ended).await;
            }
            if !self.follow || lines.is_closed() {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    /// One reading. `last`: the time of the last line, which is where the next one goes on.
    async fn once(&self, site: &Site, lines: &Sender<Arrival>, last: &mut Option<Timestamp>) -> Result<(), Failure> {
        let mut log = open(site, &self.pod, &self.params(*last)).await?;
        let gap = |why: String| Failure::new(Exit::Unavailable, format!("read the log of {}: {why}", self.pod));
        let from = *last;
        loop {
            let next = lines::next(&mut log);
            let line = match self.follow {
                true => next.await,
                false => timeout(CALL_MAX, next).await.map_err(|_| gap("it does not go on".to_owned()))?,
            };
            let Some(line) = line.map_err(|error| gap(error.to_string()))? else { return Ok(()) };
            if is_old(&line, from) {
                continue;
            }
            *last = line.time.or(*last);
            if lines.send((Instant::now(), line)).await.is_err() {
                return Ok(());
            }
        }
    }

    fn params(&self, last: Option<Timestamp>) -> LogParams {
        let since = self.since.filter(|_| last.is_none());
        LogParams {
            container: Some(self.container.to_owned()),
            follow: self.follow,
            previous: self.previous,
            tail_lines: self.tail.filter(|_| last.is_none()),
            since_seconds: since.map(|since| i64::try_from(since.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX)),
            since_time: last,
            timestamps: true,
            ..LogParams::default()
        }
    }
}

/// Whether it was shown before: the kubelet begins at a whole second.
fn is_old(line: &Line, from: Option<Timestamp>) -> bool {
    from.is_some_and(|from| line.time.is_some_and(|time| time <= from))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Duration, Line, Source, is_old};

    #[test]
    fn a_log_that_is_asked_for_again_goes_on_where_it_ended() {
        let source = Source {
            pod: "demo-0".to_owned(),
            container: super::CONTAINER,
            tail: Some(10),
            since: Some(Duration::from_millis(1_500)),
            previous: false,
            follow: true,
        };
        let first = source.params(None);
        assert_eq!((first.tail_lines, first.since_seconds, first.since_time), (Some(10), Some(2), None));
        let last = "2026-01-01T00:00:01.5Z".parse().ok();
        let again = source.params(last);
        assert_eq!((again.tail_lines, again.since_seconds, again.since_time), (None, None, last));
        let line = |time: &str| Line { time: Some(time.parse().unwrap()), text: String::new() };
        assert!(
            is_old(&line("2026-01-01T00:00:01.5Z"), last) && !is_old(&line("2026-01-01T00:00:01.500000001Z"), last)
        );
        assert!(!is_old(&Line { time: None, text: String::new() }, last));
    }
}
