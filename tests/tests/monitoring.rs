//! The chart's alerts and dashboard against what the programs publish: every metric, label and label value that an expression
//! names exists, every expression parses as PromQL, and every runbook has its heading.
//! What nodes publish is docs/metrics.md, which `node/src/metrics/tests.rs` compares with the code; what the operator
//! publishes is its own page.
//! Not here: whether Kubernetes takes the objects that carry them (`control_plane`), and whether a panel looks well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use driftkv_operator::controller::metrics::Metrics;
use driftkv_operator::controller::names::Names;
use driftkv_operator::crd::KVClusterStatus;
use driftkv_proto::v1::ErrorCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Expr, LabelModifier, VectorSelector, parse};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

const ALERTS: &str = include_str!("../../charts/driftkv/files/alerts.yaml");
const DASHBOARD: &str = include_str!("../../charts/driftkv/files/dashboard.json");
const NODES: &str = include_str!("../../docs/metrics.md");
const OPERATOR: &str = include_str!("../../docs/operator.md");
const TROUBLES: &str = include_str!("../../docs/troubleshooting.md");

/// Labels that a scrape adds.
const SCRAPED: [&str; 3] = ["namespace", "service", "pod"];

/// A metric: its labels, and the words in which its label values stand.
struct Family {
    labels: BTreeSet<String>,
    words: String,
    is_histogram: bool,
}

type Families = BTreeMap<String, Family>;

/// What nodes publish: the rows of the table.
fn of_nodes() -> Families {
    let code = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let codes: String = (1..=11).filter_map(|code| ErrorCode::try_from(code).ok()).map(code_word).collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let family = Family {
            labels: code(cells[2]).into_iter().collect(),
            words: format!("{} {codes}", cells[3]),
            is_histogram: cells[1] == "histogram",
        };
        (code(cells[0]).remove(0), family)
    };
    NODES.lines().filter(|line| line.starts_with("| `driftkv_")).map(row).collect()
}

fn code_word(code: ErrorCode) -> String {
    format!(" {}", code.as_str_name().trim_start_matches("ERROR_CODE_").to_lowercase())
}

/// What an operator publishes that has done something of everything.
fn of_operator() -> Families {
    let metrics = Metrics::default();
    metrics.passed(Duration::from_millis(1), Some("deadline"));
    let condition = Condition {
        type_: "Ready".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Time(Timestamp::now()),
        message: String::new(),
        reason: "AsSpecified".to_owned(),
        observed_generation: None,
    };
    let status = KVClusterStatus { conditions: vec![condition], ..KVClusterStatus::default() };
    metrics.tell(&Names { cluster: "demo".to_owned(), namespace: "db".to_owned() }, 3, &status, true);
    let page = metrics.page().unwrap();
    let mut families = Families::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
        let samples = page.lines().filter_map(|line| line.strip_prefix(&name)?.strip_prefix('{')?.split_once('}'));
        let labels = samples.flat_map(|(labels, _)| labels.split(',').filter_map(|label| label.split_once('=')));
        let labels = labels.map(|(label, _)| label.to_owned()).collect();
        families.insert(name, Family { labels, words: OPERATOR.to_owned(), is_histogram: kind == "histogram" });
    }
    families
}

fn published() -> Families {
    of_nodes().into_iter().chain(of_operator()).collect()
}

/// What is wrong with one expression.
struct Judge<'a> {
    published: &'a Families,
    wrong: Vec<String>,
    /// Labels that the result has, as far as aggregations say.
    kept: BTreeSet<String>,
    is_aggregated: bool,
}

impl Judge<'_> {
    fn selector(&mut self, selector: &VectorSelector) {
        let name = selector.name.clone().unwrap_or_default();
        let Some((family, labels)) = family(self.published, &name) else {
            return self.wrong.push(format!("nobody publishes {name:?}"));
        };
        for matcher in selector.matchers.matchers.iter().chain(selector.matchers.or_matchers.iter().flatten()) {
            if !labels.contains(&matcher.name) {
                self.wrong.push(format!("{name} has no label {:?}", matcher.name));
            }
            let unknown = values(matcher).into_iter().find(|value| !has_word(&family.words, value));
            self.wrong.extend(unknown.map(|value| format!("{name} never has {}={value:?}", matcher.name)));
        }
        if !self.is_aggregated {
            self.kept.extend(labels);
        }
    }

    fn grouping(&mut self, of: &Expr, modifier: Option<&LabelModifier>) {
        self.is_aggregated = true;
        let wanted: Vec<String> = modifier.map(|modifier| modifier.labels().labels.clone()).unwrap_or_default();
        let mut inside =
            Judge { published: self.published, wrong: Vec::new(), kept: BTreeSet::new(), is_aggregated: false };
        let _ = walk_expr(&mut inside, of);
        for label in wanted {
            if !inside.kept.contains(&label) {
                self.wrong.push(format!("there is no label {label:?} to group by"));
            }
            self.kept.insert(label);
        }
    }
}

/// The family of a sample's name, and the labels that the sample has once it is scraped.
fn family<'a>(published: &'a Families, name: &str) -> Option<(&'a Family, BTreeSet<String>)> {
    let bucket = name.strip_suffix("_bucket");
    let base = bucket.or(name.strip_suffix("_sum")).or(name.strip_suffix("_count"));
    let family = match (published.get(name), base.and_then(|base| published.get(base))) {
        (Some(family), _) if !family.is_histogram => family,
        (_, Some(family)) if family.is_histogram => family,
        _ => return None,
    };
    let scraped = SCRAPED.iter().map(|label| (*label).to_owned());
    Some((family, family.labels.iter().cloned().chain(scraped).chain(bucket.map(|_| "le".to_owned())).collect()))
}

impl ExprVisitor for Judge<'_> {
    type Error = ();

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
        match expression {
            Expr::Aggregate(aggregate) => self.grouping(&aggregate.expr, aggregate.modifier.as_ref()),
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs),
            _ => {}
        }
        Ok(true)
    }
}

/// The values that a matcher names; none of a dashboard's variable.
fn values(matcher: &Matcher) -> Vec<String> {
    let is_pattern = matches!(matcher.op, MatchOp::Re(_) | MatchOp::NotRe(_));
    if matcher.value.starts_with('$') {
        return Vec::new();
    }
    if is_pattern { matcher.value.split('|').map(str::to_owned).collect() } else { vec![matcher.value.clone()] }
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').any(|found| found == word)
}

/// What is wrong with `text`, and the labels that its result has.
fn judge(published: &Families, text: &str) -> (Vec<String>, BTreeSet<String>) {
    let text = text.replace("$__rate_interval", "5m");
    match parse(&text) {
        Err(why) => (vec![format!("{text}: {why}")], BTreeSet::new()),
        Ok(expression) => {
            let mut judge = Judge { published, wrong: Vec::new(), kept: BTreeSet::new(), is_aggregated: false };
            let _ = walk_expr(&mut judge, &expression);
            (judge.wrong.into_iter().map(|wrong| format!("{text}: {wrong}")).collect(), judge.kept)
        }
    }
}

fn alerts() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(ALERTS).unwrap();
    let groups = file["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The anchors that GitHub and the like give the headings of a page.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings =
        page.lines().filter_map(|line| line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()));
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == ' ';
    headings
        .map(|title| title.to_lowercase().chars().filter(|c| plain(*c)).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn every_alert_asks_for_what_is_published() {
    let published = published();
    let alerts = alerts();
    assert!(alerts.len() >= 15, "{} alerts", alerts.len());
    let wrong: Vec<String> = alerts.iter().flat_map(|alert| judge(&published, &text(&alert["expr"])).0).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_alert_waits_a_while_names_its_severity_and_a_runbook_that_is_there() {
    let anchors = anchors(TROUBLES);
    let mut names = BTreeSet::new();
    for alert in alerts() {
        let name = text(&alert["alert"]);
        let is_time =
            |text: &str| text.ends_with(['m', 'h']) && text[..text.len() - 1].parse::<u32>().is_ok_and(|time| time > 0);
        assert!(is_time(&text(&alert["for"])), "{name}: for");
        assert!(
            ["critical", "warning", "info"].contains(&text(&alert["labels"]["severity"]).as_str()),
            "{name}: severity"
        );
        let runbook = text(&alert["annotations"]["runbook_url"]);
        let anchor = runbook.strip_prefix("docs/troubleshooting.md#").unwrap_or_default();
        assert!(anchors.contains(anchor), "{name}: no heading for {runbook:?}; there are {anchors:?}");
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
}

#[test]
fn every_label_that_an_alert_tells_of_is_in_its_result() {
    let published = published();
    for alert in alerts() {
        let (_, kept) = judge(&published, &text(&alert["expr"]));
        let summary = text(&alert["annotations"]["summary"]);
        for told in summary.split("$labels.").skip(1) {
            let label: String = told.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(kept.contains(&label), "{}: {label} is not in {kept:?}", alert["alert"]);
        }
    }
}

#[test]
fn every_panel_asks_for_what_is_published() {
    let published = published();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = |panel: &Value| panel["targets"].as_array().cloned().unwrap_or_default();
    let targets: Vec<Value> = panels.iter().flat_map(targets).collect();
    assert!(targets.len() >= 25, "{} expressions", targets.len());
    let mut wrong = Vec::new();
    for target in &targets {
        let (found, kept) = judge(&published, &text(&target["expr"]));
        wrong.extend(found);
        for told in text(&target["legendFormat"]).split("{{").skip(1) {
            let label = told.split_once("}}").unwrap().0.trim().to_owned();
            if !kept.contains(&label) {
                wrong.push(format!("{}: its legend names {label:?}", target["expr"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_mistake_in_an_expression_is_seen() {
    let published = published();
    for (mistake, words) in [
        ("sum(rate(driftkv_operation_total[5m]))", "nobody publishes"),
        ("driftkv_operation_duration_seconds", "nobody publishes"),
        ("driftkv_ready{state=\"up\"}", "no label \"state\""),
        ("driftkv_partitions{state=\"drity\"}", "never has state=\"drity\""),
        ("driftkv_operations_total{result=~\"overloaded|overlaoded\"}", "never has result=\"overlaoded\""),
        ("sum by (kind) (driftkv_ready)", "no label \"kind\" to group by"),
        ("sum by (le) (rate(driftkv_hints_total[5m]))", "no label \"le\" to group by"),
        ("sum(rate(driftkv_ready[5m])", "unclosed left parenthesis"),
        ("rate(driftkv_hints_total)", "expected"),
    ] {
        let wrong = judge(&published, mistake).0.join("; ");
        assert!(wrong.contains(words), "{mistake}: {wrong:?}");
    }
}
