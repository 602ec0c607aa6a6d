//! The grammar of expectations, by recursive descent; depth is bounded, so that no text exhausts the stack.

use super::lexer::{Token, tokens};
use super::{Comparison, Node, Term, units};

const DEPTH_MAX: usize = 32;
/// Longest text, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;

/// Why a text is no expectation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {place}: {why}")]
pub struct ExpressionError {
    /// Of the character where it goes wrong, from 1.
    pub place: usize,
    /// What is wrong there.
    pub why: String,
}

impl ExpressionError {
    pub(super) fn new(place: usize, why: impl Into<String>) -> Self {
        Self { place, why: why.into() }
    }
}

pub(super) fn parse(text: &str) -> Result<Node, ExpressionError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ExpressionError::new(TEXT_BYTES_MAX, format!("it is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.chars().count() + 1, depth: 0 };
    let node = parser.either()?;
    match parser.tokens.get(parser.next) {
        None => Ok(node),
        Some((place, _)) => Err(ExpressionError::new(*place, "expected `and`, `or` or the end")),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    depth: usize,
}

impl Parser {
    fn either(&mut self) -> Result<Node, ExpressionError> {
        let mut node = self.both()?;
        while self.takes_word("or") {
            node = Node::Or(Box::new(node), Box::new(self.both()?));
        }
        Ok(node)
    }

    fn both(&mut self) -> Result<Node, ExpressionError> {
        let mut node = self.not()?;
        while self.takes_word("and") {
            node = Node::And(Box::new(node), Box::new(self.not()?));
        }
        Ok(node)
    }

    fn not(&mut self) -> Result<Node, ExpressionError> {
        if self.takes_word("not") {
            return self.deeper(|parser| Ok(Node::Not(Box::new(parser.not()?))));
        }
        // A bracket may hold a condition or a sum: what follows tells.
        let (start, depth) = (self.next, self.depth);
        match self.comparison() {
            Ok(node) => Ok(node),
            Err(error) => {
                (self.next, self.depth) = (start, depth);
                if !self.takes_sign("(") {
                    return Err(error);
                }
                let inner =
                    self.deeper(Self::either).map_err(|inner| if inner.place > error.place { inner } else { error })?;
                self.expect_sign(")")?;
                Ok(inner)
            }
        }
    }

    fn comparison(&mut self) -> Result<Node, ExpressionError> {
        let left = self.sum()?;
        let comparison = match self.tokens.get(self.next) {
            Some((_, Token::Sign("<"))) => Comparison::Less,
            Some((_, Token::Sign("<="))) => Comparison::LessOrEqual,
            Some((_, Token::Sign(">"))) => Comparison::Greater,
            Some((_, Token::Sign(">="))) => Comparison::GreaterOrEqual,
            Some((_, Token::Sign("=="))) => Comparison::Equal,
            Some((_, Token::Sign("!="))) => Comparison::NotEqual,
            _ => return Err(ExpressionError::new(self.place(), "expected a comparison: <, <=, >, >=, == or !=")),
        };
        self.next += 1;
        let (left, right) = units::resolved(left, self.sum()?)?;
        Ok(Node::Compare(left, comparison, right))
    }

    fn sum(&mut self) -> Result<Term, ExpressionError> {
        self.chain(&["+", "-"], Self::product)
    }

    fn product(&mut self) -> Result<Term, ExpressionError> {
        self.chain(&["*", "/"], Self::factor)
    }

    fn chain(
        &mut self,
        signs: &[&str],
        part: fn(&mut Self) -> Result<Term, ExpressionError>,
    ) -> Result<Term, ExpressionError> {
        let mut term = part(self)?;
        while let Some(sign) = signs.iter().find(|sign| self.takes_sign(sign)) {
            let operator = sign.chars().next().unwrap_or('+');
            term = Term::Operation(Box::new(term), operator, Box::new(part(self)?));
        }
        Ok(term)
    }

    fn factor(&mut self) -> Result<Term, ExpressionError> {
        let place = self.place();
        match self.tokens.get(self.next).map(|(_, token)| token.clone()) {
            Some(Token::Number(value)) => {
                self.next += 1;
                Ok(Term::Number(value))
            }
            Some(Token::Time(ms, text)) => {
                self.next += 1;
                Ok(Term::Time { ms, place, text })
            }
            Some(Token::Name(name)) if !matches!(name.as_str(), "and" | "or" | "not") => {
                self.next += 1;
                Ok(Term::Name(name))
            }
            Some(Token::Sign("-")) => {
                self.next += 1;
                let inner = self.deeper(Self::factor)?;
                Ok(Term::Operation(Box::new(Term::Number(0.0)), '-', Box::new(inner)))
            }
            Some(Token::Sign("(")) => {
                self.next += 1;
                let inner = self.deeper(Self::sum)?;
                self.expect_sign(")")?;
                Ok(inner)
            }
            _ => Err(ExpressionError::new(place, "expected a number or the name of a metric")),
        }
    }

    fn deeper<T>(&mut self, part: impl FnOnce(&mut Self) -> Result<T, ExpressionError>) -> Result<T, ExpressionError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ExpressionError::new(self.place(), format!("nested more than {DEPTH_MAX} deep")));
        }
        let result = part(self);
        self.depth -= 1;
        result
    }

    fn place(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(place, _)| *place)
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.tokens.get(self.next), Some((_, Token::Sign(next))) if *next == sign);
        self.next += usize::from(is_it);
        is_it
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.tokens.get(self.next), Some((_, Token::Name(next))) if next == word);
        self.next += usize::from(is_it);
        is_it
    }

    fn expect_sign(&mut self, sign: &str) -> Result<(), ExpressionError> {
        if self.takes_sign(sign) {
            Ok(())
        } else {
            Err(ExpressionError::new(self.place(), format!("expected `{sign}`")))
        }
    }
}
