//! Paces in words, and distributions, arrivals and mixes from the words of a command line.

use std::fmt;
use std::str::FromStr;

use super::{Arrivals, Distribution, Mix, Pace, Until};

impl fmt::Display for Pace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::Closed { until: Until::Ops(ops) } => write!(out, "closed loop: {ops} operations"),
            Pace::Closed { until: Until::After(time) } => write!(out, "closed loop: {:.1} s", time.as_secs_f64()),
            Pace::Open { arrivals, duration, in_flight } => {
                let seconds = duration.as_secs_f64();
                write!(out, "open loop: {arrivals} for {seconds:.1} s, at most {in_flight} in flight")
            }
        }
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arrivals::Constant { rate } => write!(out, "constant {rate}/s"),
            Arrivals::Poisson { rate } => write!(out, "poisson {rate}/s"),
            Arrivals::Step { from, to, steps } => write!(out, "{steps} steps from {from}/s to {to}/s"),
            Arrivals::Ramp { from, to } => write!(out, "ramp from {from}/s to {to}/s"),
            Arrivals::Burst { rate, size } => write!(out, "bursts of {size} at {rate}/s"),
        }
    }
}

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(':').collect();
        let number = |text: &str| text.parse::<f64>().map_err(|_| format!("`{text}` is not a number"));
        let whole = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is not a whole number"));
        Ok(match *words.as_slice() {
            ["uniform"] => Self::Uniform,
            ["zipf"] => Self::Zipf { theta: 0.99, scrambled: true },
            ["zipf", theta] => Self::Zipf { theta: number(theta)?, scrambled: true },
            ["zipf-clustered"] => Self::Zipf { theta: 0.99, scrambled: false },
            ["zipf-clustered", theta] => Self::Zipf { theta: number(theta)?, scrambled: false },
            ["hotspot"] => Self::Hotspot { keys: 0.2, ops: 0.8 },
            ["hotspot", keys, ops] => Self::Hotspot { keys: number(keys)?, ops: number(ops)? },
            ["latest"] => Self::Latest { theta: 0.99 },
            ["latest", theta] => Self::Latest { theta: number(theta)? },
            ["recency"] => Self::Recency { depth: 100, theta: 0.99, reuse: 0.9 },
            ["recency", depth, theta, reuse] => {
                let depth = usize::try_from(whole(depth)?).unwrap_or(usize::MAX);
                Self::Recency { depth, theta: number(theta)?, reuse: number(reuse)? }
            }
            ["clustered"] => Self::Clustered { span: 100, run: 100 },
            ["clustered", span, run] => Self::Clustered { span: whole(span)?, run: whole(run)? },
            ["spread"] => Self::Spread,
            ["sequential"] => Self::Sequential,
            _ => return Err(DISTRIBUTIONS.to_owned()),
        })
    }
}

const DISTRIBUTIONS: &str = "a distribution is uniform, zipf[:THETA], zipf-clustered[:THETA], hotspot[:KEYS:OPS] (shares), \
     latest[:THETA], recency[:DEPTH:THETA:REUSE], clustered[:SPAN:RUN], spread or sequential";

/// Shares as `get=50,put=50`, or one of YCSB's workloads by its letter; E scans, which this store does not.
impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of = |get, put, rmw| Ok(Mix { get, put, delete: 0, rmw });
        match text {
            "a" => return of(50, 50, 0),
            "b" | "d" => return of(95, 5, 0),
            "c" => return of(100, 0, 0),
            "e" => return Err("YCSB's workload E scans ranges of keys, and this store has no order of keys".to_owned()),
            "f" => return of(50, 0, 50),
            _ => {}
        }
        let mut mix = Mix { get: 0, put: 0, delete: 0, rmw: 0 };
        for part in text.split(',') {
            let (name, share) = part.split_once('=').ok_or(MIXES)?;
            let slot = match name {
                "get" => &mut mix.get,
                "put" => &mut mix.put,
                "delete" => &mut mix.delete,
                "rmw" => &mut mix.rmw,
                _ => return Err(MIXES.to_owned()),
            };
            if *slot != 0 {
                return Err(format!("{name} is named twice"));
            }
            *slot = share.parse().map_err(|_| format!("`{share}` is not a whole number"))?;
        }
        Ok(mix)
    }
}

const MIXES: &str = "a mix is shares such as get=90,put=8,delete=1,rmw=1, or a, b, c, d or f of YCSB";

/// The shape of arrivals in words, without the rate: `constant`, `poisson`, `step:FROM:TO:STEPS`, `ramp:FROM:TO`, `burst:SIZE`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// At the given rate.
    Constant,
    /// At the given rate.
    Poisson,
    /// At the given rate, so many at once.
    Burst(u32),
    /// With rates of its own.
    Own(Arrivals),
}

impl Shape {
    /// The arrivals at `rate`.
    ///
    /// Errors: a rate is missing, or one too many.
    pub fn at(self, rate: Option<f64>) -> Result<Arrivals, String> {
        match (self, rate) {
            (Shape::Own(arrivals), None) => Ok(arrivals),
            (Shape::Own(arrivals), Some(_)) => Err(format!("{arrivals} has its rates; leave --rate away")),
            (Shape::Constant, Some(rate)) => Ok(Arrivals::Constant { rate }),
            (Shape::Poisson, Some(rate)) => Ok(Arrivals::Poisson { rate }),
            (Shape::Burst(size), Some(rate)) => Ok(Arrivals::Burst { rate, size }),
            (_, None) => Err("these arrivals need --rate".to_owned()),
        }
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(':').collect();
        let rate = |text: &str| text.parse::<f64>().map_err(|_| format!("`{text}` is not a rate"));
        let count = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is not a whole number"));
        Ok(match *words.as_slice() {
            ["constant"] => Self::Constant,
            ["poisson"] => Self::Poisson,
            ["burst", size] => Self::Burst(count(size)?),
            ["ramp", from, to] => Self::Own(Arrivals::Ramp { from: rate(from)?, to: rate(to)? }),
            ["step", from, to, steps] => {
                Self::Own(Arrivals::Step { from: rate(from)?, to: rate(to)?, steps: count(steps)? })
            }
            _ => {
                return Err("arrivals are constant, poisson, burst:SIZE, ramp:FROM:TO or step:FROM:TO:STEPS".to_owned());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Arrivals, Distribution, Mix, Shape};

    #[test]
    fn distributions_are_read_with_and_without_their_numbers() {
        let read = |text: &str| text.parse::<Distribution>();
        assert_eq!(read("zipf:1.2"), Ok(Distribution::Zipf { theta: 1.2, scrambled: true }));
        assert_eq!(read("hotspot:0.1:0.9"), Ok(Distribution::Hotspot { keys: 0.1, ops: 0.9 }));
        assert_eq!(read("recency:20:1:0.5"), Ok(Distribution::Recency { depth: 20, theta: 1.0, reuse: 0.5 }));
        assert_eq!(read("latest:0.8"), Ok(Distribution::Latest { theta: 0.8 }));
        assert_eq!(read("clustered:5:9"), Ok(Distribution::Clustered { span: 5, run: 9 }));
        assert_eq!(read("spread"), Ok(Distribution::Spread));
        for wrong in ["", "zip", "zipf:", "zipf:x", "hotspot:1", "uniform:1", "recency:-1:1:1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mixes_are_shares_or_letters_of_ycsb() {
        assert_eq!("get=1,rmw=3".parse(), Ok(Mix { get: 1, put: 0, delete: 0, rmw: 3 }));
        assert_eq!("b".parse(), Ok(Mix::gets_and_puts(95, 5)));
        for wrong in ["", "get", "get=x", "get=1,get=2", "scan=1", "e", "g"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn arrivals_take_their_rate_from_one_place() {
        let read = |text: &str, rate| text.parse::<Shape>()?.at(rate);
        assert_eq!(read("poisson", Some(5.0)), Ok(Arrivals::Poisson { rate: 5.0 }));
        assert_eq!(read("ramp:1:9", None), Ok(Arrivals::Ramp { from: 1.0, to: 9.0 }));
        assert_eq!(read("burst:7", Some(2.0)), Ok(Arrivals::Burst { rate: 2.0, size: 7 }));
        assert!(read("constant", None).unwrap_err().contains("--rate"));
        for wrong in ["ramp:1", "step:1:2:x", "burst", "often"] {
            assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
        }
        assert!(read("ramp:1:9", Some(1.0)).is_err());
    }
}
