//! "Did you mean": how far two names are apart.

/// The name nearest to `name`, if it is near enough to be what was meant.
pub(super) fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    within(name, names, (name.len() / 4).clamp(1, 3))
}

/// The name nearest to `name`, if it is no further off than `limit`.
pub(super) fn within<'n>(
    name: &str,
    names: impl IntoIterator<Item = &'n str>,
    limit: usize,
) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let near = names.into_iter().filter_map(|known| {
        let far = distance(&name, &known.to_ascii_lowercase(), limit)?;
        Some((far, known))
    });
    near.filter(|(far, _)| *far > 0).min().map(|(_, known)| known.to_owned())
}

/// Insertions, deletions, changes and swaps of neighbours that turn one name into the other, if no
/// more than `limit`. `_` and `-` count as the same thing misspelt.
fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    let (a, b): (Vec<_>, Vec<_>) = (a.bytes().collect(), b.bytes().collect());
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let at = |line: &[usize], k: usize| line.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&last, j + 1) + 1).min(at(&row, j) + 1);
            cost = cost.min(at(&last, j) + usize::from(x != y));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if swapped {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|&far| far <= limit)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["bridge", "playback", "hangup", "sip-port", "rtp-ip"];
        assert_eq!(nearest("brigde", names).as_deref(), Some("bridge"));
        assert_eq!(nearest("playbak", names).as_deref(), Some("playback"));
        assert_eq!(nearest("sip_port", names).as_deref(), Some("sip-port"));
        assert_eq!(nearest("conference", names), None);
        assert_eq!(nearest("", names), None);
    }
}
