//! The detector on drawn scenes: noise, light, things.

use super::*;

const WIDTH: usize = 128;
const HEIGHT: usize = 72;
const NEVER: [f64; 0] = [];

/// A room with a pattern on its walls, sensor noise, light that may change, and things in it.
struct Scene {
    random: u32,
    noise: i32,
    light: fn(f64) -> f64,
    things: Vec<Thing>,
}

/// Left edge in pixels at a time in seconds; `None` when it is not there.
type Path = fn(f64) -> Option<f64>;

/// A box of 8x22 pixels.
struct Thing {
    left: Path,
    top: usize,
    level: f64,
}

impl Scene {
    fn with(things: Vec<Thing>) -> Self {
        Scene { random: 1, noise: 4, light: |_| 1.0, things }
    }

    fn at(&mut self, s: f64) -> Luma {
        let mut data = Vec::with_capacity(WIDTH * HEIGHT);
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let wall = 90.0 + 30.0 * f64::from((x / 9 + y / 7) as u32 % 2) + 0.2 * x as f64;
                let over = |thing: &&Thing| {
                    let inside = (thing.left)(s).is_some_and(|left| (left..left + 8.0).contains(&(x as f64)));
                    inside && (thing.top..thing.top + 22).contains(&y)
                };
                let level = self.things.iter().find(over).map_or(wall, |thing| thing.level);
                self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (self.random >> 16) as i32 % (2 * self.noise + 1) - self.noise;
                data.push((level * (self.light)(s) + f64::from(noise)).clamp(0.0, 255.0) as u8);
            }
        }
        Luma { width: WIDTH, height: HEIGHT, data }
    }

    /// What a detector says, ten times a second; the times (s) at which it saw motion.
    fn watched(&mut self, detector: &mut Detector, from_s: f64, to_s: f64) -> Vec<f64> {
        let times = (0..).map(|i| from_s + f64::from(i) / 10.0).take_while(|s| *s < to_s);
        times.filter(|s| detector.look(&self.at(*s), Pts::from_secs_f64(*s)).motion).collect()
    }
}

fn detector() -> Detector {
    Detector::new(&MotionConfig::default(), &[])
}

/// Walks in from the left at 5 s, 16 pixels a second.
const WALKER: Thing = Thing { left: |s| (s >= 5.0).then_some((s - 5.0) * 16.0 - 8.0), top: 30, level: 35.0 };

#[test]
fn noise_is_no_motion() {
    for noise in [1, 6, 20] {
        let mut scene = Scene { noise, ..Scene::with(vec![]) };
        assert_eq!(scene.watched(&mut detector(), 0.0, 15.0), NEVER, "noise of {noise} levels");
    }
}

#[test]
fn a_walker_is_seen_within_a_second_and_until_he_has_gone() {
    let motion = Scene::with(vec![WALKER]).watched(&mut detector(), 0.0, 16.0);
    assert!(motion[0] < 6.0, "{motion:?}");
    // He is out at 13.5 s.
    let last = motion[motion.len() - 1];
    assert!((12.5..15.5).contains(&last), "no ghost: {last}");
    assert!(motion.windows(2).all(|pair| pair[1] - pair[0] < 1.0), "{motion:?}");
}

#[test]
fn a_sight_says_where_and_how_much() {
    let (mut scene, mut detector) = (Scene::with(vec![WALKER]), detector());
    scene.watched(&mut detector, 0.0, 7.0);
    let sight = detector.look(&scene.at(7.0), Pts::from_secs_f64(7.0));
    let [region] = sight.regions[..] else { panic!("{sight:?}") };
    // 8x22 pixels at (24, 30), give or take the blur.
    assert!((region.x - 24.0 / 128.0).abs() < 0.05 && (region.y - 30.0 / 72.0).abs() < 0.05, "{region:?}");
    assert!((0.01..0.05).contains(&sight.changed), "{sight:?}");
}

#[test]
fn nothing_triggers_while_the_scene_is_learned() {
    let early = Thing { left: |s| Some(s * 30.0), ..WALKER };
    let (mut scene, mut detector) = (Scene::with(vec![early]), detector());
    assert!(detector.look(&scene.at(0.0), Pts(0)).settling);
    assert_eq!(scene.watched(&mut detector, 0.1, 3.0), NEVER);
    assert!(!detector.look(&scene.at(3.0), Pts::from_secs_f64(3.0)).settling);
}

#[test]
fn a_lamp_is_no_motion_and_who_comes_with_it_is() {
    let lamp: fn(f64) -> f64 = |s| if (6.0..9.0).contains(&s) { 0.4 } else { 1.0 };
    let mut scene = Scene { light: lamp, ..Scene::with(vec![]) };
    let mut lonely = detector();
    assert_eq!(scene.watched(&mut lonely, 0.0, 13.0), NEVER);
    let comes = Thing { left: |s| (s >= 5.9).then_some((s - 5.9) * 16.0 - 8.0), ..WALKER };
    let mut scene = Scene { light: lamp, ..Scene::with(vec![comes]) };
    let motion = scene.watched(&mut detector(), 0.0, 9.0);
    assert!(motion.first().is_some_and(|first| *first < 8.0), "{motion:?}");
}

#[test]
fn clouds_are_no_motion() {
    let clouds = |s: f64| 0.775 + 0.225 * (s * std::f64::consts::TAU / 30.0).cos();
    let mut scene = Scene { light: clouds, ..Scene::with(vec![]) };
    assert_eq!(scene.watched(&mut detector(), 0.0, 30.0), NEVER);
}

#[test]
fn an_expected_light_is_the_scene_afterwards() {
    // A reflection that wanders while the lamp warms up.
    let glint = Thing { left: |s| (5.0..7.0).contains(&s).then_some((s - 5.0) * 16.0), top: 30, level: 250.0 };
    let (mut scene, mut detector) = (Scene::with(vec![glint]), detector());
    scene.watched(&mut detector, 0.0, 5.0);
    detector.expect_light_change(Pts::from_secs_f64(7.2));
    assert_eq!(scene.watched(&mut detector, 5.0, 10.0), NEVER);
}

#[test]
fn zones_include_and_exclude() {
    let belt =
        |include| Zone { name: "belt".into(), include, points: vec![[0.0, 0.35], [1.0, 0.35], [1.0, 0.8], [0.0, 0.8]] };
    for (include, seen) in [(true, true), (false, false)] {
        let mut detector = Detector::new(&MotionConfig::default(), &[belt(include)]);
        let motion = Scene::with(vec![WALKER]).watched(&mut detector, 0.0, 8.0);
        assert_eq!(!motion.is_empty(), seen, "include: {include}");
    }
    // Drawn while it runs.
    let (mut scene, mut detector) = (Scene::with(vec![WALKER]), detector());
    assert!(!scene.watched(&mut detector, 0.0, 7.0).is_empty());
    detector.set_zones(&[belt(false)]);
    assert_eq!(scene.watched(&mut detector, 7.0, 9.0), NEVER);
}

#[test]
fn after_a_rebase_what_moves_is_motion_and_what_stays_is_not() {
    let stays = Thing { left: |s| (s >= 5.0).then_some(60.0), ..WALKER };
    let (mut scene, mut detector) = (Scene::with(vec![stays, WALKER]), detector());
    assert!(!scene.watched(&mut detector, 0.0, 7.0).is_empty());
    detector.rebase();
    let motion = scene.watched(&mut detector, 7.0, 8.0);
    assert!(motion.first().is_some_and(|first| *first < 7.8), "{motion:?}");
    let sight = detector.look(&scene.at(8.0), Pts::from_secs_f64(8.0));
    assert!(sight.regions.iter().all(|region| region.x < 0.45), "what stays at 60 of 128: {sight:?}");
}

#[test]
fn a_larger_area_or_a_lower_sensitivity_sees_less() {
    let faint = || Scene::with(vec![Thing { level: 100.0, ..WALKER }]);
    assert!(!faint().watched(&mut detector(), 0.0, 9.0).is_empty());
    let blunt = MotionConfig { sensitivity: 0.0, ..MotionConfig::default() };
    assert_eq!(faint().watched(&mut Detector::new(&blunt, &[]), 0.0, 9.0), NEVER);
    let mut coarse = detector();
    coarse.set_config(&MotionConfig { min_trigger_area: 0.1, ..MotionConfig::default() });
    assert_eq!(Scene::with(vec![WALKER]).watched(&mut coarse, 0.0, 9.0), NEVER);
}

#[test]
fn another_size_starts_anew_and_a_picture_without_pixels_is_nothing() {
    let (mut scene, mut detector) = (Scene::with(vec![]), detector());
    scene.watched(&mut detector, 0.0, 4.0);
    let turned = Luma { width: HEIGHT, height: WIDTH, ..scene.at(4.0) };
    assert!(detector.look(&turned, Pts::from_secs_f64(4.0)).settling);
    assert!(detector.look(&Luma::default(), Pts::from_secs_f64(4.1)).settling);
    assert!(detector.look(&Luma { width: 1, height: 1, data: vec![7] }, Pts::from_secs_f64(4.2)).settling);
    let sliver = Luma { width: 2000, height: 1, data: vec![7; 2000] };
    for s in 5..15 {
        assert!(!detector.look(&sliver, Pts::from_secs_f64(f64::from(s))).motion);
    }
}

#[test]
fn the_cadence_keeps_the_mean_distance_of_looks() {
    for (fps, looks) in [(5.0, 50), (10.0, 100), (12.5, 100), (15.0, 100), (30.0, 100)] {
        let mut cadence = Cadence::default();
        let due = (0..(10.0 * fps) as u32).filter(|i| cadence.due(Pts::from_secs_f64(f64::from(*i) / fps))).count();
        assert!(due.abs_diff(looks) <= 1, "{due} looks in 10 s of {fps} pictures a second");
    }
    let mut cadence = Cadence::default();
    assert!(cadence.due(Pts(0)));
    let after_a_gap = (0..10).filter(|i| cadence.due(Pts::from_secs_f64(60.0 + f64::from(*i) / 100.0))).count();
    assert!(after_a_gap <= 2, "a gap is not caught up: {after_a_gap} looks in 0.1 s");
}
