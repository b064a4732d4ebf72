//! The query API of `InfluxDB`, version 2: a Flux script out, annotated CSV back.

use bytes::Bytes;
use csv::{ReaderBuilder, StringRecord};
use jiff::Timestamp;
use serde_json::json;

use crate::metrics::single::{self, NO_VALUES, NOT_UNDERSTOOD, Points};
use crate::metrics::{Access, Check, Measured, Next, Origin, Provider, Reply, System, access};

#[derive(Debug)]
pub(super) struct InfluxDb;

impl Provider for InfluxDb {
    fn name(&self) -> &'static str {
        "influxdb"
    }

    fn next(&self, checks: &[Check], replies: &[Reply], now: Timestamp) -> Next {
        let ask =
            |check: &Check| request(&check.address, check.origin, &check.access, &check.query);
        single::next(checks, replies, ask, |check, reply| {
            measured(check, reply, now)
        })
    }

    /// Flagger reads two hours of a bucket named `default`, which few have, and which may hold more
    /// than an answer may be long. That buckets can be listed says as much.
    fn probe(&self, system: &System, _: Timestamp) -> Result<http::Request<Bytes>, String> {
        request(
            &system.address,
            system.origin,
            &system.access,
            "buckets() |> limit(n: 1)",
        )
    }

    fn online(&self, reply: &Reply) -> Result<(), String> {
        rows(single::answered(reply)?.body()).map(|_| ())
    }

    fn secret_keys(&self) -> &'static [&'static str] {
        &["token", "org"]
    }
}

fn request(
    address: &str,
    origin: Origin,
    of: &Access,
    query: &str,
) -> Result<http::Request<Bytes>, String> {
    let mut parameters = Vec::new();
    if of.secret.is_some() {
        parameters.push(("org", of.key("org")?));
    }
    let mut request = single::post(address, "/api/v2/query", &parameters, of)?
        .header("Accept", "application/csv")
        .header("Content-Type", "application/json");
    if of.secret.is_some() {
        request = access::authorized(request, "Token", of.key("token")?)?;
    }
    let body = json!({
        "query": query,
        "type": "flux",
        "dialect": { "annotations": ["datatype", "group", "default"], "delimiter": ",", "header": true },
    });
    single::sent_with(request, origin, body.to_string())
}

/// One row of a table.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    /// Name of the result and number of the table: a series.
    table: (String, String),
    /// Unix time.
    time: Option<f64>,
    /// Where the time ends that the query looks at.
    stop: Option<f64>,
    value: Option<f64>,
}

fn measured(check: &Check, reply: &Reply, now: Timestamp) -> Measured {
    let rows = single::answered(reply).and_then(|response| rows(response.body()));
    let mut rows = match rows {
        Ok(rows) => rows,
        Err(why) => return Measured::Error(why),
    };
    let mut tables: Vec<_> = rows.iter().map(|row| &row.table).collect();
    tables.dedup();
    if tables.len() > 1 {
        return single::several(tables.len());
    }
    if rows.is_empty() {
        return Measured::NoData(NO_VALUES.to_owned());
    }
    // A window that ends with the whole query bears its end as its time, and was cut off.
    let count = rows.len();
    rows.retain(|row| row.time.is_none() || row.time != row.stop);
    let are_ends = rows.len() < count;
    match &*rows {
        [] => Measured::NoData(single::NOT_ENDED.to_owned()),
        [Row { value: None, .. }] => Measured::NoData(NO_VALUES.to_owned()),
        // What the query made of everything, or the point that it picked.
        [
            Row {
                time,
                value: Some(value),
                ..
            },
        ] => match time {
            Some(time) => single::stamped(check, *time, *value, now),
            None => single::value(*value),
        },
        rows => {
            let points = rows.iter().map(|row| Some((row.time?, row.value)));
            let Some(mut points) = points.collect::<Option<Vec<_>>>() else {
                let why = format!("{} values without a time where one is expected", rows.len());
                return Measured::Error(why);
            };
            points.sort_by(|(left, _), (right, _)| left.total_cmp(right));
            let step = are_ends.then_some(0.0);
            Points { points, step }.newest(check, now.as_duration().as_secs_f64())
        }
    }
}

/// The columns of a table, as its annotations and its header describe them.
#[derive(Default)]
struct Columns {
    types: StringRecord,
    defaults: StringRecord,
    names: StringRecord,
}

impl Columns {
    /// Type and value of a column, where the table has it. An empty value is the default.
    fn get<'a>(&'a self, record: &'a StringRecord, name: &str) -> Option<(&'a str, &'a str)> {
        let column = self.names.iter().position(|known| known == name)?;
        let value = record.get(column).filter(|value| !value.is_empty());
        let value = value.or(self.defaults.get(column)).unwrap_or_default();
        Some((self.types.get(column)?, value))
    }

    fn row(&self, record: &StringRecord) -> Result<Row, String> {
        let text = |name| self.get(record, name).map_or("", |(_, value)| value);
        let time = |name| match text(name) {
            "" => Ok(None),
            text => match text.parse::<Timestamp>() {
                Ok(time) => Ok(Some(time.as_duration().as_secs_f64())),
                Err(_) => Err(NOT_UNDERSTOOD.to_owned()),
            },
        };
        let value = match self.get(record, "_value") {
            None => return Err("the answer has no column _value".to_owned()),
            Some((_, "")) => None,
            Some(("double" | "long" | "unsignedLong", value)) => {
                let value = value.parse::<f64>();
                Some(value.map_err(|_| NOT_UNDERSTOOD.to_owned())?)
            }
            Some(_) => return Err("the value is not a number".to_owned()),
        };
        Ok(Row {
            table: (text("result").to_owned(), text("table").to_owned()),
            time: time("_time")?,
            stop: time("_stop")?,
            value,
        })
    }
}

/// The rows of all tables. Each table has its annotations, then its header, then its rows.
///
/// On failure: the answer is another one, or says that the query failed, which it may when tables
/// have come already.
fn rows(body: &[u8]) -> Result<Vec<Row>, String> {
    let reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(body);
    let mut columns = Columns::default();
    let mut rows = Vec::new();
    for record in reader.into_records() {
        let record = record.map_err(|_| NOT_UNDERSTOOD.to_owned())?;
        let first = record.get(0).unwrap_or_default();
        if first.starts_with('#') {
            if !columns.names.is_empty() {
                columns = Columns::default();
            }
            match first {
                "#datatype" => columns.types = record,
                "#default" => columns.defaults = record,
                _ => {}
            }
        } else if !columns.names.is_empty() {
            rows.push(columns.row(&record)?);
        } else if ["error", "reference"].map(|name| record.iter().any(|it| it == name)) == [true; 2]
        {
            return Err(single::ERROR_INSIDE.to_owned());
        } else if columns.types.is_empty() {
            return Err(NOT_UNDERSTOOD.to_owned());
        } else {
            columns.names = record;
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::{Row, rows};

    #[test]
    fn tables_are_told_apart_and_empty_values_are_the_default() {
        let answer = "#datatype,string,long,string,double\r\n\
                      #group,false,false,true,false\r\n\
                      #default,one,,,\r\n\
                      ,result,table,path,_value\r\n\
                      ,,0,\"a,\"\"b\"\"\",0.5\r\n\
                      \r\n\
                      #datatype,string,long,long,dateTime:RFC3339\r\n\
                      #group,false,false,false,false\r\n\
                      #default,_result,,7,\r\n\
                      ,result,table,_value,_time\r\n\
                      ,,1,,1970-01-01T00:01:00.5Z\r\n\
                      ,two,1,8,\r\n";
        let row = |result: &str, table: &str, time, value| Row {
            table: (result.to_owned(), table.to_owned()),
            time,
            stop: None,
            value: Some(value),
        };
        let expected = vec![
            row("one", "0", None, 0.5),
            row("_result", "1", Some(60.5), 7.0),
            row("two", "1", None, 8.0),
        ];
        assert_eq!(rows(answer.as_bytes()), Ok(expected));
        assert_eq!(rows(b"\r\n"), Ok(Vec::new()));
    }
}
