//! The tree of a template in, its output out, piece by piece.

use std::sync::Arc;

use super::functions;
use super::parse::{Branches, Command, Node, Operand, Pipeline};
use super::value::Value;
use super::{Functions, Piece};

/// A template that does more than this is not one that people write.
const STEPS_MAX: usize = 20_000;

/// Nor one whose output is larger.
const BYTES_MAX: usize = 1 << 18;

pub(super) struct Run<'a> {
    pub(super) functions: &'a dyn Functions,
    pub(super) pieces: Vec<Piece>,
    variables: Vec<(String, Value)>,
    steps: usize,
    bytes: usize,
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'a> Run<'a> {
    pub(super) fn new(functions: &'a dyn Functions) -> Self {
        Self {
            functions,
            pieces: Vec::new(),
            variables: vec![("$".to_owned(), Value::Nil)],
            steps: 0,
            bytes: 0,
        }
    }

    pub(super) fn all(&mut self, nodes: &[Node]) -> Result<(), String> {
        self.list(nodes, &Value::Nil).map(|_| ())
    }

    fn list(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, String> {
        for node in nodes {
            self.step()?;
            let at = |line: &usize| {
                let line = *line;
                move |why: String| format!("line {line}: {why}")
            };
            let flow = match node {
                Node::Text(text) => {
                    self.put(Piece::Literal(text.clone()))?;
                    Flow::On
                }
                Node::Action(line, pipeline) => {
                    self.action(pipeline, dot).map_err(at(line))?;
                    Flow::On
                }
                Node::If(line, branches) | Node::With(line, branches) => {
                    let known = self.variables.len();
                    let value = self.pipeline(&branches.condition, dot).map_err(at(line))?;
                    let dot = if matches!(node, Node::With(..)) && value.is_true() {
                        &value
                    } else {
                        dot
                    };
                    let nodes = if value.is_true() {
                        &branches.then
                    } else {
                        &branches.otherwise
                    };
                    let flow = self.list(nodes, dot)?;
                    self.variables.truncate(known);
                    flow
                }
                Node::Range(line, branches) => {
                    let known = self.variables.len();
                    let value = self.pipeline(&branches.condition, dot).map_err(at(line))?;
                    let items = items(&value, &branches.condition).map_err(at(line))?;
                    let flow = self.range(branches, items, dot)?;
                    self.variables.truncate(known);
                    flow
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn range(&mut self, branches: &Branches, items: Items, dot: &Value) -> Result<Flow, String> {
        let known = self.variables.len();
        let mut is_empty = true;
        for (key, item) in items {
            is_empty = false;
            self.step()?;
            let set = match &*branches.condition.variables {
                [] => Vec::new(),
                [value] => vec![(value, item.clone())],
                [index, value, ..] => vec![(index, key), (value, item.clone())],
            };
            for (name, value) in set {
                if branches.condition.declares {
                    self.variables.push((name.clone(), value));
                } else {
                    self.assign(name, value);
                }
            }
            let flow = self.list(&branches.then, &item)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        if is_empty {
            return self.list(&branches.otherwise, dot);
        }
        Ok(Flow::On)
    }

    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(format!("more than {STEPS_MAX} steps"));
        }
        Ok(())
    }

    fn action(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<(), String> {
        let value = self.pipeline(pipeline, dot)?;
        if !pipeline.variables.is_empty() {
            return Ok(());
        }
        let text = match &value {
            Value::Nil => "<no value>".to_owned(),
            value => value.shown(),
        };
        self.put(match &pipeline.commands[..] {
            [command] => match &command[..] {
                [Operand::Function(name)] => Piece::Name(name.clone(), text),
                _ => Piece::Value(text),
            },
            _ => Piece::Value(text),
        })
    }

    fn put(&mut self, piece: Piece) -> Result<(), String> {
        self.bytes += piece.text().len();
        if self.bytes > BYTES_MAX {
            return Err(format!("more than {BYTES_MAX} bytes come of it"));
        }
        self.pieces.push(piece);
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        let value = value.unwrap_or(Value::Nil);
        // Those of a range are set to each of what it goes over.
        for name in pipeline
            .variables
            .iter()
            .filter(|_| pipeline.variables.len() == 1)
        {
            if pipeline.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                self.assign(name, value.clone());
            }
        }
        Ok(value)
    }

    fn assign(&mut self, name: &str, value: Value) {
        let mut variables = self.variables.iter_mut().rev();
        if let Some((_, kept)) = variables.find(|(known, _)| known == name) {
            *kept = value;
        }
    }

    fn command(
        &mut self,
        command: &Command,
        last: Option<Value>,
        dot: &Value,
    ) -> Result<Value, String> {
        let (first, arguments) = command.split_first().ok_or("an empty command")?;
        if let Operand::Function(name) = first {
            return self.call(name, arguments, last, dot);
        }
        if !arguments.is_empty() || last.is_some() {
            return Err("what is no function takes no arguments".to_owned());
        }
        match first {
            Operand::Nil => Err("nil is not a command".to_owned()),
            first => self.operand(first, dot),
        }
    }

    fn call(
        &mut self,
        name: &str,
        arguments: &[Operand],
        last: Option<Value>,
        dot: &Value,
    ) -> Result<Value, String> {
        let count = arguments.len() + usize::from(last.is_some());
        if matches!(name, "and" | "or") {
            if count == 0 {
                return Err(format!("{name} needs an argument"));
            }
            // What decides ends it: the rest may be an error.
            let mut value = Value::Nil;
            for argument in arguments {
                value = self.operand(argument, dot)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        if let Some(value) = self.functions.value(name) {
            if count > 0 {
                return Err(format!("{name} takes no arguments"));
            }
            return Ok(Value::Text(value));
        }
        if name == "variables" {
            if count > 0 {
                return Err("variables takes no arguments; write variables.key".to_owned());
            }
            return Ok(Value::Map(Arc::new(self.functions.variables().clone())));
        }
        let mut values = Vec::with_capacity(count);
        for argument in arguments {
            values.push(self.operand(argument, dot)?);
        }
        values.extend(last);
        functions::call(name, &values).map_err(|why| format!("{name}: {why}"))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        self.step()?;
        match operand {
            Operand::Function(name) => self.call(name, &[], None, dot),
            Operand::Constant(value) => Ok(value.clone()),
            Operand::Nil => Ok(Value::Nil),
            Operand::Dot => Ok(dot.clone()),
            Operand::Variable(name) => {
                let mut variables = self.variables.iter().rev();
                let found = variables.find(|(known, _)| known == name);
                Ok(found.map_or(Value::Nil, |(_, value)| value.clone()))
            }
            Operand::Pipeline(pipeline) => {
                let known = self.variables.len();
                let value = self.pipeline(pipeline, dot);
                self.variables.truncate(known);
                value
            }
            Operand::Fields(of, names) => {
                let mut value = self.operand(of, dot)?;
                for name in names {
                    value = field(&value, name)?;
                }
                Ok(value)
            }
        }
    }
}

fn field(value: &Value, name: &str) -> Result<Value, String> {
    match value {
        Value::Map(map) => map
            .get(name)
            .cloned()
            .map(Value::Text)
            .ok_or_else(|| format!("templateVariables has no {name:?}")),
        Value::Nil => Err(format!(
            "there is no data to take .{name} from; functions are called without a dot"
        )),
        other => Err(format!(".{name} of a {} is nothing", other.type_name())),
    }
}

/// What a range goes over: keys and values.
type Items = Box<dyn Iterator<Item = (Value, Value)>>;

fn items(value: &Value, condition: &Pipeline) -> Result<Items, String> {
    match value {
        Value::Int(_) if condition.variables.len() > 1 => {
            Err("a range over a number has one variable".to_owned())
        }
        Value::Int(count) => Ok(Box::new(
            (0..*count).map(|n| (Value::Int(n), Value::Int(n))),
        )),
        Value::Map(map) => {
            let items: Vec<_> = map
                .iter()
                .map(|(key, value)| (Value::Text(key.clone()), Value::Text(value.clone())))
                .collect();
            Ok(Box::new(items.into_iter()))
        }
        Value::Nil => Ok(Box::new(std::iter::empty())),
        other => Err(format!("a range does not go over a {}", other.type_name())),
    }
}
