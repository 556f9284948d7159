//! Which file uses which: reads the modules from `lib.rs` on, and follows every path in their code, through `use` and
//! `pub use`, to the file that defines what it names.
//!
//! An arrow is drawn where a file imports an item (`use`), or names one by a path in its code. None is drawn where it
//! declares a module, imports one (what is used through it counts), or passes a name on (`pub use`; what follows the
//! name counts). Test code is left out. It sees no method calls, and what a macro expands to only where it is written:
//! what a file calls without naming it, it does not depend on by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// From file to file.
pub type Arrows = BTreeMap<(String, String), Arrow>;

/// What one file uses of another.
#[derive(Clone, Debug)]
pub struct Arrow {
    /// A path that makes the arrow, as it is written; of a function, if there is one.
    pub path: String,
    /// Whether it names a function, not only types, traits, constants and macros.
    pub names_function: bool,
    /// Whether it goes to a module that the file is within.
    pub to_ancestor: bool,
}

/// A module's name, from the root.
type Name = Vec<String>;

/// A crate's files, and the arrows among them.
pub struct Crate {
    pub files: BTreeSet<String>,
    pub arrows: Arrows,
}

/// Reads the crate whose root is `src/lib.rs`, as if each file that is named in `planted` went on with that text.
pub fn read(planted: &[(&str, &str)]) -> Crate {
    let mut modules = Modules { modules: BTreeMap::new(), planted };
    modules.load(Vec::new(), PathBuf::from("src/lib.rs"), true);
    let files = modules.modules.values().map(|module| module.file.clone()).collect();
    Crate { files, arrows: modules.arrows() }
}

struct Modules<'p> {
    modules: BTreeMap<Name, Module>,
    planted: &'p [(&'p str, &'p str)],
}

#[derive(Default)]
struct Module {
    file: String,
    /// What `use` and `pub use` bring in, with the paths as written.
    bound: BTreeMap<String, Vec<Name>>,
    globs: Vec<Name>,
    /// Its items, and whether each is a function.
    defined: BTreeMap<String, bool>,
    /// Paths that count: plain imports, and every path in the code.
    used: Vec<Name>,
}

impl Modules<'_> {
    fn load(&mut self, name: Name, path: PathBuf, is_directory: bool) {
        let mut text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let folder = match is_directory {
            true => path.parent().unwrap().to_owned(),
            false => path.with_extension(""),
        };
        let file = path.to_string_lossy().replace('\\', "/");
        for (_, planted) in self.planted.iter().filter(|(planted, _)| *planted == file) {
            text.push_str(planted);
        }
        self.read(name, &file, &folder, &without_tests(&tokens(&text)));
    }

    /// Reads a module's tokens: its items if they are known words, everything else as code.
    fn read(&mut self, name: Name, file: &str, folder: &Path, tokens: &[Token]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut mounted = None;
        let mut at = 0;
        // Of braces: what is defined within some is no item of the module.
        let mut depth = 0;
        while at < tokens.len() {
            match (&tokens[at], tokens.get(at + 1), tokens.get(at + 2)) {
                (Token::Word(word), Some(Token::Is('=')), Some(Token::Text(text))) if word == "path" => {
                    mounted = Some(text.clone());
                    at += 3;
                }
                (Token::Word(word), Some(Token::Word(child)), Some(Token::Is(';'))) if word == "mod" => {
                    let path = match mounted.take() {
                        Some(path) => (Path::new(file).parent().unwrap().join(path), true),
                        None => (folder.join(format!("{child}.rs")), false),
                    };
                    if path.0.starts_with("src") && !path.0.to_string_lossy().contains("..") {
                        self.load(child_of(&name, child), path.0, path.1);
                    } else {
                        // What is generated beside `src` uses nothing of ours.
                        let module = Module { file: format!("{child}.rs"), ..Module::default() };
                        self.modules.insert(child_of(&name, child), module);
                    }
                    at += 3;
                }
                (Token::Word(word), Some(Token::Word(child)), Some(Token::Is('{'))) if word == "mod" => {
                    let end = closing(tokens, at + 2);
                    self.read(child_of(&name, child), file, &folder.join(child), &tokens[at + 3..end]);
                    at = end + 1;
                }
                (Token::Word(word), ..) if word == "use" && !is_bound_list(tokens, at) => {
                    let end = at + tokens[at..].iter().position(|token| *token == Token::Is(';')).unwrap();
                    let public = at > 0 && (tokens[at - 1].is("pub") || tokens[at - 1] == Token::Is(')'));
                    module.import(public, &tokens[at + 1..end]);
                    at = end + 1;
                }
                (Token::Word(word), Some(Token::Word(item)), _) if DEFINES.contains(&word.as_str()) => {
                    if depth == 0 {
                        module.defined.insert(item.clone(), word == "fn");
                    }
                    at += 2;
                }
                (Token::Word(word), Some(Token::Is('!')), Some(Token::Word(item)))
                    if word == "macro_rules" =>
                {
                    module.defined.insert(item.clone(), false);
                    at += 3;
                }
                (Token::Word(_), ..) => {
                    let follows_dot = at > 0 && tokens[at - 1] == Token::Is('.');
                    let (path, end) = path(tokens, at);
                    if !follows_dot {
                        module.used.push(path);
                    }
                    at = end;
                }
                (sign, ..) => {
                    depth += i32::from(*sign == Token::Is('{')) - i32::from(*sign == Token::Is('}'));
                    at += 1;
                }
            }
        }
        self.modules.insert(name, module);
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (name, module) in &self.modules {
            for path in &module.used {
                for target in self.resolve(name, path, 0) {
                    let Target::Item { file, is_function } = target else { continue };
                    if file == module.file {
                        continue;
                    }
                    let mut ancestors =
                        (0..name.len()).filter_map(|length| self.modules.get(&name[..length]));
                    let to_ancestor = ancestors.any(|ancestor| ancestor.file == file);
                    let arrow = || Arrow { path: path.join("::"), names_function: is_function, to_ancestor };
                    let known = arrows.entry((module.file.clone(), file)).or_insert_with(arrow);
                    if is_function && !known.names_function {
                        *known = arrow();
                    }
                }
            }
        }
        arrows
    }

    /// What a path means that stands in a module.
    fn resolve(&self, within: &Name, path: &[String], hops: usize) -> Vec<Target> {
        let mut base = within.clone();
        let mut rest = path;
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => base.clear(),
                "self" => {}
                "super" => drop(base.pop()),
                _ => break,
            }
            rest = others;
        }
        let named = rest.len() < path.len();
        self.walk(base, rest, named, hops)
    }

    /// What a path means from a module on. `named`: the module was named, so what it does not show to define, a macro of its
    /// does; otherwise it may be any word.
    fn walk(&self, mut base: Name, mut rest: &[String], mut named: bool, hops: usize) -> Vec<Target> {
        // Names are passed on a few times; a circle of globs would go on for ever.
        const MAX_HOPS: usize = 8;
        if hops > MAX_HOPS {
            return Vec::new();
        }
        loop {
            let Some(module) = self.modules.get(&base) else { return Vec::new() };
            let Some((first, others)) = rest.split_first() else { return vec![Target::Module] };
            let child = child_of(&base, first);
            if self.modules.contains_key(&child) && !(others.is_empty() && module.knows(first)) {
                (base, rest, named) = (child, others, true);
                continue;
            }
            // A module and a function may share a name, so both count.
            let mut found = Vec::new();
            if let Some(is_function) = module.defined.get(first) {
                found.push(Target::Item { file: module.file.clone(), is_function: *is_function });
            }
            for path in module.bound.get(first).into_iter().flatten() {
                if path.as_slice() != [first.as_str()] {
                    found.extend(self.resolve(&base, &[path.as_slice(), others].concat(), hops + 1));
                }
            }
            if module.knows(first) {
                return found;
            }
            for glob in &module.globs {
                let Some(target) = self.module_of(&base, glob) else { continue };
                found.extend(self.walk(target, rest, false, hops + 1));
            }
            if found.is_empty() && named {
                let is_function = first.starts_with(char::is_lowercase);
                found.push(Target::Item { file: module.file.clone(), is_function });
            }
            return found;
        }
    }

    /// The module that a glob opens, if it is one of ours.
    fn module_of(&self, within: &Name, path: &[String]) -> Option<Name> {
        let mut base = within.clone();
        for word in path {
            match word.as_str() {
                "crate" => base.clear(),
                "self" => {}
                "super" => drop(base.pop()),
                child => base.push(child.to_owned()),
            }
        }
        self.modules.contains_key(&base).then_some(base)
    }
}

enum Target {
    Module,
    /// Something that is defined in this file.
    Item {
        file: String,
        is_function: bool,
    },
}

impl Module {
    fn knows(&self, name: &str) -> bool {
        self.defined.contains_key(name) || self.bound.contains_key(name)
    }

    fn import(&mut self, public: bool, tree: &[Token]) {
        let mut leaves = Vec::new();
        leaves_of(tree, &[], &mut leaves);
        for (path, alias) in leaves {
            if path.last().is_some_and(|last| last == "*") {
                self.globs.push(path[..path.len() - 1].to_vec());
                continue;
            }
            if let Some(bound) = alias.or_else(|| path.last().cloned()) {
                self.bound.entry(bound).or_default().push(path.clone());
            }
            if !public {
                self.used.push(path);
            }
        }
    }
}

/// The paths of a `use`, each with its other name if it has one.
fn leaves_of(tree: &[Token], before: &[String], leaves: &mut Vec<(Name, Option<String>)>) {
    let mut path = before.to_vec();
    let mut alias = None;
    let mut at = 0;
    while at < tree.len() {
        match &tree[at] {
            Token::Word(word) if word == "as" => {
                if let Some(Token::Word(word)) = tree.get(at + 1) {
                    alias = Some(word.clone());
                }
                at += 2;
            }
            Token::Word(word) => {
                // `{self, …}` is the path before it.
                if word != "self" || path.is_empty() {
                    path.push(word.clone());
                }
                at += 1;
            }
            Token::Is('*') => {
                path.push("*".to_owned());
                at += 1;
            }
            Token::Is('{') => {
                let end = closing(tree, at);
                let (mut depth, mut start) = (0, at + 1);
                for (index, token) in tree.iter().enumerate().take(end + 1).skip(at + 1) {
                    match token {
                        Token::Is('{') => depth += 1,
                        Token::Is('}') if index < end => depth -= 1,
                        Token::Is(',') if depth == 0 => {
                            leaves_of(&tree[start..index], &path, leaves);
                            start = index + 1;
                        }
                        _ => {}
                    }
                }
                if start < end {
                    leaves_of(&tree[start..end], &path, leaves);
                }
                return;
            }
            _ => at += 1,
        }
    }
    if path.len() > before.len() || !tree.is_empty() {
        leaves.push((path, alias));
    }
}

const DEFINES: [&str; 8] = ["struct", "enum", "trait", "fn", "type", "const", "static", "union"];

fn child_of(name: &Name, child: &str) -> Name {
    [name.as_slice(), &[child.to_owned()]].concat()
}

/// `use<'a>` in a type is no import.
fn is_bound_list(tokens: &[Token], at: usize) -> bool {
    tokens.get(at + 1) == Some(&Token::Is('<'))
}

/// The path that begins here, and where it ends.
fn path(tokens: &[Token], mut at: usize) -> (Name, usize) {
    let mut path = Vec::new();
    while let Some(Token::Word(word)) = tokens.get(at) {
        path.push(word.clone());
        at += 1;
        if tokens.get(at) != Some(&Token::Is(':')) || tokens.get(at + 1) != Some(&Token::Is(':')) {
            break;
        }
        at += 2;
    }
    (path, at)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Is(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(own) if own == word)
    }
}

/// Where the bracket that opens here closes.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Is('{' | '(' | '[') => depth += 1,
            Token::Is('}' | ')' | ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("a bracket that does not close");
}

/// Without the items that stand under `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_test = tokens[at] == Token::Is('#')
            && tokens.get(at + 2).is_some_and(|token| token.is("cfg"))
            && tokens.get(at + 4).is_some_and(|token| token.is("test"))
            && tokens.get(at + 5) == Some(&Token::Is(')'));
        if !is_test {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // To the end of the item: its semicolon, or its braces.
        at = closing(tokens, at + 1) + 1;
        while at < tokens.len() && tokens[at] != Token::Is(';') && tokens[at] != Token::Is('{') {
            at = if matches!(tokens[at], Token::Is('(' | '[')) { closing(tokens, at) + 1 } else { at + 1 };
        }
        at = if tokens.get(at) == Some(&Token::Is('{')) { closing(tokens, at) + 1 } else { at + 1 };
    }
    kept
}

/// The words, strings and signs of a file; no comments.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let is_word = |at: usize| chars.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let until = |mut at: usize, stop: &dyn Fn(usize) -> bool| {
        while at < chars.len() && !stop(at) {
            at += 1;
        }
        at
    };
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match chars[at] {
            '/' if next == '/' => at = until(at, &|at| chars[at] == '\n'),
            '/' if next == '*' => {
                at = until(at + 2, &|at| chars[at] == '*' && chars.get(at + 1) == Some(&'/')) + 2;
            }
            'r' if next == '"' || next == '#' && matches!(chars.get(at + 2), Some('"' | '#')) => {
                let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                let ends = |at: usize| {
                    chars[at] == '"'
                        && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
                };
                let start = at + hashes + 2;
                let end = until(start, &ends);
                tokens.push(Token::Text(chars[start..end.min(chars.len())].iter().collect()));
                at = end + 1 + hashes;
            }
            '"' => {
                let start = at + 1;
                at = start;
                while chars.get(at).is_some_and(|c| *c != '"') {
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
                tokens.push(Token::Text(chars[start..at.min(chars.len())].iter().collect()));
                at += 1;
            }
            // A character, not a lifetime.
            '\'' if next == '\\' => at = until(at + 3, &|at| chars[at] == '\'') + 1,
            '\'' if chars.get(at + 2) == Some(&'\'') => at += 3,
            '\'' => at = until(at + 1, &|at| !is_word(at)),
            c if c.is_whitespace() => at += 1,
            // A byte string's or character's prefix goes with what follows it.
            'b' if matches!(next, '"' | '\'') => at += 1,
            _ if is_word(at) => {
                let end = until(at, &|at| !is_word(at));
                tokens.push(Token::Word(chars[at..end].iter().collect()));
                at = end;
            }
            sign => {
                tokens.push(Token::Is(sign));
                at += 1;
            }
        }
    }
    tokens
}
