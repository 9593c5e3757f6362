//! Parses the command line and dispatches; the only place that exits the process.

fn main() {}
