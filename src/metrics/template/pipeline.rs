//! What stands between `{{` and `}}`: pipelines of commands, and their operands.

use super::functions;
use super::lex::Kind;
use super::number::number;
use super::parse::{Command, Operand, Parser, Pipeline};
use super::value::Value;

impl Parser {
    /// Up to and with the `}}`, or the `)` of one in parentheses.
    pub(super) fn pipeline(&mut self, is_of_range: bool) -> Result<Pipeline, String> {
        self.deeper()?;
        let (variables, declares) = self.declarations(is_of_range)?;
        let mut commands: Vec<Command> = Vec::new();
        loop {
            self.skip_spaces();
            match self.peek() {
                Some(Kind::Close | Kind::Right) => {
                    if commands.is_empty() {
                        return Err(
                            "there is nothing between \"{{\" and \"}}\", or \"(\" and \")\""
                                .to_owned(),
                        );
                    }
                    self.at += 1;
                    break;
                }
                None => return Err("\"{{\" is not closed".to_owned()),
                Some(_) => commands.push(self.command()?),
            }
        }
        for command in commands.iter().skip(1) {
            let is_value = matches!(
                command[0],
                Operand::Constant(_) | Operand::Nil | Operand::Dot
            );
            if is_value {
                return Err("what is after \"|\" is not a function".to_owned());
            }
        }
        self.up();
        // They are known from here on, and not in the pipeline that they are set by.
        if declares {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline {
            variables,
            declares,
            commands,
        })
    }

    /// `$x :=`, `$x =`, and for a range `$i, $x :=`.
    fn declarations(&mut self, is_of_range: bool) -> Result<(Vec<String>, bool), String> {
        let start = self.at;
        let mut names = Vec::new();
        loop {
            self.skip_spaces();
            let Some(Kind::Variable(name)) = self.peek().cloned() else {
                break;
            };
            self.at += 1;
            self.skip_spaces();
            names.push(name);
            match self.peek() {
                Some(Kind::Declare) => {
                    self.at += 1;
                    return Ok((names, true));
                }
                Some(Kind::Assign) => {
                    self.at += 1;
                    if let Some(name) = names.iter().find(|name| !self.is_declared(name)) {
                        return Err(format!("variable {name} is not declared"));
                    }
                    return Ok((names, false));
                }
                Some(Kind::Comma) if is_of_range && names.len() < 2 => self.at += 1,
                _ => break,
            }
        }
        self.at = start;
        Ok((Vec::new(), false))
    }

    fn is_declared(&self, name: &str) -> bool {
        name == "$" || self.variables.iter().any(|known| known == name)
    }

    fn command(&mut self) -> Result<Command, String> {
        let mut operands = Vec::new();
        loop {
            self.skip_spaces();
            if !matches!(
                self.peek(),
                Some(Kind::Pipe | Kind::Close | Kind::Right) | None
            ) {
                operands.push(self.operand()?);
            }
            match self.peek() {
                Some(Kind::Space) => {
                    self.at += 1;
                    continue;
                }
                // Nothing need follow.
                Some(Kind::Pipe) => self.at += 1,
                Some(Kind::Close | Kind::Right) => {}
                Some(_) => {
                    self.at += 1;
                    return Err("an argument is not set apart by a blank".to_owned());
                }
                None => return Err("\"{{\" is not closed".to_owned()),
            }
            break;
        }
        if operands.is_empty() {
            return Err("nothing is before \"|\"".to_owned());
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let operand = match self.next() {
            Some(Kind::Word(word)) => match &*word {
                "true" => Operand::Constant(Value::Bool(true)),
                "false" => Operand::Constant(Value::Bool(false)),
                "nil" => Operand::Nil,
                "block" | "break" | "continue" | "define" | "else" | "end" | "if" | "range"
                | "template" | "with" => return Err(format!("{word} cannot stand here")),
                word => Operand::Function(functions::known(word)?.to_owned()),
            },
            Some(Kind::Dot) => Operand::Dot,
            Some(Kind::Field(name)) => Operand::Fields(Box::new(Operand::Dot), vec![name]),
            Some(Kind::Variable(name)) if self.is_declared(&name) => Operand::Variable(name),
            Some(Kind::Variable(name)) => return Err(format!("variable {name} is not declared")),
            Some(Kind::Quoted(text)) => Operand::Constant(Value::Text(text)),
            Some(Kind::Character(character)) => {
                Operand::Constant(Value::Int(i64::from(u32::from(character))))
            }
            Some(Kind::Number(text)) => Operand::Constant(number(&text)?),
            Some(Kind::Left) => Operand::Pipeline(self.pipeline(false)?),
            _ => return Err("an argument is expected".to_owned()),
        };
        let mut fields = Vec::new();
        while let Some(Kind::Field(name)) = self.peek().cloned() {
            self.at += 1;
            fields.push(name);
        }
        if fields.is_empty() {
            return Ok(operand);
        }
        match operand {
            Operand::Constant(_) | Operand::Nil => Err("a constant has no fields".to_owned()),
            Operand::Fields(of, mut first) => {
                first.extend(fields);
                Ok(Operand::Fields(of, first))
            }
            operand => Ok(Operand::Fields(Box::new(operand), fields)),
        }
    }
}
