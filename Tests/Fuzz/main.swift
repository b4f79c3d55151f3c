import Glibc

// tincture-fuzz PARSER|all [--executions N] [--seed S] [--corpus DIR] [--keep]
// tincture-fuzz list
//
// Damages good files at random and parses them. Fails (status 1) on a trap, on an input that takes longer
// than a second, and on one whose parsing needs more memory than a small multiple of its size. The same seed
// runs the same inputs. DIR/PARSER/* are run as they are, then serve as seeds too; --keep writes there an
// input for each new outcome.

func usage(_ problem: String) -> Never {
  print("tincture-fuzz: \(problem)")
  print("usage: tincture-fuzz PARSER|all [--executions N] [--seed S] [--corpus DIR] [--keep]")
  print("       tincture-fuzz list")
  print("parsers: " + FuzzTarget.all.map(\.name).joined(separator: " "))
  exit(2)
}

var options = Options()
var words = Array(CommandLine.arguments.dropFirst())
while !words.isEmpty {
  let word = words.removeFirst()
  func argument() -> String {
    guard !words.isEmpty else { usage("\(word) needs a value") }
    return words.removeFirst()
  }
  switch word {
  case "--executions":
    guard let count = Int(argument()), count > 0 else { usage("--executions needs a number") }
    options.executions = count
  case "--seed":
    guard let seed = UInt64(argument()) else { usage("--seed needs a number") }
    options.seed = seed
  case "--corpus": options.corpus = argument()
  case "--keep": options.keeps = true
  default:
    guard options.parser.isEmpty, !word.hasPrefix("-") else { usage("unknown word \(word)") }
    options.parser = word
  }
}
if options.parser == "list" {
  for target in FuzzTarget.all { print(target.name) }
  exit(0)
}
let targets = FuzzTarget.all.filter { options.parser == "all" || $0.name == options.parser }
guard !targets.isEmpty else { usage("no parser named \"\(options.parser)\"") }

var failures = 0
for target in targets {
  // `all` shares the executions out, so that its cost does not grow with the number of parsers.
  let share = max(1, options.executions / targets.count)
  var fuzzer = Fuzzer(target, options: options)
  failures += fuzzer.run(executions: share)
}
exit(failures == 0 ? 0 : 1)
