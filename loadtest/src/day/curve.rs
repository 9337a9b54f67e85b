//! When visitors come: few at the edges of the day, most before noon, a second, lower rise after.

/// Hours of the day, as `8-20`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hours {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl std::str::FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it has to be like 8-20".to_owned();
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let hour = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
        let hours = Self { from: hour(from)?, to: hour(to)? };
        let whole = 0.0..=24.0;
        if whole.contains(&hours.from) && whole.contains(&hours.to) && hours.from < hours.to {
            Ok(hours)
        } else {
            Err(wrong())
        }
    }
}

/// How many come at this hour, against other hours.
fn height(hour: f64) -> f64 {
    let hill = |top: f64, width: f64| (-((hour - top) / width).powi(2) / 2.0).exp();
    0.08 + hill(10.75, 1.7) + 0.72 * hill(15.25, 1.9) + 0.2 * hill(19.5, 1.2)
}

/// The hours at which so many visitors arrive, in order: the curve's area cut into equal parts.
pub(super) fn arrivals(visitors: usize, hours: Hours) -> Vec<f64> {
    const STEPS: u32 = 2000;
    let step = (hours.to - hours.from) / f64::from(STEPS);
    let at = |number: u32| hours.from + step * (f64::from(number) + 0.5);
    let area: f64 = (0..STEPS).map(|number| height(at(number))).sum();
    let mut hours_of = Vec::with_capacity(visitors);
    let mut passed = 0.0;
    for number in 0..STEPS {
        let here = height(at(number));
        // Whose place in the crowd falls into this step comes now.
        while hours_of.len() < visitors {
            let wanted = (hours_of.len() as f64 + 0.5) / visitors as f64 * area;
            if wanted > passed + here {
                break;
            }
            let part = (wanted - passed) / here;
            hours_of.push(hours.from + step * (f64::from(number) + part));
        }
        passed += here;
    }
    hours_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_comes_within_the_hours_and_in_order() {
        let hours = Hours { from: 8.0, to: 20.0 };
        let arrivals = arrivals(5000, hours);
        assert_eq!(arrivals.len(), 5000);
        assert!(arrivals.is_sorted());
        assert!(arrivals.iter().all(|hour| (8.0..=20.0).contains(hour)));
    }

    #[test]
    fn more_come_before_noon_than_in_the_evening() {
        let arrivals = arrivals(1000, Hours { from: 0.0, to: 24.0 });
        let between = |from, to| arrivals.iter().filter(|hour| (from..to).contains(*hour)).count();
        assert!(between(10.0, 11.0) > 3 * between(6.0, 7.0));
        assert!(between(10.0, 11.0) > between(15.0, 16.0));
    }

    #[test]
    fn hours_are_checked() {
        assert_eq!("8-20".parse(), Ok(Hours { from: 8.0, to: 20.0 }));
        for wrong in ["20-8", "8", "8-25", "a-b"] {
            assert!(wrong.parse::<Hours>().is_err(), "{wrong}");
        }
    }
}
