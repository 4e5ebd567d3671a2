use super::*;

const SECOND: u64 = 1_000_000;

fn rids() -> Vec<String> {
    ["h", "m", "l"].map(str::to_owned).to_vec()
}

fn sent(bits: [u64; MAX_LAYERS]) -> Offered {
    let mut rank = MAX_LAYERS;
    bits.map(|bits| {
        rank -= 1;
        (bits > 0).then_some(Quality { bits, pixels: 0, rank })
    })
}

/// In the order "h", "m", "l".
const ALL: [u64; MAX_LAYERS] = [1_500_000, 500_000, 150_000];

#[test]
fn layers_are_learnt_by_name_and_known_by_ssrc() {
    let mut layers = Layers::default();
    let mut of = |ssrc, name: Option<&str>, ms: u64| {
        layers.of((ssrc, name.map(str::as_bytes)), &rids(), SECOND + ms * 1000)
    };
    assert_eq!(of(7, None, 0), None, "nothing is known of it");
    assert_eq!(of(7, Some("m"), 0), Some(1));
    assert_eq!(of(7, None, 10), Some(1), "named once, known from then on");
    assert_eq!(of(7, Some("h"), 20), Some(1), "what was learnt stays");
    assert_eq!(of(8, Some("h"), 30), Some(0));
    for forged in ["", "x", "hh", "H", "~h", &"h".repeat(255)] {
        assert_eq!(of(9, Some(forged), 40), None, "{forged}");
    }
    assert_eq!(of(9, Some("m"), 50), None, "the place is taken");
    assert_eq!(of(9, Some("m"), 219), None);
    assert_eq!(of(9, Some("m"), 221), Some(1), "its sender began anew");
    assert_eq!(of(7, None, 222), None);
}

#[test]
fn hundreds_of_ssrcs_take_no_more_room_and_no_place_in_use() {
    let mut layers = Layers::default();
    for (n, rid) in ["h", "m", "l"].iter().enumerate() {
        assert_eq!(layers.of((n as u32, Some(rid.as_bytes())), &rids(), SECOND), Some(n));
    }
    for ssrc in 100..1000 {
        assert_eq!(layers.of((ssrc, Some(b"h")), &rids(), SECOND + 1), None);
        assert_eq!(layers.of((ssrc, None), &rids(), SECOND + 1), None);
    }
    assert_eq!([0, 1, 2].map(|n| layers.ssrc(n)), [Some(0), Some(1), Some(2)]);
    let many: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let mut layers = Layers::default();
    assert_eq!(layers.of((1, Some(b"49")), &many, SECOND), None, "more than are taken");
}

#[test]
fn layers_keep_their_order_unless_they_clearly_differ() {
    let mut order = Order::default();
    let look = |order: &mut Order, bits: [u64; 3], pixels: [u32; 3], tenth: u64| {
        let mut offered = sent(bits);
        for (quality, pixels) in offered.iter_mut().zip(pixels) {
            if let Some(quality) = quality {
                quality.pixels = pixels;
            }
        }
        order.look(&offered, [true; 3], SECOND + tenth * LOOK_US);
        order.layers
    };
    // A picture that stands still, and a moment's key frame.
    assert_eq!(look(&mut order, [90, 100, 80], [0; 3], 0), [2, 1, 0]);
    assert_eq!(look(&mut order, [100, 100, 900], [0; 3], 1), [2, 1, 0]);
    assert_eq!(look(&mut order, [100, 100, 100], [0; 3], 5), [2, 1, 0]);
    // A far end that names the smallest first.
    for tenth in 10..60 {
        look(&mut order, [100, 300, 900], [0; 3], tenth);
    }
    assert_eq!(order.layers, [0, 1, 2]);
    look(&mut order, [100, 300, 900], [3, 2, 1], 60);
    look(&mut order, [100, 300, 900], [3, 2, 1], 61);
    assert_eq!(order.layers, [2, 1, 0], "sizes have the say");
}

#[test]
fn the_largest_goes_to_who_says_nothing_and_the_smallest_to_who_wants_it_small() {
    let large = Receiver::default();
    let small = Receiver { small: true, ..large };
    assert_eq!(Chooser::default().choose(&sent(ALL), &large, SECOND), 0);
    assert_eq!(Chooser::default().choose(&sent(ALL), &small, SECOND), 2);
    let narrow = Receiver { most: Some(600_000), ..large };
    assert_eq!(Chooser::default().choose(&sent(ALL), &narrow, SECOND), 1);
    let narrower = Receiver { most: Some(1), ..large };
    assert_eq!(Chooser::default().choose(&sent(ALL), &narrower, SECOND), 2, "there is no less");
    assert_eq!(Chooser::default().choose(&sent([0; 3]), &large, SECOND), 0, "nothing is sent");
}

#[test]
fn a_receiver_gets_what_its_estimate_allows_and_goes_down_at_once() {
    let with = |estimate| Receiver { estimate: Some(estimate), ..Receiver::default() };
    let mut chooser = Chooser::default();
    assert_eq!(chooser.choose(&sent(ALL), &with(2_000_000), SECOND), 0);
    assert_eq!(chooser.choose(&sent(ALL), &with(200_000), SECOND + 1), 0, "not at each packet");
    assert_eq!(chooser.choose(&sent(ALL), &with(1_400_000), 2 * SECOND), 0, "nearly enough");
    assert_eq!(chooser.choose(&sent(ALL), &with(700_000), 3 * SECOND), 1);
    assert_eq!(chooser.choose(&sent(ALL), &with(10), 4 * SECOND), 2);
    assert_eq!(chooser.choose(&sent(ALL), &with(10), 5 * SECOND), 2, "there is no less");
    let mut far = Chooser::default();
    assert_eq!(far.choose(&sent(ALL), &with(160_000), SECOND), 2, "from the beginning");
}

#[test]
fn a_receiver_that_could_take_more_is_tried_with_more_and_later_each_time_it_fails() {
    // As browsers estimate: half as much again as they get, less when more is sent than passes.
    let passes = 400_000;
    let mut chooser = Chooser::default();
    let mut ups = Vec::new();
    let mut layer = chooser.choose(
        &sent(ALL),
        &Receiver { estimate: Some(passes), ..Receiver::default() },
        SECOND,
    );
    for second in 2..240 {
        let sent_bits = ALL[layer];
        let estimate = Some((sent_bits * 3 / 2).min(passes));
        let receiver = Receiver { estimate, sent: sent_bits, ..Receiver::default() };
        let next = chooser.choose(&sent(ALL), &receiver, second * SECOND);
        if next < layer {
            ups.push(second);
        }
        layer = next;
    }
    assert!((4..=8).contains(&ups.len()), "{ups:?}");
    let waits: Vec<_> = ups.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.is_sorted(), "{waits:?}");

    // With a line that is wide again it ends on the largest.
    for second in 240..400 {
        let estimate = Some(ALL[layer] * 3 / 2);
        let receiver = Receiver { estimate, sent: ALL[layer], ..Receiver::default() };
        layer = chooser.choose(&sent(ALL), &receiver, second * SECOND);
    }
    assert_eq!(layer, 0);
}

/// Looks ten times a second at a receiver whose line passes that much, and which estimates as browsers do: half as much again
/// as it got a second ago, by 8 % a second more at most. The layers it was sent, and since which tenth.
fn over(passes: u64, tenths: usize) -> Vec<(usize, usize)> {
    let mut chooser = Chooser::default();
    let (mut estimate, mut got) = (200_000, vec![ALL[2]]);
    let mut layers: Vec<(usize, usize)> = Vec::new();
    for tenth in 0..tenths {
        let before = got[got.len().saturating_sub(10)];
        let grown = estimate + estimate * 8 / 1000;
        estimate = grown.min((before * 3 / 2).max(estimate)).min(passes);
        let layer = layers.last().map_or(2, |(layer, _)| *layer);
        let receiver =
            Receiver { estimate: Some(estimate), sent: ALL[layer], ..Receiver::default() };
        let now = SECOND + tenth as u64 * LOOK_US;
        let chosen = chooser.choose(&sent(ALL), &receiver, now);
        if layers.last().is_none_or(|(layer, _)| *layer != chosen) {
            layers.push((chosen, tenth));
        }
        got.push(ALL[chosen]);
    }
    layers
}

#[test]
fn a_try_has_time_to_prove_itself() {
    let wide = over(10_000_000, 1200);
    assert_eq!(wide.iter().map(|(layer, _)| *layer).collect::<Vec<_>>(), [2, 1, 0], "{wide:?}");
    let narrow = over(400_000, 3000);
    let ups: Vec<_> = narrow.iter().filter(|(n, _)| *n == 1).map(|(_, at)| *at).collect();
    assert!((3..=8).contains(&ups.len()), "{narrow:?}");
    assert!(narrow.iter().all(|(layer, _)| *layer != 0), "{narrow:?}");
    let waits: Vec<_> = ups.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.is_sorted() && waits.first() < waits.last(), "{waits:?}");
}

#[test]
fn a_trial_waits_for_the_first_picture_and_ends_with_a_falling_estimate() {
    let with = |estimate, waits| Receiver {
        estimate: Some(estimate),
        sent: ALL[2],
        waits,
        ..Receiver::default()
    };
    let mut chooser = Chooser::default();
    assert_eq!(chooser.choose(&sent(ALL), &with(225_000, false), SECOND), 2);
    assert_eq!(chooser.choose(&sent(ALL), &with(225_000, false), 2 * SECOND), 1);
    for second in 3..20 {
        let waiting = with(225_000, true);
        assert_eq!(chooser.choose(&sent(ALL), &waiting, second * SECOND), 1, "{second}");
    }
    let shown = with(225_000, false);
    assert_eq!(chooser.choose(&sent(ALL), &shown, 20 * SECOND), 1);
    assert_eq!(chooser.choose(&sent(ALL), &with(190_000, false), 21 * SECOND), 2, "it fell");
    assert_eq!(chooser.choose(&sent(ALL), &shown, 30 * SECOND), 2, "later than before");
    assert_eq!(chooser.choose(&sent(ALL), &shown, 32 * SECOND), 1);
}

#[test]
fn heavy_loss_leads_down_and_a_layer_that_stops_is_replaced() {
    let receiver = Receiver::default();
    let mut chooser = Chooser::default();
    assert_eq!(chooser.choose(&sent(ALL), &receiver, SECOND), 0);
    chooser.loses();
    assert_eq!(chooser.choose(&sent(ALL), &receiver, 2 * SECOND), 1);
    assert_eq!(chooser.choose(&sent(ALL), &receiver, 3 * SECOND), 1, "not up again at once");
    assert_eq!(chooser.choose(&sent(ALL), &receiver, 8 * SECOND), 0);
    let [_, m, l] = ALL;
    assert_eq!(chooser.choose(&sent([0, m, l]), &receiver, 8 * SECOND + 1), 1, "at once");
    assert_eq!(chooser.choose(&sent([0, 0, l]), &receiver, 9 * SECOND), 2);
    assert_eq!(chooser.choose(&sent([0; 3]), &receiver, 10 * SECOND), 2, "it may come back");
    assert_eq!(chooser.choose(&sent(ALL), &receiver, 30 * SECOND), 1, "one at a time");
    chooser.begin_anew();
    assert_eq!(chooser.choose(&sent(ALL), &receiver, 30 * SECOND + 1), 0, "another source");
}

#[test]
fn a_layer_is_offered_while_it_is_heard_and_one_alone_crosses_a_bridge() {
    let mut layers = Layers::default();
    let stats = StatsCell::default();
    let hear = |layers: &mut Layers, ssrc: u32, rid: &str, ms: u64| {
        let now = SECOND + ms * 1000;
        let n = layers.of((ssrc, Some(rid.as_bytes())), &rids(), now).unwrap();
        let header =
            Header { marker: false, pt: 96, seq: ms as u16, timestamp: 0, ssrc, payload: 12..20 };
        layers.count(n, &header, if rid == "h" { 1000 } else { 100 }, now, &stats);
        n
    };
    for ms in 0..2000 {
        hear(&mut layers, 1, "h", ms);
        hear(&mut layers, 2, "l", ms);
    }
    let offered = layers.offered(3 * SECOND);
    assert!(offered[0].unwrap().bits > 8 * offered[2].unwrap().bits && offered[1].is_none());
    assert!(layers.is_bridged(0, 3 * SECOND) && !layers.is_bridged(2, 3 * SECOND));
    assert_eq!(layers.reports(3 * SECOND).iter().flatten().count(), 2);
    for ms in 2000..2800 {
        hear(&mut layers, 2, "l", ms);
    }
    let offered = layers.offered(SECOND + 2_800_000);
    assert!(offered[0].is_none() && offered[2].is_some(), "it has stopped, beside another");
    for ms in 2800..6000 {
        hear(&mut layers, 2, "l", ms);
    }
    assert!(layers.offered(7 * SECOND)[0].is_none());
    assert!(layers.offered(8 * SECOND)[2].is_some(), "all is quiet: it may be a still screen");
    assert!(layers.is_bridged(2, 7 * SECOND), "it stands in for the one that has stopped");
}
