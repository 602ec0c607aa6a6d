//! The curve of visibility as a figure: measured with its intervals, made to rise, and predicted.

use super::Prediction;
use super::curve::{Bin, Curve};
use crate::report::Figure;
use crate::report::model::{Axis, Kind, Point, Scale, Series, Style};

/// Points of the prediction.
const POINTS: u32 = 200;

/// `None`: nothing was read.
pub(super) fn draw(curve: &Curve, predictions: &[Prediction]) -> Option<Figure> {
    let end = curve.bins.last()?.t_ms;
    let measured = |bin: &Bin| Point {
        x: bin.t_ms,
        y: Some(bin.rate),
        lo: Some(bin.interval.0),
        hi: Some(bin.interval.1),
        is_at_least: false,
    };
    let point = |x, y| Point { x, y: Some(y), ..Point::default() };
    let series = |name: &str, style, points| Series { name: name.to_owned(), points, style };
    let mut lines = vec![
        series("measured", Style::Dots, curve.bins.iter().map(measured).collect()),
        series("rising fit", Style::Line, curve.bins.iter().map(|bin| point(bin.t_ms, bin.fit)).collect()),
    ];
    for Prediction { name, fresh_at, .. } in predictions {
        // Denser at the beginning, where the curve bends.
        let at = |step: u32| end * (f64::from(step) / f64::from(POINTS)).powi(3);
        let points = (0..=POINTS).map(|step| point(at(step), fresh_at(at(step)))).collect();
        lines.push(series(name, Style::Model, points));
    }
    let says = "Share of reads that brought a write, by the time from its acknowledgement to the start of the read; one read a write, through another node. \
                Bars are 95 % intervals (Wilson). WARS: predicted from the injected delays and what messages take without them, over links that keep their order as the store's do, \
                and as if each message had a link of its own.";
    let axis = |label: &str, scale| Axis { label: label.to_owned(), scale };
    Some(Figure {
        id: "visibility".to_owned(),
        title: "Visibility of writes over time".to_owned(),
        says: says.to_owned(),
        x: axis("time since the write was acknowledged (ms)", Scale::Linear),
        y: axis("reads that bring it", Scale::Share),
        bands: Vec::new(),
        kind: Kind::Lines { series: lines },
    })
}
