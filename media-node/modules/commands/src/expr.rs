//! `expr`: arithmetic with functions (mod_expr).

use super::Api;
use crate::api;

/// The family.
pub const APIS: &[Api] = &[api!("expr", "mod_expr", "<expr>", "Eval an expression", text run)];

fn run(args: &str) -> String {
    evaluate(args).map_or_else(|| "!err!".into(), shown)
}

/// Ten digits after the point, without the zeros that say nothing.
fn shown(value: f64) -> String {
    let text = format!("{value:.10}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.to_owned() }
}

/// Parentheses and functions nest this deep; deeper is refused.
const MAX_DEPTH: u32 = 64;

/// The value of the last statement; `None` for anything that is no expression, or has no value.
#[must_use]
pub fn evaluate(text: &str) -> Option<f64> {
    let mut parser = Parser { rest: text.trim(), variables: Vec::new(), depth: 0 };
    let mut last = None;
    while !parser.rest.is_empty() {
        last = Some(parser.statement()?);
        parser.space();
        if !parser.eat(';') && !parser.rest.is_empty() {
            return None;
        }
        parser.space();
    }
    last.filter(|value| value.is_finite())
}

struct Parser<'t> {
    rest: &'t str,
    variables: Vec<(&'t str, f64)>,
    depth: u32,
}

impl<'t> Parser<'t> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        self.space();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `name = sum`, or a sum.
    fn statement(&mut self) -> Option<f64> {
        self.space();
        let before = self.rest;
        if let Some(name) = self.name()
            && self.eat('=')
        {
            let value = self.sum()?;
            self.variables.retain(|(known, _)| *known != name);
            self.variables.push((name, value));
            return Some(value);
        }
        self.rest = before;
        self.sum()
    }

    fn name(&mut self) -> Option<&'t str> {
        self.space();
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        if end == 0 || self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(name)
    }

    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        loop {
            if self.eat('+') {
                value += self.product()?;
            } else if self.eat('-') {
                value -= self.product()?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.power()?;
        loop {
            if self.eat('*') {
                value *= self.power()?;
            } else if self.eat('/') {
                let by = self.power()?;
                if by == 0.0 {
                    return None;
                }
                value /= by;
            } else {
                return Some(value);
            }
        }
    }

    fn power(&mut self) -> Option<f64> {
        let base = self.signed()?;
        if self.eat('^') { Some(base.powf(self.nested(Self::power)?)) } else { Some(base) }
    }

    fn signed(&mut self) -> Option<f64> {
        if self.eat('-') {
            return Some(-self.nested(Self::signed)?);
        }
        if self.eat('+') {
            return self.nested(Self::signed);
        }
        self.atom()
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Option<f64>) -> Option<f64> {
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let value = inner(self);
        self.depth -= 1;
        value
    }

    fn atom(&mut self) -> Option<f64> {
        if self.eat('(') {
            let value = self.nested(Self::sum)?;
            return self.eat(')').then_some(value);
        }
        if let Some(name) = self.name() {
            if self.eat('(') {
                let arguments = self.arguments()?;
                return call(name, &arguments);
            }
            let known =
                self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            return known.or_else(|| constant(name));
        }
        self.number()
    }

    fn arguments(&mut self) -> Option<Vec<f64>> {
        let mut arguments = Vec::new();
        if self.eat(')') {
            return Some(arguments);
        }
        loop {
            arguments.push(self.nested(Self::sum)?);
            if self.eat(')') {
                return Some(arguments);
            }
            if !self.eat(',') {
                return None;
            }
        }
    }

    fn number(&mut self) -> Option<f64> {
        self.space();
        let end =
            self.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        let value = digits.parse().ok()?;
        self.rest = rest;
        Some(value)
    }
}

fn constant(name: &str) -> Option<f64> {
    match name {
        "M_PI" => Some(std::f64::consts::PI),
        "M_E" => Some(std::f64::consts::E),
        _ => None,
    }
}

fn truth(value: bool) -> Option<f64> {
    Some(f64::from(u8::from(value)))
}

fn call(name: &str, arguments: &[f64]) -> Option<f64> {
    match (name.to_ascii_lowercase().as_str(), arguments) {
        ("abs", &[x]) => Some(x.abs()),
        ("mod", &[x, y]) if y != 0.0 => Some(x % y),
        ("ipart", &[x]) => Some(x.trunc()),
        ("fpart", &[x]) => Some(x.fract()),
        ("min", &[first, ref rest @ ..]) => Some(rest.iter().fold(first, |least, x| least.min(*x))),
        ("max", &[first, ref rest @ ..]) => Some(rest.iter().fold(first, |most, x| most.max(*x))),
        ("pow", &[x, y]) => Some(x.powf(y)),
        ("sqrt", &[x]) => Some(x.sqrt()),
        ("sin", &[x]) => Some(x.sin()),
        ("sinh", &[x]) => Some(x.sinh()),
        ("asin", &[x]) => Some(x.asin()),
        ("cos", &[x]) => Some(x.cos()),
        ("cosh", &[x]) => Some(x.cosh()),
        ("acos", &[x]) => Some(x.acos()),
        ("tan", &[x]) => Some(x.tan()),
        ("tanh", &[x]) => Some(x.tanh()),
        ("atan", &[x]) => Some(x.atan()),
        ("atan2", &[y, x]) => Some(y.atan2(x)),
        ("log", &[x]) => Some(x.log10()),
        ("pow10", &[x]) => Some(10f64.powf(x)),
        ("ln", &[x]) => Some(x.ln()),
        ("exp", &[x]) => Some(x.exp()),
        ("logn", &[x, base]) => Some(x.log(base)),
        ("ceil", &[x]) => Some(x.ceil()),
        ("floor", &[x]) => Some(x.floor()),
        ("rand" | "random", &[low, high]) => Some(low + (high - low) * chance()),
        ("sum", all) => Some(all.iter().sum()),
        ("avg", all @ [_, ..]) => {
            Some(all.iter().sum::<f64>() / f64::from(u32::try_from(all.len()).ok()?))
        }
        ("if", &[condition, yes, no]) => Some(if condition == 0.0 { no } else { yes }),
        ("select", &[condition, negative, zero, ref rest @ ..]) => {
            let positive = rest.first().copied().unwrap_or(zero);
            Some(if condition < 0.0 {
                negative
            } else if condition == 0.0 {
                zero
            } else {
                positive
            })
        }
        ("equal", &[x, y]) => truth(x == y),
        ("above", &[x, y]) => truth(x > y),
        ("below", &[x, y]) => truth(x < y),
        ("and", &[x, y]) => truth(x != 0.0 && y != 0.0),
        ("or", &[x, y]) => truth(x != 0.0 || y != 0.0),
        ("not", &[x]) => truth(x == 0.0),
        ("clip", &[x, low, high]) if low <= high => Some(x.clamp(low, high)),
        ("clamp", &[x, low, high]) if low < high => Some(low + (x - low).rem_euclid(high - low)),
        ("poly", &[x, ref factors @ ..]) => {
            Some(factors.iter().fold(0.0, |value, factor| value * x + factor))
        }
        _ => None,
    }
}

/// A random number from 0 up to 1.
fn chance() -> f64 {
    let random = uuid::Uuid::new_v4().as_u64_pair().1 & 0xFFFF_FFFF;
    f64::from(u32::try_from(random).unwrap_or(0)) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(text: &str) -> String {
        evaluate(text).map_or_else(|| "!err!".into(), shown)
    }

    #[test]
    fn arithmetic_has_the_usual_order() {
        assert_eq!(eval("2+2"), "4");
        assert_eq!(eval("7/2"), "3.5");
        assert_eq!(eval("1+2*3^2"), "19");
        assert_eq!(eval("(1+2)*-3"), "-9");
        assert_eq!(eval("1/3"), "0.3333333333");
        assert_eq!(eval("0 - 0"), "0");
    }

    #[test]
    fn functions_and_variables_work() {
        assert_eq!(eval("max(1, 2+3, 4)"), "5");
        assert_eq!(eval("x=4;y=2;x*y"), "8");
        assert_eq!(eval("if(above(3,2),10,20)"), "10");
        assert_eq!(eval("ipart(mod(17,5)*1.5)"), "3");
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for text in [
            "",
            "1+",
            "2 2",
            "foo",
            "nofn(1)",
            "1/0",
            "sqrt(0-1)",
            ")",
            &"(".repeat(1000),
            &"-".repeat(1000),
        ] {
            assert_eq!(eval(text), "!err!", "{text}");
        }
    }
}
