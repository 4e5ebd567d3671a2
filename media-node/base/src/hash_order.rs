//! The order in which the reference lists what it keeps in a hash table.

/// Sizes the table grows through.
const PRIMES: &[u32] = &[
    53, 97, 193, 389, 769, 1543, 3079, 6151, 12_289, 24_593, 49_157, 98_317, 196_613, 393_241,
    786_433,
];

fn hash(key: &str) -> u32 {
    let mut sum = 0_u32;
    for byte in key.bytes() {
        sum = u32::from(byte).wrapping_add(sum << 6).wrapping_add(sum << 16).wrapping_sub(sum);
    }
    sum = sum.wrapping_add(!(sum << 9));
    sum ^= sum.rotate_right(14);
    sum = sum.wrapping_add(sum << 4);
    sum ^ sum.rotate_right(10)
}

/// Where a key comes among `count` keys.
#[must_use]
pub fn place(key: &str, count: usize) -> u32 {
    // The table grows once it is two thirds full, rounded up to 65 %.
    let fits = |size: u32| count <= (size as usize * 65).div_ceil(100);
    let size = PRIMES.iter().copied().find(|size| fits(*size)).unwrap_or(786_433);
    hash(key) % size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_come_in_the_order_the_reference_was_heard_to_list_them_in() {
        let mut queues =
            ["help", "all", "order", "short"].map(|name| format!("{name}@office.test"));
        queues.sort_by_key(|name| place(name, 4));
        assert_eq!(
            queues,
            ["short", "help", "all", "order"].map(|name| format!("{name}@office.test"))
        );
    }
}
