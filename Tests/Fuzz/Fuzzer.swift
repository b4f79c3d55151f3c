import CFuzz
import Glibc
import TinctureCore

/// What the command line asks for.
struct Options {
  var parser = ""
  var executions = 100_000
  var seed: UInt64 = 1
  /// Folder of kept inputs, one folder a parser below it.
  var corpus: String?
  /// Whether inputs of new outcomes are written to the corpus.
  var keeps = false
}

/// Runs one parser over damaged inputs and watches time and memory.
struct Fuzzer {
  /// The most processor time one input may take, in nanoseconds.
  private static let patience: UInt64 = 1_000_000_000
  /// The largest input made.
  private static let largestInput = 16_384
  private static let largestPool = 4_000

  private let target: FuzzTarget
  private let options: Options
  private var mutator: Mutator
  private var outcomes: Set<String> = []
  private var failures = 0
  private var slowest: UInt64 = 0
  private var accepted = 0
  private var highestPeak: Int64 = 0
  /// Highest memory per byte of input, of inputs of 4 KiB or more: smaller ones show only what every run
  /// needs.
  private var highestRatio = 0.0
  private var kept = 0

  init(_ target: FuzzTarget, options: Options) {
    self.target = target
    self.options = options
    mutator = Mutator(
      random: RandomSource(seed: options.seed), words: target.words.map { Array($0.utf8) },
      pool: target.seeds, limit: Fuzzer.largestInput)
  }

  private var folder: String? { options.corpus.map { Folder.join($0, target.name) } }

  /// Runs the corpus, the seeds and `executions` damaged inputs; returns the number of failures.
  mutating func run(executions: Int) -> Int {
    tz_install("fuzz-\(target.name)-\(options.seed).input", 10)
    let started = tz_now()
    for input in corpusInputs() { execute(input, isGiven: true) }
    for (number, seed) in target.seeds.enumerated() {
      let before = accepted
      execute(seed, isGiven: true)
      if accepted == before { fail("seed \(number) is refused", seed) }
    }
    for number in 0..<executions {
      let base = mutator.pool[mutator.random.below(mutator.pool.count)]
      var input = mutator.mutated(base)
      if let repair = target.repair, !mutator.random.oneIn(4) { repair(&input, base) }
      execute(input, isGiven: false, rearm: number % 1024 == 0)
      if failures >= 10 { break }
    }
    let seconds = Double(tz_now() - started) / 1e9
    let rate = Int(Double(executions) / max(seconds, 1e-9))
    print(
      "\(target.name): \(executions) executions, seed \(options.seed), \(accepted) accepted, "
        + "\(outcomes.count) outcomes, \(failures) failures; \(rate) a second, slowest "
        + "\(slowest / 1000) us, most memory \(highestPeak) bytes, "
        + "\(Int((highestRatio * 10).rounded())) tenths of a large input; \(kept) inputs kept")
    return failures
  }

  private func corpusInputs() -> [[UInt8]] {
    guard let folder, Folder.kind(folder) == .folder else { return [] }
    do throws(TinctureError) {
      var inputs: [[UInt8]] = []
      for name in try Folder.names(folder) {
        inputs.append(try InputFile(path: Folder.join(folder, name)).contents(limit: 1 << 20))
      }
      return inputs
    } catch {
      print("\(target.name): \(error)")
      exit(2)
    }
  }

  /// Parses `input`; a new outcome makes it a base for further damage.
  private mutating func execute(_ input: [UInt8], isGiven: Bool, rearm: Bool = true) {
    var outcome = ""
    var peak: Int64 = 0
    var time: UInt64 = 0
    input.withUnsafeBufferPointer { tz_watch($0.baseAddress, $0.count, rearm ? 1 : 0) }
    tz_start_counting()
    let started = tz_now()
    let result: Result<Int, TinctureError>
    do throws(TinctureError) {
      result = .success(try target.run(input))
    } catch {
      result = .failure(error)
    }
    time = tz_now() - started
    peak = tz_peak_bytes()
    switch result {
    case .success(let kind):
      accepted += 1
      outcome = "ok\(kind)"
    case .failure(let error):
      outcome = error.code.name + (error.message.isEmpty ? "" : " " + stem(error.message))
    }
    slowest = max(slowest, time)
    if time > Fuzzer.patience { fail("took \(time / 1_000_000) ms", input) }
    let allowed = Int64(target.memoryFactor * input.count) + target.fixedMemory
    highestPeak = max(highestPeak, peak)
    if input.count >= 4096 { highestRatio = max(highestRatio, Double(peak) / Double(input.count)) }
    if peak > allowed { fail("needed \(peak) bytes for an input of \(input.count)", input) }
    if outcomes.insert(outcome).inserted, !isGiven {
      if mutator.pool.count < Fuzzer.largestPool { mutator.pool.append(input) }
      if options.keeps { keep(input) }
    } else if isGiven {
      mutator.pool.append(input)
    } else if case .success = result, mutator.random.oneIn(200),
      mutator.pool.count < Fuzzer.largestPool
    {
      mutator.pool.append(input)
    }
  }

  /// The message without its numbers, so that numbers make no new outcome.
  private func stem(_ message: String) -> String {
    String(message.prefix(48).filter { !$0.isNumber })
  }

  private mutating func fail(_ problem: String, _ input: [UInt8]) {
    failures += 1
    let path = "fuzz-\(target.name)-\(options.seed)-\(failures).input"
    print("\(target.name): FAILURE: \(problem); input kept in \(path)")
    write(input, to: path)
  }

  private mutating func keep(_ input: [UInt8]) {
    guard let folder, input.count <= 4096 else { return }
    mkdir(folder, 0o755)
    kept += 1
    let digest = input.reduce(UInt64(0xcbf2_9ce4_8422_2325)) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    write(input, to: Folder.join(folder, String(digest, radix: 16)))
  }

  private func write(_ input: [UInt8], to path: String) {
    guard let file = fopen(path, "w") else {
      print("cannot write \(path)")
      return
    }
    fwrite(input, 1, input.count, file)
    fclose(file)
  }
}
