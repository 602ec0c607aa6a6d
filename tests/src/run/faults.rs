//! What fails when: drawn from the run's generator, one fault at a time, with calm between.

use driftkv_core::time::Time;
use rand::RngExt;

use super::shape::Shape;
use crate::world::World;
use crate::world::network::Cut;

/// The first fault comes when the cluster has begun to serve.
const FIRST_MS: u64 = 400;

/// The plan of faults.
#[derive(Debug)]
pub struct Faults {
    next: Time,
    calm_ms: u64,
}

impl Faults {
    /// Nothing fails yet.
    pub fn new(shape: Shape) -> Faults {
        Faults { next: Time(FIRST_MS), calm_ms: shape.calm_ms }
    }

    /// One more fault, or one less, if it is time.
    pub fn disturb(&mut self, world: &mut World) {
        if world.now < self.next {
            return;
        }
        self.next = world.now.plus(world.rng.random_range(20..self.calm_ms));
        let (a, b) = (world.rng.random_range(0..world.count()), world.rng.random_range(0..world.count()));
        match world.rng.random_range(0..20u32) {
            0 | 1 if world.is_up(a) => world.crash(a),
            2 if world.is_up(a) => world.stop(a),
            0..=4 if !world.is_up(a) => world.start(a),
            5 | 6 if a != b => {
                let cut = any_cut(world);
                world.cut(a, b, cut);
            }
            7 if a != b => {
                let cut = any_cut(world);
                world.cut(a, b, cut);
                world.cut(b, a, cut);
            }
            8 => split(world, |node| node <= a),
            18 | 19 => split(world, |node| node == a),
            9 | 10 => world.heal(),
            11 if world.is_up(a) => world.pause(a),
            12 => (0..world.count()).for_each(|node| world.resume(node)),
            13 => {
                let (loss, doubling) = (world.rng.random_range(0..15), world.rng.random_range(0..15));
                world.set_links(loss, doubling);
            }
            14 => {
                let ms = world.rng.random_range(1..2_000);
                world.jump_clock(a, ms);
            }
            15 if world.rng.random_range(0..2) == 0 => world.stop_clock(a),
            15 => world.run_clocks(),
            16 | 17 if world.is_up(a) => {
                world.crash(a);
                world.start(a);
            }
            _ => {}
        }
    }

    /// Nothing fails any more.
    pub fn recover(&mut self, world: &mut World) {
        world.heal();
        world.run_clocks();
        for node in 0..world.count() {
            world.resume(node);
            if !world.is_up(node) {
                world.start(node);
            }
        }
    }
}

fn any_cut(world: &mut World) -> Cut {
    if world.rng.random_range(0..3) == 0 { Cut::Silent } else { Cut::Broken }
}

/// Cuts the cluster in two sides.
fn split(world: &mut World, is_here: impl Fn(usize) -> bool) {
    let cut = any_cut(world);
    for from in 0..world.count() {
        for to in (0..world.count()).filter(|to| is_here(from) != is_here(*to)) {
            world.cut(from, to, cut);
        }
    }
}
