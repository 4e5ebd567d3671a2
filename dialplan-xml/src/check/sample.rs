//! Texts an expression matches, for expressions that are plain enough.

/// Examples that match `expression`, a few at most. Not every expression gets one; what comes out
/// still has to be tried, since look-around is not understood.
pub(super) fn samples(expression: &str) -> Vec<String> {
    let mut parser = Parser { bytes: expression.as_bytes(), at: 0, steps: 0 };
    let mut all = parser.alternatives(0);
    all.sort_unstable();
    all.dedup();
    all.truncate(LIMIT);
    all
}

/// How many examples are kept.
const LIMIT: usize = 16;
/// How much work one expression is worth.
const MAX_STEPS: usize = 2000;
/// How deep groups may nest.
const MAX_DEPTH: usize = 20;

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    steps: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn alternatives(&mut self, depth: usize) -> Vec<String> {
        let mut all = self.sequence(depth);
        while self.peek() == Some(b'|') {
            self.at += 1;
            all.extend(self.sequence(depth));
        }
        all.truncate(LIMIT);
        all
    }

    fn sequence(&mut self, depth: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        while let Some(b) = self.peek() {
            self.steps += 1;
            if matches!(b, b'|' | b')') || self.steps > MAX_STEPS {
                break;
            }
            let pieces = self.atom(depth);
            let (low, high) = self.quantifier();
            all = combine(&all, &repeat(&pieces, low, high));
        }
        all
    }

    fn atom(&mut self, depth: usize) -> Vec<String> {
        let Some(b) = self.peek() else { return vec![String::new()] };
        self.at += 1;
        match b {
            b'^' | b'$' => vec![String::new()],
            b'.' => vec!["5".to_owned()],
            b'[' => self.class(),
            b'(' => self.group(depth),
            b'\\' => self.escape(),
            c => vec![char::from(c).to_string()],
        }
    }

    fn group(&mut self, depth: usize) -> Vec<String> {
        let mut silent = false;
        if self.peek() == Some(b'?') {
            self.at += 1;
            match self.peek() {
                Some(b':') => self.at += 1,
                // Look-around takes no text.
                _ => silent = true,
            }
        }
        let inside = if depth < MAX_DEPTH { self.alternatives(depth + 1) } else { Vec::new() };
        if self.peek() == Some(b')') {
            self.at += 1;
        }
        if silent { vec![String::new()] } else { inside }
    }

    fn escape(&mut self) -> Vec<String> {
        let Some(b) = self.peek() else { return vec![String::new()] };
        self.at += 1;
        match b {
            b'd' => vec!["5".to_owned()],
            b'w' | b'D' | b'S' => vec!["a".to_owned()],
            b's' | b'W' => vec![" ".to_owned()],
            b'b' | b'B' | b'A' | b'z' | b'Z' => vec![String::new()],
            c => vec![char::from(c).to_string()],
        }
    }

    fn class(&mut self) -> Vec<String> {
        let negated = self.peek() == Some(b'^');
        self.at += usize::from(negated);
        let mut members = Vec::new();
        while let Some(b) = self.peek() {
            self.at += 1;
            match b {
                b']' if !members.is_empty() => break,
                b'\\' => members.extend(self.escape().concat().bytes().next()),
                b'-' => {}
                c => members.push(c),
            }
        }
        if negated {
            let free = b"52a".iter().find(|c| !members.contains(c));
            return free.map(|&c| char::from(c).to_string()).into_iter().collect();
        }
        members.into_iter().take(3).map(|c| char::from(c).to_string()).collect()
    }

    fn quantifier(&mut self) -> (usize, usize) {
        let bounds = match self.peek() {
            Some(b'?') => (0, 1),
            Some(b'*') => (0, 8),
            Some(b'+') => (1, 8),
            Some(b'{') => {
                let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
                let Some(end) = rest.iter().position(|&b| b == b'}') else { return (1, 1) };
                let text =
                    String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
                let (low, high) = text.split_once(',').unwrap_or((&text, &text));
                let low: usize = low.parse().unwrap_or(1);
                self.at += end + 2;
                return (low.min(32), high.parse().unwrap_or(low + 7).min(32));
            }
            _ => return (1, 1),
        };
        self.at += 1;
        if matches!(self.peek(), Some(b'?' | b'+')) {
            self.at += 1;
        }
        bounds
    }
}

/// The shortest and the longest repetition.
fn repeat(pieces: &[String], low: usize, high: usize) -> Vec<String> {
    let mut counts = vec![low, high];
    counts.dedup();
    let repeated = |n: usize| pieces.iter().map(move |p| p.repeat(n));
    let mut all: Vec<String> = counts.into_iter().flat_map(repeated).collect();
    all.dedup();
    all.truncate(LIMIT);
    all
}

fn combine(left: &[String], right: &[String]) -> Vec<String> {
    let pairs = left.iter().flat_map(|l| right.iter().map(move |r| format!("{l}{r}")));
    let mut all: Vec<String> = pairs.take(LIMIT * 4).collect();
    all.retain(|text| text.len() <= 64);
    all.truncate(LIMIT);
    all
}

#[cfg(test)]
mod tests {
    use super::samples;
    use crate::regex::Pattern;

    #[test]
    fn examples_match_what_they_are_examples_of() {
        for expression in [
            r"^1(\d{10})$",
            r"^(011\d+)$",
            "^(10[01][0-9])$",
            r"^\+?1?([2-9]\d{2}[2-9]\d{6})$",
            "^(911|112)$",
            "^[^5]$",
            r"^9(\d{7,})$",
        ] {
            let all = samples(expression);
            assert!(!all.is_empty(), "{expression}");
            let pattern = Pattern::new(expression).unwrap();
            assert!(all.iter().any(|text| pattern.is_match(text)), "{expression}: {all:?}");
        }
    }
}
