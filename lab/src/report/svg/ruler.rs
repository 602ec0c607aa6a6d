//! Turns numbers into places on an axis and says where its ticks are: linear (steps of 1, 2, 5), by decades, by nines, or a share.
//! Invariants: a place is finite and between the two ends; a number that has no place (not finite, not above 0 on decades, no share) gets `None`.
//! Not here: drawing the axis (`frame`).

use crate::report::model::Scale;

/// An axis with its ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
    /// The upper end is the whole, 100 %, which no number of nines reaches.
    ends_whole: bool,
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    /// Empty: a small one.
    pub(super) label: String,
}

/// Whether a linear axis begins at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Always: heights are compared.
    Zero,
    /// If 0 is not far from the numbers: places in time.
    Near,
}

/// Where axes of shares may end, if all of them are small: one in a hundred would be a line on the ground.
const TOPS: [f64; 6] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const NINES_MAX: f64 = 9.0;
const HUGE: f64 = 1e300;

impl Ruler {
    /// An axis from `from` to `to` (pixels) for all `values` that have a place.
    pub(super) fn of(scale: Scale, base: Base, values: impl Iterator<Item = f64>, (from, to): (f64, f64)) -> Self {
        let mut ends_whole = false;
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            if scale == Scale::Nines && value == 1.0 {
                ends_whole = true;
            } else if let Some(value) = measure(scale, value) {
                (low, high) = (low.min(value), high.max(value));
            }
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let (low, high, step) = match scale {
            Scale::Linear => linear(low, high, base, if (to - from).abs() > 400.0 { 10.0 } else { 6.0 }),
            Scale::Log => decades(low, high),
            Scale::Nines => (0.0, high.ceil().max(1.0) + f64::from(u8::from(ends_whole)), 1.0),
            Scale::Share => {
                let top = TOPS.into_iter().find(|top| *top >= high).unwrap_or(1.0);
                (0.0, top, top / 5.0)
            }
        };
        Self { scale, low, high, step, from, to, ends_whole }
    }

    /// Where `value` is; `None`: nowhere.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        if self.scale == Scale::Nines && value == 1.0 {
            return Some(self.to);
        }
        measure(self.scale, value).map(|value| self.place_measured(value))
    }

    /// The same, where what is beyond an end is at that end; `None` is no number at all.
    pub(super) fn place_within(&self, value: f64) -> Option<f64> {
        if value.is_nan() {
            return None;
        }
        let beyond = if value > 0.0 { self.to } else { self.from };
        Some(self.place(value).unwrap_or(beyond))
    }

    fn place_measured(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.from + share * (self.to - self.from)
    }

    /// Where bars and areas begin.
    pub(super) fn ground(&self) -> f64 {
        if self.scale == Scale::Linear { self.place_measured(0.0) } else { self.from }
    }

    /// From the lower end to the upper.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let count = ((self.high - self.low) / self.step).round().clamp(1.0, 40.0) as usize;
        let mut ticks = Vec::new();
        for index in 0..=count {
            let value = self.low + index as f64 * self.step;
            ticks.push(Tick { at: self.place_measured(value), label: self.label(value) });
            if self.scale == Scale::Log && self.high - self.low <= 4.0 && index < count {
                let is_short = self.high - self.low <= 2.0;
                ticks.extend((2..=9).map(|part| self.between(value, part, is_short)));
            }
        }
        ticks
    }

    /// A tick within the decade that begins at `decade`.
    fn between(&self, decade: f64, part: u8, is_short: bool) -> Tick {
        let value = decade + f64::from(part).log10();
        let label = if is_short && matches!(part, 2 | 5) { self.label(value) } else { String::new() };
        Tick { at: self.place_measured(value), label }
    }

    fn label(&self, value: f64) -> String {
        match self.scale {
            Scale::Linear => with_step(value, self.step),
            Scale::Log => number(10f64.powf(value)),
            Scale::Share => format!("{:.*} %", usize::from(self.step < 0.01), value * 100.0),
            Scale::Nines if self.ends_whole && value >= self.high => "100 %".to_owned(),
            Scale::Nines if value <= 0.0 => "0 %".to_owned(),
            Scale::Nines => {
                let decimals = (value.round() as usize).saturating_sub(2);
                format!("{:.decimals$} %", 100.0 * (1.0 - 10f64.powf(-value)))
            }
        }
    }
}

/// What is even on this scale; `None`: it has no place.
fn measure(scale: Scale, value: f64) -> Option<f64> {
    if !value.is_finite() {
        return None;
    }
    match scale {
        Scale::Linear => Some(value.clamp(-HUGE, HUGE)),
        Scale::Log => (value > 0.0).then(|| value.max(1e-300).log10()),
        Scale::Share => (0.0..=1.0).contains(&value).then_some(value),
        Scale::Nines => (0.0..=1.0).contains(&value).then(|| -(1.0 - value).max(10f64.powf(-NINES_MAX)).log10()),
    }
}

fn linear(low: f64, high: f64, base: Base, ticks: f64) -> (f64, f64, f64) {
    let starts_at_zero = base == Base::Zero || low < 0.0 || low <= high / 2.0;
    let low = if starts_at_zero { low.min(0.0) } else { low };
    let high = if starts_at_zero { high.max(0.0) } else { high };
    let high = if high - low > low.abs().max(high.abs()) * 1e-12 { high } else { low + low.abs().max(1.0) };
    let step = nice((high - low) / ticks);
    ((low / step).floor() * step, (high / step).ceil() * step, step)
}

/// The least of 1, 2, 5 times a power of ten that is not below `step`.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.max(1e-300).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|part| part * power).find(|nice| *nice >= step * 0.999).unwrap_or(step)
}

fn decades(low: f64, high: f64) -> (f64, f64, f64) {
    let (low, high) = (low.floor(), high.ceil());
    let high = if high > low { high } else { low + 1.0 };
    let step = ((high - low) / 8.0).ceil();
    (low, low + ((high - low) / step).ceil() * step, step)
}

fn with_step(value: f64, step: f64) -> String {
    let value = if value.abs() < step / 1e6 { 0.0 } else { value };
    if value != 0.0 && (value.abs() >= 1e7 || step < 1e-5) {
        return number(value);
    }
    let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    grouped(&format!("{value:.decimals$}"))
}

/// `value` for people, with four digits that count.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e7).contains(&size) {
        let text = format!("{value:.3e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", trimmed(digits));
    }
    let decimals = (3.0 - size.log10().floor()).clamp(0.0, 7.0) as usize;
    grouped(trimmed(&format!("{value:.decimals$}")))
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A thin space between thousands, from 10 000 on.
fn grouped(text: &str) -> String {
    let whole = text.trim_start_matches('-').split('.').next().map_or(0, str::len);
    let sign = text.len() - text.trim_start_matches('-').len();
    if whole < 5 {
        return text.to_owned();
    }
    let spaced = |(place, letter): (usize, char)| {
        let left = (sign + whole).checked_sub(place).unwrap_or(1);
        let gap = if place > sign && left % 3 == 0 && place < sign + whole { "\u{202f}" } else { "" };
        format!("{gap}{letter}")
    };
    text.chars().enumerate().map(spaced).collect()
}
