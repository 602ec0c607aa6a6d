//! The report as JUnit XML: a test case for each expectation, for CI systems that show such.
//! Invariants: well-formed whatever the words; what is not known is an error, never passed over; the suite is not green unless the report is.
//! Follows the schema that Jenkins publishes (testsuites, testsuite, testcase, failure, error).

use std::fmt::Write;

use super::escape::escape;
use super::model::Report;
use crate::offline::Outcome;

/// `report` as one suite.
pub fn junit(report: &Report) -> String {
    let mut cases: Vec<Case> = report
        .expectations
        .iter()
        .map(|of| Case {
            name: if of.cell.is_empty() { of.expression.clone() } else { format!("{} [{}]", of.expression, of.cell) },
            outcome: of.outcome,
            message: format!("measured {}", if of.measured.is_empty() { "nothing" } else { &of.measured }),
            why: [of.interval.as_str(), of.why.as_str()].join("\n").trim().to_owned(),
        })
        .collect();
    let worst = cases.iter().map(|case| case.outcome).max().unwrap_or_default();
    if report.outcome > worst || cases.is_empty() {
        cases.push(Case {
            name: "the experiment as a whole".to_owned(),
            outcome: report.outcome,
            message: "not all of it holds, though no expectation says so".to_owned(),
            why: report.warnings.join("\n"),
        });
    }
    let count = |outcome: Outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\"",
        cases.len(),
        count(Outcome::Violated),
        count(Outcome::Unknown)
    );
    let suite = escape(&report.title);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n<testsuite name=\"{suite}\" {counts} skipped=\"0\">\n"
    );
    for case in &cases {
        case.push(&mut text, &suite);
    }
    text + "</testsuite>\n</testsuites>\n"
}

struct Case {
    name: String,
    outcome: Outcome,
    message: String,
    why: String,
}

impl Case {
    fn push(&self, text: &mut String, suite: &str) {
        let (name, message, why) = (escape(&self.name), escape(&self.message), escape(&self.why));
        let _ = match self.outcome {
            Outcome::Holds => writeln!(text, "<testcase classname=\"{suite}\" name=\"{name}\"/>"),
            Outcome::Violated => writeln!(
                text,
                "<testcase classname=\"{suite}\" name=\"{name}\"><failure type=\"violated\" message=\"{message}\">{why}</failure></testcase>"
            ),
            Outcome::Unknown => writeln!(
                text,
                "<testcase classname=\"{suite}\" name=\"{name}\"><error type=\"unknown\" message=\"{message}\">{why}</error></testcase>"
            ),
        };
    }
}
