//! Ours against a ceiling in one run: which takes its turn when, and what may be read from it.
//!
//! One block is `ours ceiling twin twin ceiling ours`: ours and the ceiling in ABBA order, and the
//! ceiling and its twin (the same once more) likewise, so that a drift of the machine falls on all
//! of them alike. What the twins differ by is noise; where it is too much there is no reading.

use std::ops::AddAssign;
use std::time::Duration;

/// What one side did in one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    pub operations: u64,
    pub wall: Duration,
    /// Of the server's process, on a core.
    pub cpu: Duration,
}

impl AddAssign for Slice {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Metric {
    /// Operations per second: more is better.
    Rate,
    /// Server time on a core per operation: less is better.
    Cpu,
}

impl Metric {
    /// Operations a second, or nanoseconds an operation.
    pub fn of(self, slice: &Slice) -> f64 {
        match self {
            Self::Rate => slice.operations as f64 / slice.wall.as_secs_f64(),
            Self::Cpu => slice.cpu.as_nanos() as f64 / slice.operations as f64,
        }
    }
}

/// Where it is measured, which says how far the control may stray.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    InProcess,
    OverSockets,
}

impl Place {
    /// What the ceiling against itself may come to.
    pub const fn control(self) -> (f64, f64) {
        match self {
            Self::InProcess => (0.97, 1.03),
            Self::OverSockets => (0.92, 1.08),
        }
    }
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub place: Place,
    /// At least 5 for a reading that counts.
    pub blocks: u32,
    pub slice: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    Ours,
    Ceiling,
    Twin,
}

/// The turns of one block.
pub const TURNS: [Turn; 6] =
    [Turn::Ours, Turn::Ceiling, Turn::Twin, Turn::Twin, Turn::Ceiling, Turn::Ours];

/// What the three did in one block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Block {
    pub ours: Slice,
    pub ceiling: Slice,
    pub twin: Slice,
}

/// All blocks of a run.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub place: Place,
    pub blocks: Vec<Block>,
}

/// A ratio over all blocks, and the smallest and largest of a single one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    pub value: f64,
    pub min: f64,
    pub max: f64,
}

/// What may be said of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    Ratio(Ratio),
    /// The ceiling differs from itself by more than its place allows.
    None,
}

/// Lets the three take their turns.
pub async fn alternate(
    plan: Plan,
    mut turn: impl AsyncFnMut(Turn, Duration) -> anyhow::Result<Slice>,
) -> anyhow::Result<Comparison> {
    let mut blocks = Vec::new();
    for _ in 0..plan.blocks {
        let mut block = Block::default();
        for whose in TURNS {
            let slice = turn(whose, plan.slice).await?;
            *block.of(whose) += slice;
        }
        blocks.push(block);
    }
    Ok(Comparison { place: plan.place, blocks })
}

impl Block {
    const fn of(&mut self, whose: Turn) -> &mut Slice {
        match whose {
            Turn::Ours => &mut self.ours,
            Turn::Ceiling => &mut self.ceiling,
            Turn::Twin => &mut self.twin,
        }
    }
}

impl Comparison {
    pub fn ours(&self) -> Slice {
        self.sum(|block| block.ours)
    }

    pub fn ceiling(&self) -> Slice {
        self.sum(|block| block.ceiling)
    }

    fn sum(&self, side: impl Fn(&Block) -> Slice) -> Slice {
        let mut sum = Slice::default();
        for block in &self.blocks {
            sum += side(block);
        }
        sum
    }

    /// Ours over the ceiling, if the control allows it.
    pub fn reading(&self, metric: Metric) -> Reading {
        let (low, high) = self.place.control();
        let control = self.control(metric).value;
        if (low..=high).contains(&control) {
            Reading::Ratio(self.ratio(metric, |block| block.ours))
        } else {
            Reading::None
        }
    }

    /// The ceiling over itself.
    pub fn control(&self, metric: Metric) -> Ratio {
        self.ratio(metric, |block| block.twin)
    }

    fn ratio(&self, metric: Metric, side: impl Fn(&Block) -> Slice) -> Ratio {
        let value = metric.of(&self.sum(&side)) / metric.of(&self.ceiling());
        let each = |block: &Block| metric.of(&side(block)) / metric.of(&block.ceiling);
        let min = self.blocks.iter().map(each).fold(f64::INFINITY, f64::min);
        let max = self.blocks.iter().map(each).fold(f64::NEG_INFINITY, f64::max);
        Ratio { value, min, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(operations: u64, cpu_us: u64) -> Slice {
        let wall = Duration::from_millis(100);
        Slice { operations, wall, cpu: Duration::from_micros(cpu_us) }
    }

    fn compared(blocks: Vec<Block>) -> Comparison {
        Comparison { place: Place::OverSockets, blocks }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_ratio_is_sum_over_sum_with_its_smallest_and_largest_block() {
        let of = |ours, ceiling| Block {
            ours: slice(ours, 10),
            ceiling: slice(ceiling, 10),
            twin: slice(ceiling, 10),
        };
        let told = compared(vec![of(100, 1_000), of(900, 1_000), of(100, 100)]);
        let Reading::Ratio(ratio) = told.reading(Metric::Rate) else { panic!("no reading") };
        // Not the mean of 0.1, 0.9 and 1.0.
        assert!(close(ratio.value, 1_100.0 / 2_100.0), "{ratio:?}");
        assert!(close(ratio.min, 0.1) && close(ratio.max, 1.0), "{ratio:?}");
    }

    #[test]
    fn cpu_is_counted_by_the_operation() {
        let block = Block { ours: slice(50, 300), ceiling: slice(100, 200), twin: slice(200, 400) };
        let told = compared(vec![block]);
        assert!(close(Metric::Cpu.of(&told.ours()), 6_000.0));
        let Reading::Ratio(ratio) = told.reading(Metric::Cpu) else { panic!("no reading") };
        assert!(close(ratio.value, 3.0), "{ratio:?}");
        assert!(close(told.control(Metric::Cpu).value, 1.0));
    }

    #[test]
    fn there_is_no_reading_where_the_ceiling_differs_from_itself() {
        let with = |place, twin| {
            let block =
                Block { ours: slice(500, 1), ceiling: slice(1_000, 1), twin: slice(twin, 1) };
            Comparison { place, blocks: vec![block] }.reading(Metric::Rate)
        };
        for (place, twin, reads) in [
            (Place::OverSockets, 920, true),
            (Place::OverSockets, 919, false),
            (Place::OverSockets, 1_080, true),
            (Place::OverSockets, 1_081, false),
            (Place::InProcess, 970, true),
            (Place::InProcess, 969, false),
            (Place::InProcess, 1_031, false),
        ] {
            assert_eq!(with(place, twin) != Reading::None, reads, "{place:?} {twin}");
        }
    }

    #[tokio::test]
    async fn turns_are_taken_in_abba_order_and_added_up() {
        let plan = Plan { place: Place::InProcess, blocks: 2, slice: Duration::from_millis(50) };
        let mut order = Vec::new();
        let told = alternate(plan, async |whose, span| {
            assert_eq!(span, plan.slice);
            order.push(whose);
            Ok(slice(if whose == Turn::Ours { 3 } else { 4 }, 1))
        });
        let told = told.await.unwrap();
        // Reversed it is the same: whatever drifts evenly falls on all alike.
        assert!(order[..6].iter().eq(order[..6].iter().rev()));
        assert_eq!((order.len(), told.blocks.len()), (12, 2));
        assert_eq!((told.ours().operations, told.ceiling().operations), (12, 16));
        assert_eq!(told.ours().wall, Duration::from_millis(400));
    }
}
