//! Formulas: those in a line as people type them, `sin θ=(mλ)/(a)`, and those that stand alone in LaTeX,
//! `$$sin\theta =\frac{m\lambda }{a}$$`.

use quick_xml::events::BytesStart;
use unicode_normalization::UnicodeNormalization;

use super::super::xml;

/// Longer brackets are none.
const MAX_BRACKET_BYTES: usize = 8;

/// The open formulas of a part.
#[derive(Default)]
pub(super) struct Formulas {
    open: usize,
    /// They stand alone.
    alone: bool,
    brackets: Vec<Brackets>,
    /// A term has begun that must not grow together with what stands before it.
    begins: bool,
}

/// A pair of brackets.
struct Brackets {
    open: String,
    close: String,
    /// Something was within.
    begun: bool,
}

impl Formulas {
    /// What follows stands alone, or no longer.
    pub(super) fn set_alone(&mut self, alone: bool) {
        self.alone = alone;
    }

    pub(super) const fn are_open(&self) -> bool {
        self.open > 0
    }

    /// Begins a formula; gives what stands before it.
    pub(super) fn begin(&mut self) -> &'static str {
        self.open += 1;
        self.begins = true;
        if self.alone { "$$" } else { "" }
    }

    /// Ends one; gives what stands after it.
    pub(super) fn end(&mut self) -> &'static str {
        self.open = self.open.saturating_sub(1);
        self.begins = true;
        if self.alone { "$$" } else { "" }
    }

    /// A run of text begins.
    pub(super) fn run(&mut self) {
        self.begins |= self.are_open();
    }

    /// What stands before and after a part of a formula.
    pub(super) fn term(&self, name: &str) -> Option<(&'static str, &'static str)> {
        Some(match (name, self.alone) {
            ("num", false) => ("(", ")/"),
            ("den" | "radicand", false) => ("(", ")"),
            ("sup", false) => ("^(", ")"),
            ("sub", false) => ("_(", ")"),
            ("rad", false) => ("√", ""),
            ("num", true) => (r"\frac{", "}"),
            ("den" | "radicand", true) => ("{", "}"),
            ("sup", true) => ("^{", "}"),
            ("sub", true) => ("_{", "}"),
            ("rad", true) => (r"\sqrt", ""),
            _ => return None,
        })
    }

    pub(super) fn begin_brackets(&mut self) {
        self.brackets.push(Brackets {
            open: "(".to_owned(),
            close: ")".to_owned(),
            begun: false,
        });
    }

    /// Takes in how the innermost brackets look.
    pub(super) fn set_brackets(&mut self, name: &str, start: &BytesStart<'_>) {
        let Some(brackets) = self.brackets.last_mut() else {
            return;
        };
        let look = xml::value(start).unwrap_or_default();
        if look.len() > MAX_BRACKET_BYTES {
            return;
        }
        match name {
            "begChr" => brackets.open = look.into_owned(),
            "endChr" => brackets.close = look.into_owned(),
            _ => {}
        }
    }

    /// What stands before the next thing within the innermost brackets.
    pub(super) fn within_brackets(&mut self) -> String {
        let Some(brackets) = self.brackets.last_mut() else {
            return String::new();
        };
        if std::mem::replace(&mut brackets.begun, true) {
            return "|".to_owned();
        }
        let open = brackets.open.clone();
        if self.alone {
            format!(r"\left{}", latex_bracket(&open))
        } else {
            open
        }
    }

    pub(super) fn end_brackets(&mut self) -> String {
        match self.brackets.pop() {
            Some(Brackets { close, begun, .. }) if begun => {
                if self.alone {
                    format!(r"\right{}", latex_bracket(&close))
                } else {
                    close
                }
            }
            _ => String::new(),
        }
    }

    /// Adds text to a paragraph in which there are formulas: terms are words of their own.
    pub(super) fn write(&mut self, paragraph: &mut String, text: &str) {
        if self.begins {
            let next = text.trim_start_matches(is_invisible);
            if !next.is_empty() {
                self.begins = false;
                let before = paragraph.trim_end_matches(is_invisible);
                if before.ends_with(ends_term) && next.starts_with(char::is_alphanumeric) {
                    paragraph.push(' ');
                }
            }
        }
        match (self.are_open(), self.alone) {
            (false, _) => paragraph.push_str(text),
            (true, false) => paragraph.extend(text.chars().map(letter)),
            (true, true) => push_latex(paragraph, text),
        }
    }
}

/// Word's operators for "applied to", "times", "and" and "plus", which nobody sees.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{2061}'..='\u{2064}')
}

fn ends_term(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, ')' | ']' | '}')
}

fn latex_bracket(look: &str) -> &str {
    match look {
        "" => ".",
        "{" => r"\{",
        "}" => r"\}",
        look => look,
    }
}

/// The plain form of a letter or digit of the mathematical alphabets.
fn letter(c: char) -> char {
    if matches!(c, '\u{1d400}'..='\u{1d7ff}') {
        std::iter::once(c).nfkc().next().unwrap_or(c)
    } else {
        c
    }
}

fn push_latex(formula: &mut String, text: &str) {
    for c in text.chars().map(letter).filter(|c| !is_invisible(*c)) {
        if let Some((_, command)) = COMMANDS.iter().find(|(known, _)| *known == c) {
            formula.push('\\');
            formula.push_str(command);
            formula.push(' ');
            continue;
        }
        match c {
            '{' | '}' | '%' | '&' | '#' | '$' | '_' => {
                formula.push('\\');
                formula.push(c);
            }
            '\u{2212}' => formula.push('-'),
            c => formula.push(c),
        }
    }
}

/// Characters that LaTeX writes as commands.
const COMMANDS: &[(char, &str)] = &[
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "varepsilon"),
    ('ϵ', "epsilon"),
    ('ζ', "zeta"),
    ('η', "eta"),
    ('θ', "theta"),
    ('ϑ', "vartheta"),
    ('ι', "iota"),
    ('κ', "kappa"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('ν', "nu"),
    ('ξ', "xi"),
    ('π', "pi"),
    ('ρ', "rho"),
    ('σ', "sigma"),
    ('ς', "varsigma"),
    ('τ', "tau"),
    ('υ', "upsilon"),
    ('φ', "varphi"),
    ('ϕ', "phi"),
    ('χ', "chi"),
    ('ψ', "psi"),
    ('ω', "omega"),
    ('Γ', "Gamma"),
    ('Δ', "Delta"),
    ('Θ', "Theta"),
    ('Λ', "Lambda"),
    ('Ξ', "Xi"),
    ('Π', "Pi"),
    ('Σ', "Sigma"),
    ('Φ', "Phi"),
    ('Ψ', "Psi"),
    ('Ω', "Omega"),
    ('×', "times"),
    ('÷', "div"),
    ('·', "cdot"),
    ('⋅', "cdot"),
    ('±', "pm"),
    ('∓', "mp"),
    ('≤', "leq"),
    ('≥', "geq"),
    ('≠', "neq"),
    ('≈', "approx"),
    ('≡', "equiv"),
    ('∝', "propto"),
    ('∞', "infty"),
    ('∂', "partial"),
    ('∇', "nabla"),
    ('∑', "sum"),
    ('∏', "prod"),
    ('∫', "int"),
    ('∘', "circ"),
    ('∈', "in"),
    ('∀', "forall"),
    ('∃', "exists"),
    ('∪', "cup"),
    ('∩', "cap"),
    ('⊂', "subset"),
    ('→', "rightarrow"),
    ('←', "leftarrow"),
    ('⇒', "Rightarrow"),
    ('⇔', "Leftrightarrow"),
    ('…', "ldots"),
    ('⋯', "cdots"),
];
